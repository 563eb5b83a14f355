//! The lines that wait to be written, and where they go.

use access_log::{Bytes, Ended, Entry, Format, Line, Process, Redact, Time, user_of};
use http1::forwarded::Trusted;
use http1::request::{Field, Head, KnownName, Version};
use rustix::io::Errno;
use scoreboard::{Losses, Lossy, Seat};
use sys::clock::monotonic_ns;
use sys::log_output::{LogOutput, PIPE_LINE_BYTES};

use crate::client::client;
use crate::conn::{Intake, Peer, Record};

use super::stamp::Stamp;

/// So many bytes of lines are written at once.
const BATCH_BYTES: usize = 32 * 1024;
/// More lines than this do not wait for a slow reader: they are lost, and counted.
const MOST_BYTES: usize = 1 << 20;
/// Of a line that is too long for a pipe, each text of the client's keeps so many bytes.
const CUT_BYTES: usize = 100;
/// The first line of a request that was not understood is shown up to here.
const RAW_BYTES: usize = 1_024;
/// Lines that follow others this soon wait until so much time has passed: a busy worker makes one system call for many.
const HOLD_NS: u64 = 5_000_000;
/// How long a process that ends waits for a slow reader.
const LAST_NS: u64 = 1_000_000_000;

/// What lines look like, and which there are.
#[derive(Clone, Debug)]
pub struct Shape {
    /// What a line looks like.
    pub format: Format,
    /// What is hidden.
    pub redact: Redact,
    /// Only requests that took at least as long.
    pub slow_ns: u64,
    /// The process that writes them.
    pub process: Process,
}

/// The access log of one worker.
#[derive(Debug)]
pub struct AccessLog {
    shape: Shape,
    /// `None` when it could not be opened: lines are lost.
    output: Option<LogOutput>,
    lines: Vec<u8>,
    /// When lines were written last.
    written_ns: u64,
    /// Lines that were lost since that was told.
    lost: u64,
    /// Where all that were lost are counted.
    seat: Seat<'static>,
    trouble: Trouble,
    stamp: Stamp,
    /// The client of the last request and its text.
    last_client: (Option<Peer>, String),
}

/// How writing goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trouble {
    None,
    /// A reader is slow.
    Slow,
    /// It fails, and that was told.
    Failing,
}

/// What came of writing.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Flushed {
    /// There is nothing to tell.
    Quietly,
    /// It fails from now on.
    Fails(Errno),
    /// It goes again; so many lines were lost.
    Again(u64),
}

impl AccessLog {
    /// Makes the log of the worker with this seat, which goes there.
    pub fn new(shape: Shape, output: Option<LogOutput>, seat: Seat<'static>) -> Self {
        Self {
            shape,
            output,
            lines: Vec::new(),
            written_ns: 0,
            lost: 0,
            seat,
            trouble: Trouble::None,
            stamp: Stamp::new(),
            last_client: (None, String::new()),
        }
    }

    /// Makes the line of a request.
    pub(crate) fn add(
        &mut self,
        record: &Record,
        intake: Option<&Intake>,
        peer: Peer,
        proxies: Option<&Trusted>,
        is_hijacked: bool,
    ) {
        let service_ns = record.start_ns.map(|start| record.end_ns.saturating_sub(start));
        if service_ns.unwrap_or(0) < self.shape.slow_ns {
            return;
        }
        if self.lines.len() >= MOST_BYTES {
            return self.lose(1, Errno::AGAIN);
        }
        self.stamp.now();
        let buffer = intake.map_or(&[][..], |intake| &intake.buffer);
        let head = intake.filter(|_| record.raw_bytes.is_none()).map(|intake| intake.parser.head());
        let client = head.map_or(peer, |head| client(head, buffer, peer, proxies));
        if self.last_client.0 != Some(client) {
            self.last_client = (Some(client), client.to_string());
        }
        let mut room = [0; 256];
        let value = |is_it: &dyn Fn(&Field) -> bool| {
            head.and_then(|head| head.fields.iter().find(|field| is_it(field))).map(|field| field.value.of(buffer))
        };
        let entry = Entry {
            time: Time { utc: &self.stamp.utc, milliseconds: self.stamp.milliseconds, local: &self.stamp.local },
            id: record.id.as_bytes(),
            client: &self.last_client.1,
            user: value(&|field| field.known == KnownName::Authorization).and_then(|text| user_of(text, &mut room)),
            line: line(head, record, buffer),
            host: head.and_then(Head::effective_host).map(|span| span.of(buffer)),
            referer: value(&|field| field.known == KnownName::Referer),
            user_agent: value(&|field| field.known == KnownName::UserAgent),
            status: record.status,
            ended: match () {
                () if is_hijacked => Ended::Hijacked,
                () if record.is_broken => Ended::Broken,
                () => Ended::Complete,
            },
            bytes: Bytes {
                received: record.received_bytes,
                sent: record.sent_bytes,
                body: record.sent_bytes.saturating_sub(record.head_bytes),
            },
            service_ns,
            queue_ns: record.start_ns.map(|_| record.waited_ns),
            process: self.shape.process,
        };
        let start = self.lines.len();
        self.shape.format.write(&entry, &self.shape.redact, usize::MAX, &mut self.lines);
        let is_cut =
            self.lines.len() - start > PIPE_LINE_BYTES && self.output.as_ref().is_some_and(|output| !output.is_file());
        if is_cut {
            self.lines.truncate(start);
            self.shape.format.write(&entry, &self.shape.redact, CUT_BYTES, &mut self.lines);
        }
    }

    /// Tells whether lines wait to be written.
    pub(crate) fn has_lines(&self) -> bool {
        !self.lines.is_empty()
    }

    /// Tells whether there are enough lines to write them.
    pub(crate) fn is_batch(&self) -> bool {
        self.lines.len() >= BATCH_BYTES && self.trouble != Trouble::Slow
    }

    /// Tells whether lines wait for a slow reader.
    pub(crate) fn is_slow(&self) -> bool {
        self.trouble == Trouble::Slow
    }

    /// How long lines are held since others were written just before. `None` when they are to be written now.
    pub(crate) fn held_ns(&self, now_ns: u64) -> Option<u64> {
        let left_ns = (self.written_ns + HOLD_NS).saturating_sub(now_ns);
        (self.has_lines() && !self.is_slow() && left_ns > 0).then_some(left_ns)
    }

    /// Writes the lines, without waiting.
    pub(crate) fn flush(&mut self) -> Flushed {
        if self.lines.is_empty() {
            return Flushed::Quietly;
        }
        self.written_ns = monotonic_ns();
        let (written, outcome) = match &self.output {
            Some(output) => output.write(&self.lines),
            None => (0, Err(Errno::BADF)),
        };
        let failed = match outcome {
            Ok(()) => {
                self.lines.clear();
                None
            }
            Err(Errno::AGAIN) => {
                self.lines.drain(..written);
                self.trouble = Trouble::Slow;
                return Flushed::Quietly;
            }
            Err(errno) => {
                self.lines.drain(..written);
                self.lose_all(errno);
                Some(errno)
            }
        };
        let before = self.trouble;
        self.trouble = if failed.is_some() { Trouble::Failing } else { Trouble::None };
        match failed {
            Some(errno) if before != Trouble::Failing => Flushed::Fails(errno),
            Some(_) => Flushed::Quietly,
            None if self.lost > 0 => Flushed::Again(std::mem::take(&mut self.lost)),
            None => Flushed::Quietly,
        }
    }

    /// Loses the lines that there are.
    fn lose_all(&mut self, errno: Errno) {
        let lines = self.lines.iter().filter(|byte| **byte == b'\n').count() as u64;
        self.lines.clear();
        self.lose(lines, errno);
    }

    fn lose(&mut self, lines: u64, errno: Errno) {
        self.lost += lines;
        self.seat.lose(Lossy::Access, Losses { lines, errno: errno.raw_os_error(), at_ns: monotonic_ns() });
    }

    /// Writes what is left, at the end of the process: a slow reader is waited for a second, if there is `time`.
    pub(crate) fn finish(&mut self, time: bool) -> Flushed {
        let until = monotonic_ns() + if time { LAST_NS } else { 0 };
        loop {
            let flushed = self.flush();
            let left = until.saturating_sub(monotonic_ns());
            match &self.output {
                Some(output) if self.is_slow() && left > 0 => output.wait(left),
                _ => {
                    // A slow reader gets no more of them.
                    if !self.lines.is_empty() {
                        self.lose_all(Errno::AGAIN);
                    }
                    return flushed;
                }
            }
        }
    }

    /// Goes on in another file.
    pub(crate) fn reopen(&mut self, output: LogOutput) {
        self.output = Some(output);
    }

    /// Whose the file is that is written now, user and group.
    pub(crate) fn owner(&self) -> Option<(u32, u32)> {
        self.output.as_ref().and_then(LogOutput::owner)
    }
}

/// The first line of a request.
fn line<'a>(head: Option<&Head>, record: &Record, buffer: &'a [u8]) -> Line<'a> {
    if let Some(head) = head {
        return Line::Parsed {
            method: head.method.of(buffer),
            target: head.target.of(buffer),
            path: if head.path.is_empty() { head.target.of(buffer) } else { head.path.of(buffer) },
            query: head.query.map(|query| query.of(buffer)),
            protocol: if head.version == Version::Http10 { "HTTP/1.0" } else { "HTTP/1.1" },
        };
    }
    let raw = &buffer[..record.raw_bytes.unwrap_or(0).min(buffer.len()).min(RAW_BYTES)];
    // Empty lines before a request line are passed over.
    let start = raw.iter().position(|byte| !matches!(byte, b'\r' | b'\n')).unwrap_or(raw.len());
    let raw = &raw[start..];
    let end = raw.iter().position(|byte| matches!(byte, b'\r' | b'\n'));
    end.and_then(|end| understood(&raw[..end])).unwrap_or_else(|| Line::Raw(&raw[..end.unwrap_or(raw.len())]))
}

/// A request line that is one, of a request that was refused for what followed.
fn understood(line: &[u8]) -> Option<Line<'_>> {
    let mut words = line.split(|byte| *byte == b' ');
    let (method, target, version) = (words.next()?, words.next()?, words.next()?);
    let protocol = ["HTTP/1.0", "HTTP/1.1"].into_iter().find(|protocol| protocol.as_bytes() == version)?;
    let is_plain = method.iter().all(u8::is_ascii_uppercase) && target.starts_with(b"/");
    if words.next().is_some() || method.is_empty() || !is_plain {
        return None;
    }
    let query = target.iter().position(|byte| *byte == b'?');
    let path = &target[..query.unwrap_or(target.len())];
    Some(Line::Parsed { method, target, path, query: query.map(|at| &target[at + 1..]), protocol })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicU64;

    /// A log that cannot be opened, and its seat.
    fn lost() -> (AccessLog, Seat<'static>) {
        let words: Vec<AtomicU64> = (0..scoreboard::PAGE_BYTES / 8).map(|_| AtomicU64::new(0)).collect();
        let seat = Seat::of_page(words.leak()).unwrap();
        let process = Process { slot: 0, generation: 1, pid: 1 };
        let shape = Shape { format: Format::Json, redact: Redact::Query, slow_ns: 0, process };
        (AccessLog::new(shape, None, seat), seat)
    }

    #[test]
    fn lines_that_are_lost_are_counted_on_the_seat() {
        let (mut log, seat) = lost();
        log.lines.extend(b"one\ntwo\n");
        assert_eq!(log.flush(), Flushed::Fails(Errno::BADF));
        log.lines.extend(b"three\n");
        assert_eq!(log.finish(false), Flushed::Quietly);
        let losses = seat.losses(Lossy::Access);
        assert_eq!((losses.lines, losses.errno), (3, Errno::BADF.raw_os_error()));
        assert!(losses.at_ns > 0 && seat.losses(Lossy::Log) == Losses::default());
    }

    #[test]
    fn lines_that_follow_others_at_once_wait_for_more() {
        let (mut log, _) = lost();
        let now = monotonic_ns();
        assert_eq!(log.held_ns(now), None, "there are none");
        log.lines.extend(b"first\n");
        assert_eq!(log.held_ns(now), None, "the first is written at once");
        log.flush();
        let written = log.written_ns;
        assert_eq!(log.held_ns(written), None, "there are none any more");
        log.lines.extend(b"second\n");
        assert_eq!(log.held_ns(written + 500_000), Some(HOLD_NS - 500_000));
        assert_eq!(log.held_ns(written + HOLD_NS), None, "it has waited long enough");
    }
}
