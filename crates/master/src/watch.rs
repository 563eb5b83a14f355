//! Request deadlines, read from the scoreboard.
//!
//! No message and no timer belongs to a request. A worker that is idle when the master looks cannot have a request
//! overdue before `timeout` has passed, so the master looks again then: one wake-up per `timeout` while nothing
//! happens, and never a kill that comes late.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

/// One worker to watch: its seat.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Watched<Id> {
    pub(crate) id: Id,
    pub(crate) seat: usize,
}

/// Finds the workers whose request has outlived `timeout` (and what the application added to it), and when to look again
/// (CLOCK_MONOTONIC, ns; `None` when nobody is watched).
pub(crate) fn look<Id: Copy>(
    page: &[AtomicU64],
    workers: impl Iterator<Item = Watched<Id>>,
    timeout: Duration,
    now_ns: u64,
) -> (Vec<Id>, Option<u64>) {
    let timeout_ns = u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX);
    let mut overdue = Vec::new();
    let mut next: Option<u64> = None;
    for worker in workers {
        let Some(seat) = scoreboard::seat(page, worker.seat) else { continue };
        let deadline = match seat.request_start_ns() {
            Some(start) => start.saturating_add(timeout_ns).saturating_add(seat.extra_ms().saturating_mul(1_000_000)),
            None => now_ns.saturating_add(timeout_ns),
        };
        if deadline <= now_ns {
            overdue.push(worker.id);
        } else {
            next = Some(next.map_or(deadline, |n| n.min(deadline)));
        }
    }
    (overdue, next)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_overdue_at_its_deadline_and_not_before() {
        let page: Vec<AtomicU64> = (0..2 * scoreboard::SEAT_WORDS).map(|_| AtomicU64::new(0)).collect();
        let seat = scoreboard::seat(&page, 1).unwrap();
        let watch = |now| {
            look(
                &page,
                [Watched { id: 'a', seat: 0 }, Watched { id: 'b', seat: 1 }].into_iter(),
                Duration::from_nanos(100),
                now,
            )
        };
        assert_eq!(watch(1_000), (vec![], Some(1_100)), "idle: look again after a timeout");
        seat.begin_request(1_050, b"GET", b"/");
        assert_eq!(watch(1_100), (vec![], Some(1_150)), "busy: look again at its deadline");
        assert_eq!(watch(1_150), (vec!['b'], Some(1_250)));
        seat.extend_deadline(1);
        assert_eq!(watch(1_150), (vec![], Some(1_250)), "the application asked for a millisecond more");
        seat.end_request(1_200, scoreboard::State::Idle);
        assert_eq!(watch(5_000), (vec![], Some(5_100)));
    }
}
