//! The closed set of messages, and how each is laid out.

use alloc::string::String;
use alloc::vec::Vec;

use crate::codec::{DecodeError, Reader, Writer};

/// The version byte of every message. A peer of another version is refused, never guessed at.
pub const VERSION: u8 = 2;

/// The severity of a log line that travels to the mold, numbered as Ruby's `Logger::Severity`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Severity {
    /// `Logger::DEBUG`
    Debug = 0,
    /// `Logger::INFO`
    Info = 1,
    /// `Logger::WARN`
    Warn = 2,
    /// `Logger::ERROR`
    Error = 3,
    /// `Logger::FATAL`
    Fatal = 4,
}

/// One message. The heading of each group names sender and receiver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    // ── master → mold ──
    /// What to boot, as a JSON object (`master::boot` writes it). Attached: the scoreboard.
    Boot {
        /// The JSON text.
        json: String,
    },
    /// The settings were applied (paths writable, listeners bound): load the application if it is to be preloaded.
    Proceed,
    /// Fork one worker. Attached: the worker's control socket, the two ends of the queue between workers (the one to
    /// receive from first), then one listener for each name.
    Fork {
        /// The worker number that hooks see as `worker.nr`.
        slot: u32,
        /// The generation of code that the mold holds.
        generation: u32,
        /// Which cell of the scoreboard the worker writes.
        seat: u32,
        /// The listeners' names, as `LISTENERS` and the logs show them.
        names: Vec<String>,
        /// For each listener the version of the PROXY protocol that its connections begin with, as the configuration
        /// names it; empty where there is none.
        proxies: Vec<String>,
    },
    /// A child of the master was reaped: run `after_worker_exit`.
    WorkerExited {
        /// The slot it served, or `None` for a stranger that the master adopted.
        slot: Option<u32>,
        /// Its process id.
        pid: u32,
        /// The raw wait status (wait(2)).
        status: i32,
    },
    /// `worker_processes` changed (TTIN, TTOU, WINCH): what `server.worker_processes` answers from now on.
    WorkerProcesses {
        /// The new count.
        count: u32,
    },
    /// The pid file's path changed (USR2 and its roll-back): what `server.pid` answers from now on.
    PidPath {
        /// The path; empty when there is none.
        path: String,
    },
    /// Run `before_exec` in a forked child and answer with [`Message::ExecEnvironment`].
    BeforeExec,
    /// Write a line of the master through the logger of the configuration.
    Log {
        /// The severity.
        severity: Severity,
        /// One line.
        text: String,
    },

    // ── master → mold and master → worker ──
    /// Reopen the log files (SIGUSR1). A mold sends it back when it has, and then it is its workers' turn.
    ReopenLogs,
    /// Finish and leave. For a worker: finish what was begun, then exit 0.
    Retire {
        /// Whether to serve first what waits in the listeners' backlog (nobody else will).
        drain: bool,
        /// Whether others take its connections from the queue. Otherwise it serves what is in the queue.
        hand_over: bool,
        /// How long connections that nobody takes may stay idle before they are closed, in milliseconds.
        linger_ms: u32,
    },

    // ── mold → master ──
    /// The evaluated configuration, as a JSON object (directive name → value).
    Settings {
        /// The JSON text.
        json: String,
    },
    /// The environment that `before_exec` left behind, as a JSON object (name → value).
    ExecEnvironment {
        /// The JSON text; empty when the hook raised (the error was logged).
        json: String,
    },
    /// The mold could not fork this slot.
    ForkFailed {
        /// The slot.
        slot: u32,
        /// Why.
        text: String,
    },

    // ── mold → master and worker → master ──
    /// The mold is loaded and can fork; the worker has built its application and accepts connections.
    Ready,
    /// It could not boot and is about to exit: message and backtrace, one per line.
    Failed {
        /// The text, at most [`crate::MAX_TEXT_BYTES`].
        text: String,
    },

    // ── worker → master ──
    /// The first that a worker sends, before it runs anything of the application's: it is there, and the master's child. Its
    /// process id is not in it: the kernel says which process sends a message (unix(7), `SO_PASSCRED`).
    Forked,
    /// Somebody else than the master told the worker to leave, and it does. The answer is [`Message::Retire`].
    Leaving,
}

impl Message {
    /// Encodes the message as one datagram.
    pub fn encode(&self) -> Vec<u8> {
        let mut w = Writer::new(VERSION, self.kind());
        match self {
            Self::Boot { json } | Self::Settings { json } | Self::ExecEnvironment { json } => w.string(json),
            Self::Fork { slot, generation, seat, names, proxies } => {
                w.u32(*slot);
                w.u32(*generation);
                w.u32(*seat);
                w.strings(names);
                w.strings(proxies);
            }
            Self::WorkerExited { slot, pid, status } => {
                w.u8(u8::from(slot.is_some()));
                w.u32(slot.unwrap_or(0));
                w.u32(*pid);
                w.u32(status.cast_unsigned());
            }
            Self::WorkerProcesses { count } => w.u32(*count),
            Self::PidPath { path } => w.string(path),
            Self::Log { severity, text } => {
                w.u8(*severity as u8);
                w.string(text);
            }
            Self::Retire { drain, hand_over, linger_ms } => {
                w.u8(u8::from(*drain));
                w.u8(u8::from(*hand_over));
                w.u32(*linger_ms);
            }
            Self::ForkFailed { slot, text } => {
                w.u32(*slot);
                w.string(text);
            }
            Self::Failed { text } => w.string(text),
            Self::Proceed | Self::BeforeExec | Self::ReopenLogs | Self::Ready | Self::Forked | Self::Leaving => {}
        }
        w.finish()
    }

    /// Decodes one datagram.
    ///
    /// # Errors
    /// Another version, an unknown kind, a field that is cut short or out of range, bytes left over.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut r = Reader::new(bytes);
        let version = r.u8()?;
        if version != VERSION {
            return Err(DecodeError::Version(version));
        }
        let kind = r.u8()?;
        let message = match kind {
            1 => Self::Boot { json: r.string()? },
            2 => Self::Proceed,
            3 => Self::Fork {
                slot: r.u32()?,
                generation: r.u32()?,
                seat: r.u32()?,
                names: r.strings()?,
                proxies: r.strings()?,
            },
            4 => {
                let known = r.flag()?;
                let slot = r.u32()?;
                Self::WorkerExited { slot: known.then_some(slot), pid: r.u32()?, status: r.u32()?.cast_signed() }
            }
            5 => Self::WorkerProcesses { count: r.u32()? },
            6 => Self::PidPath { path: r.string()? },
            7 => Self::BeforeExec,
            8 => Self::Log { severity: severity(r.u8()?)?, text: r.string()? },
            9 => Self::ReopenLogs,
            10 => Self::Retire { drain: r.flag()?, hand_over: r.flag()?, linger_ms: r.u32()? },
            11 => Self::Settings { json: r.string()? },
            12 => Self::ExecEnvironment { json: r.string()? },
            13 => Self::ForkFailed { slot: r.u32()?, text: r.string()? },
            14 => Self::Ready,
            15 => Self::Failed { text: r.string()? },
            16 => Self::Forked,
            17 => Self::Leaving,
            other => return Err(DecodeError::Kind(other)),
        };
        r.end()?;
        Ok(message)
    }

    /// The number of its kind, as its second byte has it.
    pub fn kind(&self) -> u8 {
        match self {
            Self::Boot { .. } => 1,
            Self::Proceed => 2,
            Self::Fork { .. } => 3,
            Self::WorkerExited { .. } => 4,
            Self::WorkerProcesses { .. } => 5,
            Self::PidPath { .. } => 6,
            Self::BeforeExec => 7,
            Self::Log { .. } => 8,
            Self::ReopenLogs => 9,
            Self::Retire { .. } => 10,
            Self::Settings { .. } => 11,
            Self::ExecEnvironment { .. } => 12,
            Self::ForkFailed { .. } => 13,
            Self::Ready => 14,
            Self::Failed { .. } => 15,
            Self::Forked => 16,
            Self::Leaving => 17,
        }
    }
}

fn severity(byte: u8) -> Result<Severity, DecodeError> {
    Ok(match byte {
        0 => Severity::Debug,
        1 => Severity::Info,
        2 => Severity::Warn,
        3 => Severity::Error,
        4 => Severity::Fatal,
        other => return Err(DecodeError::Value(other)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;
    use alloc::vec;

    fn every_message() -> Vec<Message> {
        let text = "é\nline 2".to_string();
        vec![
            Message::Boot { json: "{\"a\":1}".to_string() },
            Message::Proceed,
            Message::Fork {
                slot: 3,
                generation: 7,
                seat: 9,
                names: vec!["0.0.0.0:8080".to_string(), "/a b".to_string()],
                proxies: vec![String::new(), "v2".to_string()],
            },
            Message::WorkerExited { slot: None, pid: 12, status: -1 },
            Message::WorkerExited { slot: Some(0), pid: 12, status: 0x0900 },
            Message::WorkerProcesses { count: 0 },
            Message::PidPath { path: String::new() },
            Message::BeforeExec,
            Message::Log { severity: Severity::Fatal, text: text.clone() },
            Message::ReopenLogs,
            Message::Retire { drain: true, hand_over: false, linger_ms: 1500 },
            Message::Settings { json: String::new() },
            Message::ExecEnvironment { json: "{}".to_string() },
            Message::ForkFailed { slot: u32::MAX, text: text.clone() },
            Message::Ready,
            Message::Failed { text },
            Message::Forked,
            Message::Leaving,
        ]
    }

    #[test]
    fn every_message_comes_back_as_it_was_sent() {
        for message in every_message() {
            assert_eq!(Message::decode(&message.encode()), Ok(message));
        }
    }

    #[test]
    fn a_message_cut_short_or_with_bytes_left_over_is_refused() {
        for message in every_message() {
            let bytes = message.encode();
            for end in 0..bytes.len() {
                assert!(Message::decode(&bytes[..end]).is_err(), "{message:?} cut at {end}");
            }
            let mut longer = bytes.clone();
            longer.push(0);
            assert_eq!(Message::decode(&longer), Err(DecodeError::Trailing(1)), "{message:?}");
        }
    }

    #[test]
    fn golden_bytes_of_version_2() {
        let fork = Message::Fork { slot: 1, generation: 2, seat: 3, names: vec!["a".to_string()], proxies: vec![] };
        let bytes = [2, 3, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, b'a', 0, 0, 0, 0];
        assert_eq!(fork.encode(), bytes);
        let retire = Message::Retire { drain: true, hand_over: false, linger_ms: 256 };
        assert_eq!(retire.encode(), [2, 10, 1, 0, 0, 1, 0, 0]);
    }

    #[test]
    fn another_version_or_kind_is_named_in_the_error() {
        assert_eq!(Message::decode(&[1, 1]), Err(DecodeError::Version(1)));
        assert_eq!(Message::decode(&[2, 99]), Err(DecodeError::Kind(99)));
        assert_eq!(Message::decode(&[2, 10, 2, 0, 0, 0, 0, 0]), Err(DecodeError::Value(2)));
    }
}
