//! What `licorne top` asks its master, and how it is answered: on a thread of its own, since a master may be long in answering,
//! or gone.

use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use facts::{Backtrace, Death, Status};

use crate::asked::{backtraces, deaths, status};
use crate::client::{Master, Which};

/// How often the status is asked for.
const EVERY: Duration = Duration::from_secs(1);

/// What a key asks for. The status needs no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Question {
    Deaths,
    /// Of the worker in this slot.
    Backtrace(u32),
}

/// What was told.
#[derive(Debug)]
pub(crate) enum Answered {
    Status(Box<Status>),
    /// There is no master, or it does not answer: why.
    Lost(String),
    Deaths(Result<Vec<Death>, String>),
    Backtrace(u32, Result<Vec<Backtrace>, String>),
}

/// Asks for the status about once a second, and in between what is asked for, until `questions` ends or `tell` fails.
pub(crate) fn ask(
    which: &Which,
    master: Master,
    questions: &Receiver<Question>,
    mut tell: impl FnMut(Answered) -> Option<()>,
) {
    let mut master = Some(master);
    loop {
        let next = Instant::now() + EVERY;
        let heard = master.as_ref().map(status);
        let answered = match heard {
            Some(Ok(status)) => Answered::Status(status),
            Some(Err(why)) => Answered::Lost(why),
            None => Answered::Lost("no master runs there".to_string()),
        };
        if matches!(answered, Answered::Lost(_)) {
            master = which.find_again();
        }
        if tell(answered).is_none() {
            return;
        }
        loop {
            let left = next.saturating_duration_since(Instant::now());
            let question = match questions.recv_timeout(left) {
                Ok(question) => question,
                Err(RecvTimeoutError::Timeout) => break,
                Err(RecvTimeoutError::Disconnected) => return,
            };
            if tell(answer(master.as_ref(), question)).is_none() {
                return;
            }
        }
    }
}

fn answer(master: Option<&Master>, question: Question) -> Answered {
    let gone = || "no master runs there".to_string();
    match question {
        Question::Deaths => Answered::Deaths(master.ok_or_else(gone).and_then(deaths)),
        Question::Backtrace(slot) => {
            Answered::Backtrace(slot, master.ok_or_else(gone).and_then(|master| backtraces(master, slot)))
        }
    }
}
