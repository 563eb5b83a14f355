//! The deaths that the master remembers. They survive an upgrade in place.

use std::collections::VecDeque;

use facts::Death;
use wire::state;

/// How many are remembered.
const MOST: usize = 256;
/// How many a page is told.
const BRIEF: usize = 50;
/// A backtrace is not remembered beyond this, in bytes.
const BACKTRACE_BYTES: usize = 16_384;

/// How many there were, and the last ones, the oldest first.
#[derive(Debug, Default)]
pub(crate) struct Deaths {
    counts: facts::Deaths,
    recent: VecDeque<Death>,
}

impl Deaths {
    /// Remembers one.
    pub(crate) fn note(&mut self, mut death: Death) {
        if let Some(backtrace) = &mut death.backtrace {
            let end = (0..=BACKTRACE_BYTES).rev().find(|at| backtrace.is_char_boundary(*at)).unwrap_or(0);
            backtrace.truncate(end.min(backtrace.len()));
        }
        self.counts.count(death.cause);
        if self.recent.len() >= MOST {
            self.recent.pop_front();
        }
        self.recent.push_back(death);
    }

    /// How many there were.
    pub(crate) fn counts(&self) -> &facts::Deaths {
        &self.counts
    }

    /// Those that are remembered.
    pub(crate) fn newest_first(&self) -> Vec<Death> {
        self.recent.iter().rev().cloned().collect()
    }

    /// The newest of them without backtraces: few enough for a page, and for a socket that is not waited for.
    pub(crate) fn newest_in_brief(&self) -> Vec<Death> {
        let brief = |death: &Death| Death { backtrace: None, ..death.clone() };
        self.recent.iter().rev().take(BRIEF).map(brief).collect()
    }

    /// What the next program is told.
    pub(crate) fn save(&self) -> state::Deaths {
        state::Deaths { counts: self.counts.clone(), recent: self.recent.iter().cloned().collect() }
    }

    /// What the program before this one has told.
    pub(crate) fn load(told: &state::Deaths) -> Self {
        let surplus = told.recent.len().saturating_sub(MOST);
        Self { counts: told.counts.clone(), recent: told.recent.iter().skip(surplus).cloned().collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use facts::Cause;

    fn death(pid: u32) -> Death {
        Death { pid, cause: Cause::Oom, ..Death::default() }
    }

    #[test]
    fn the_last_deaths_are_remembered_and_all_are_counted() {
        let mut deaths = Deaths::default();
        (0..300).for_each(|pid| deaths.note(death(pid)));
        let remembered = deaths.newest_first();
        assert_eq!((remembered.len(), remembered[0].pid, remembered[255].pid), (256, 299, 44));
        assert_eq!((deaths.counts().total, deaths.counts().of(Cause::Oom)), (300, 300));
        let again = Deaths::load(&deaths.save());
        assert_eq!((again.newest_first(), again.counts()), (remembered, deaths.counts()));
    }

    #[test]
    fn a_backtrace_is_cut_between_characters() {
        let mut deaths = Deaths::default();
        deaths.note(Death { backtrace: Some("\u{e4}".repeat(BACKTRACE_BYTES)), ..death(1) });
        deaths.note(Death { backtrace: Some(format!("x{}", "\u{e4}".repeat(BACKTRACE_BYTES))), ..death(2) });
        let lengths: Vec<_> =
            deaths.newest_first().iter().map(|death| death.backtrace.as_ref().unwrap().len()).collect();
        assert_eq!(lengths, [BACKTRACE_BYTES - 1, BACKTRACE_BYTES]);
    }
}
