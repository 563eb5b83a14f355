//! What one worker has done, or several together, gone ones included.

use crate::histogram::Counts;
use crate::{Losses, Lossy, Seat};

/// How many classes of statuses there are: 1xx to 5xx.
pub const CLASSES: usize = 5;

/// What clients have cut short: they left, or were too slow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Aborted {
    /// Requests that never were whole.
    pub requests: u64,
    /// Responses that were not taken to the end.
    pub responses: u64,
}

/// Runs of Ruby's garbage collector.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Collections {
    /// Those of young objects.
    pub minor: u64,
    /// Those of all objects.
    pub major: u64,
    /// The time that they took.
    pub ms: u64,
    /// Those of all objects that were made between requests.
    pub between: u64,
    /// The time that these took, and the ends of others that were left to then.
    pub between_ms: u64,
}

/// Counts of a seat, or sums over seats. They are read while the worker writes: each is right, all together may be of
/// slightly different moments.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Requests that were finished.
    pub requests: u64,
    /// Time in requests, in ns.
    pub busy_ns: u64,
    /// Responses by the first digit of their status, 1xx to 5xx.
    pub responses: [u64; CLASSES],
    /// Bytes of requests, heads included.
    pub received_bytes: u64,
    /// Bytes of responses, heads included.
    pub sent_bytes: u64,
    /// Requests whose application raised an exception.
    pub raised: u64,
    /// What clients have cut short.
    pub aborted: Aborted,
    /// What Ruby's collector did, as far as it is known.
    pub collections: Collections,
    /// How long requests were in the application.
    pub service: Counts,
    /// How long requests waited before that.
    pub queue: Counts,
    /// Lines of the access log that were lost.
    pub access_losses: Losses,
    /// Lines of the log that were lost.
    pub log_losses: Losses,
}

impl Totals {
    /// What is written on a seat.
    pub fn of(seat: Seat<'_>) -> Self {
        let gc = seat.gc();
        Self {
            raised: seat.raised(),
            aborted: seat.aborted(),
            collections: Collections {
                minor: gc.minor.unwrap_or(0),
                major: gc.major.unwrap_or(0),
                ms: gc.time_ms.unwrap_or(0),
                between: gc.between.unwrap_or(0),
                between_ms: gc.between_ms.unwrap_or(0),
            },
            requests: seat.requests(),
            busy_ns: seat.busy_ns(),
            responses: seat.responses(),
            received_bytes: seat.received_bytes(),
            sent_bytes: seat.sent_bytes(),
            service: seat.service().map(|histogram| histogram.counts()).unwrap_or_default(),
            queue: seat.queue().map(|histogram| histogram.counts()).unwrap_or_default(),
            access_losses: seat.losses(Lossy::Access),
            log_losses: seat.losses(Lossy::Log),
        }
    }

    /// Adds what another has done. What a worker says is a claim: a sum that it has made too large stays at its most.
    pub fn add(&mut self, other: &Self) {
        let add = |sum: &mut u64, more: u64| *sum = sum.saturating_add(more);
        add(&mut self.requests, other.requests);
        add(&mut self.busy_ns, other.busy_ns);
        self.responses.iter_mut().zip(other.responses).for_each(|(sum, more)| add(sum, more));
        add(&mut self.received_bytes, other.received_bytes);
        add(&mut self.sent_bytes, other.sent_bytes);
        add(&mut self.raised, other.raised);
        add(&mut self.aborted.requests, other.aborted.requests);
        add(&mut self.aborted.responses, other.aborted.responses);
        add(&mut self.collections.minor, other.collections.minor);
        add(&mut self.collections.major, other.collections.major);
        add(&mut self.collections.ms, other.collections.ms);
        add(&mut self.collections.between, other.collections.between);
        add(&mut self.collections.between_ms, other.collections.between_ms);
        self.service.add(&other.service);
        self.queue.add(&other.queue);
        self.access_losses.add(other.access_losses);
        self.log_losses.add(other.log_losses);
    }
}
