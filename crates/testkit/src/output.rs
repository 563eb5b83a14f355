//! What processes print: lines collected from a pipe, and waits for them.
//!
//! A thread reads the pipe, so that a server never blocks on a full one. The end of the pipe is an event too: it says
//! that every process which held it is gone.

use std::io::{BufRead, BufReader, Read};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// How often a condition is looked at while no new line is logged.
pub(crate) const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// A place in the log: lines before it are not looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mark(usize);

/// The lines so far, shared with the thread that reads.
#[derive(Clone, Debug, Default)]
pub struct Log {
    inner: Arc<(Mutex<State>, Condvar)>,
}

#[derive(Debug, Default)]
struct State {
    lines: Vec<String>,
    ended: bool,
}

impl Log {
    /// Starts to collect the lines of `source`.
    pub fn collect(source: impl Read + Send + 'static) -> Log {
        let log = Log::default();
        let writer = log.clone();
        let read = move || {
            for line in BufReader::new(source).split(b'\n') {
                let Ok(line) = line else { break };
                writer.change(|state| state.lines.push(String::from_utf8_lossy(&line).into_owned()));
            }
            writer.change(|state| state.ended = true);
        };
        std::thread::Builder::new().name("log".into()).spawn(read).expect("a thread can be started");
        log
    }

    /// Every line so far.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        self.state().lines.clone()
    }

    /// Every line so far, as one text.
    #[must_use]
    pub fn text(&self) -> String {
        self.state().lines.join("\n")
    }

    /// The place after the last line so far.
    #[must_use]
    pub fn mark(&self) -> Mark {
        Mark(self.state().lines.len())
    }

    /// The lines since `mark` that match `pattern` (see [`matches()`]).
    #[must_use]
    pub fn since(&self, mark: Mark, pattern: &str) -> Vec<String> {
        self.state().lines.iter().skip(mark.0).filter(|line| matches(pattern, line)).cloned().collect()
    }

    /// Waits until a line since `mark` matches `pattern`, and returns the first that does.
    ///
    /// # Errors
    /// `None` when the deadline passed, or the output ended, without one.
    #[must_use]
    pub fn wait_for(&self, mark: Mark, pattern: &str, patience: Duration) -> Option<String> {
        self.wait(patience, |state| {
            let found = state.lines.iter().skip(mark.0).find(|line| matches(pattern, line)).cloned();
            if found.is_some() || state.ended { Some(found) } else { None }
        })
        .flatten()
    }

    /// Waits until `count` lines since `mark` match `pattern`, and returns them.
    #[must_use]
    pub fn wait_for_count(&self, mark: Mark, pattern: &str, count: usize, patience: Duration) -> Option<Vec<String>> {
        self.wait(patience, |state| {
            let found: Vec<String> =
                state.lines.iter().skip(mark.0).filter(|line| matches(pattern, line)).cloned().collect();
            if found.len() >= count { Some(found) } else { None }
        })
    }

    /// Waits for the end of the output: no process is left that could write. Returns whether it came.
    #[must_use]
    pub fn wait_for_end(&self, patience: Duration) -> bool {
        self.wait(patience, |state| state.ended.then_some(())).is_some()
    }

    /// Waits until `condition` yields something: for facts that only /proc shows. It is looked at whenever a line comes,
    /// and at short intervals.
    #[track_caller]
    pub fn eventually<T>(&self, what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
        let deadline = Instant::now() + crate::patience();
        loop {
            if let Some(found) = condition() {
                return found;
            }
            assert!(Instant::now() < deadline, "waited in vain: {what}");
            self.wait_for_change(LOOK_AGAIN);
        }
    }

    /// Waits until the log changes, at most `limit`: for conditions that only /proc can show.
    pub fn wait_for_change(&self, limit: Duration) {
        let state = self.state();
        let before = state.lines.len();
        drop(self.inner.1.wait_timeout_while(state, limit, |state| state.lines.len() == before));
    }

    fn wait<T>(&self, patience: Duration, mut look: impl FnMut(&State) -> Option<T>) -> Option<T> {
        let deadline = Instant::now() + patience;
        let mut state = self.state();
        loop {
            if let Some(found) = look(&state) {
                return Some(found);
            }
            let left = deadline.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())?;
            state = match self.inner.1.wait_timeout(state, left) {
                Ok((state, _)) => state,
                Err(poisoned) => poisoned.into_inner().0,
            };
        }
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state());
        self.inner.1.notify_all();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.inner.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// Whether `line` contains the pieces of `pattern` (split at `*`) in their order.
#[must_use]
pub fn matches(pattern: &str, line: &str) -> bool {
    let mut rest = line;
    pattern.split('*').all(|piece| match rest.find(piece) {
        Some(at) => {
            rest = &rest[at + piece.len()..];
            true
        }
        None => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn pieces_of_a_pattern_must_come_in_order() {
        assert!(matches("worker=0*ready", "I, INFO -- : worker=0 ready"));
        assert!(matches("worker=0*ready", "worker=0 gen=1 ready"));
        assert!(!matches("ready*worker=0", "worker=0 ready"));
        assert!(!matches("worker=1*ready", "worker=0 ready"));
    }

    #[test]
    fn a_wait_ends_with_the_line_with_the_end_or_with_the_deadline() {
        let (reader, mut writer) = crate::process::pipe();
        let log = Log::collect(reader);
        writeln!(writer, "first").expect("written");
        assert_eq!(log.wait_for(Mark::default(), "first", Duration::from_secs(5)).as_deref(), Some("first"));
        assert_eq!(log.wait_for(Mark::default(), "second", Duration::from_millis(1)), None);
        let mark = log.mark();
        writeln!(writer, "first again").expect("written");
        assert_eq!(log.wait_for(mark, "first", Duration::from_secs(5)).as_deref(), Some("first again"));
        drop(writer);
        assert_eq!(log.wait_for(Mark::default(), "second", Duration::from_secs(60)), None);
        assert!(log.wait_for_end(Duration::ZERO));
    }
}
