//! How reloads went. It survives an upgrade in place.

use facts::{LastReload, Reload};
use supervisor::Generation;
use sys::clock::Moment;

/// How many are remembered.
const MOST: usize = 16;

/// How many there were, how the last ones went, and the one under way.
#[derive(Debug, Default)]
pub(crate) struct Reloads {
    past: facts::Reloads,
    /// The generation that boots or takes over, and when it began (CLOCK_MONOTONIC, ns).
    begun: Option<(Generation, u64)>,
}

impl Reloads {
    /// One begins.
    pub(crate) fn begin(&mut self, generation: Generation) {
        self.begun = Some((generation, sys::clock::monotonic_ns()));
    }

    /// One has ended; `failure` is the first line of what went wrong.
    pub(crate) fn end(&mut self, generation: Generation, failure: Option<&str>) {
        let now = Moment::now();
        let begun = self.begun.take_if(|(begun, _)| *begun == generation);
        let took_ms = |(_, since_ns)| now.monotonic_ns().saturating_sub(since_ns) / 1_000_000;
        let ended = Reload {
            at: now.unix_s(now.monotonic_ns()),
            generation: generation.0,
            duration_ms: begun.map(took_ms),
            failure: failure.map(str::to_string),
        };
        let count = if failure.is_some() { &mut self.past.failed } else { &mut self.past.succeeded };
        *count = count.saturating_add(1);
        self.past.recent.insert(0, ended);
        self.past.recent.truncate(MOST);
    }

    /// As the status tells them.
    pub(crate) fn told(&self) -> facts::Reloads {
        self.past.clone()
    }

    /// The last one, as the status tells it.
    pub(crate) fn last(&self, now: Moment) -> Option<LastReload> {
        let last = self.past.recent.first()?;
        // Seconds of Unix time are far from where a fraction of theirs could not be told.
        let age_s = (now.unix_s(now.monotonic_ns()) - last.at).max(0.0) as u64;
        Some(LastReload { generation: last.generation, age_s, failure: last.failure.clone() })
    }

    /// What the program before this one has told.
    pub(crate) fn load(past: &facts::Reloads) -> Self {
        let mut past = past.clone();
        past.recent.truncate(MOST);
        Self { past, begun: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reloads_are_counted_and_the_last_ones_are_told_newest_first() {
        let mut reloads = Reloads::default();
        assert_eq!(reloads.last(Moment::now()), None);
        for generation in 2..20 {
            reloads.begin(Generation(generation));
            let failure = (generation % 3 == 0).then_some("no such table");
            reloads.end(Generation(generation), failure);
        }
        let told = reloads.told();
        assert_eq!((told.succeeded, told.failed, told.recent.len()), (12, 6, 16));
        let generations: Vec<u32> = told.recent.iter().map(|reload| reload.generation).collect();
        assert_eq!((generations.first(), generations.last()), (Some(&19), Some(&4)));
        assert!(told.recent.iter().all(|reload| reload.duration_ms.is_some()));
        let last = reloads.last(Moment::now()).unwrap();
        assert_eq!((last.generation, last.failure), (19, None));
        assert_eq!(Reloads::load(&told).told(), told);
    }

    #[test]
    fn a_reload_that_this_program_has_not_begun_has_no_duration() {
        let mut reloads = Reloads::default();
        reloads.begin(Generation(3));
        reloads.end(Generation(2), None);
        assert_eq!(reloads.told().recent[0].duration_ms, None);
    }
}
