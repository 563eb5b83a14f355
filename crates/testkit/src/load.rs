//! Constant load from several clients, each attempt judged.
//!
//! The outcomes, and when a closed kept-alive connection counts as stale rather than as a failure, are those that the
//! project's load checker defines: every attempt has exactly one [`Outcome`], and the longest gap without a success is
//! counted from the start to the first success, between successes, and from the last one to the end.
//!
//! On a busy machine the clients themselves may stand still, which is no fault of the server's: so the longest *wait* is
//! kept too, the part of a gap in which some client was asking and the machine ran. That is what tests assert.

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::http::{Broken, Connection, Endpoint, Request, Response};
use crate::standstill;

/// A wait that is worth a second look.
const LONG_WAIT: Duration = Duration::from_millis(10);

/// How one attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// A whole response with a status of 200 to 399 (and the expected content).
    Ok,
    /// A whole response with another status.
    BadStatus,
    /// No process listened.
    Refused,
    /// Reset, or closed before a byte of the response.
    Reset,
    /// The connection ended inside the response, or the content was not the expected one.
    ShortBody,
    /// The bytes were no HTTP/1 response.
    BadProtocol,
    /// Nothing finished within the time limit.
    Timeout,
    /// Another error of the socket.
    Other,
}

/// What the clients do.
#[derive(Clone, Debug)]
pub struct Plan {
    endpoint: Endpoint,
    clients: usize,
    keep_alive: bool,
    think: Duration,
    limit: Duration,
    request: Request,
    expected: Option<Vec<u8>>,
    watched_field: String,
}

impl Plan {
    /// Four clients that GET `/`, each on a new connection per request, 5 ms apart, with the patience of the tests for each
    /// attempt.
    #[must_use]
    pub fn new(endpoint: &Endpoint) -> Plan {
        Plan {
            endpoint: endpoint.clone(),
            clients: 4,
            keep_alive: false,
            think: Duration::from_millis(5),
            limit: crate::patience(),
            request: Request::get("/"),
            expected: None,
            watched_field: "X-Generation".into(),
        }
    }

    /// Sets how many clients there are.
    #[must_use]
    pub fn clients(self, clients: usize) -> Plan {
        Plan { clients, ..self }
    }

    /// Keeps the connections, or not.
    #[must_use]
    pub fn keep_alive(self, keep_alive: bool) -> Plan {
        Plan { keep_alive, ..self }
    }

    /// Sets the pause between a client's requests.
    #[must_use]
    pub fn think(self, think: Duration) -> Plan {
        Plan { think, ..self }
    }

    /// Sets after how long an attempt is given up.
    #[must_use]
    pub fn limit(self, limit: Duration) -> Plan {
        Plan { limit, ..self }
    }

    /// Sets the request (without a `Connection` field).
    #[must_use]
    pub fn request(self, request: Request) -> Plan {
        Plan { request, ..self }
    }

    /// Counts a response with any other content as [`Outcome::ShortBody`].
    #[must_use]
    pub fn expect(self, body: impl Into<Vec<u8>>) -> Plan {
        Plan { expected: Some(body.into()), ..self }
    }

    /// Sets the response field whose values are counted in [`Report::seen`].
    #[must_use]
    pub fn watch_field(self, name: &str) -> Plan {
        Plan { watched_field: name.into(), ..self }
    }

    /// Starts the clients, and returns when each kind of thing has succeeded once.
    #[must_use]
    #[track_caller]
    pub fn start(self) -> Load {
        let clients = self.clients;
        let load = self.begin();
        load.wait_for_successes(clients);
        load
    }

    /// Starts the clients, and returns at once.
    #[must_use]
    #[track_caller]
    pub fn begin(self) -> Load {
        standstill::watch();
        let shared = Arc::new((Mutex::new(Tally::new(self.think)), Condvar::new()));
        let mut stops = Vec::new();
        let mut threads = Vec::new();
        for number in 0..self.clients {
            let (stop, stopped) = channel();
            let client = Client { number, plan: self.clone(), shared: shared.clone(), stopped, kept: None };
            let thread = std::thread::Builder::new().name(format!("client {number}")).spawn(move || client.run());
            threads.push(thread.expect("a thread can be started"));
            stops.push(stop);
        }
        Load { shared, stops, threads }
    }
}

/// Clients at work.
#[derive(Debug)]
pub struct Load {
    shared: Arc<(Mutex<Tally>, Condvar)>,
    stops: Vec<Sender<()>>,
    threads: Vec<JoinHandle<()>>,
}

impl Load {
    /// Waits for `count` more successes: load has passed over what was done just before.
    #[track_caller]
    pub fn wait_for_successes(&self, count: usize) {
        let before = self.tally().ok();
        self.wait_until("more successes", |tally| tally.ok() >= before + count);
    }

    /// Lets the clients go on for so long: for measurements. Tests wait for what they expect instead.
    pub fn go_on_for(&self, time: Duration) {
        drop(self.shared.1.wait_timeout_while(self.tally(), time, |_| true));
    }

    /// Waits for an attempt that fails.
    #[track_caller]
    pub fn wait_for_failure(&self) {
        self.wait_until("a failure", |tally| tally.report.failed() > 0);
    }

    /// Waits until a response carried `value` in the watched field.
    #[track_caller]
    pub fn wait_until_seen(&self, value: &str) {
        self.wait_until(value, |tally| tally.report.seen.contains_key(value));
    }

    /// Has each client leave after the attempt that it is at, without waiting for that.
    pub fn last_attempts(&mut self) {
        self.stops.clear();
    }

    /// Stops the clients after the attempt that each is at, and returns what they saw.
    #[must_use]
    pub fn stop(self) -> Report {
        drop(self.stops);
        let asked = Instant::now();
        for thread in self.threads {
            thread.join().expect("a client does not panic");
        }
        let mut tally = lock(&self.shared.0);
        let end = asked.max(tally.last_ok);
        tally.note_gap(end);
        tally.finish()
    }

    fn tally(&self) -> MutexGuard<'_, Tally> {
        lock(&self.shared.0)
    }

    #[track_caller]
    fn wait_until(&self, what: &str, condition: impl Fn(&Tally) -> bool) {
        let tally = self.tally();
        let waited = self.shared.1.wait_timeout_while(tally, crate::patience(), |tally| !condition(tally));
        let (tally, result) = waited.expect("a client does not panic");
        assert!(!result.timed_out(), "load: waited in vain for {what}: {:#?}", tally.report);
    }
}

/// What the clients saw.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// How many attempts ended how.
    pub outcomes: BTreeMap<Outcome, usize>,
    /// The longest time without any success.
    pub longest_gap: Duration,
    /// When that gap began, after the start.
    pub gap_began: Duration,
    /// The longest time in which a client was asking, none got an answer, and the machine ran on all its processors.
    pub longest_wait: Duration,
    /// The pause between a client's requests: so long after a success may the next attempt begin.
    pub think: Duration,
    /// Kept connections that the server closed as the next request was under way: repeated at once, as RFC 9112, 9.3.1
    /// lets a client do; the repetition's outcome counts.
    pub stale: usize,
    /// How many connections were made.
    pub connections: usize,
    /// The longest time that a successful request took.
    pub slowest: Duration,
    /// How long each success took, in the order of their ends.
    pub took: Vec<Duration>,
    /// How often each value of the watched response field was seen in a success.
    pub seen: BTreeMap<String, usize>,
    /// The first failures, with the time after the start.
    pub failures: Vec<String>,
}

impl Report {
    /// How many attempts succeeded.
    #[must_use]
    pub fn ok(&self) -> usize {
        self.outcomes.get(&Outcome::Ok).copied().unwrap_or(0)
    }

    /// How many failed, in any way.
    #[must_use]
    pub fn failed(&self) -> usize {
        self.outcomes.values().sum::<usize>() - self.ok()
    }

    /// The time within which this share (0 to 1) of the successes was answered.
    #[must_use]
    pub fn percentile(&self, share: f64) -> Duration {
        let mut took = self.took.clone();
        took.sort_unstable();
        let last = took.len().saturating_sub(1);
        took.get((last as f64 * share).round() as usize).copied().unwrap_or_default()
    }

    /// Asserts that no attempt failed.
    #[track_caller]
    pub fn assert_no_failure(&self) {
        eprintln!(
            "load: {} ok, {} failed, {} stale, longest gap {:?} (at {:?}), wait {:?}, slowest {:?}, seen {:?}",
            self.ok(),
            self.failed(),
            self.stale,
            self.longest_gap,
            self.gap_began,
            self.longest_wait,
            self.slowest,
            self.seen
        );
        assert!(self.ok() > 0, "no attempt succeeded: {self:#?}");
        assert_eq!(self.failed(), 0, "attempts failed: {self:#?}");
    }

    /// Asserts that no attempt failed and that the server closed no connection: each of so many clients has the one that
    /// it began with.
    #[track_caller]
    pub fn assert_kept(&self, clients: usize) {
        self.assert_no_failure();
        assert_eq!((self.connections, self.stale), (clients, 0), "the server closed connections: {self:#?}");
    }

    /// Asserts that no attempt failed, and that the server left no gap longer than `limit`.
    ///
    /// A gap is the pause until a client asks again, and then the wait: so the wait must be shorter by that pause.
    ///
    /// It is the one assertion about time that a test may make, since the gap is promised. Such a test needs the
    /// machine for itself: put it into the test group `load` (`.config/nextest.toml`).
    #[track_caller]
    pub fn assert_flawless(&self, limit: Duration) {
        self.assert_no_failure();
        let left = limit.saturating_sub(self.think);
        assert!(self.longest_wait <= left, "nobody was answered for longer than {left:?}: {self:#?}");
    }
}

#[derive(Debug)]
struct Tally {
    began: Instant,
    last_ok: Instant,
    /// When each client that is asking began to.
    asking: BTreeMap<usize, Instant>,
    /// When no client got an answer for long. How much of that the machine stood still is known later.
    waits: Vec<standstill::Span>,
    report: Report,
}

impl Tally {
    fn new(think: Duration) -> Tally {
        let now = Instant::now();
        let report = Report { think, ..Report::default() };
        Tally { began: now, last_ok: now, asking: BTreeMap::new(), waits: Vec::new(), report }
    }

    fn ok(&self) -> usize {
        self.report.ok()
    }

    fn note_gap(&mut self, now: Instant) {
        let gap = now.saturating_duration_since(self.last_ok);
        if gap > self.report.longest_gap {
            self.report.longest_gap = gap;
            self.report.gap_began = self.last_ok.saturating_duration_since(self.began);
        }
        if let Some(asked) = self.asking.values().min() {
            let began = self.last_ok.max(*asked);
            let wait = now.saturating_duration_since(began);
            if wait > LONG_WAIT {
                self.waits.push((began, now));
            } else {
                self.report.longest_wait = self.report.longest_wait.max(wait);
            }
        }
        self.last_ok = now;
    }

    fn finish(&mut self) -> Report {
        let longest = self.waits.drain(..).map(standstill::running).max().unwrap_or_default();
        self.report.longest_wait = self.report.longest_wait.max(longest);
        self.report.clone()
    }

    fn record(&mut self, client: usize, outcome: Outcome, detail: &str, seen: Option<String>) {
        let now = Instant::now();
        let attempt_began = self.asking.get(&client).copied().unwrap_or(now);
        *self.report.outcomes.entry(outcome).or_default() += 1;
        if outcome == Outcome::Ok {
            self.note_gap(now);
            self.report.slowest = self.report.slowest.max(now - attempt_began);
            self.report.took.push(now - attempt_began);
            if let Some(value) = seen {
                *self.report.seen.entry(value).or_default() += 1;
            }
        } else if self.report.failures.len() < 20 {
            self.report.failures.push(format!("{:?} {outcome:?} {detail}", now - self.began));
        }
        self.asking.remove(&client);
    }
}

struct Client {
    number: usize,
    plan: Plan,
    shared: Arc<(Mutex<Tally>, Condvar)>,
    stopped: Receiver<()>,
    kept: Option<Connection>,
}

impl Client {
    fn run(mut self) {
        loop {
            let outcome = self.attempt();
            // After a failed connect, wait a little: a loop of refusals would spin.
            let answered = matches!(outcome, Outcome::Ok | Outcome::BadStatus);
            let pause = if answered { self.plan.think } else { self.plan.think.max(Duration::from_millis(10)) };
            if self.stopped.recv_timeout(pause) != Err(RecvTimeoutError::Timeout) {
                return;
            }
        }
    }

    fn attempt(&mut self) -> Outcome {
        let began = Instant::now();
        let deadline = began + self.plan.limit;
        // The server may close a kept connection between two requests.
        if self.kept.as_ref().is_some_and(Connection::is_stale) {
            self.kept = None;
        }
        let was_kept = self.kept.is_some();
        lock(&self.shared.0).asking.insert(self.number, began);
        let mut result = self.exchange(deadline);
        if was_kept && matches!(result, Err(Broken::Reset)) {
            lock(&self.shared.0).report.stale += 1;
            result = self.exchange(deadline);
        }
        let (outcome, detail, seen) = self.judge(result);
        lock(&self.shared.0).record(self.number, outcome, &detail, seen);
        self.shared.1.notify_all();
        outcome
    }

    fn exchange(&mut self, deadline: Instant) -> Result<Response, Broken> {
        let mut connection = match self.kept.take() {
            Some(connection) => connection,
            None => {
                let connection = Connection::connect(&self.plan.endpoint, self.plan.limit)?;
                lock(&self.shared.0).report.connections += 1;
                connection
            }
        };
        let keep_alive = self.plan.keep_alive;
        let request = if keep_alive { self.plan.request.clone() } else { self.plan.request.clone().close() };
        connection.try_send(&request.bytes(), deadline)?;
        let response = connection.try_receive("GET", deadline)?;
        if keep_alive && response.keep_alive {
            self.kept = Some(connection);
        }
        Ok(response)
    }

    fn judge(&self, result: Result<Response, Broken>) -> (Outcome, String, Option<String>) {
        let response = match result {
            Ok(response) => response,
            Err(broken) => {
                let outcome = match &broken {
                    Broken::Refused(_) => Outcome::Refused,
                    Broken::Reset => Outcome::Reset,
                    Broken::Short => Outcome::ShortBody,
                    Broken::Malformed(_) => Outcome::BadProtocol,
                    Broken::Timeout => Outcome::Timeout,
                    Broken::Other(_) => Outcome::Other,
                };
                return (outcome, format!("{broken:?}"), None);
            }
        };
        let seen = response.field(&self.plan.watched_field).map(str::to_owned);
        if !(200..400).contains(&response.status) {
            return (Outcome::BadStatus, format!("{} {}", response.status, response.text()), seen);
        }
        match &self.plan.expected {
            Some(expected) if *expected != response.body => (Outcome::ShortBody, response.text(), seen),
            _ => (Outcome::Ok, String::new(), seen),
        }
    }
}

fn lock(tally: &Mutex<Tally>) -> MutexGuard<'_, Tally> {
    tally.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
