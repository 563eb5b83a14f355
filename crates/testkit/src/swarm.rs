//! Clients that hurt: they drip, dawdle, hold connections open or only knock, hundreds and thousands at once.
//!
//! One thread plays all of them, in beats of 100 ms, so that they cost the machine little: what they are meant to take
//! from the server is its connections, its memory and its patience, not the CPU of the test.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, SocketFlags, SocketType, sockopt};

use crate::http::{Connection, Endpoint, Request};

const BEAT: Duration = Duration::from_millis(100);
/// A slow byte is sent once in so many beats.
const BEATS_PER_BYTE: usize = 10;
/// What a slow reader takes in each beat: 10 KB/s.
const READ_BYTES: usize = 1_000;
/// What the kernel may hold for a slow reader: small, or else it would read ahead for it.
const READER_BUFFER_BYTES: usize = 16 * 1024;
const DRIP_HEAD: &[u8] = b"GET /hello HTTP/1.1\r\nHost: example.com\r\nX-Drip: ";
const DRIP_BODY: &[u8] = b"POST /echo HTTP/1.1\r\nHost: example.com\r\nContent-Length: 1000000\r\n\r\n";

/// The clients.
#[derive(Clone, Debug)]
pub struct Swarm {
    /// Where they come to.
    pub endpoint: Endpoint,
    /// What a slow reader asks for.
    pub big: String,
    /// Send a head, a byte a second.
    pub heads: usize,
    /// Send a body, a byte a second.
    pub bodies: usize,
    /// Read a large response, 10 KB a second.
    pub readers: usize,
    /// Were answered once and stay.
    pub idle: usize,
    /// Connect to this UNIX socket and leave, so many times in each beat.
    pub knocks: Option<(PathBuf, usize)>,
    /// How long the idle ones may take to be accepted, and then the others; a client that is not accepted by then gives up.
    pub entry: Duration,
}

/// What the swarm saw.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sightings {
    /// Dripping connections that the server closed (each was replaced by a new one).
    pub drips_closed: usize,
    /// Connections of slow readers that ended before they had everything.
    pub readers_closed: usize,
    /// Bytes that slow readers took.
    pub read_bytes: usize,
    /// Connections made and closed again without a word.
    pub knocks: usize,
    /// Knocks that found the backlog full.
    pub knocks_refused: usize,
}

/// A swarm at work.
#[derive(Debug)]
pub struct Swarming {
    stop: Sender<()>,
    thread: JoinHandle<Sightings>,
    idle: Vec<Connection>,
    slow: usize,
}

impl Swarm {
    /// Without clients.
    #[must_use]
    pub fn new(endpoint: &Endpoint) -> Swarm {
        Swarm {
            endpoint: endpoint.clone(),
            big: "/big?kib=20480".into(),
            heads: 0,
            bodies: 0,
            readers: 0,
            idle: 0,
            knocks: None,
            entry: crate::patience() * 4,
        }
    }

    /// Lets them come, and returns when each is there and has begun, or its time is over. [`Swarming::idle`] and
    /// [`Swarming::slow`] tell how many came in.
    #[must_use]
    #[track_caller]
    pub fn start(self) -> Swarming {
        let entry = self.entry;
        let idle = settle(&self.endpoint, self.idle, Instant::now() + entry);
        let (stop, stopped) = channel();
        let (begun, has_begun) = channel();
        let thread = std::thread::Builder::new().name("swarm".into());
        let thread = thread.spawn(move || Players::new(self).play(&begun, &stopped)).expect("a thread can be started");
        let slow = has_begun.recv_timeout(entry + crate::patience()).expect("the swarm begins");
        Swarming { stop, thread, idle, slow }
    }
}

impl Swarming {
    /// How many idle connections there are.
    #[must_use]
    pub fn idle(&self) -> usize {
        self.idle.len()
    }

    /// How many slow clients came in: heads, bodies and readers.
    #[must_use]
    pub fn slow(&self) -> usize {
        self.slow
    }

    /// How many of the idle connections the server has closed.
    #[must_use]
    pub fn idle_closed(&self) -> usize {
        self.idle.iter().filter(|connection| connection.is_stale()).count()
    }

    /// Asks once more on each idle connection. Returns how many were not answered.
    #[must_use]
    pub fn ask_the_idle(&mut self) -> usize {
        let deadline = Instant::now() + crate::patience();
        let request = Request::get("/").bytes();
        let ask = |connection: &mut Connection| {
            connection.try_send(&request, deadline)?;
            connection.try_receive("GET", deadline)
        };
        let answers = self.idle.iter_mut().map(ask);
        answers.filter(|answer| !answer.as_ref().is_ok_and(|response| response.status == 200)).count()
    }

    /// Closes all connections.
    #[must_use]
    pub fn stop(self) -> Sightings {
        drop(self.stop);
        drop(self.idle);
        self.thread.join().expect("the swarm does not panic")
    }
}

struct Players {
    swarm: Swarm,
    heads: Vec<OwnedFd>,
    bodies: Vec<OwnedFd>,
    readers: Vec<OwnedFd>,
    knocking: Vec<UnixStream>,
    seen: Sightings,
}

impl Players {
    fn new(swarm: Swarm) -> Players {
        let ask = format!("GET {} HTTP/1.1\r\nHost: example.com\r\n\r\n", swarm.big);
        let until = Instant::now() + swarm.entry;
        let some = |count: usize, beginning: &[u8]| {
            (0..count).filter_map(|_| begin(&swarm.endpoint, beginning, until).ok()).collect::<Vec<_>>()
        };
        Players {
            heads: some(swarm.heads, DRIP_HEAD),
            bodies: some(swarm.bodies, DRIP_BODY),
            readers: some(swarm.readers, ask.as_bytes()),
            knocking: Vec::new(),
            seen: Sightings::default(),
            swarm,
        }
    }

    fn play(mut self, begun: &Sender<usize>, stopped: &Receiver<()>) -> Sightings {
        let _ = begun.send(self.heads.len() + self.bodies.len() + self.readers.len());
        let mut beat = 0;
        while stopped.recv_timeout(BEAT) == Err(RecvTimeoutError::Timeout) {
            beat += 1;
            let turn = beat % BEATS_PER_BYTE;
            self.seen.drips_closed += drip(&mut self.heads, turn, &self.swarm.endpoint, DRIP_HEAD);
            self.seen.drips_closed += drip(&mut self.bodies, turn, &self.swarm.endpoint, DRIP_BODY);
            self.read();
            self.knock();
        }
        self.seen
    }

    fn read(&mut self) {
        let mut buffer = [0; READ_BYTES];
        let before = self.readers.len();
        self.readers.retain(|fd| match rustix::net::recv(fd, &mut buffer[..], RecvFlags::DONTWAIT) {
            Ok((0, _)) => false,
            Ok((count, _)) => {
                self.seen.read_bytes += count;
                true
            }
            Err(Errno::AGAIN | Errno::INTR) => true,
            Err(_) => false,
        });
        self.seen.readers_closed += before - self.readers.len();
    }

    /// Those of the last beat leave, others come.
    fn knock(&mut self) {
        let Some((path, count)) = &self.swarm.knocks else { return };
        self.knocking.clear();
        for _ in 0..*count {
            match knock(path) {
                Ok(stream) => {
                    self.seen.knocks += 1;
                    self.knocking.push(stream);
                }
                Err(_) => self.seen.knocks_refused += 1,
            }
        }
    }
}

/// Several at a time, since some servers take their time with each: as many as stay.
fn settle(endpoint: &Endpoint, count: usize, until: Instant) -> Vec<Connection> {
    const AT_A_TIME: usize = 8;
    std::thread::scope(|scope| {
        let some =
            |first: usize| (first..count).step_by(AT_A_TIME).filter_map(|_| stay(endpoint, until)).collect::<Vec<_>>();
        let parts: Vec<_> = (0..AT_A_TIME).map(|first| scope.spawn(move || some(first))).collect();
        parts.into_iter().flat_map(|part| part.join().expect("a client does not panic")).collect()
    })
}

/// How long there is until then; `None` when it is over.
fn time_left(until: Instant) -> Option<Duration> {
    let left = until.saturating_duration_since(Instant::now());
    (!left.is_zero()).then_some(left)
}

/// Connects, is answered once, and stays, if the server lets it.
fn stay(endpoint: &Endpoint, until: Instant) -> Option<Connection> {
    let mut connection = Connection::connect(endpoint, time_left(until)?).ok()?;
    connection.try_send(&Request::get("/").bytes(), until).ok()?;
    let response = connection.try_receive("GET", until).ok()?;
    response.keep_alive.then_some(connection)
}

/// Connects without waiting for room in the backlog.
fn knock(path: &std::path::Path) -> io::Result<UnixStream> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let fd = rustix::net::socket_with(rustix::net::AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    rustix::net::connect(&fd, &rustix::net::SocketAddrUnix::new(path)?)?;
    Ok(fd.into())
}

/// Connects and says the beginning.
fn begin(endpoint: &Endpoint, beginning: &[u8], until: Instant) -> io::Result<OwnedFd> {
    let left = time_left(until).ok_or(io::ErrorKind::TimedOut)?;
    let connection = Connection::connect(endpoint, left).map_err(|_| io::ErrorKind::ConnectionRefused)?;
    let fd = connection.as_fd().try_clone_to_owned()?;
    sockopt::set_socket_recv_buffer_size(&fd, READER_BUFFER_BYTES)?;
    rustix::net::send(&fd, beginning, SendFlags::NOSIGNAL)?;
    Ok(fd)
}

/// Sends one byte on every tenth connection. One that the server has closed is made anew. Returns how many were.
fn drip(all: &mut [OwnedFd], turn: usize, endpoint: &Endpoint, beginning: &[u8]) -> usize {
    let mut closed = 0;
    for fd in all.iter_mut().skip(turn).step_by(BEATS_PER_BYTE) {
        let answered = !matches!(rustix::net::recv(&*fd, &mut [0; 1][..], RecvFlags::DONTWAIT), Err(Errno::AGAIN));
        let sent = rustix::net::send(&*fd, b"x", SendFlags::NOSIGNAL | SendFlags::DONTWAIT);
        if answered || sent.is_err() {
            closed += 1;
            if let Ok(new) = begin(endpoint, beginning, Instant::now() + BEAT) {
                *fd = new;
            }
        }
    }
    closed
}

/// Lets this process, and those that it starts, open as many descriptors as the system grants. See getrlimit(2).
pub fn allow_many_descriptors() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    // Fails only above the hard limit.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
}
