//! What is next: which mode the worker is in, which connections are in line, and whose turn it is. Pure: it reads no clock
//! and does no I/O.
//!
//! A worker works in rounds: it serves the connections that epoll told of, then new connections, then it asks epoll
//! again. Between any two requests the control socket is asked, if that was long ago: a worker hears its master at the
//! end of the request that it is in, however much there is to do.
//!
//! All of it goes by time and not by counting alone, since a request may last five microseconds or a minute. What
//! counts are the moments that the caller notes anyway, at each request's beginning and end.

use std::collections::VecDeque;

use crate::waits::{Moment, Origin, Waits};

/// How many new connections are let in before the others are asked.
const NEW_CONNECTIONS: u32 = 16;
/// For how long at most; but one has its turn in each round.
const NEW_CONNECTIONS_NS: u64 = 10_000_000;
/// The control socket is asked before the next request when that was so long ago. A request that lasts longer is
/// followed by that question; of shorter ones none costs a system call for it.
const HEARING_NS: u64 = 10_000_000;
/// Longer than this a connection waits for no others of its round while another worker is idle.
const LONG_ROUND_NS: u64 = 2_000_000;
/// How often timers are looked at while there is always something else to do.
const TIMERS_NS: u64 = 100_000_000;

/// What a worker is about. Times are milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// It serves, and lets new connections in.
    Serving,
    /// It leaves, and other workers take its connections. What the queue did not take is offered again at that moment.
    Transferring { offer_at_ms: Option<u64> },
    /// It leaves, and completes its connections itself, until that moment at the latest.
    Completing { give_up_at_ms: Option<u64> },
}

/// Which thread drives the connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Driver {
    /// The worker's own, in rounds.
    Worker,
    /// The helper, while the application works. It lets no new connection in and begins no round.
    Helper,
}

/// What the worker is to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next<T> {
    /// Ask the control socket, and then [`Schedule::heard`].
    Control,
    /// Look at this connection, which can go on.
    Known(T),
    /// Do what is due by now, and close connections whose time was over at a moment until which they were silent for
    /// certain.
    Timers { now_ms: u64, silent_until_ms: u64 },
    /// Let a new connection in, and then [`Schedule::let_in`]; when there is none, [`Schedule::rest`].
    NewConnection,
    /// Ask epoll, without sleeping.
    Ask,
}

/// What a worker does for which there is no new connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rest {
    /// Leave: it was told to, and its last connection is gone.
    Leave,
    /// Ask epoll, without sleeping: connections are in line.
    Ask,
    /// Sleep until something happens or is due.
    Sleep,
}

/// How far a round has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// So many of those that epoll told of are left.
    Known { left: usize },
    /// So many new connections may come yet.
    NewConnections { left: u32, since: Moment },
}

/// When the master was listened to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hearing {
    /// Then it had nothing to say.
    Silence(Moment),
    /// It says something, or may do so.
    Due,
}

/// Where the next new connection comes from.
#[derive(Clone, Copy, Debug, Default)]
struct Turns {
    /// The queue is asked before the listeners: they take turns.
    queue_first: bool,
    /// The listener that is asked first, so that a busy one does not starve another.
    listener: usize,
}

/// The rounds of one worker, whose connections are known by a `T`.
#[derive(Debug)]
pub(crate) struct Schedule<T> {
    mode: Mode,
    driver: Driver,
    /// The connections that can go on, in the order in which they are looked at.
    line: VecDeque<T>,
    turns: Turns,
    stage: Stage,
    hearing: Hearing,
    waits: Waits,
    /// A request was served since epoll was asked, so that bytes may have come of which epoll did not tell yet.
    served: bool,
    /// The last moment that was noted.
    now_ns: u64,
    /// When timers were looked at.
    timers_ns: u64,
    /// What had no bytes then has been silent until that moment. 0 as long as epoll had more to tell.
    silent_until_ns: u64,
}

impl<T> Schedule<T> {
    pub(crate) fn new() -> Self {
        Self {
            mode: Mode::Serving,
            driver: Driver::Worker,
            line: VecDeque::new(),
            turns: Turns::default(),
            stage: Stage::Known { left: 0 },
            hearing: Hearing::Due,
            waits: Waits::new(),
            served: false,
            now_ns: 0,
            timers_ns: 0,
            silent_until_ns: 0,
        }
    }

    /// Notes what time it is (CLOCK_MONOTONIC).
    pub(crate) fn note_time(&mut self, now_ns: u64) {
        self.now_ns = now_ns;
        self.waits.note_time(now_ns);
        if let Hearing::Silence(moment) = &mut self.hearing {
            moment.note_time(now_ns);
        }
        if let Stage::NewConnections { since, .. } = &mut self.stage {
            since.note_time(now_ns);
        }
    }

    /// Puts a connection that can go on at the end of the line.
    pub(crate) fn line_up(&mut self, connection: T) {
        self.line.push_back(connection);
    }

    /// Takes the first of the line, for the helper: it works in no rounds.
    pub(crate) fn first_in_line(&mut self) -> Option<T> {
        self.line.pop_front()
    }

    /// Returns how many connections are in line.
    pub(crate) fn in_line(&self) -> usize {
        self.line.len()
    }

    /// Epoll was asked: the control socket was among what it told of or not, and it has told of all or may have more.
    pub(crate) fn begin_round(&mut self, control: bool, complete: bool) {
        if self.driver == Driver::Helper {
            return;
        }
        self.stage = Stage::Known { left: self.line.len() };
        self.waits.ask();
        self.served = false;
        self.silent_until_ns = if complete { self.now_ns } else { 0 };
        self.hearing = if control || !complete { Hearing::Due } else { Hearing::Silence(Moment::Now) };
    }

    /// Decides what to do next.
    pub(crate) fn next(&mut self) -> Next<T> {
        match self.hearing {
            Hearing::Due => return Next::Control,
            Hearing::Silence(since) if since.age_ns(self.now_ns) >= HEARING_NS => return Next::Control,
            Hearing::Silence(_) => {}
        }
        if let Stage::Known { left } = &mut self.stage {
            while *left > 0 {
                *left -= 1;
                if let Some(connection) = self.line.pop_front() {
                    return Next::Known(connection);
                }
            }
            self.stage = Stage::NewConnections { left: NEW_CONNECTIONS, since: Moment::Now };
            if self.now_ns.saturating_sub(self.timers_ns) >= TIMERS_NS {
                self.timers_ns = self.now_ns;
                let (now_ms, silent_until_ms) = (self.now_ns / 1_000_000, self.silent_until_ns / 1_000_000);
                return Next::Timers { now_ms, silent_until_ms };
            }
        }
        match self.stage {
            Stage::NewConnections { left, since } if left > 0 && since.age_ns(self.now_ns) < NEW_CONNECTIONS_NS => {
                Next::NewConnection
            }
            _ => Next::Ask,
        }
    }

    /// Decides what to do when there is no new connection and so many connections are open.
    pub(crate) fn rest(&self, open: usize) -> Rest {
        if self.is_leaving() && open == 0 {
            Rest::Leave
        } else if !self.line.is_empty() {
            Rest::Ask
        } else {
            Rest::Sleep
        }
    }

    /// The control socket was asked, and all that it said was taken.
    pub(crate) fn heard(&mut self) {
        self.hearing = Hearing::Silence(Moment::Now);
    }

    /// Tells whether the queue has its turn before the listeners.
    pub(crate) fn is_queue_first(&self) -> bool {
        self.turns.queue_first
    }

    /// Returns so many listeners in the order of their turns.
    pub(crate) fn listeners(&self, count: usize) -> impl Iterator<Item = usize> + use<T> {
        let first = self.turns.listener;
        (0..count).map(move |step| (first + step) % count)
    }

    /// A connection of this listener was accepted: the next one has its turn.
    pub(crate) fn accepted(&mut self, listener: usize) {
        self.turns.listener = listener + 1;
    }

    /// A new connection was let in, from a listener or from the queue: the other has its turn.
    pub(crate) fn let_in(&mut self) {
        self.turns.queue_first ^= true;
        if let Stage::NewConnections { left, .. } = &mut self.stage {
            *left = left.saturating_sub(1);
        }
    }

    /// The worker has waited for events, and this is the end of it: what comes now came now, if that was a sleep. Call it
    /// before [`Self::begin_round`].
    pub(crate) fn wake(&mut self, now_ns: u64) {
        self.waits.wake(self.now_ns, now_ns);
    }

    /// No listener has a connection, as far as epoll or an accept told.
    pub(crate) fn none_is_new(&mut self) {
        self.waits.none_is_new();
    }

    /// A request was handed out, which the helper saw at that moment, if it did.
    pub(crate) fn serve(&mut self, origin: Origin, seen_ns: Option<u64>) {
        self.served = true;
        self.waits.hand_out(origin, seen_ns);
    }

    /// The moment that was noted last.
    pub(crate) fn noted_ns(&self) -> u64 {
        self.now_ns
    }

    /// Returns how long the request that was handed out last has waited, at the moment that was noted last. `silence_ns`:
    /// for how long no bytes have come on its connection, as the kernel knows it.
    pub(crate) fn waited_ns(&mut self, silence_ns: impl FnOnce() -> Option<u64>) -> u64 {
        self.waits.waited_ns(self.now_ns, silence_ns)
    }

    /// Tells whether epoll told of everything that came: nothing was served since it was asked.
    pub(crate) fn is_up_to_date(&self) -> bool {
        !self.served
    }

    /// Tells whether those that are left of this round have waited for long.
    pub(crate) fn is_round_long(&self) -> bool {
        self.waits.asked().age_ns(self.now_ns) > LONG_ROUND_NS
    }

    /// Returns which thread drives the connections.
    pub(crate) fn driver(&self) -> Driver {
        self.driver
    }

    /// Has another thread drive the connections. Returns which one did before.
    pub(crate) fn change_driver(&mut self, driver: Driver) -> Driver {
        std::mem::replace(&mut self.driver, driver)
    }

    /// Leaves: other workers take the connections or not. Which of both it is may change.
    pub(crate) fn leave(&mut self, transfer: bool) {
        self.mode = match self.mode {
            _ if transfer => Mode::Transferring { offer_at_ms: None },
            Mode::Completing { give_up_at_ms } => Mode::Completing { give_up_at_ms },
            Mode::Serving | Mode::Transferring { .. } => Mode::Completing { give_up_at_ms: None },
        };
    }

    /// Leaves at that moment, whatever is not completed by then.
    pub(crate) fn give_up_at(&mut self, at_ms: u64) {
        self.mode = Mode::Completing { give_up_at_ms: Some(at_ms) };
    }

    /// Has the connections that the queue did not take offered again at that moment.
    pub(crate) fn offer_at(&mut self, at_ms: Option<u64>) {
        if let Mode::Transferring { offer_at_ms } = &mut self.mode {
            *offer_at_ms = at_ms;
        }
    }

    pub(crate) fn mode(&self) -> Mode {
        self.mode
    }

    /// Tells whether no new connection is let in any more.
    pub(crate) fn is_leaving(&self) -> bool {
        self.mode != Mode::Serving
    }

    /// Tells whether other workers take all connections.
    pub(crate) fn is_transferring(&self) -> bool {
        matches!(self.mode, Mode::Transferring { .. })
    }

    /// Tells whether other workers may take what this one gives away.
    pub(crate) fn has_takers(&self) -> bool {
        !matches!(self.mode, Mode::Completing { .. })
    }

    /// Returns when the mode has something to do.
    pub(crate) fn due_ms(&self) -> Option<u64> {
        match self.mode {
            Mode::Serving => None,
            Mode::Transferring { offer_at_ms } => offer_at_ms,
            Mode::Completing { give_up_at_ms } => give_up_at_ms,
        }
    }
}

#[cfg(test)]
mod properties;

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    /// A worker without end of work, on a clock of its own.
    struct Saturated {
        schedule: Schedule<u32>,
        now_ns: u64,
        /// When the master said something that was not heard yet.
        said_ns: Option<u64>,
        /// Requests that began since.
        late: u32,
        heard: u32,
        new_connections: u32,
        known: u32,
    }

    impl Saturated {
        fn new() -> Self {
            let schedule = Schedule::new();
            Self { schedule, now_ns: 1, said_ns: None, late: 0, heard: 0, new_connections: 0, known: 0 }
        }

        fn say(&mut self) {
            self.said_ns.get_or_insert(self.now_ns);
        }

        /// Serves a request, as the caller does it: the clock is read at its beginning and at its end.
        fn serve(&mut self, request_ns: u64) {
            self.schedule.serve(Origin::New, None);
            self.schedule.note_time(self.now_ns);
            if let Some(said_ns) = self.said_ns {
                assert!(self.now_ns - said_ns < HEARING_NS + MS, "not heard for {} ns", self.now_ns - said_ns);
                self.late += 1;
            }
            self.now_ns += request_ns;
            self.schedule.note_time(self.now_ns);
        }

        /// Goes on until a request was served; `told` connections can go on whenever epoll is asked.
        fn step(&mut self, request_ns: u64, told: usize, complete: bool) {
            loop {
                match self.schedule.next() {
                    Next::Control => {
                        self.heard += u32::from(self.said_ns.take().is_some());
                        self.late = 0;
                        self.schedule.heard();
                    }
                    Next::Known(_) => {
                        self.known += 1;
                        return self.serve(request_ns);
                    }
                    Next::NewConnection => {
                        self.new_connections += 1;
                        self.schedule.let_in();
                        return self.serve(request_ns);
                    }
                    Next::Timers { .. } => {}
                    Next::Ask => {
                        line_up(&mut self.schedule, told);
                        self.schedule.begin_round(self.said_ns.is_some() && complete, complete);
                    }
                }
            }
        }
    }

    /// Lines up so many connections.
    fn line_up(schedule: &mut Schedule<u32>, count: usize) {
        (0..count).for_each(|_| schedule.line_up(0));
    }

    /// Numbers that are the same in each run.
    fn numbers(seed: u64) -> impl FnMut(u64) -> u64 {
        let mut state = seed | 1;
        move |below| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state % below
        }
    }

    #[test]
    fn the_master_is_heard_within_moments_or_after_one_request_however_much_there_is_to_do() {
        for seed in 1..200 {
            let mut number = numbers(seed * 0x9E37_79B9);
            let mut worker = Saturated::new();
            let mut said = 0;
            for _ in 0..2_000 {
                let request_ns = [5_000, 900_000, 5 * MS, 60 * MS, 1_000 * MS][number(5) as usize];
                if number(20) == 0 && worker.said_ns.is_none() {
                    worker.say();
                    said += 1;
                }
                worker.step(request_ns, number(300) as usize, number(3) > 0);
            }
            assert!(said - worker.heard <= 1, "seed {seed}: {said} said, {} heard", worker.heard);
        }
    }

    #[test]
    fn after_a_long_request_the_master_is_heard_before_the_next_one() {
        for told in [0, 1, 1_000] {
            let mut worker = Saturated::new();
            for _ in 0..50 {
                worker.step(1_000 * MS, told, true);
                worker.say();
                worker.step(1_000 * MS, told, true);
                assert_eq!(worker.late, 0, "a request was served first, {told} told");
            }
        }
    }

    #[test]
    fn short_requests_do_not_ask_each_time() {
        let mut worker = Saturated::new();
        let mut asked = 0;
        for _ in 0..10_000 {
            match worker.schedule.next() {
                Next::Control => {
                    asked += 1;
                    worker.schedule.heard();
                }
                Next::NewConnection => {
                    worker.schedule.let_in();
                    worker.serve(50_000);
                }
                Next::Known(_) => worker.serve(50_000),
                Next::Timers { .. } => {}
                Next::Ask => worker.schedule.begin_round(false, true),
            }
        }
        // Epoll tells of the control socket as well.
        assert_eq!(asked, 1);
    }

    #[test]
    fn new_connections_and_others_take_turns_whatever_a_request_lasts() {
        for request_ns in [5_000, 5 * MS, 1_000 * MS] {
            let mut worker = Saturated::new();
            for _ in 0..10_000 {
                worker.step(request_ns, 3, true);
            }
            assert!(worker.new_connections >= 2_000, "{request_ns} ns: {} new_connections", worker.new_connections);
            assert!(worker.known >= 1_000, "{request_ns} ns: {} others", worker.known);
        }
    }

    #[test]
    fn timers_are_looked_at_although_there_is_always_something_to_do() {
        let mut worker = Saturated::new();
        let mut timers = 0;
        for _ in 0..1_000 {
            match worker.schedule.next() {
                Next::Control => worker.schedule.heard(),
                Next::Known(_) | Next::NewConnection => worker.serve(5 * MS),
                Next::Timers { .. } => timers += 1,
                Next::Ask => {
                    line_up(&mut worker.schedule, 1);
                    worker.schedule.begin_round(false, true);
                }
            }
        }
        assert!(timers > 10, "{timers} times");
    }
}
