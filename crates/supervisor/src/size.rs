//! How many workers there are, where the number follows the load: `worker_processes 2..16`.
//!
//! [`Sizer`] decides by what is seen twice a second. It grows fast and shrinks slowly:
//!
//! - *More* when no worker was idle for most of a second while requests waited noticeably, or after half of one if the queue is
//!   long. How many more follows from how many
//!   requests were in workers and in queues together; four times as many at most, since a queue tells little about what comes.
//! - *Fewer* when the busiest five seconds of the last 45 would have left a third of fewer workers idle.
//! - A number that was too small for a load is not gone back to while there is about as much: so a steady load leads to one
//!   number, and not back and forth between two.
//!
//! What operators say by signals holds until the next reload; a roll changes nothing, and takes the number over.

use alloc::collections::VecDeque;
use core::mem;
use core::time::Duration;

use crate::action::{Action, Fact};
use crate::fleet::Fleet;
use crate::time::Instant;
use crate::types::Sizes;
use crate::up::Up;

impl Up {
    /// Between which numbers the number of workers follows the load, where it is configured to.
    pub(crate) fn sizes(&self) -> Option<Sizes> {
        let plan = &self.line.plan;
        let most = plan.most_workers?;
        let follows = !self.by_hand && self.is_settled();
        Some(Sizes { least: plan.worker_processes, most, by_hand: self.by_hand, follows })
    }

    /// The load wants this number of workers. They follow when the event has been handled.
    pub(crate) fn resize(mut self, fleet: &mut Fleet, count: u32) -> Self {
        let to = self.line.plan.sized(count);
        if to != self.target && self.sizes().is_some_and(|sizes| sizes.follows) {
            let from = mem::replace(&mut self.target, to);
            fleet.log(Fact::Resized { from, to });
            fleet.emit(Action::WorkerProcesses { count: to });
        }
        self
    }
}

/// What was seen of the load since the look before. Numbers of workers and requests are in thousandths.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// How many workers serve.
    pub serving: u32,
    /// How many requests were in workers, on average.
    pub busy_milli: u64,
    /// How many waited, on average.
    pub waiting_milli: u64,
    /// How many have begun.
    pub begun: u64,
    /// How many of these had waited noticeably.
    pub late: u64,
    /// The share of the time in which no worker was idle.
    pub saturated_milli: u64,
}

/// Decides how many workers the load wants.
#[derive(Clone, Debug, Default)]
pub struct Sizer {
    /// How many looks in a row have found that requests wait.
    hot: u32,
    /// How many workers were too few, and how many requests were in them.
    too_few: Option<(u32, u64)>,
    /// By how many it grew last, and when.
    grown: Option<(u32, Instant)>,
    /// When it shrank last.
    shrunk: Option<Instant>,
    past: Past,
}

/// The load of the last [`BLOCKS`].
#[derive(Clone, Debug, Default)]
struct Past {
    /// The mean of each full block, the oldest first.
    blocks: VecDeque<u64>,
    /// The sum and the number of looks of the block that is not full.
    open: (u64, u64),
}

impl Past {
    /// Takes in a look. Returns the busiest block of the whole window, when that has just been filled, or renewed.
    fn note(&mut self, busy_milli: u64) -> Option<u64> {
        self.open = (self.open.0 + busy_milli, self.open.1 + 1);
        if self.open.1 < LOOKS_OF_BLOCK {
            return None;
        }
        let (sum, looks) = mem::take(&mut self.open);
        self.blocks.push_back(sum / looks);
        if self.blocks.len() > BLOCKS {
            self.blocks.pop_front();
        }
        self.blocks.iter().copied().max().filter(|_| self.blocks.len() == BLOCKS)
    }
}

impl Sizer {
    /// How long the shell waits between two looks.
    pub const EACH: Duration = Duration::from_millis(500);

    /// Takes in what was seen while `wanted` workers were wanted. Returns how many are to be, if others than these. `most`: how
    /// many there is room for.
    pub fn look(&mut self, now: Instant, wanted: u32, load: Load, sizes: Sizes, most: u32) -> Option<u32> {
        let most = sizes.most.min(most).max(sizes.least);
        if let Some(to) = self.grow(now, wanted, load).map(|to| to.min(most)).filter(|to| *to > wanted) {
            self.too_few = Some((wanted, load.busy_milli));
            self.grown = Some((to - wanted, now));
            self.past = Past::default();
            return Some(to);
        }
        let peak_milli = self.past.note(load.busy_milli);
        if wanted > most || wanted < sizes.least {
            return Some(wanted.clamp(sizes.least, most));
        }
        let to = self.shrink(now, wanted, peak_milli?)?.clamp(sizes.least, most);
        let rests = self.shrunk.is_some_and(|at| now.since(at) < REST) && to > sizes.least;
        let fewer = wanted.saturating_sub(to);
        if rests || fewer == 0 || fewer < wanted / 8 {
            return None;
        }
        self.shrunk = Some(now);
        Some(to)
    }

    fn grow(&mut self, now: Instant, wanted: u32, load: Load) -> Option<u32> {
        let saturated = load.saturated_milli >= 500;
        // Those that were asked for last are to help first.
        if !saturated || load.serving < wanted {
            self.hot = 0;
            return None;
        }
        match load.late * 20 >= load.begun {
            // Nothing has begun, and whether anything waits is not known.
            true if load.begun == 0 && load.waiting_milli < 1000 => {}
            true => self.hot += 1,
            false => self.hot = 0,
        }
        // A long queue that no moment of rest has made shorter will not go away by itself.
        let long = load.saturated_milli >= 900 && load.waiting_milli >= u64::from(wanted) * LONG_QUEUE_MILLI;
        if self.hot < LOOKS_UNTIL_HOT && !(self.hot > 0 && long) {
            return None;
        }
        self.hot = 0;
        // Small steps that follow each other become larger.
        let step = match self.grown {
            Some((step, at)) if now.since(at) < REST => step.saturating_mul(2),
            Some(_) | None => 1,
        };
        let needed = u32::try_from((load.busy_milli + load.waiting_milli).div_ceil(1000)).unwrap_or(u32::MAX);
        let most = wanted.saturating_mul(4);
        Some(needed.max(wanted.saturating_add(step)).min(most.max(1)))
    }

    fn shrink(&mut self, now: Instant, wanted: u32, peak_milli: u64) -> Option<u32> {
        if self.grown.is_some_and(|(_, at)| now.since(at) >= FORGET) {
            self.too_few = None;
        }
        let needed = u32::try_from((peak_milli * 3).div_ceil(2 * 1000)).unwrap_or(u32::MAX);
        let least = match self.too_few {
            Some((count, busy_milli)) if peak_milli * 4 >= busy_milli * 3 => count + 1,
            Some(_) | None => 0,
        };
        Some(needed.max(least)).filter(|to| *to < wanted)
    }
}

/// How many looks in a row have to find that requests wait: one second.
const LOOKS_UNTIL_HOT: u32 = 2;
/// How many requests that wait for each worker are a long queue.
const LONG_QUEUE_MILLI: u64 = 4000;
/// Five seconds.
const LOOKS_OF_BLOCK: u64 = 10;
/// 45 seconds.
const BLOCKS: usize = 9;
/// Between two times that it shrinks, unless to the least, and how long a step of growth counts as one before the next.
const REST: Duration = Duration::from_secs(30);
/// After how long it is tried again whether fewer workers do.
const FORGET: Duration = Duration::from_secs(900);

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    const SIZES: Sizes = Sizes { least: 2, most: 16, by_hand: false, follows: true };

    /// A server whose requests come evenly, each of which takes a worker for a while.
    struct Model {
        sizer: Sizer,
        now: Instant,
        workers: u32,
        /// Those that serve; others boot until the next look but one.
        serving: u32,
        queue_milli: u64,
        changes: Vec<(u64, u32)>,
    }

    impl Model {
        fn new(workers: u32) -> Self {
            let (sizer, now) = (Sizer::default(), Instant(0));
            Self { sizer, now, workers, serving: workers, queue_milli: 0, changes: Vec::new() }
        }

        /// Lets requests come for so many seconds that would keep so many workers busy (in thousandths), each of which takes 50 ms.
        fn pass(&mut self, seconds: u64, load_milli: u64) -> &mut Self {
            for look in 0..seconds * 2 {
                // Real requests do not come evenly: sometimes more, sometimes fewer.
                let load_milli = load_milli * [100, 130, 70, 110, 90][usize::try_from(look % 5).unwrap()] / 100;
                self.one(load_milli);
            }
            self
        }

        fn one(&mut self, load_milli: u64) {
            self.now += Sizer::EACH;
            let room_milli = u64::from(self.serving) * 1000;
            let wanted_milli = load_milli + self.queue_milli;
            let busy_milli = wanted_milli.min(room_milli);
            // Requests of half a second's work each second: what is not done waits.
            let before_milli = self.queue_milli;
            self.queue_milli = wanted_milli - busy_milli;
            let begun = busy_milli / 100;
            let late = if before_milli + self.queue_milli > 0 { begun } else { 0 };
            let saturated_milli = if busy_milli == room_milli { 1000 } else { 1000 * busy_milli / room_milli / 4 };
            let waiting_milli = self.queue_milli * 10;
            let load = Load { serving: self.serving, busy_milli, waiting_milli, begun, late, saturated_milli };
            self.serving = self.workers;
            if let Some(count) = self.sizer.look(self.now, self.workers, load, SIZES, u32::MAX) {
                self.workers = count;
                self.serving = self.serving.min(count);
                self.changes.push((self.now.0 / 1_000_000, count));
            }
        }

        fn ms(&self) -> u64 {
            self.now.0 / 1_000_000
        }
    }

    #[test]
    fn tenfold_burst_has_enough_workers_within_four_seconds() {
        let mut model = Model::new(2);
        model.pass(60, 1_200);
        assert_eq!(model.changes, [], "as many as are needed");
        model.pass(4, 12_000);
        assert!(model.workers >= 12, "{:?}", model.changes);
        assert!(model.changes.len() <= 3, "several at once: {:?}", model.changes);
    }

    #[test]
    fn steady_load_changes_the_number_twice_a_minute_at_most() {
        for load_milli in (500..14_000).step_by(500) {
            let mut model = Model::new(2);
            model.pass(1_200, load_milli);
            let each_minute: Vec<usize> = (0..20_u64)
                .map(|minute| model.changes.iter().filter(|(at, _)| at / 60_000 == minute).count())
                .collect();
            assert!(each_minute[1..].iter().all(|count| *count <= 2), "{load_milli}: {:?}", model.changes);
            let later = model.changes.iter().filter(|(at, _)| *at > 180_000 && *at < 800_000).count();
            assert_eq!(later, 0, "{load_milli}: {:?}", model.changes);
            assert!(model.workers * 1000 > u32::try_from(load_milli).unwrap(), "{load_milli}: {}", model.workers);
        }
    }

    #[test]
    fn least_is_reached_within_a_minute_after_the_load_has_gone() {
        for load_milli in (2_000..16_000).step_by(1000) {
            let mut model = Model::new(2);
            model.pass(100, load_milli);
            assert!(model.workers > 2);
            let gone_ms = model.ms();
            model.pass(60, 0);
            assert_eq!(model.workers, 2, "{load_milli}: {:?}", model.changes);
            let last = model.changes.last().unwrap().0;
            assert!((40_000..=55_000).contains(&(last - gone_ms)), "{load_milli}: {:?}", model.changes);
        }
    }

    #[test]
    fn least_is_reached_within_a_minute_though_the_load_goes_step_by_step() {
        let mut model = Model::new(2);
        model.pass(100, 12_000);
        for load_milli in (1_000..12_000).rev().step_by(1_000) {
            model.pass(20, load_milli);
        }
        let before = model.changes.len();
        model.pass(60, 0);
        assert_eq!(model.workers, 2, "{:?}", &model.changes[before..]);
    }

    #[test]
    fn requests_that_wait_while_a_worker_is_idle_want_no_more_workers() {
        let mut sizer = Sizer::default();
        for look in 1..100 {
            let load =
                Load { serving: 2, busy_milli: 900, waiting_milli: 500, begun: 10, late: 10, saturated_milli: 400 };
            assert_eq!(
                sizer.look(Instant(0) + Sizer::EACH * look, 2, load, SIZES, 16),
                None,
                "a proxy's clock is wrong"
            );
        }
    }

    #[test]
    fn one_slow_moment_wants_no_more_workers() {
        let mut sizer = Sizer::default();
        let waits = Load { serving: 2, busy_milli: 2000, waiting_milli: 500, begun: 10, late: 9, saturated_milli: 900 };
        let fine = Load { late: 0, waiting_milli: 0, saturated_milli: 100, busy_milli: 800, ..waits };
        for look in 1..100 {
            let load = if look % 2 == 0 { waits } else { fine };
            assert_eq!(sizer.look(Instant(0) + Sizer::EACH * look, 2, load, SIZES, 16), None);
        }
    }

    #[test]
    fn long_requests_that_fill_all_workers_want_more_when_others_wait() {
        let full = Load { serving: 2, busy_milli: 2000, begun: 0, late: 0, saturated_milli: 1000, waiting_milli: 0 };
        let mut sizer = Sizer::default();
        let mut look = |number, waiting_milli| {
            sizer.look(Instant(0) + Sizer::EACH * number, 2, Load { waiting_milli, ..full }, SIZES, 16)
        };
        assert_eq!([1, 2, 3].map(|number| look(number, 0)), [None; 3], "nothing waits");
        assert_eq!((look(4, 3000), look(5, 3000)), (None, Some(5)));
        assert_eq!(look(6, 8000), Some(8), "at once, since the queue is long");
    }

    #[test]
    fn number_stays_within_its_limits_and_the_room_there_is() {
        let waits =
            Load { serving: 4, busy_milli: 4000, waiting_milli: 90_000, begun: 9, late: 9, saturated_milli: 1000 };
        let grown = |most: u32| {
            let mut sizer = Sizer::default();
            (1..=2).find_map(|look| sizer.look(Instant(0) + Sizer::EACH * look, 4, waits, SIZES, most))
        };
        assert_eq!([16, 6, 4].map(grown), [Some(16), Some(6), None]);
        let idle = Load { serving: 9, ..Load::default() };
        assert_eq!(Sizer::default().look(Instant(5), 9, idle, SIZES, 3), Some(3), "there is no room for more");
        assert_eq!(Sizer::default().look(Instant(5), 9, idle, SIZES, 1), Some(2), "the least in any case");
        assert_eq!(Sizer::default().look(Instant(5), 1, idle, SIZES, 9), Some(2));
    }

    #[test]
    fn nothing_more_is_wanted_while_workers_boot() {
        let waits =
            Load { serving: 2, busy_milli: 2000, waiting_milli: 9000, begun: 9, late: 9, saturated_milli: 1000 };
        let mut sizer = Sizer::default();
        for look in 1..20 {
            assert_eq!(sizer.look(Instant(0) + Sizer::EACH * look, 8, waits, SIZES, 16), None);
        }
    }
}
