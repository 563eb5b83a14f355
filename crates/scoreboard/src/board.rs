//! What workers show each other: a board that all of them can write.
//!
//! ```text
//! PLACES places of 8 words (one cache line each):
//!   word 0  presence   (bit 0 serves, bit 1 sleeps, bit 2 full, bit 3 in a request)
//!        1  movement   (changes when the worker serves, takes or closes something)
//! then     in use      (how many places are or were taken, the first ones)
//!          saturated   (CLOCK_MONOTONIC, ns: no worker has been idle since then; 0 = one is)
//!          saturation  (ns in which no worker was idle, ever)
//!          saturations (how often that has begun, ever)
//!          busiest     (the most workers that were in requests at once, ever)
//!          busiest at  (CLOCK_MONOTONIC, ns: when that was)
//!          lease       (who collects garbage, see `Lease`)
//! ```
//!
//! No decision of the master depends on it: a worker that writes on a place of another can make workers offer each other
//! connections in vain, have them put off collections of garbage for a while, and spoil the time of saturation, which is
//! only told. What the master goes by is on the seats.

use core::sync::atomic::{AtomicU64, Ordering};

use crate::SEATS;

/// Words of 64 bits of a place: one cache line, so that workers do not slow each other down.
const PLACE_WORDS: usize = 8;
/// Behind the places: how many of them are or were taken.
const IN_USE_WORD: usize = SEATS * PLACE_WORDS;
/// Size of the board in bytes.
pub const BOARD_BYTES: usize = (IN_USE_WORD + PLACE_WORDS) * 8;

const SATURATED_WORD: usize = IN_USE_WORD + 1;
const SATURATION_WORD: usize = IN_USE_WORD + 2;
const SATURATIONS_WORD: usize = IN_USE_WORD + 3;
const BUSIEST_WORD: usize = IN_USE_WORD + 4;
const BUSIEST_AT_WORD: usize = IN_USE_WORD + 5;

const LEASE_WORD: usize = IN_USE_WORD + 6;

const SERVES: u64 = 1;
const SLEEPS: u64 = 2;
const FULL: u64 = 4;
const BUSY: u64 = 8;

/// The place of one worker on the board, of the same number as its seat.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a>(&'a [AtomicU64]);

/// The place with this number. `None` when the board is smaller than that.
pub fn place(board: &[AtomicU64], number: usize) -> Option<Place<'_>> {
    let start = (number < SEATS).then(|| number * PLACE_WORDS)?;
    board.get(start..start + PLACE_WORDS).map(Place)
}

/// The places that are or were taken, but for this one.
pub fn others(board: &[AtomicU64], own: usize) -> impl Iterator<Item = Place<'_>> {
    let in_use = board.get(IN_USE_WORD).map_or(0, |word| word.load(Ordering::Relaxed) as usize).min(SEATS);
    (0..in_use).filter(move |number| *number != own).filter_map(|number| place(board, number))
}

/// For how long no worker was idle. Workers note it when they begin a request and when they go to sleep, in plain loads
/// unless it begins or ends: it costs nothing where it lasts.
#[derive(Clone, Copy, Debug)]
pub struct Saturation<'a> {
    board: &'a [AtomicU64],
    since: &'a AtomicU64,
    total: &'a AtomicU64,
    times: &'a AtomicU64,
}

impl<'a> Saturation<'a> {
    /// That of this board. `None` when the board is smaller than that.
    pub fn of(board: &'a [AtomicU64]) -> Option<Self> {
        Some(Self {
            board,
            since: board.get(SATURATED_WORD)?,
            total: board.get(SATURATION_WORD)?,
            times: board.get(SATURATIONS_WORD)?,
        })
    }

    /// The worker with this place is busy now. Two that become busy at once may both take the other for idle: it is noted
    /// with the next request then.
    pub fn note_busy(self, own: usize, now_ns: u64) {
        if self.since.load(Ordering::Relaxed) == 0
            && !others(self.board, own).any(Place::is_idle)
            && self.since.compare_exchange(0, now_ns, Ordering::Relaxed, Ordering::Relaxed).is_ok()
        {
            self.times.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// For how long no worker has been idle by now; 0 when one is.
    pub fn lasts_ns(self, now_ns: u64) -> u64 {
        match self.since.load(Ordering::Relaxed) {
            0 => 0,
            since => now_ns.saturating_sub(since),
        }
    }

    /// How often it has begun.
    pub fn times(self) -> u64 {
        self.times.load(Ordering::Relaxed)
    }

    /// A worker is idle now. It costs one load as long as that is nothing new.
    pub fn note_idle(self, now_ns: u64) {
        if self.since.load(Ordering::Relaxed) != 0 {
            let since = self.since.swap(0, Ordering::Relaxed);
            if since != 0 {
                self.total.fetch_add(now_ns.saturating_sub(since), Ordering::Relaxed);
            }
        }
    }

    /// How long it was in all, by now.
    pub fn total_ns(self, now_ns: u64) -> u64 {
        self.total.load(Ordering::Relaxed).saturating_add(self.lasts_ns(now_ns))
    }
}

/// The most workers that were in requests at once. It is found by a look at the places in use, and costs nothing otherwise.
#[derive(Clone, Copy, Debug)]
pub struct Busiest<'a> {
    board: &'a [AtomicU64],
    count: &'a AtomicU64,
    at: &'a AtomicU64,
}

impl<'a> Busiest<'a> {
    /// That of this board. `None` when the board is smaller than that.
    pub fn of(board: &'a [AtomicU64]) -> Option<Self> {
        Some(Self { board, count: board.get(BUSIEST_WORD)?, at: board.get(BUSIEST_AT_WORD)? })
    }

    /// Looks how many are in requests now, and keeps that if they never were as many.
    pub fn look(self, now_ns: u64) {
        let busy = others(self.board, SEATS).filter(|place| place.is_busy()).count() as u64;
        if busy > self.count.load(Ordering::Relaxed) && self.count.fetch_max(busy, Ordering::Relaxed) < busy {
            self.at.store(now_ns, Ordering::Relaxed);
        }
    }

    /// How many it were, and when (CLOCK_MONOTONIC, ns). `None` when none ever was.
    pub fn most(self) -> Option<(u64, u64)> {
        let count = self.count.load(Ordering::Relaxed);
        (count > 0).then(|| (count, self.at.load(Ordering::Relaxed)))
    }
}

/// The right to collect all garbage, which one worker at a time has, so that the others serve meanwhile. Its word has the
/// number of the holder's place plus 1, and above that since when in ms; 0: none has it.
///
/// A lease lasts for [`LEASE_NS`] at most, and ends with its holder: the master sees to that. Whatever a worker writes
/// there, others wait no longer than they would for their turn in any case.
#[derive(Clone, Copy, Debug)]
pub struct Lease<'a>(&'a AtomicU64);

/// How long a lease holds. A collection takes tens of milliseconds, of a very large heap a second.
pub const LEASE_NS: u64 = 5_000_000_000;
/// Bits of the holder's place.
const HOLDER_BITS: u32 = 16;

impl<'a> Lease<'a> {
    /// That of this board. `None` when the board is smaller than that.
    pub fn of(board: &'a [AtomicU64]) -> Option<Self> {
        board.get(LEASE_WORD).map(Self)
    }

    /// Takes it for the worker with this place, if no other has it.
    pub fn take(self, own: usize, now_ns: u64) -> bool {
        let now_ms = now_ns / 1_000_000;
        let held = self.0.load(Ordering::Relaxed);
        // A moment that is still to come is none that a worker has taken it at.
        let lasts = now_ms.checked_sub(held >> HOLDER_BITS).is_some_and(|ms| ms * 1_000_000 < LEASE_NS);
        let taken = now_ms << HOLDER_BITS | holder(own);
        (held == 0 || !lasts) && self.0.compare_exchange(held, taken, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    /// Gives it back, if the worker with this place has it.
    pub fn give_back(self, own: usize) {
        let held = self.0.load(Ordering::Relaxed);
        if held & ((1 << HOLDER_BITS) - 1) == holder(own) {
            let _ = self.0.compare_exchange(held, 0, Ordering::Relaxed, Ordering::Relaxed);
        }
    }
}

/// The place of a holder as it is written.
fn holder(number: usize) -> u64 {
    number as u64 + 1
}

impl Place<'_> {
    /// Clears the place for a new worker, and notes that it is taken.
    pub fn take(board: &[AtomicU64], number: usize) {
        if let (Some(place), Some(in_use)) = (place(board, number), board.get(IN_USE_WORD)) {
            place.clear();
            in_use.fetch_max(number as u64 + 1, Ordering::Relaxed);
        }
    }

    /// Clears the place: its worker is no more.
    pub fn clear(self) {
        self.0.iter().for_each(|word| word.store(0, Ordering::Relaxed));
    }

    /// Notes whether the worker serves: no longer when it retires.
    pub fn set_serving(self, serves: bool) {
        self.set(SERVES, serves);
    }

    /// Notes that the worker begins, or ends, to wait for something to do.
    pub fn set_asleep(self, asleep: bool) {
        self.set(SLEEPS, asleep);
    }

    /// Notes whether the worker has no room for another connection.
    pub fn set_full(self, full: bool) {
        self.set(FULL, full);
    }

    /// Notes whether the worker is in a request.
    pub fn set_busy(self, busy: bool) {
        self.set(BUSY, busy);
    }

    /// Notes how many requests the worker has served and how many connections it has.
    pub fn set_movement(self, requests: u64, connections: u64) {
        self.0[1].store(requests.wrapping_mul(3).wrapping_add(connections), Ordering::Relaxed);
    }

    /// Whether the worker waits for something to do.
    pub fn is_idle(self) -> bool {
        self.presence() & (SERVES | SLEEPS) == SERVES | SLEEPS
    }

    /// Whether the worker is in a request, and takes others: one that retires does not count.
    fn is_busy(&self) -> bool {
        self.presence() & (SERVES | BUSY) == SERVES | BUSY
    }

    /// Whether the worker could take a connection when it is done with what it does.
    pub fn has_room(self) -> bool {
        self.presence() & (SERVES | FULL) == SERVES
    }

    /// A number that changes when the worker serves, takes or closes something.
    pub fn movement(self) -> u64 {
        self.0[1].load(Ordering::Relaxed)
    }

    fn presence(self) -> u64 {
        self.0[0].load(Ordering::Relaxed)
    }

    fn set(self, bit: u64, on: bool) {
        let presence = self.presence();
        self.0[0].store(if on { presence | bit } else { presence & !bit }, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    fn board() -> Vec<AtomicU64> {
        (0..BOARD_BYTES / 8).map(|_| AtomicU64::new(0)).collect()
    }

    #[test]
    fn idle_workers_are_found_among_the_places_in_use() {
        let board = board();
        assert_eq!(others(&board, 0).count(), 0);
        Place::take(&board, 4);
        Place::take(&board, 2);
        assert_eq!(others(&board, 2).count(), 4);
        let place4 = place(&board, 4).unwrap();
        place4.set_asleep(true);
        assert!(!place4.is_idle());
        place4.set_serving(true);
        assert!(others(&board, 2).any(Place::is_idle));
        assert!(!others(&board, 4).any(Place::is_idle));
        place4.set_serving(false);
        assert!(!place4.is_idle());
        place4.set_serving(true);
        place4.clear();
        assert!(!others(&board, 2).any(|place| place.is_idle() || place.has_room()), "its worker is no more");
    }

    #[test]
    fn a_worker_has_room_while_it_serves_and_is_not_full() {
        let board = board();
        Place::take(&board, 0);
        let place = place(&board, 0).unwrap();
        assert!(!place.has_room());
        place.set_serving(true);
        assert!(place.has_room());
        place.set_full(true);
        assert!(!place.has_room());
        place.set_full(false);
        assert!(place.has_room());
    }

    #[test]
    fn movement_is_seen() {
        let board = board();
        let place = place(&board, 7).unwrap();
        let seen: Vec<u64> = [(0, 0), (0, 1), (1, 1), (1, 0)]
            .map(|(requests, connections)| {
                place.set_movement(requests, connections);
                place.movement()
            })
            .into();
        assert!(seen.windows(2).all(|pair| pair[0] != pair[1]), "{seen:?}");
    }

    #[test]
    fn saturation_lasts_from_the_last_that_becomes_busy_to_the_first_that_becomes_idle() {
        let board = board();
        let saturation = Saturation::of(&board).unwrap();
        let [one, two] = [0, 1].map(|number| {
            Place::take(&board, number);
            let place = place(&board, number).unwrap();
            place.set_serving(true);
            place.set_asleep(true);
            place
        });
        one.set_asleep(false);
        saturation.note_busy(0, 100);
        assert_eq!(saturation.total_ns(150), 0, "the second is idle");
        two.set_asleep(false);
        saturation.note_busy(1, 200);
        saturation.note_busy(1, 250);
        assert_eq!(saturation.total_ns(260), 60);
        one.set_asleep(true);
        saturation.note_idle(300);
        saturation.note_idle(400);
        assert_eq!(saturation.total_ns(500), 100);
        // One that retires is not idle when it sleeps.
        one.set_serving(false);
        saturation.note_busy(1, 600);
        assert_eq!(saturation.total_ns(610), 110);
        assert_eq!(saturation.total_ns(5), 100, "a clock that is behind takes nothing away");
        assert_eq!((saturation.lasts_ns(610), saturation.times()), (10, 2));
    }

    #[test]
    fn the_most_workers_that_were_busy_at_once_are_kept_with_the_moment() {
        let board = board();
        let busiest = Busiest::of(&board).unwrap();
        busiest.look(5);
        assert_eq!(busiest.most(), None);
        let places = [0, 1, 2].map(|number| {
            Place::take(&board, number);
            let place = place(&board, number).unwrap();
            place.set_serving(true);
            place
        });
        places[0].set_busy(true);
        places[2].set_busy(true);
        busiest.look(10);
        busiest.look(20);
        assert_eq!(busiest.most(), Some((2, 10)), "they were as many before");
        places[1].set_busy(true);
        // One that retires takes no requests, and is no worker that is needed.
        places[0].set_serving(false);
        busiest.look(30);
        places[2].clear();
        busiest.look(40);
        assert_eq!(busiest.most(), Some((2, 10)));
        places[0].set_serving(true);
        places[2].set_serving(true);
        places[2].set_busy(true);
        busiest.look(50);
        assert_eq!(busiest.most(), Some((3, 50)));
    }

    #[test]
    fn one_worker_at_a_time_has_the_lease_until_it_gives_it_back_or_has_it_too_long() {
        const MS: u64 = 1_000_000;
        let board = board();
        let lease = Lease::of(&board).unwrap();
        assert!(lease.take(0, 10 * MS));
        assert!(!lease.take(1, 11 * MS) && !lease.take(SEATS - 1, 11 * MS));
        lease.give_back(1);
        assert!(!lease.take(1, 12 * MS), "it is not that one's to give");
        lease.give_back(0);
        assert!(lease.take(SEATS - 1, 13 * MS));
        assert!(!lease.take(1, 12 * MS + LEASE_NS));
        assert!(lease.take(1, 13 * MS + LEASE_NS));
        lease.give_back(SEATS - 1);
        assert!(!lease.take(0, 14 * MS + LEASE_NS), "it is another's by now");
        for nonsense in [u64::MAX, u64::MAX - 1, 0xffff] {
            board[LEASE_WORD].store(nonsense, Ordering::Relaxed);
            assert!(lease.take(2, 14 * MS + LEASE_NS), "{nonsense}");
        }
    }

    #[test]
    fn there_is_no_place_beyond_the_board() {
        let board = board();
        assert!(
            Lease::of(&board[..8]).is_none()
                && Saturation::of(&board[..8]).is_none()
                && Busiest::of(&board[..8]).is_none()
        );
        assert!(place(&board[..8], 1).is_none() && place(&board, usize::MAX).is_none());
        Place::take(&board, SEATS);
        assert_eq!(others(&board, SEATS).count(), 0);
    }
}
