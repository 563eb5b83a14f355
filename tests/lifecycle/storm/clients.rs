//! The clients of a storm: each asks for what it alone asks for, and looks at every byte of the answer.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use testkit::dice::Dice;
use testkit::http::Broken;
use testkit::{Connection, Endpoint, Request, Response, Server};

/// The longest content, in either direction.
const LARGE_BYTES: usize = 300_000;
const SMALL_BYTES: usize = 4_000;
/// How long a client that has lost a request waits at most before the next.
const BUSY_MS: usize = 10;

/// How many clients there are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Crowd {
    /// Ask again at once, on new connections and on kept ones.
    pub(crate) steady: usize,
    /// Keep a connection and ask now and then.
    pub(crate) idle: usize,
    /// Ask for what takes long, on new connections, while the server is to be saturated.
    pub(crate) saturating: usize,
}

/// One request, and what became of it.
#[derive(Clone, Debug)]
pub(crate) struct Attempt {
    pub(crate) id: u64,
    /// What it was, for reading.
    pub(crate) what: String,
    /// Before its connection was made, or before the request that was answered on it last.
    pub(crate) since: Instant,
    pub(crate) until: Instant,
    pub(crate) outcome: Outcome,
}

/// A kept connection that was closed before the next request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Closed {
    /// Which process answered on it last.
    pub(crate) pid: u32,
    pub(crate) since: Instant,
    pub(crate) until: Instant,
}

/// What became of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Answered, by this process.
    Answered(u32),
    /// The connection ended before the answer was whole.
    Lost(&'static str),
    /// It came behind one whose answer announced that the connection ends.
    TurnedAway,
    /// The client left.
    Left,
    /// It killed its worker.
    Crashed,
}

/// What the clients saw.
#[derive(Clone, Debug, Default)]
pub(crate) struct Saw {
    pub(crate) attempts: Vec<Attempt>,
    pub(crate) closed: Vec<Closed>,
    /// What must never happen.
    pub(crate) wrong: Vec<String>,
    began: Option<Instant>,
    answered: usize,
    saturated: bool,
    over: bool,
}

impl Saw {
    /// A moment of the storm, for reading.
    pub(crate) fn at(&self, moment: Instant) -> String {
        let began = self.began.unwrap_or(moment);
        format!("{:.3} s", moment.saturating_duration_since(began).as_secs_f64())
    }
}

type Shared = Arc<(Mutex<Saw>, Condvar)>;

/// Clients at work.
#[derive(Debug)]
pub(crate) struct Clients {
    shared: Shared,
    over: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
    crasher: Client,
}

impl Clients {
    /// Starts them, on all the server's listeners.
    pub(crate) fn start(server: &Server, crowd: Crowd, seed: u64, block: Vec<u8>) -> Clients {
        let (shared, over, block) = (Shared::default(), Arc::new(AtomicBool::new(false)), Arc::new(block));
        lock(&shared).began = Some(Instant::now());
        let client = |number: usize| Client {
            endpoint: server.endpoints()[number % server.endpoints().len()].clone(),
            dice: Dice::new(seed, number as u64 + 1),
            block: block.clone(),
            shared: shared.clone(),
            over: over.clone(),
            kept: None,
        };
        let kinds = [(crowd.steady, Client::steady as fn(&mut Client)), (crowd.idle, Client::now_and_then)];
        let kinds = kinds.into_iter().chain([(crowd.saturating, Client::while_saturated as fn(&mut Client))]);
        let roles = kinds.flat_map(|(count, role)| std::iter::repeat_n(role, count));
        let play = |(number, role): (usize, fn(&mut Client))| {
            let mut client = client(number);
            let play = move || {
                while !client.over.load(Ordering::Relaxed) {
                    role(&mut client);
                }
            };
            let thread = std::thread::Builder::new().name(format!("client {number}")).spawn(play);
            thread.expect("a thread can be started")
        };
        let threads: Vec<_> = roles.enumerate().map(play).collect();
        let crasher = client(threads.len());
        Clients { shared, over, threads, crasher }
    }

    /// Waits until so many more requests were answered. Returns whether they were: it is given up when for a long time none is.
    pub(crate) fn pass(&self, count: usize) -> bool {
        (0..count).all(|_| self.next(testkit::patience()))
    }

    /// Waits for the next answer, at most so long. Returns whether there was one.
    pub(crate) fn next(&self, patience: Duration) -> bool {
        let saw = lock(&self.shared);
        let before = saw.answered;
        let waited = self.shared.1.wait_timeout_while(saw, patience, |saw| saw.answered == before);
        !waited.expect("a client does not panic").1.timed_out()
    }

    /// Has the saturating clients come, or go.
    pub(crate) fn saturate(&self, saturate: bool) {
        lock(&self.shared).saturated = saturate;
        self.shared.1.notify_all();
    }

    /// Sends a request that kills its worker.
    pub(crate) fn crash(&mut self) {
        self.crasher.crash();
    }

    /// Has each client leave after the request that it is at, and returns what they saw.
    pub(crate) fn stop(&mut self) -> Saw {
        self.over.store(true, Ordering::Relaxed);
        lock(&self.shared).over = true;
        self.shared.1.notify_all();
        for thread in self.threads.drain(..) {
            thread.join().expect("a client does not panic");
        }
        std::mem::take(&mut *lock(&self.shared))
    }
}

/// A connection that was kept, or is new.
#[derive(Debug)]
struct Line {
    connection: Connection,
    /// See [`Attempt::since`]. Not when the answer has come: its worker may be gone by then.
    since: Instant,
    /// Which process answered last.
    pid: u32,
}

/// How a connection goes on.
#[derive(Clone, Copy, Debug)]
enum Next {
    /// This process has answered, and keeps it.
    Kept { pid: u32 },
    /// It was said to end with the answer.
    Closes,
    /// It has ended.
    Lost,
}

/// What is asked for.
struct Order {
    id: u64,
    takes_ms: usize,
    from: usize,
    bytes: usize,
    back_from: usize,
    back_bytes: usize,
    way: &'static str,
}

#[derive(Debug)]
struct Client {
    endpoint: Endpoint,
    dice: Dice,
    block: Arc<Vec<u8>>,
    shared: Shared,
    over: Arc<AtomicBool>,
    kept: Option<Line>,
}

/// What each kind of client does next.
impl Client {
    fn steady(&mut self) {
        let keep = self.dice.percent(70);
        let order = match self.dice.below(100) {
            0..40 => self.order(0, SMALL_BYTES),
            40..50 => self.order(0, LARGE_BYTES),
            50..75 => self.order(SMALL_BYTES, SMALL_BYTES),
            75..85 => self.order(LARGE_BYTES, SMALL_BYTES),
            85..90 => self.order(LARGE_BYTES, LARGE_BYTES),
            90..95 => return self.several(),
            95..97 => return self.leave(),
            _ => return self.rest(200),
        };
        self.ask(&order, keep);
    }

    fn now_and_then(&mut self) {
        let order = self.order(SMALL_BYTES, SMALL_BYTES);
        self.ask(&order, true);
        self.rest(3_000);
    }

    fn while_saturated(&mut self) {
        let idle = |saw: &mut Saw| !saw.over && !saw.saturated;
        let saw = self.shared.1.wait_while(lock(&self.shared), idle).expect("a client does not panic");
        let over = saw.over;
        drop(saw);
        if !over {
            let order = Order { takes_ms: 5 + self.dice.below(60), ..self.order(0, SMALL_BYTES) };
            self.ask(&order, false);
        }
    }

    fn order(&mut self, most: usize, most_back: usize) -> Order {
        let (bytes, back_bytes) = (self.dice.below(most + 1), self.dice.below(most_back + 1));
        Order {
            id: self.dice.number(),
            takes_ms: if self.dice.percent(5) { self.dice.below(60) } else { 0 },
            from: self.dice.below(self.block.len() - bytes),
            bytes,
            back_from: self.dice.below(self.block.len() - back_bytes),
            back_bytes,
            way: if self.dice.percent(50) { "length" } else { "pieces" },
        }
    }

    /// Waits, at most so long.
    fn rest(&mut self, most_ms: usize) {
        let pause = Duration::from_millis(self.dice.below(most_ms) as u64);
        drop(self.shared.1.wait_timeout_while(lock(&self.shared), pause, |saw| !saw.over));
    }
}

/// Asking.
impl Client {
    /// Asks, and judges the answer.
    fn ask(&mut self, order: &Order, keep: bool) {
        let Some(mut line) = self.line() else { return };
        let began = Instant::now();
        let deadline = began + testkit::patience();
        let result = self.send(&mut line.connection, order, keep, deadline);
        let result = result.and_then(|()| line.connection.try_receive("GET", deadline));
        match self.judge(order, &line, result) {
            Next::Kept { pid } if keep => self.kept = Some(Line { since: began, pid, ..line }),
            Next::Kept { .. } | Next::Closes | Next::Lost => {}
        }
    }

    /// Sends several requests at once, and judges the answers in their order.
    fn several(&mut self) {
        let orders = [(); 3].map(|()| self.order(0, SMALL_BYTES));
        let Some(mut line) = self.line() else { return };
        let began = Instant::now();
        let deadline = began + testkit::patience();
        let bytes: Vec<u8> = orders.iter().flat_map(|order| head(order, true).bytes()).collect();
        let mut next = match line.connection.try_send(&bytes, deadline) {
            Ok(()) => Next::Kept { pid: line.pid },
            Err(_) => Next::Lost,
        };
        for order in &orders {
            next = match next {
                Next::Kept { .. } => {
                    let result = line.connection.try_receive("GET", deadline);
                    self.judge(order, &line, result)
                }
                Next::Closes => {
                    self.record(order, &line, Outcome::TurnedAway);
                    Next::Closes
                }
                Next::Lost => self.judge(order, &line, Err(Broken::Reset)),
            };
        }
        if let Next::Kept { pid } = next {
            self.kept = Some(Line { since: began, pid, ..line });
        }
    }

    /// Sends a request, or a part of one, and leaves.
    fn leave(&mut self) {
        let order = self.order(LARGE_BYTES, LARGE_BYTES);
        let Some(mut line) = self.line() else { return };
        let mut bytes = head(&order, true).bytes();
        bytes.extend_from_slice(self.content(&order));
        let part = self.dice.below(bytes.len() + 1);
        let _ = line.connection.try_send(&bytes[..part], Instant::now() + testkit::patience());
        self.rest(20);
        self.record(&order, &line, Outcome::Left);
    }

    fn crash(&mut self) {
        let order = Order { way: "crash", ..self.order(0, 0) };
        let Some(mut line) = self.line() else { return };
        let deadline = Instant::now() + testkit::patience();
        let result = self.send(&mut line.connection, &order, false, deadline);
        match result.and_then(|()| line.connection.try_receive("GET", deadline)) {
            Err(Broken::Reset) => self.record(&order, &line, Outcome::Crashed),
            other => self.wrong(format!("a crash was answered: {other:?}")),
        }
    }

    /// The kept connection, or a new one.
    fn line(&mut self) -> Option<Line> {
        if let Some(mut kept) = self.kept.take() {
            if !kept.connection.is_stale() {
                return Some(kept);
            }
            match kept.connection.try_receive("GET", Instant::now() + testkit::patience()) {
                Err(Broken::Reset) => {
                    let closed = Closed { pid: kept.pid, since: kept.since, until: Instant::now() };
                    lock(&self.shared).closed.push(closed);
                }
                other => self.wrong(format!("an answer to no request: {other:?}")),
            }
        }
        let since = Instant::now();
        match Connection::connect(&self.endpoint, testkit::patience()) {
            Ok(connection) => Some(Line { connection, since, pid: 0 }),
            Err(broken) => {
                self.wrong(format!("no connection to {}: {broken:?}", self.endpoint));
                None
            }
        }
    }

    fn content(&self, order: &Order) -> &[u8] {
        &self.block[order.from..order.from + order.bytes]
    }

    /// Sends it at once, with its content in pieces, or chunked.
    fn send(&mut self, to: &mut Connection, order: &Order, keep: bool, deadline: Instant) -> Result<(), Broken> {
        let mut head = head(order, keep).bytes();
        match self.dice.below(10) {
            0 | 1 if order.bytes > 0 => {
                to.try_send(&head, deadline)?;
                let piece = 1 + order.bytes / (1 + self.dice.below(8));
                for from in (0..order.bytes).step_by(piece) {
                    self.rest(10);
                    let content = &self.content(order)[from..(from + piece).min(order.bytes)];
                    to.try_send(content, deadline)?;
                }
                Ok(())
            }
            2 | 3 if order.bytes > 0 => {
                let length = format!("Content-Length: {}\r\n", order.bytes);
                let text = String::from_utf8_lossy(&head).replace(&length, "Transfer-Encoding: chunked\r\n");
                head = text.into_bytes();
                let chunk_bytes = 1 + self.dice.below(60_000);
                for chunk in self.content(order).chunks(chunk_bytes) {
                    head.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
                    head.extend_from_slice(chunk);
                    head.extend_from_slice(b"\r\n");
                }
                head.extend_from_slice(b"0\r\n\r\n");
                to.try_send(&head, deadline)
            }
            _ => {
                head.extend_from_slice(self.content(order));
                to.try_send(&head, deadline)
            }
        }
    }

    /// Judges an answer. Returns how the connection goes on.
    fn judge(&mut self, order: &Order, line: &Line, result: Result<Response, Broken>) -> Next {
        let response = match result {
            Ok(response) => response,
            Err(Broken::Reset) => return self.lost(order, line, "reset"),
            Err(Broken::Short) => return self.lost(order, line, "short"),
            Err(other) => {
                self.wrong(format!("{}: {other:?}", described(order)));
                return Next::Lost;
            }
        };
        let field = |name| response.field(name).unwrap_or_default().to_owned();
        let back = &self.block[order.back_from..order.back_from + order.back_bytes];
        let digest = crc32(self.content(order)).to_string();
        let expected = (200, format!("{:016x}", order.id), digest, "true".to_owned(), true);
        let got = (response.status, field("X-Id"), field("X-Digest"), field("X-Whole"), response.body == back);
        let pid = field("X-Pid").parse().unwrap_or(0);
        if got != expected {
            self.wrong(format!("{}: answered {got:?} by {pid}, expected {expected:?}", described(order)));
        }
        self.record(order, line, Outcome::Answered(pid));
        if response.keep_alive { Next::Kept { pid } } else { Next::Closes }
    }

    fn lost(&mut self, order: &Order, line: &Line, how: &'static str) -> Next {
        self.record(order, line, Outcome::Lost(how));
        self.rest(BUSY_MS);
        Next::Lost
    }

    fn record(&self, order: &Order, line: &Line, outcome: Outcome) {
        let mut saw = lock(&self.shared);
        saw.answered += usize::from(matches!(outcome, Outcome::Answered(_)));
        saw.attempts.push(Attempt {
            id: order.id,
            what: described(order),
            since: line.since,
            until: Instant::now(),
            outcome,
        });
        drop(saw);
        self.shared.1.notify_all();
    }

    fn wrong(&self, text: String) {
        lock(&self.shared).wrong.push(text);
    }
}

fn head(order: &Order, keep: bool) -> Request {
    let Order { id, takes_ms, from, bytes, back_from, back_bytes, way } = order;
    let target = format!("/{id:016x}/{takes_ms}/{from}/{bytes}/{back_from}/{back_bytes}/{way}");
    let request = Request::new(if *bytes == 0 { "GET" } else { "POST" }, &target);
    let request = if *bytes == 0 { request } else { request.field("Content-Length", &bytes.to_string()) };
    if keep { request } else { request.close() }
}

fn described(order: &Order) -> String {
    let Order { id, takes_ms, bytes, back_bytes, way, .. } = order;
    format!("{id:016x} ({bytes} bytes sent, {back_bytes} back in {takes_ms} ms, {way})")
}

/// The checksum of RFC 1952, 8.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, byte| CRC_TABLE[usize::from((crc as u8) ^ byte)] ^ (crc >> 8))
}

const CRC_TABLE: [u32; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 { 0xedb8_8320 ^ (crc >> 1) } else { crc >> 1 };
            bit += 1;
        }
        table[byte] = crc;
        byte += 1;
    }
    table
};

fn lock(shared: &Shared) -> MutexGuard<'_, Saw> {
    shared.0.lock().unwrap_or_else(PoisonError::into_inner)
}
