//! Clients that ask at a fixed rate, whatever the server does; without a rate, as fast as they are answered.
//!
//! A request's latency counts from when it was due, not from when a client was free to send it: so a server that stands
//! still is charged with all who would have come meanwhile (that is what "corrected" means). There are so many clients
//! that one is free as long as the server keeps up.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rustix::thread::{CpuSet, sched_setaffinity};
use testkit::http::Broken;
use testkit::{Connection, Endpoint, Request};

/// After so long a request has failed.
const LIMIT: Duration = Duration::from_secs(10);
/// The clients' CPU.
const CPU: usize = 1;

/// What is asked, and how.
#[derive(Clone, Debug)]
pub(crate) struct Load<'a> {
    pub(crate) endpoint: &'a Endpoint,
    /// In turn.
    pub(crate) targets: &'a [&'a str],
    pub(crate) clients: usize,
    pub(crate) keep_alive: bool,
    pub(crate) requests: u64,
    pub(crate) per_second: Option<f64>,
}

/// What was seen.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    /// In order of length.
    latencies: Vec<Duration>,
    pub(crate) failed: u64,
    /// By process id: who named itself in `x-worker`.
    pub(crate) workers: BTreeMap<u32, Worker>,
    /// Between the sending of a request and the application, at most.
    pub(crate) longest_wait: Duration,
    pub(crate) took: Duration,
}

/// What one worker said of itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Worker {
    pub(crate) requests: u64,
    /// Full collections: within requests, and all.
    pub(crate) majors_within: u64,
    pub(crate) majors: u64,
}

impl Load<'_> {
    /// Asks, and waits for the last answer.
    pub(crate) fn run(&self) -> Seen {
        let next = AtomicU64::new(0);
        let began = Instant::now();
        let mut seen = std::thread::scope(|scope| {
            let clients: Vec<_> =
                (0..self.clients).map(|_| scope.spawn(|| Client::new(self, began).run(&next))).collect();
            let parts = clients.into_iter().filter_map(|client| client.join().ok());
            parts.fold(Seen::default(), Seen::and)
        });
        seen.took = began.elapsed();
        seen.latencies.sort_unstable();
        seen
    }

    /// When a request is to be sent, after the first one.
    fn due(&self, number: u64) -> Option<Duration> {
        self.per_second.map(|rate| Duration::from_secs_f64(number as f64 / rate))
    }
}

struct Client<'a> {
    load: &'a Load<'a>,
    began: Instant,
    kept: Option<Connection>,
    seen: Seen,
}

impl<'a> Client<'a> {
    fn new(load: &'a Load<'a>, began: Instant) -> Client<'a> {
        Client { load, began, kept: None, seen: Seen::default() }
    }

    fn run(mut self, next: &AtomicU64) -> Seen {
        let mut cpus = CpuSet::new();
        cpus.set(CPU);
        // A machine with one CPU refuses.
        let _ = sched_setaffinity(None, &cpus);
        let (_keep, never) = channel::<()>();
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= self.load.requests {
                return self.seen;
            }
            let due = self.load.due(number).map(|after| self.began + after);
            if let Some(due) = due {
                let _ = never.recv_timeout(due.saturating_duration_since(Instant::now()));
            }
            let from = due.unwrap_or_else(Instant::now);
            let target = self.load.targets[number as usize % self.load.targets.len()];
            match self.ask(target) {
                Ok(named) => {
                    self.seen.latencies.push(from.elapsed());
                    self.seen.note(named.as_deref());
                }
                Err(_) => self.seen.failed += 1,
            }
        }
    }

    /// Asks once; the field `x-worker`. A kept connection that the server has closed meanwhile is no failure.
    fn ask(&mut self, target: &str) -> Result<Option<String>, Broken> {
        match self.kept.take() {
            None => self.attempt(None, target),
            kept => match self.attempt(kept, target) {
                Err(Broken::Reset) => self.attempt(None, target),
                ended => ended,
            },
        }
    }

    fn attempt(&mut self, kept: Option<Connection>, target: &str) -> Result<Option<String>, Broken> {
        let deadline = Instant::now() + LIMIT;
        let mut connection = kept.map_or_else(|| Connection::connect(self.load.endpoint, LIMIT), Ok)?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let request = Request::get(target).field("X-Request-Start", &format!("t={}", now.as_micros()));
        let request = if self.load.keep_alive { request } else { request.close() };
        connection.try_send(&request.bytes(), deadline)?;
        let response = connection.try_receive("GET", deadline)?;
        if response.status != 200 {
            return Err(Broken::Short);
        }
        let closes = response.field("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
        if self.load.keep_alive && !closes {
            self.kept = Some(connection);
        }
        Ok(response.field("x-worker").map(str::to_owned))
    }
}

impl Seen {
    fn and(mut self, other: Seen) -> Seen {
        self.latencies.extend(other.latencies);
        self.failed += other.failed;
        self.longest_wait = self.longest_wait.max(other.longest_wait);
        for (pid, worker) in other.workers {
            self.workers.entry(pid).or_default().and(worker);
        }
        self
    }

    /// "PID MAJORS-WITHIN MAJORS MICROSECONDS"
    fn note(&mut self, named: Option<&str>) {
        let numbers: Vec<u64> = named.unwrap_or("").split(' ').map_while(|word| word.parse().ok()).collect();
        let [pid, majors_within, majors, waited] = numbers[..] else { return };
        let worker = Worker { requests: 1, majors_within, majors };
        self.workers.entry(pid.try_into().unwrap_or(0)).or_default().and(worker);
        self.longest_wait = self.longest_wait.max(Duration::from_micros(waited));
    }

    /// How many were answered.
    pub(crate) fn answered(&self) -> usize {
        self.latencies.len()
    }

    /// The latency that this share of the requests kept below, in milliseconds; 1.0 is the longest.
    pub(crate) fn percentile_ms(&self, share: f64) -> f64 {
        let rank = (self.latencies.len() as f64 * share).ceil() as usize;
        self.latencies.get(rank.saturating_sub(1)).map_or(f64::NAN, |latency| latency.as_secs_f64() * 1e3)
    }

    /// Requests of the busiest worker for each of the least busy one; without end when one of `workers` got none.
    pub(crate) fn spread(&self, workers: usize) -> f64 {
        let counts = || self.workers.values().map(|worker| worker.requests);
        let lowest = if self.workers.len() < workers { 0 } else { counts().min().unwrap_or(0) };
        counts().max().unwrap_or(0) as f64 / lowest as f64
    }
}

impl Worker {
    /// Counts of collections only grow: the last is the highest.
    fn and(&mut self, other: Worker) {
        self.requests += other.requests;
        self.majors_within = self.majors_within.max(other.majors_within);
        self.majors = self.majors.max(other.majors);
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;

    use super::*;

    fn seen(latencies: &[u64]) -> Seen {
        Seen { latencies: latencies.iter().map(|ms| Duration::from_millis(*ms)).collect(), ..Seen::default() }
    }

    #[test]
    fn a_percentile_is_the_latency_that_so_many_kept_below() {
        let hundred: Vec<u64> = (1..=100).collect();
        let seen = seen(&hundred);
        assert_eq!([0.5, 0.99, 0.999, 1.0].map(|share| seen.percentile_ms(share)), [50.0, 99.0, 100.0, 100.0]);
        assert!(Seen::default().percentile_ms(0.5).is_nan());
    }

    #[test]
    fn a_spread_has_no_end_while_a_worker_got_nothing() {
        let mut seen = Seen::default();
        for named in ["7 0 0 5", "7 1 2 90", "8 0 1 3"] {
            seen.note(Some(named));
        }
        assert_eq!(seen.spread(2), 2.0);
        assert_eq!(seen.spread(3), f64::INFINITY);
        assert_eq!(seen.workers[&7], Worker { requests: 2, majors_within: 1, majors: 2 });
        assert_eq!(seen.longest_wait, Duration::from_micros(90));
    }

    #[test]
    fn a_response_that_names_no_worker_counts_for_none() {
        let mut seen = Seen::default();
        seen.note(None);
        seen.note(Some("who knows"));
        assert!(seen.workers.is_empty());
    }

    /// A server of one connection at a time that holds its first answer; the clients are asked for three in all.
    fn among_a_standstill(held: Duration, clients: usize, per_second: Option<f64>) -> Seen {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let endpoint = Endpoint::Tcp(listener.local_addr().expect("an address"));
        let server = std::thread::spawn(move || {
            let (_keep, never) = channel::<()>();
            for number in 0..3 {
                let (mut client, _) = listener.accept().expect("a client");
                let _ = client.read(&mut [0; 4096]);
                if number == 0 {
                    let _ = never.recv_timeout(held);
                }
                client.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").expect("a client that reads");
            }
        });
        let load = Load { endpoint: &endpoint, targets: &["/"], clients, keep_alive: false, requests: 3, per_second };
        let seen = load.run();
        server.join().expect("the server ends");
        seen
    }

    #[test]
    fn a_standstill_is_charged_with_all_who_would_have_come_meanwhile() {
        let held = Duration::from_millis(300);
        // Due after 0, 1 and 2 ms.
        let seen = among_a_standstill(held, 1, Some(1_000.0));
        assert_eq!((seen.answered(), seen.failed), (3, 0));
        assert!(seen.latencies[0] >= held - Duration::from_millis(2), "{seen:?}");
    }

    #[test]
    fn without_a_rate_a_latency_counts_from_the_sending() {
        let held = Duration::from_millis(300);
        let seen = among_a_standstill(held, 1, None);
        assert!(seen.latencies[2] >= held, "{seen:?}");
        assert!(seen.latencies[..2].iter().sum::<Duration>() <= seen.took - held, "{seen:?}");
    }
}
