//! What workers have done that are no more: it survives them, reloads, and an upgrade in place.

use scoreboard::histogram::Counts;
use scoreboard::{Aborted, Collections, Losses, Totals};
use wire::state::{self, Durations};

use crate::children::error::Error;

/// What the next program is told, but for the number of requests. `lost`: what this process has lost of its log.
pub(crate) fn save(totals: &Totals, lost: Losses) -> state::Totals {
    let mut log_losses = totals.log_losses;
    log_losses.add(lost);
    let losses = |Losses { lines, errno, at_ns }: Losses| state::Losses { lines, errno, at_ns };
    let durations = |counts: &Counts| Durations { buckets: counts.told().collect(), sum_ns: counts.sum_ns() };
    let Collections { minor, major, ms, between, between_ms } = totals.collections;
    state::Totals {
        busy_ns: totals.busy_ns,
        responses: totals.responses,
        received_bytes: totals.received_bytes,
        sent_bytes: totals.sent_bytes,
        raised: totals.raised,
        aborted_requests: totals.aborted.requests,
        aborted_responses: totals.aborted.responses,
        collections: state::Collections {
            minor_gcs: minor,
            major_gcs: major,
            gc_ms: ms,
            gcs_between: between,
            gc_between_ms: between_ms,
        },
        service: durations(&totals.service),
        queue: durations(&totals.queue),
        access_losses: losses(totals.access_losses),
        log_losses: losses(log_losses),
    }
}

/// What the program before this one has told, and the number of requests.
///
/// # Errors
/// Its histograms have other buckets.
pub(crate) fn load(requests: u64, told: &state::Totals) -> Result<Totals, Error> {
    let losses = |state::Losses { lines, errno, at_ns }: state::Losses| Losses { lines, errno, at_ns };
    let counts = |durations: &Durations| {
        let counts = Counts::heard(durations.buckets.iter().copied(), durations.sum_ns);
        counts.ok_or(Error::OtherBuckets)
    };
    let state::Collections { minor_gcs: minor, major_gcs: major, gc_ms: ms, .. } = told.collections;
    let state::Collections { gcs_between: between, gc_between_ms: between_ms, .. } = told.collections;
    Ok(Totals {
        requests,
        busy_ns: told.busy_ns,
        responses: told.responses,
        received_bytes: told.received_bytes,
        sent_bytes: told.sent_bytes,
        raised: told.raised,
        aborted: Aborted { requests: told.aborted_requests, responses: told.aborted_responses },
        collections: Collections { minor, major, ms, between, between_ms },
        service: counts(&told.service)?,
        queue: counts(&told.queue)?,
        access_losses: losses(told.access_losses),
        log_losses: losses(told.log_losses),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_survive_the_way_through_the_state() {
        let totals = Totals {
            requests: 5,
            busy_ns: 6,
            responses: [0, 4, 0, 0, 1],
            received_bytes: 700,
            sent_bytes: 80_000,
            raised: 2,
            aborted: Aborted { requests: 11, responses: 12 },
            collections: Collections { minor: 30, major: 4, ms: 50, between: 3, between_ms: 40 },
            service: Counts::heard([(0, 2), (17, 3)], 9_000_000).unwrap(),
            queue: Counts::default(),
            access_losses: Losses { lines: 7, errno: 28, at_ns: 9 },
            log_losses: Losses { lines: 8, errno: 32, at_ns: 10 },
        };
        assert_eq!(load(5, &save(&totals, Losses::default())).unwrap(), totals);
        let lost = save(&totals, Losses { lines: 2, errno: 28, at_ns: 11 }).log_losses;
        assert_eq!(lost, state::Losses { lines: 10, errno: 28, at_ns: 11 });
        let foreign = Durations { buckets: vec![(9_999, 1)], sum_ns: 0 };
        assert!(load(0, &state::Totals { queue: foreign, ..state::Totals::default() }).is_err());
    }
}
