//! The body of a response on its way out: pieces in, framed as the head has promised.

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::vec::Vec;

use super::chunk::{ChunkHeader, LAST_CHUNK, chunk_header};
use super::framing::BodyFraming;
use crate::chunked::{Decoder, Step};
use crate::limits::Limits;

/// How far one body has come.
///
/// Give each piece to [`Body::piece`] and write what comes back, then write what [`Body::end`] returns. A body that broke
/// off is not ended. [`Body::is_complete`] says whether the client can tell where the response ends.
#[derive(Clone, Debug)]
pub struct Body {
    framing: BodyFraming,
    /// Bytes that the declared length still allows.
    left: u64,
    /// Follows the chunks of an application that makes its own; without it they were none.
    decoder: Option<Box<Decoder>>,
    ended: bool,
}

/// What to write of one piece.
#[derive(Clone, Debug)]
pub struct Framed<'a> {
    header: Option<ChunkHeader>,
    data: Cow<'a, [u8]>,
}

impl Framed<'_> {
    /// The parts, to be written one behind the other; some may be empty.
    pub fn parts(&self) -> [&[u8]; 3] {
        match &self.header {
            Some(header) => [header.as_bytes(), &self.data, b"\r\n"],
            None => [&self.data, b"", b""],
        }
    }

    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.data.is_empty()
    }
}

impl Body {
    /// The body behind a head that was written with this plan; see [`super::Plan`].
    pub fn new(framing: BodyFraming) -> Self {
        let left = if let BodyFraming::Length(bytes) = framing { bytes } else { 0 };
        let recoded = matches!(framing, BodyFraming::Prechunked | BodyFraming::Unchunk);
        Self { framing, left, decoder: recoded.then(Box::default), ended: false }
    }

    /// How it is framed.
    pub fn framing(&self) -> BodyFraming {
        self.framing
    }

    /// Frames a piece. Never more than the declared length, nor anything behind the last chunk: the client would take it
    /// for the next response.
    pub fn piece<'a>(&mut self, bytes: &'a [u8]) -> Framed<'a> {
        let plain = |data| Framed { header: None, data };
        match self.framing {
            BodyFraming::None => plain(Cow::Borrowed(&[])),
            BodyFraming::UntilClose => plain(Cow::Borrowed(bytes)),
            // An empty chunk would be the last.
            BodyFraming::Chunked if bytes.is_empty() => plain(Cow::Borrowed(bytes)),
            BodyFraming::Chunked => {
                Framed { header: Some(chunk_header(bytes.len() as u64)), data: Cow::Borrowed(bytes) }
            }
            BodyFraming::Length(_) => {
                let allowed = usize::try_from(self.left).unwrap_or(usize::MAX).min(bytes.len());
                self.left -= allowed as u64;
                plain(Cow::Borrowed(&bytes[..allowed]))
            }
            BodyFraming::Prechunked => {
                let framed = self.follow(bytes, |_| {});
                plain(Cow::Borrowed(&bytes[..framed]))
            }
            BodyFraming::Unchunk => {
                let mut content = Vec::with_capacity(bytes.len());
                self.follow(bytes, |data| content.extend_from_slice(data));
                plain(Cow::Owned(content))
            }
        }
    }

    /// Notes that all of the declared length is written by other means.
    pub fn written_elsewhere(&mut self) {
        self.left = 0;
    }

    /// Ends the body. Returns what is to be written behind it.
    pub fn end(&mut self) -> &'static [u8] {
        self.ended = true;
        if self.framing == BodyFraming::Chunked {
            return LAST_CHUNK;
        }
        // The application announced chunks and then had none: without the last one the client would take the response
        // for a broken one.
        if self.decoder.as_ref().is_some_and(|decoder| decoder.is_at_start()) {
            self.follow(LAST_CHUNK, |_| {});
            return if self.framing == BodyFraming::Prechunked { LAST_CHUNK } else { b"" };
        }
        b""
    }

    /// Whether [`Body::end`] was called.
    pub fn is_ended(&self) -> bool {
        self.ended
    }

    /// Whether all that the head promised was framed.
    pub fn is_complete(&self) -> bool {
        let whole = match self.framing {
            BodyFraming::Length(_) => self.left == 0,
            BodyFraming::Prechunked | BodyFraming::Unchunk => {
                self.decoder.as_ref().is_some_and(|decoder| decoder.is_done())
            }
            BodyFraming::None | BodyFraming::Chunked | BodyFraming::UntilClose => true,
        };
        whole && self.ended
    }

    /// Whether only the end of the connection shows where the body ends.
    pub fn ends_by_close(&self) -> bool {
        matches!(self.framing, BodyFraming::UntilClose | BodyFraming::Unchunk)
    }

    /// Follows the chunks that the application made itself. Returns how many of the bytes belong to them.
    fn follow(&mut self, bytes: &[u8], mut give: impl FnMut(&[u8])) -> usize {
        let Some(decoder) = &mut self.decoder else { return 0 };
        let mut at = 0;
        while at < bytes.len() && !decoder.is_done() {
            match decoder.decode(&bytes[at..], &Limits::NONE) {
                Ok(Step::Data { skip, len }) => {
                    give(&bytes[at + skip..at + skip + len]);
                    at += skip + len;
                }
                Ok(Step::Done { consumed }) => at += consumed,
                Ok(Step::Need) => return bytes.len(),
                // Without a decoder the response never counts as complete.
                Err(_) => {
                    self.decoder = None;
                    return at;
                }
            }
        }
        at
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::String;

    /// Frames these pieces and ends; returns what is written and whether it is complete.
    fn write(framing: BodyFraming, pieces: &[&str]) -> (String, bool) {
        let mut body = Body::new(framing);
        let mut written = Vec::new();
        for piece in pieces {
            body.piece(piece.as_bytes()).parts().iter().for_each(|part| written.extend_from_slice(part));
            assert!(!body.is_complete(), "it has not ended");
        }
        written.extend_from_slice(body.end());
        (String::from_utf8(written).unwrap(), body.is_complete())
    }

    #[track_caller]
    fn check(framing: BodyFraming, pieces: &[&str], want: &str, complete: bool) {
        assert_eq!(write(framing, pieces), (String::from(want), complete), "{framing:?} {pieces:?}");
    }

    #[test]
    fn no_body_is_written_where_there_is_none() {
        check(BodyFraming::None, &["content"], "", true);
    }

    #[test]
    fn a_declared_length_is_never_exceeded_and_too_little_is_incomplete() {
        check(BodyFraming::Length(5), &["ab", "", "cde"], "abcde", true);
        check(BodyFraming::Length(5), &["ab", "cdefg", "h"], "abcde", true);
        check(BodyFraming::Length(5), &["ab"], "ab", false);
        check(BodyFraming::Length(0), &["ab"], "", true);
        let mut body = Body::new(BodyFraming::Length(5));
        body.written_elsewhere();
        body.end();
        assert!(body.is_complete());
    }

    #[test]
    fn each_piece_is_a_chunk_and_no_empty_one_ends_the_body_early() {
        check(
            BodyFraming::Chunked,
            &["ab", "", "0123456789abcdef"],
            "2\r\nab\r\n10\r\n0123456789abcdef\r\n0\r\n\r\n",
            true,
        );
        check(BodyFraming::Chunked, &[], "0\r\n\r\n", true);
    }

    #[test]
    fn a_body_that_ends_with_the_connection_is_written_as_it_is() {
        check(BodyFraming::UntilClose, &["ab", "c"], "abc", true);
        assert!(Body::new(BodyFraming::UntilClose).ends_by_close());
        assert!(!Body::new(BodyFraming::Chunked).ends_by_close());
    }

    #[test]
    fn chunks_of_the_application_are_followed_to_their_end_and_no_further() {
        let framing = BodyFraming::Prechunked;
        check(framing, &["2\r\na", "b\r\n0\r", "\n\r\n"], "2\r\nab\r\n0\r\n\r\n", true);
        check(framing, &["0\r\n\r\nHTTP/1.1 200 OK\r\n"], "0\r\n\r\n", true);
        check(framing, &["0\r\n\r\n", "more"], "0\r\n\r\n", true);
        check(framing, &["2\r\nab\r\n"], "2\r\nab\r\n", false);
        check(framing, &[], "0\r\n\r\n", true);
        let (written, complete) = write(framing, &["no chunk"]);
        assert!(!complete && written.len() < "no chunk".len(), "{written}");
    }

    #[test]
    fn chunks_are_undone_for_clients_that_know_none() {
        let framing = BodyFraming::Unchunk;
        check(framing, &["2\r\na", "b\r\n3\r\ncde\r\n0\r", "\n\r\nmore"], "abcde", true);
        check(framing, &["2\r\nab\r\n"], "ab", false);
        check(framing, &[], "", true);
    }
}
