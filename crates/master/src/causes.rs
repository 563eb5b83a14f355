//! Why things failed, in words: what molds, workers, programs and the kernel have said of it.
//!
//! The supervisor carries the number of a cause from the event that it came with to the outcomes that follow from it, so
//! that what is heard late labels nothing but its own failure.

use std::collections::VecDeque;

use supervisor::{CauseId, Failure};

/// How many are kept. An outcome follows at once, or when a roll back or a stop is through.
const KEPT: usize = 64;
/// What the supervisor says by itself.
pub(crate) const OUT_OF_TURN: &str = "the old master has not left yet: end the upgrade before this one first";

/// The causes that were told last.
#[derive(Debug, Default)]
pub(crate) struct Causes {
    told: VecDeque<(CauseId, String)>,
    last: u32,
}

impl Causes {
    /// Keeps a cause: a message, and the lines of a backtrace.
    pub(crate) fn note(&mut self, text: String) -> CauseId {
        self.last = self.last % (CauseId::OUT_OF_TURN.0 - 1) + 1;
        if self.told.len() == KEPT {
            self.told.pop_front();
        }
        let cause = CauseId(self.last);
        self.told.push_back((cause, text));
        cause
    }

    /// What was said of the cause of a failure, if anything was.
    pub(crate) fn told(&self, failure: Failure) -> Option<&str> {
        self.of(failure.cause)
    }

    /// What was said of a cause, if anything was.
    pub(crate) fn of(&self, cause: CauseId) -> Option<&str> {
        if cause == CauseId::OUT_OF_TURN {
            return Some(OUT_OF_TURN);
        }
        self.told.iter().find(|(known, _)| *known == cause).map(|(_, text)| text.as_str())
    }

    /// The same, or else the reason.
    pub(crate) fn text(&self, failure: Failure) -> String {
        self.told(failure).map_or_else(|| failure.to_string(), str::to_string)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use supervisor::FailureReason;

    #[test]
    fn each_failure_has_its_own_words() {
        let mut causes = Causes::default();
        let [first, second] = ["a\nb", ""].map(|text| FailureReason::MoldFailed.by(causes.note(text.to_string())));
        let silent = Failure::from(FailureReason::MoldExited);
        assert_eq!(
            [first, second, silent].map(|failure| causes.told(failure).map(str::to_string)),
            [Some("a\nb".to_string()), Some(String::new()), None]
        );
        assert_eq!(causes.text(silent), "the mold died");
        for _ in 0..KEPT {
            causes.note("later".to_string());
        }
        assert_eq!(causes.told(first), None, "what was long ago is forgotten");
    }
}
