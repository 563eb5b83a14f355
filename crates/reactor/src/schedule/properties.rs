//! What holds for any load: the master is heard, and nothing that waits is starved by anything else.

use proptest::collection::vec;
use proptest::prelude::*;

use crate::waits::Origin;

use super::{Driver, HEARING_NS, Mode, NEW_CONNECTIONS, NEW_CONNECTIONS_NS, Next, Rest, Schedule, TIMERS_NS};

const MS: u64 = 1_000_000;
/// How many decisions one run takes.
const DECISIONS: usize = 2_000;
/// How many events one wait returns at most.
const EVENTS: usize = 256;

/// What there is to do. Each source is as full as it can be, for ever, or empty.
#[derive(Clone, Debug)]
struct Load {
    /// Whether the backlog of each listener is full.
    listeners: Vec<bool>,
    /// Whether other workers give connections away without end.
    queue: bool,
    /// Connections with a request whenever epoll is asked.
    kept: usize,
    /// Connections whose next request was received with the one before.
    pipelining: usize,
    /// How long requests last, in turn.
    requests_ns: Vec<u64>,
    /// During which requests the helper drives.
    helped: Vec<bool>,
    /// After which requests the master says something, if it was heard.
    says: Vec<bool>,
}

fn loads() -> impl Strategy<Value = Load> {
    let durations = prop_oneof![Just(0), Just(5_000), 1..MS, MS..20 * MS, Just(60 * MS), Just(1_000 * MS)];
    let kept = prop_oneof![0..4_usize, 0..300_usize];
    let sources = (vec(any::<bool>(), 0..5), any::<bool>(), kept, prop_oneof![0..2_usize, 0..20_usize]);
    let requests = (vec(durations, 1..20), vec(any::<bool>(), 1..7), vec(prop::bool::weighted(0.2), 1..30));
    (sources, requests).prop_map(|((listeners, queue, kept, pipelining), (requests_ns, helped, says))| Load {
        listeners,
        queue,
        kept,
        pipelining,
        requests_ns,
        helped,
        says,
    })
}

/// One that waits for its turn: how many requests were served, and what time it was, when it had the last one.
#[derive(Clone, Debug, Default)]
struct Waiting {
    since: usize,
    since_ns: u64,
}

/// A worker with such a load, on a clock of its own.
struct Worker {
    load: Load,
    schedule: Schedule<usize>,
    now_ns: u64,
    served: usize,
    decisions: usize,
    in_line: Vec<bool>,
    connections: Vec<Waiting>,
    listeners: Vec<Waiting>,
    queue: Waiting,
    /// When the master said something that was not heard yet, and after how many decisions.
    said: Option<(u64, usize)>,
    timers_ns: u64,
    asked_control: u64,
    asked_epoll: u64,
}

impl Worker {
    fn new(load: Load) -> Self {
        let connections = load.kept + load.pipelining;
        Self {
            schedule: Schedule::new(),
            now_ns: 1,
            served: 0,
            decisions: 0,
            in_line: vec![false; connections],
            connections: vec![Waiting::default(); connections],
            listeners: vec![Waiting::default(); load.listeners.len()],
            queue: Waiting::default(),
            said: None,
            timers_ns: 1,
            asked_control: 0,
            asked_epoll: 0,
            load,
        }
    }

    /// The most requests of one round.
    fn round(&self) -> usize {
        self.connections.len() + NEW_CONNECTIONS as usize
    }

    fn has_had_its_turn(&self) -> Waiting {
        Waiting { since: self.served, since_ns: self.now_ns }
    }

    fn line_up(&mut self, connection: usize) {
        if !std::mem::replace(&mut self.in_line[connection], true) {
            self.connections[connection] = self.has_had_its_turn();
            self.schedule.line_up(connection);
        }
    }

    /// Asks epoll: it tells of those first that have waited for longest.
    fn ask(&mut self) {
        self.asked_epoll += 1;
        let pipelining = self.load.pipelining;
        let mut told: Vec<usize> = (pipelining..self.connections.len()).filter(|one| !self.in_line[*one]).collect();
        told.sort_by_key(|one| self.connections[*one].since);
        let complete = told.len() < EVENTS;
        told.truncate(EVENTS);
        told.into_iter().for_each(|one| self.line_up(one));
        if self.asked_epoll == 1 {
            (0..pipelining).for_each(|one| self.line_up(one));
        }
        self.schedule.begin_round(self.said.is_some() && complete, complete);
    }

    /// Serves a request, as the caller does it: the clock is read at its beginning and at its end.
    fn serve(&mut self) {
        self.schedule.serve(Origin::New, None);
        self.schedule.note_time(self.now_ns);
        if let Some((said_ns, _)) = self.said {
            assert!(self.now_ns - said_ns < HEARING_NS, "the master was not heard for {} ns", self.now_ns - said_ns);
        }
        self.now_ns += self.load.requests_ns[self.served % self.load.requests_ns.len()];
        if self.load.helped[self.served % self.load.helped.len()] {
            // What the helper is told counts for nothing: it does not watch the control socket.
            self.schedule.change_driver(Driver::Helper);
            self.schedule.begin_round(false, true);
            self.schedule.change_driver(Driver::Worker);
        }
        self.schedule.note_time(self.now_ns);
        self.served += 1;
        if self.load.says[self.served % self.load.says.len()] {
            self.said.get_or_insert((self.now_ns, self.decisions));
        }
    }

    /// Lets a new connection in, as `accept` does it.
    fn let_in(&mut self) -> bool {
        let queue_first = self.schedule.is_queue_first();
        self.let_in_from(queue_first) || self.let_in_from(!queue_first)
    }

    fn let_in_from(&mut self, queue: bool) -> bool {
        if queue {
            self.queue = self.has_had_its_turn();
            return self.load.queue;
        }
        let mut order = self.schedule.listeners(self.listeners.len());
        let Some(listener) = order.find(|listener| self.load.listeners[*listener]) else { return false };
        self.schedule.accepted(listener);
        self.listeners[listener] = self.has_had_its_turn();
        true
    }

    fn step(&mut self) {
        self.decisions += 1;
        match self.schedule.next() {
            Next::Control => {
                self.asked_control += 1;
                self.said = None;
                self.schedule.heard();
            }
            Next::Known(connection) => {
                self.in_line[connection] = false;
                self.serve();
                self.connections[connection] = self.has_had_its_turn();
                if connection < self.load.pipelining {
                    self.line_up(connection);
                }
            }
            Next::Timers { .. } => self.timers_ns = self.now_ns,
            Next::NewConnection if self.let_in() => {
                self.schedule.let_in();
                self.serve();
            }
            Next::NewConnection => {
                assert_ne!(self.schedule.rest(1), Rest::Leave);
                self.ask();
            }
            Next::Ask => self.ask(),
        }
    }

    /// What holds after each decision.
    fn check(&self) {
        if let Some((_, at)) = self.said {
            // Timers, epoll and the control socket itself are decisions too.
            let decisions = self.decisions - at;
            assert!(decisions <= self.round() + 4, "the master was not heard for {decisions} decisions");
        }
        // A connection waits for those that are left of a round, new connections, and those of the next round before
        // it; more than one wait tells of are told of by the next one.
        let longest = self.load.requests_ns.iter().max().copied().unwrap_or(0);
        let waits = self.connections.len().div_ceil(EVENTS) + 1;
        for (connection, waiting) in self.connections.iter().enumerate() {
            let waited = self.served - waiting.since;
            assert!(waited <= waits * self.round(), "connection {connection} waited for {waited} requests");
            let waited = self.now_ns.saturating_sub(waiting.since_ns);
            let most = waits as u64 * ((self.connections.len() as u64 + 1) * longest + NEW_CONNECTIONS_NS);
            assert!(waited <= most, "connection {connection} waited for {waited} ns");
        }
        // In each round a new connection has its turn, and of two of them one is a listener's.
        let turns = 2 * (self.listeners.len() + 1);
        for (listener, waiting) in self.listeners.iter().enumerate().filter(|(one, _)| self.load.listeners[*one]) {
            let waited = self.served - waiting.since;
            assert!(waited <= turns * self.round(), "listener {listener} waited for {waited} requests");
        }
        let waited = self.served - self.queue.since;
        assert!(!self.load.queue || waited <= 3 * self.round(), "the queue waited for {waited} requests");
        let silence = self.now_ns - self.timers_ns;
        assert!(silence <= TIMERS_NS + longest * (self.round() as u64 + 1), "no timer was looked at for {silence} ns");
        // Asking costs a system call: it is done by time, or when epoll may have more to tell.
        let most = 1 + self.now_ns / HEARING_NS + 2 * self.asked_epoll;
        assert!(self.asked_control <= most, "the control socket was asked {} times", self.asked_control);
    }
}

/// Something that changes how a worker leaves.
#[derive(Clone, Copy, Debug)]
enum Told {
    Leave { transfer: bool },
    GiveUp { at_ms: u64 },
    Offer { at_ms: Option<u64> },
}

fn told() -> impl Strategy<Value = Told> {
    prop_oneof![
        any::<bool>().prop_map(|transfer| Told::Leave { transfer }),
        (0..1_000_u64).prop_map(|at_ms| Told::GiveUp { at_ms }),
        proptest::option::of(0..1_000_u64).prop_map(|at_ms| Told::Offer { at_ms }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn under_any_load_the_master_is_heard_and_nothing_that_waits_is_starved(load in loads()) {
        let mut worker = Worker::new(load);
        for _ in 0..DECISIONS {
            worker.step();
            worker.check();
        }
    }

    #[test]
    fn a_worker_that_leaves_never_serves_again_and_ends_with_its_last_connection(
        told in vec(told(), 0..20),
        in_line in 0..3_usize,
        open in 0..3_usize,
    ) {
        let mut schedule = Schedule::new();
        let mut was_leaving = false;
        for told in told {
            match told {
                Told::Leave { transfer } => schedule.leave(transfer),
                Told::GiveUp { at_ms } => schedule.give_up_at(at_ms),
                Told::Offer { at_ms } => schedule.offer_at(at_ms),
            }
            prop_assert!(!was_leaving || schedule.is_leaving());
            was_leaving = schedule.is_leaving();
            prop_assert_eq!(schedule.has_takers(), !matches!(schedule.mode(), Mode::Completing { .. }));
            prop_assert!(schedule.due_ms().is_none() || schedule.is_leaving(), "a worker that serves has nothing due");
        }
        (0..in_line).for_each(|one| schedule.line_up(one));
        prop_assert_eq!(schedule.rest(open) == Rest::Leave, schedule.is_leaving() && open == 0);
        prop_assert!(in_line == 0 || schedule.rest(open) != Rest::Sleep, "it sleeps although a connection can go on");
    }
}
