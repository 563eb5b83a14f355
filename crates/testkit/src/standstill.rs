//! When the machine let no process run: whatever waited then waited for the machine, not for the server.
//!
//! A machine that is shared stands still for moments: its host runs others, its control group has used up its time, its
//! debugger stops it. On each processor a thread wants to run every 2 ms; when it comes late, no process there could
//! have been in time. The threads are started with the first load of a process, cost next to nothing and are never stopped.
//!
//! It does not excuse a server that is slow, nor one that keeps a processor from itself: threads that sleep most of the
//! time are let run before those that work.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// How often each processor is asked for.
const BEAT: Duration = Duration::from_millis(2);
/// A thread that is later than this was kept waiting; a timer alone is more exact.
const TOLERANCE: Duration = Duration::from_millis(1);

/// From when to when.
pub(crate) type Span = (Instant, Instant);

/// What one processor's thread has seen.
#[derive(Debug)]
struct Pulse {
    /// When it is to run next.
    due: Instant,
    /// When it should have run and did not, in order.
    missed: Vec<Span>,
}

static PULSES: OnceLock<Vec<Arc<Mutex<Pulse>>>> = OnceLock::new();

/// Watches from now on, unless a thread does already.
pub(crate) fn watch() {
    PULSES.get_or_init(|| {
        let Ok(allowed) = sched_getaffinity(None) else { return Vec::new() };
        (0..CpuSet::MAX_CPU).filter(|processor| allowed.is_set(*processor)).map(start).collect()
    });
}

fn start(processor: usize) -> Arc<Mutex<Pulse>> {
    let pulse = Arc::new(Mutex::new(Pulse { due: Instant::now() + BEAT, missed: Vec::new() }));
    let own = pulse.clone();
    let beat = move || {
        let mut only = CpuSet::new();
        only.set(processor);
        // Where that is not allowed it still notices when everything stands still.
        let _ = sched_setaffinity(None, &only);
        loop {
            let due = lock(&own).due;
            while Instant::now() < due {
                std::thread::park_timeout(due.saturating_duration_since(Instant::now()));
            }
            let now = Instant::now();
            let mut pulse = lock(&own);
            if now > due + TOLERANCE {
                pulse.missed.push((due, now));
            }
            pulse.due = now + BEAT;
        }
    };
    std::thread::Builder::new().name(format!("pulse {processor}")).spawn(beat).expect("a thread can be started");
    pulse
}

/// How much of this time the machine ran on all its processors.
pub(crate) fn running(span: Span) -> Duration {
    let now = Instant::now();
    let mut missed = Vec::new();
    for pulse in PULSES.get().into_iter().flatten() {
        let pulse = lock(pulse);
        missed.extend(pulse.missed.iter().copied());
        // One that should have run by now has not written it down yet.
        if now > pulse.due + TOLERANCE {
            missed.push((pulse.due, now));
        }
    }
    without(span, missed)
}

/// What is left of a span without others, which may overlap.
fn without((begin, end): Span, mut others: Vec<Span>) -> Duration {
    others.sort_unstable();
    let mut left = Duration::ZERO;
    let mut at = begin;
    for (from, to) in others {
        left += from.min(end).saturating_duration_since(at);
        at = at.max(to.min(end));
    }
    left + end.saturating_duration_since(at)
}

fn lock(pulse: &Mutex<Pulse>) -> MutexGuard<'_, Pulse> {
    pulse.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overlapping_spans_are_counted_once() {
        let start = Instant::now();
        let span = |from: u64, to: u64| (start + Duration::from_millis(from), start + Duration::from_millis(to));
        let check = |others: &[Span], left: u64| {
            assert_eq!(without(span(100, 200), others.to_vec()), Duration::from_millis(left), "{others:?}");
        };
        check(&[], 100);
        check(&[span(0, 100), span(200, 300)], 100);
        check(&[span(0, 110)], 90);
        check(&[span(190, 300), span(120, 130)], 80);
        check(&[span(110, 150), span(120, 130), span(140, 160)], 50);
        check(&[span(0, 300), span(120, 130)], 0);
    }

    #[test]
    fn a_process_that_was_stopped_did_not_run() {
        watch();
        let this = std::process::id().to_string();
        let script = "kill -STOP $0; sleep 0.1; kill -CONT $0";
        let began = Instant::now();
        let finished =
            crate::process::run(std::process::Command::new("sh").args(["-c", script, &this]), crate::patience());
        assert!(finished.status.success(), "{finished:#?}");
        let span = (began, Instant::now());
        assert!(running(span) < span.1 - span.0, "nobody noticed");
    }
}
