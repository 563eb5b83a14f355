//! What is noted of a request until its response is out. Only where the configuration asks for it.

use http1::request::{Head, KnownName};

/// The longest id that is taken from a client.
const ID_BYTES: usize = 64;

/// The id of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestId {
    length: u8,
    bytes: [u8; ID_BYTES],
}

impl RequestId {
    /// Takes over what a client calls its request: letters, digits and `-_.@=+/:` only, which no log and no shell takes
    /// for more.
    pub fn of_client(text: &[u8]) -> Option<Self> {
        let is_harmless = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.@=+/:".contains(byte);
        (!text.is_empty() && text.iter().all(is_harmless)).then(|| Self::new(text))?
    }

    /// Takes text of our own.
    pub(crate) fn new(text: &[u8]) -> Option<Self> {
        let mut bytes = [0; ID_BYTES];
        bytes.get_mut(..text.len())?.copy_from_slice(text);
        Some(Self { length: text.len() as u8, bytes })
    }

    /// Returns its text.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }
}

/// What is noted of a request.
#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) id: RequestId,
    /// When it went to the application (CLOCK_MONOTONIC, ns); `None`: it was refused before.
    pub(crate) start_ns: Option<u64>,
    /// How long it had waited then.
    pub(crate) waited_ns: u64,
    /// When the application had said all that it says.
    pub(crate) end_ns: u64,
    /// The status of the response; 0 until there is one.
    pub(crate) status: u16,
    /// Bytes that were sent before the body: the head, and interim responses.
    pub(crate) head_bytes: u64,
    pub(crate) sent_bytes: u64,
    pub(crate) received_bytes: u64,
    /// The response cannot be completed.
    pub(crate) is_broken: bool,
    /// What was received of a request whose head was not understood: so many bytes at the start of the buffer.
    pub(crate) raw_bytes: Option<usize>,
}

impl Record {
    /// Begins with a request of so many bytes.
    pub(crate) fn new(id: RequestId, received_bytes: u64) -> Self {
        Self {
            id,
            start_ns: None,
            waited_ns: 0,
            end_ns: 0,
            status: 0,
            head_bytes: 0,
            sent_bytes: 0,
            received_bytes,
            is_broken: false,
            raw_bytes: None,
        }
    }

    /// Notes the status of the response, and that so many bytes of its head are about to be sent.
    pub(crate) fn respond(&mut self, status: u16, head_bytes: usize) {
        self.status = status;
        self.head_bytes = self.sent_bytes + head_bytes as u64;
    }
}

/// Finds what a client calls its request, if it says so once.
pub(crate) fn id_of_client(head: &Head, buffer: &[u8]) -> Option<RequestId> {
    let mut fields = head.fields.iter().filter(|field| field.known == KnownName::XRequestId);
    let field = fields.next()?;
    if fields.next().is_some() {
        return None;
    }
    RequestId::of_client(field.value.of(buffer))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_harmless_characters_are_taken_and_others_are_not() {
        for text in [&b"c0ffee"[..], b"Root=1-67891233-abcdef", b"a/b+c:d_e@f.g", &[b'x'; ID_BYTES]] {
            assert_eq!(RequestId::of_client(text).unwrap().as_bytes(), text);
        }
        for text in [&b""[..], b"a b", b"a\"b", b"a,b", b"a\nb", b"\xff", b"$(x)", &[b'x'; ID_BYTES + 1]] {
            assert_eq!(RequestId::of_client(text), None, "{text:?}");
        }
    }
}
