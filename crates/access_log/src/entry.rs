//! What is known of a request that was answered.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// A request and its response. What is empty or `None` was not sent, or is not known.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    /// When it was over.
    pub time: Time<'a>,
    /// Its id.
    pub id: &'a [u8],
    /// The client's address.
    pub client: &'a str,
    /// The user name of `Authorization: Basic`, without the password.
    pub user: Option<&'a [u8]>,
    /// Its first line.
    pub line: Line<'a>,
    /// The host that it is for.
    pub host: Option<&'a [u8]>,
    /// The page that led there.
    pub referer: Option<&'a [u8]>,
    /// The program of the client.
    pub user_agent: Option<&'a [u8]>,
    /// The status of the response; 0 when there was none.
    pub status: u16,
    /// How the response ended.
    pub ended: Ended,
    /// How much came and went.
    pub bytes: Bytes,
    /// How long the application took, in nanoseconds; `None` when it was not called.
    pub service_ns: Option<u64>,
    /// How long the request waited before that.
    pub queue_ns: Option<u64>,
    /// The process that served it.
    pub process: Process,
}

/// A moment.
#[derive(Clone, Copy, Debug)]
pub struct Time<'a> {
    /// `2026-11-28T21:13:28`, in UTC.
    pub utc: &'a str,
    /// Milliseconds behind it.
    pub milliseconds: u32,
    /// `28/Nov/2026:22:13:28 +0100`, in the zone of the machine.
    pub local: &'a str,
}

/// The first line of a request.
#[derive(Clone, Copy, Debug)]
pub enum Line<'a> {
    /// One that was understood.
    Parsed {
        /// `GET`
        method: &'a [u8],
        /// As it was sent, query and all.
        target: &'a [u8],
        /// Of the target.
        path: &'a [u8],
        /// What follows the first `?`.
        query: Option<&'a [u8]>,
        /// `HTTP/1.1`
        protocol: &'a str,
    },
    /// One of a request that was refused, as far as it came.
    Raw(&'a [u8]),
}

/// How a response ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// All of it was given to the kernel.
    Complete,
    /// The client left, was too slow, or the application failed in the middle of it.
    Broken,
    /// The application took the connection over: what it sent is not known.
    Hijacked,
}

impl Ended {
    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Broken => "broken",
            Self::Hijacked => "hijacked",
        }
    }
}

/// How much came and went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bytes {
    /// Of the request, head and body.
    pub received: u64,
    /// Of the response, head and body.
    pub sent: u64,
    /// Of the response without its head.
    pub body: u64,
}

/// The process that served a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Process {
    /// The number of the worker.
    pub slot: u32,
    /// The generation of its code.
    pub generation: u32,
    /// Its process id.
    pub pid: u32,
}

/// Finds the user name in the value of an `Authorization` field, as nginx does for `$remote_user`: what `Basic` says before the
/// first colon. `room` is for the decoded text.
pub fn user_of<'b>(authorization: &[u8], room: &'b mut [u8]) -> Option<&'b [u8]> {
    let (scheme, rest) = authorization.split_at_checked(6)?;
    if !scheme.eq_ignore_ascii_case(b"basic ") {
        return None;
    }
    let length = STANDARD.decode_slice(rest.trim_ascii(), room).ok()?;
    let end = room[..length].iter().position(|byte| *byte == b':')?;
    Some(&room[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_user_is_what_basic_says_before_the_colon() {
        let mut room = [0; 64];
        assert_eq!(user_of(b"Basic YWxpY2U6czNjcmV0", &mut room), Some(&b"alice"[..]));
        assert_eq!(user_of(b"basic YWxpY2U6", &mut room), Some(&b"alice"[..]));
        for other in [&b"Bearer YWxpY2U6"[..], b"Basic YWxpY2U=", b"Basic !", b"Basic", b""] {
            assert_eq!(user_of(other, &mut room), None, "{other:?}");
        }
        assert_eq!(user_of(b"Basic YWxpY2U6czNjcmV0", &mut [0; 3]), None);
    }
}
