//! The closed sets of messages, one for each direction, and how each is laid out.

use alloc::string::String;
use alloc::vec::Vec;

use crate::codec::{DecodeError, Field, Reader, VERSION, Writer};

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

impl Field for Severity {
    fn write(&self, w: &mut Writer) {
        w.u8(*self as u8);
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(match r.u8()? {
            0 => Self::Debug,
            1 => Self::Info,
            2 => Self::Warn,
            3 => Self::Error,
            4 => Self::Fatal,
            other => return Err(DecodeError::Value(other)),
        })
    }
}

/// A message of one direction.
pub trait Message: Sized {
    /// Encodes the message as one datagram.
    fn encode(&self) -> Vec<u8>;

    /// Decodes one datagram.
    ///
    /// # Errors
    /// Another version, a kind that is unknown in this direction, a field that is cut short or out of range, bytes left over.
    fn decode(bytes: &[u8]) -> Result<Self, DecodeError>;

    /// The number of its kind, as its second byte has it. A number means the same in every direction.
    fn kind(&self) -> u8;
}

/// Declares the messages of one direction: the number of each kind, its name, its fields in their order.
macro_rules! direction {
    ($(#[$doc:meta])* $name:ident {
        $($(#[$message_doc:meta])* $kind:literal $message:ident $({
            $($(#[$field_doc:meta])* $field:ident: $type:ty,)*
        })?,)*
    }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub enum $name {
            $($(#[$message_doc])* $message $({ $($(#[$field_doc])* $field: $type,)* })?,)*
        }

        impl Message for $name {
            #[allow(unused_mut, reason = "the messages of a direction may have no fields")]
            fn encode(&self) -> Vec<u8> {
                let mut w = Writer::new(VERSION, self.kind());
                match self {
                    $(Self::$message $({ $($field,)* })? => { $($($field.write(&mut w);)*)? })*
                }
                w.finish()
            }

            fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
                let mut r = Reader::new(bytes);
                let version = r.u8()?;
                if version != VERSION {
                    return Err(DecodeError::Version(version));
                }
                let message = match r.u8()? {
                    $($kind => Self::$message $({ $($field: Field::read(&mut r)?,)* })?,)*
                    other => return Err(DecodeError::Kind(other)),
                };
                r.end()?;
                Ok(message)
            }

            fn kind(&self) -> u8 {
                match self {
                    $(Self::$message { .. } => $kind,)*
                }
            }
        }
    };
}

direction! {
    /// What the master says to a mold.
    ToMold {
        /// What to boot, as a JSON object (`master::config::options` writes it). Attached: the board of the
        /// workers.
        1 Boot {
            /// The JSON text.
            json: String,
        },
        /// The settings were applied (paths writable, listeners bound): load the application if it is to be preloaded.
        2 Proceed,
        /// Fork one worker. Attached: the worker's control socket, its seat, the two ends of the queue between workers (the
        /// one to receive from first), then one listener for each name. A mold of a program of layout 1 gets no seat here:
        /// it has all of them.
        3 Fork {
            /// The worker number that hooks see as `worker.nr`.
            slot: u32,
            /// The generation of code that the mold holds.
            generation: u32,
            /// The number of its seat, which is that of its place on the board.
            seat: u32,
            /// The listeners' names, as `LISTENERS` and the logs show them.
            names: Vec<String>,
            /// For each listener the version of the PROXY protocol that its connections begin with, as the configuration
            /// names it; empty where there is none.
            proxies: Vec<String>,
        },
        /// A child of the master was reaped: run `after_worker_exit`.
        4 WorkerExited {
            /// The slot it served, or `None` for a stranger that the master adopted.
            slot: Option<u32>,
            /// Its process id.
            pid: u32,
            /// The raw wait status (wait(2)).
            status: i32,
        },
        /// `worker_processes` changed (TTIN, TTOU, WINCH): what `server.worker_processes` answers from now on.
        5 WorkerProcesses {
            /// The new count.
            count: u32,
        },
        /// The pid file's path changed (USR2 and its roll-back): what `server.pid` answers from now on.
        6 PidPath {
            /// The path; empty when there is none.
            path: String,
        },
        /// Run `before_exec` in a forked child and answer with [`FromMold::ExecEnvironment`].
        7 BeforeExec,
        /// Write a line of the master through the logger of the configuration.
        8 Log {
            /// The severity.
            severity: Severity,
            /// One line.
            text: String,
        },
        /// Reopen the log files (SIGUSR1), and say so: then it is the workers' turn.
        9 ReopenLogs,
        /// Leave. The fields are those of [`ToWorker::Retire`], and mean nothing to a mold.
        10 Retire {
            /// False.
            drain: bool,
            /// False.
            hand_over: bool,
            /// 0.
            linger_ms: u32,
        },
        /// Fork a service that is a block. Attached: its control socket. Only a mold whose settings have such a service
        /// gets it.
        19 ForkService {
            /// The number of the process.
            service: u32,
            /// The name of the service.
            name: String,
            /// The generation of code that the mold holds.
            generation: u32,
        },
    }
}

direction! {
    /// What the master says to a service that a mold has forked.
    ToService {
        /// Reopen the log files.
        9 ReopenLogs,
    }
}

direction! {
    /// What such a service says to the master.
    FromService {
        /// As [`FromWorker::Forked`].
        16 Forked,
    }
}

direction! {
    /// What a mold says to the master.
    FromMold {
        /// The log files are reopened. The answer to [`ToMold::ReopenLogs`].
        9 ReopenLogs,
        /// The evaluated configuration, as a JSON object (directive name → value).
        11 Settings {
            /// The JSON text.
            json: String,
        },
        /// The environment that `before_exec` left behind, as a JSON object (name → value).
        12 ExecEnvironment {
            /// The JSON text; empty when the hook raised (the error was logged).
            json: String,
        },
        /// It could not fork this slot.
        13 ForkFailed {
            /// The slot.
            slot: u32,
            /// Why.
            text: String,
        },
        /// It is loaded and can fork.
        14 Ready,
        /// It could not boot and is about to exit: message and backtrace, one per line.
        15 Failed {
            /// The text, at most [`crate::MAX_TEXT_BYTES`]. Empty when it leaves as the configuration wants it.
            text: String,
        },
        /// The first that a mold sends which a worker has forked, as [`FromWorker::Forked`]. [`FromMold::Ready`] follows.
        16 Forked,
        /// It could not fork this service.
        20 ServiceForkFailed {
            /// The number of the process.
            service: u32,
            /// Why.
            text: String,
        },
    }
}

direction! {
    /// What the master says to a worker.
    ToWorker {
        /// Reopen the log files.
        9 ReopenLogs,
        /// Finish what was begun, then exit 0.
        10 Retire {
            /// Whether to serve first what waits in the listeners' backlog (no other worker will).
            drain: bool,
            /// Whether others take its connections from the queue. Otherwise it serves what is in the queue.
            hand_over: bool,
            /// How long connections that no other worker takes may stay idle before they are closed, in milliseconds.
            linger_ms: u32,
        },
        /// Fork a mold, between two requests. Attached: its control socket. Only a worker whose settings ask for reforks
        /// gets it.
        21 Promote {
            /// The generation of the mold.
            generation: u32,
        },
    }
}

direction! {
    /// What a worker says to the master.
    FromWorker {
        /// It has built its application and accepts connections.
        14 Ready,
        /// It could not boot and is about to exit: message and backtrace, one per line.
        15 Failed {
            /// The text, at most [`crate::MAX_TEXT_BYTES`].
            text: String,
        },
        /// The first that a worker sends, before it runs anything of the application's: it is there, and the master's child.
        /// Its process id is not in it: the kernel says which process sends a message (unix(7), `SO_PASSCRED`).
        16 Forked,
        /// It leaves, told to by something else than the master. The answer is [`ToWorker::Retire`].
        17 Leaving,
        /// Where each of its threads is: the answer to a question that the master has written into the seat
        /// (`scoreboard::Seat::ask_backtraces`) and sent a signal for. A worker that was not asked never says this, so
        /// that a program that does not know of it never hears it.
        18 Backtraces {
            /// The number of the question.
            question: u64,
            /// The text, at most [`crate::MAX_TEXT_BYTES`].
            text: String,
        },
        /// It forks no mold.
        22 NotPromoted {
            /// The generation of the mold.
            generation: u32,
            /// Whether it never will.
            for_good: bool,
            /// Why, at most [`crate::MAX_TEXT_BYTES`].
            text: String,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;
    use alloc::vec;
    use core::fmt::Debug;

    const TEXT: &str = "é\nline 2";

    fn to_mold() -> Vec<ToMold> {
        vec![
            ToMold::Boot { json: "{\"a\":1}".to_string() },
            ToMold::Proceed,
            ToMold::Fork {
                slot: 3,
                generation: 7,
                seat: 9,
                names: vec!["0.0.0.0:8080".to_string(), "/a b".to_string()],
                proxies: vec![String::new(), "v2".to_string()],
            },
            ToMold::WorkerExited { slot: None, pid: 12, status: -1 },
            ToMold::WorkerExited { slot: Some(0), pid: 12, status: 0x0900 },
            ToMold::WorkerProcesses { count: 0 },
            ToMold::PidPath { path: String::new() },
            ToMold::BeforeExec,
            ToMold::Log { severity: Severity::Fatal, text: TEXT.to_string() },
            ToMold::ReopenLogs,
            ToMold::Retire { drain: false, hand_over: false, linger_ms: 0 },
            ToMold::ForkService { service: 4, name: "jobs".to_string(), generation: 7 },
        ]
    }

    fn from_mold() -> Vec<FromMold> {
        vec![
            FromMold::ReopenLogs,
            FromMold::Settings { json: String::new() },
            FromMold::ExecEnvironment { json: "{}".to_string() },
            FromMold::ForkFailed { slot: u32::MAX, text: TEXT.to_string() },
            FromMold::Ready,
            FromMold::Failed { text: TEXT.to_string() },
            FromMold::Forked,
            FromMold::ServiceForkFailed { service: 4, text: TEXT.to_string() },
        ]
    }

    fn to_worker() -> Vec<ToWorker> {
        vec![
            ToWorker::ReopenLogs,
            ToWorker::Retire { drain: true, hand_over: false, linger_ms: 1500 },
            ToWorker::Promote { generation: 8 },
        ]
    }

    fn from_worker() -> Vec<FromWorker> {
        vec![
            FromWorker::Ready,
            FromWorker::Failed { text: TEXT.to_string() },
            FromWorker::Forked,
            FromWorker::Leaving,
            FromWorker::Backtraces { question: 1 << 40 | 7, text: TEXT.to_string() },
            FromWorker::NotPromoted { generation: 8, for_good: true, text: TEXT.to_string() },
        ]
    }

    /// These come back as they were sent, and no other kind, nothing shorter and nothing longer is taken for one of them.
    #[track_caller]
    fn check<M: Message + Debug + PartialEq>(messages: &[M], golden: &[&[u8]]) {
        for message in messages {
            let bytes = message.encode();
            assert_eq!(M::decode(&bytes).as_ref(), Ok(message));
            for end in 0..bytes.len() {
                assert!(M::decode(&bytes[..end]).is_err(), "{message:?} cut at {end}");
            }
            let longer = [&*bytes, &[0]].concat();
            assert_eq!(M::decode(&longer), Err(DecodeError::Trailing(1)), "{message:?}");
        }
        for kind in (0..=u8::MAX).filter(|kind| messages.iter().all(|message| message.kind() != *kind)) {
            assert_eq!(M::decode(&[2, kind]), Err(DecodeError::Kind(kind)));
        }
        assert_eq!(M::decode(&[1, 14]), Err(DecodeError::Version(1)));
        let encoded: Vec<Vec<u8>> = messages.iter().map(Message::encode).collect();
        assert_eq!(encoded, golden);
    }

    #[test]
    fn golden_bytes_of_version_2_to_a_mold() {
        check(
            &to_mold(),
            &[
                b"\x02\x01\x07\0\0\0{\"a\":1}",
                b"\x02\x02",
                b"\x02\x03\x03\0\0\0\x07\0\0\0\x09\0\0\0\x02\0\0\0\x0c\0\0\x000.0.0.0:8080\x04\0\0\0/a b\x02\0\0\0\0\0\0\0\x02\0\0\0v2",
                b"\x02\x04\0\0\0\0\0\x0c\0\0\0\xff\xff\xff\xff",
                b"\x02\x04\x01\0\0\0\0\x0c\0\0\0\0\x09\0\0",
                b"\x02\x05\0\0\0\0",
                b"\x02\x06\0\0\0\0",
                b"\x02\x07",
                b"\x02\x08\x04\x09\0\0\0\xc3\xa9\nline 2",
                b"\x02\x09",
                b"\x02\x0a\0\0\0\0\0\0",
                b"\x02\x13\x04\0\0\0\x04\0\0\0jobs\x07\0\0\0",
            ],
        );
    }

    #[test]
    fn golden_bytes_of_version_2_from_a_mold() {
        check(
            &from_mold(),
            &[
                b"\x02\x09",
                b"\x02\x0b\0\0\0\0",
                b"\x02\x0c\x02\0\0\0{}",
                b"\x02\x0d\xff\xff\xff\xff\x09\0\0\0\xc3\xa9\nline 2",
                b"\x02\x0e",
                b"\x02\x0f\x09\0\0\0\xc3\xa9\nline 2",
                b"\x02\x10",
                b"\x02\x14\x04\0\0\0\x09\0\0\0\xc3\xa9\nline 2",
            ],
        );
    }

    #[test]
    fn golden_bytes_of_version_2_to_a_worker() {
        check(&to_worker(), &[b"\x02\x09", b"\x02\x0a\x01\0\xdc\x05\0\0", b"\x02\x15\x08\0\0\0"]);
    }

    #[test]
    fn golden_bytes_of_version_2_from_a_worker() {
        check(
            &from_worker(),
            &[
                b"\x02\x0e",
                b"\x02\x0f\x09\0\0\0\xc3\xa9\nline 2",
                b"\x02\x10",
                b"\x02\x11",
                b"\x02\x12\x07\0\0\0\0\x01\0\0\x09\0\0\0\xc3\xa9\nline 2",
                b"\x02\x16\x08\0\0\0\x01\x09\0\0\0\xc3\xa9\nline 2",
            ],
        );
    }

    #[test]
    fn golden_bytes_of_version_2_of_a_service() {
        check(&[ToService::ReopenLogs], &[b"\x02\x09"]);
        check(&[FromService::Forked], &[b"\x02\x10"]);
    }

    #[test]
    fn a_byte_without_meaning_is_named_in_the_error() {
        assert_eq!(ToWorker::decode(&[2, 10, 2, 0, 0, 0, 0, 0]), Err(DecodeError::Value(2)));
        assert_eq!(ToMold::decode(&[2, 8, 5, 0, 0, 0, 0]), Err(DecodeError::Value(5)));
    }
}
