//! The loop. One request per connection, a few connections at a time, each with a deadline: no client can keep it busy.

use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use http1::Limits;
use http1::request::HeadParser;
use sys::accept_gate::AcceptGate;
use sys::listener::{Address, Listener};
use sys::stdio::complain;
use sys::user::User;

use crate::answer::{Asked, Response, asked};
use crate::hosts::Hosts;
use crate::source::{Answer, Master, Source};

/// Users that own nothing, in the order in which they are tried.
const USERS: [&str; 3] = ["nobody", "daemon", "bin"];
/// The longest head that is read, in bytes.
const HEAD_BYTES: usize = 8192;
/// More clients at once push out the one that has taken longest to ask.
const CLIENTS: usize = 256;
/// How long a client may take to ask, and after that until it has its answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long to go on when the pipe to the master has ended while it answers still: it has executed a new program in its
/// place, which starts an admin process of its own.
const OVERLAP: Duration = Duration::from_secs(2);
/// The exit status when the address cannot be had.
const NO_ADDRESS: u8 = 3;
/// How long another admin process may still hold the address.
const BIND_PATIENCE: Duration = Duration::from_secs(10);

/// What to serve.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where to listen.
    pub listen: String,
    /// Where the master is asked.
    pub master: Master,
    /// The user that the application runs as, where the master is root.
    pub application_user: Option<String>,
    /// Names of this machine that clients may ask by.
    pub hosts: Vec<String>,
    /// Whether query strings of requests are shown.
    pub show_queries: bool,
}

/// Serves until the master is gone. Returns the exit status, 3 when the address cannot be had.
///
/// # Errors
/// It cannot serve.
pub fn run(options: &Options) -> Result<u8, String> {
    if let Some(title) = sys::title::Title::claim() {
        title.set(&format!("licorne admin {}", options.listen));
    }
    let address = match Address::parse(&options.listen) {
        Ok(address) => address,
        Err(error) => return Ok(without_address(&options.listen, &error.chain())),
    };
    let application_user = options.application_user.as_deref();
    let user = application_user.and_then(|name| User::look_up(name, None));
    let listener = match bind(&address, user.as_ref()) {
        Ok(listener) => listener,
        Err(text) => return Ok(without_address(&options.listen, &text)),
    };
    become_nobody(user.map(|user| user.uid))?;
    let parent = own_parent();
    let hosts = if listener.is_unix() {
        Hosts::all()
    } else {
        Hosts::new(&options.listen, sys::process::host_name(), &options.hosts)
    };
    let mut source = Source::new(options.master.clone(), options.show_queries)
        .map_err(|error| format!("standard input: {error}"))?;
    source.ask(Instant::now());
    let (mut gate, mut clients) = (AcceptGate::default(), Vec::<Client>::new());
    let mut leave_at = None;
    loop {
        let is_awaited = clients.iter().any(Client::waits);
        let mut readers: Vec<BorrowedFd<'_>> = source.readable().into_iter().collect();
        readers.extend(gate.watched(&listener).filter(|_| has_room(&clients)));
        let before_clients = readers.len();
        readers.extend(clients.iter().filter(|client| client.asks()).map(|client| client.stream.as_fd()));
        let takers: Vec<_> =
            clients.iter().filter(|client| client.takes()).map(|client| client.stream.as_fd()).collect();
        let leaving = leave_at.filter(|_| clients.is_empty());
        let deadlines = clients.iter().map(|client| client.deadline).chain(leaving).chain(source.deadline(is_awaited));
        let left = deadlines.min().map(|at| at.saturating_duration_since(Instant::now()));
        let left = left.map(|left| u64::try_from(left.as_nanos()).unwrap_or(u64::MAX));
        let left = left.into_iter().chain(gate.longest_wait_ns()).min();
        let ready = sys::poll::wait(&readers, &takers, left).map_err(|error| error.chain())?;
        let (readable, writable) = ready.split_at(readers.len());
        let (mut readable, mut writable) = (readable.iter().skip(before_clients), writable.iter());
        clients.retain_mut(|client| {
            let ready = match client.state {
                State::Asking(_) => readable.next(),
                State::Taking(_) => writable.next(),
                State::Waiting(..) => None,
            };
            ready != Some(&true) || client.serve(&source, &hosts)
        });
        accept(&listener, &mut gate, &mut clients, &source, &hosts);
        if clients.iter().any(Client::waits) {
            source.ask(Instant::now());
        }
        while let Some(answer) = source.hear(Instant::now()) {
            clients.retain_mut(|client| client.hear(&answer));
        }
        clients.retain(|client| Instant::now() < client.deadline);
        if leave_at.is_none() && source.has_ended() {
            leave_at = Some(Instant::now() + OVERLAP);
        }
        if let Some(at) = leave_at {
            if own_parent() != parent {
                tidy_up(&address);
                return Ok(0);
            }
            // The clients that had come by now have their answers.
            if Instant::now() >= at && clients.is_empty() {
                return Ok(0);
            }
        }
    }
}

fn without_address(listen: &str, why: &str) -> u8 {
    complain(format_args!("licorne admin: cannot listen on {listen}: {why}"));
    NO_ADDRESS
}

fn own_parent() -> Option<u32> {
    sys::table::process(sys::process::own_pid()).map(|process| process.parent)
}

/// Gives root's rights up for those of a user that neither is root nor runs the application.
fn become_nobody(application: Option<u32>) -> Result<(), String> {
    if sys::process::own_uid() != 0 {
        return Ok(());
    }
    let fits = |user: &User| user.uid != 0 && Some(user.uid) != application;
    let user = USERS.iter().filter_map(|name| User::look_up(name, None)).find(fits);
    let user = user.ok_or_else(|| format!("there is no user to run as (looked for {})", USERS.join(", ")))?;
    user.become_it().map_err(|error| error.chain())
}

/// Takes the address back, unless it is another's by now.
fn tidy_up(address: &Address) {
    if let Address::Unix(path) = address
        && sys::listener::listening_process(path) == Some(sys::process::own_pid())
    {
        let _ = std::fs::remove_file(path);
    }
}

/// Whether the one that listens there has the same parent: then it is about to leave, and this one takes its place.
fn is_predecessor(path: &Path) -> bool {
    let parent = |pid| sys::table::process(pid).map(|process| process.parent);
    let other = sys::listener::listening_process(path).and_then(parent);
    other.is_some() && other == parent(sys::process::own_pid())
}

/// Binds beside another admin process (TCP) or in its place, else waits until the process that listens there has gone.
fn bind(address: &Address, user: Option<&User>) -> Result<Listener, String> {
    let options = sys::listener::Options {
        reuseport: true,
        tcp_defer_accept: 0,
        backlog: Some(128),
        ..sys::listener::Options::default()
    };
    let deadline = Instant::now() + BIND_PATIENCE;
    let mut told = false;
    loop {
        match Listener::bind_as(user, address, &options) {
            Ok(listener) => return Ok(listener),
            Err(error) if sys::listener::in_use(&error) && Instant::now() < deadline => {
                if let Address::Unix(path) = address
                    && is_predecessor(path)
                    && let Ok(listener) = Listener::replace(user, path, &options)
                {
                    return Ok(listener);
                }
                if !std::mem::replace(&mut told, true) {
                    let seconds = BIND_PATIENCE.as_secs();
                    complain(format_args!(
                        "licorne admin: {address} is in use by another process: trying for {seconds} s; until then nothing \
                         answers health checks"
                    ));
                }
                sys::poll::wait(&[], &[], Some(100_000_000)).map_err(|error| error.chain())?;
            }
            Err(error) => return Err(error.chain()),
        }
    }
}

struct Client {
    stream: Stream,
    state: State,
    deadline: Instant,
}

enum State {
    /// It asks; this much of the head is there.
    Asking(Box<Asking>),
    /// It waits for the master's answer to the question of this number.
    Waiting(Asked, u64),
    /// It has this much of its answer still to take.
    Taking(Vec<u8>),
}

/// A head that is not whole yet.
#[derive(Default)]
struct Asking {
    received: Vec<u8>,
    parser: HeadParser,
}

enum Stream {
    Tcp(std::net::TcpStream),
    Unix(UnixStream),
}

impl Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(stream) => stream.as_fd(),
            Self::Unix(stream) => stream.as_fd(),
        }
    }

    #[cfg(test)]
    fn peer(&self) -> Option<std::net::SocketAddr> {
        match self {
            Self::Tcp(stream) => stream.peer_addr().ok(),
            Self::Unix(_) => None,
        }
    }

    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.read(buffer),
            Self::Unix(stream) => stream.read(buffer),
        }
    }

    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.write(bytes),
            Self::Unix(stream) => stream.write(bytes),
        }
    }
}

/// Whether one more client can be let in: those that wait for the master's answer keep their places.
fn has_room(clients: &[Client]) -> bool {
    clients.len() < CLIENTS || clients.iter().any(|client| !client.waits())
}

/// Lets clients in, at most as many as there are places for in one round: the clients inside have their turn as well.
fn accept(listener: &Listener, gate: &mut AcceptGate, clients: &mut Vec<Client>, source: &Source, hosts: &Hosts) {
    for _ in 0..CLIENTS {
        if !has_room(clients) {
            break;
        }
        let Some(stream) = gate.accept(listener) else { break };
        let stream = if listener.is_unix() { Stream::Unix(stream.into()) } else { Stream::Tcp(stream.into()) };
        if clients.len() >= CLIENTS {
            // The oldest of those that ask, else of those that do not take what they asked for.
            let oldest = clients.iter().position(Client::asks).or_else(|| clients.iter().position(Client::takes));
            oldest.map(|place| clients.remove(place));
        }
        let mut client = Client { stream, state: State::Asking(Box::default()), deadline: Instant::now() + PATIENCE };
        // Most have asked by now: a flood of silent ones behind them pushes none of these out.
        if client.serve(source, hosts) {
            clients.push(client);
        }
    }
}

impl Client {
    /// Whether it has not asked yet, and is read from.
    fn asks(&self) -> bool {
        matches!(self.state, State::Asking(_))
    }

    /// Whether it needs the master's answer.
    fn waits(&self) -> bool {
        matches!(self.state, State::Waiting(..))
    }

    /// Whether it is written to.
    fn takes(&self) -> bool {
        matches!(self.state, State::Taking(_))
    }

    /// Reads, or writes, what can be without waiting. Returns whether the connection is still needed.
    fn serve(&mut self, source: &Source, hosts: &Hosts) -> bool {
        if let State::Asking(asking) = &mut self.state {
            match asking.hear(&mut self.stream, hosts) {
                Ok(None) => return true,
                Ok(Some(Ok(asked))) => {
                    self.state = State::Waiting(asked, source.next());
                    self.deadline = Instant::now() + PATIENCE;
                    return true;
                }
                Ok(Some(Err(response))) => {
                    self.state = State::Taking(response.bytes(asking.received.starts_with(b"HEAD ")));
                }
                Err(_) => return false,
            }
        }
        self.give()
    }

    /// Takes the master's answer, if that is the one it waits for. Returns whether the connection is still needed.
    fn hear(&mut self, answer: &Answer) -> bool {
        match &self.state {
            State::Waiting(asked, number) if *number <= answer.number => {
                self.state = State::Taking(Response::to(asked, answer.status.as_ref()).bytes(asked.head_only));
                self.give()
            }
            _ => true,
        }
    }

    /// Writes what can be without waiting. Returns whether more is left.
    fn give(&mut self) -> bool {
        let State::Taking(left) = &mut self.state else { return true };
        while !left.is_empty() {
            match self.stream.write(left) {
                Ok(count) => drop(left.drain(..count)),
                Err(error) => return error.kind() == ErrorKind::WouldBlock,
            }
        }
        false
    }
}

impl Asking {
    /// Reads what is there. Returns what is asked, or what is answered at once, when that can be told.
    fn hear(&mut self, stream: &mut Stream, hosts: &Hosts) -> std::io::Result<Option<Result<Asked, Response>>> {
        let limits = Limits { section: HEAD_BYTES, ..Limits::default() };
        let mut buffer = [0; 1024];
        loop {
            match stream.read(&mut buffer) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                // What follows a head, were it the end of all that the client sends, changes nothing.
                Ok(count) => self.received.extend_from_slice(&buffer[..count]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
                Err(error) => return Err(error),
            }
            match self.parser.parse(&self.received, &limits) {
                Ok(None) => {}
                Ok(Some(head)) => return Ok(Some(asked(head, &self.received, hosts))),
                Err(reject) => return Ok(Some(Err(Response::refused(reject)))),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn no_master() -> Source {
        Source::new(Master::Socket("/nonexistent".into()), false).unwrap()
    }

    #[test]
    fn an_answer_that_fits_no_buffer_is_taken_piece_by_piece() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        let answer: Vec<u8> = (0..4_000_000_u32).map(|number| number.to_le_bytes()[1]).collect();
        let state = State::Taking(answer.clone());
        let mut client = Client { stream: Stream::Unix(ours), state, deadline: Instant::now() + PATIENCE };
        let (mut taken, mut piece) = (Vec::new(), vec![0; 100_000]);
        while client.serve(&no_master(), &Hosts::default()) {
            let count = theirs.read(&mut piece).unwrap();
            taken.extend_from_slice(&piece[..count]);
        }
        drop(client);
        theirs.read_to_end(&mut taken).unwrap();
        assert!(taken == answer, "{} of {} bytes arrived", taken.len(), answer.len());
    }

    #[test]
    fn a_head_without_end_is_not_read_for_ever() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        theirs.write_all(&[b'x'; HEAD_BYTES + 2048]).unwrap();
        let state = State::Asking(Box::default());
        let mut client = Client { stream: Stream::Unix(ours), state, deadline: Instant::now() + PATIENCE };
        assert!(!client.serve(&no_master(), &Hosts::default()));
    }

    #[test]
    fn accept_pauses_without_spinning_when_descriptors_run_out() {
        let address = Address::parse("127.0.0.1:0").unwrap();
        let listener = bind(&address, None).unwrap();
        let (mut gate, mut clients) = (AcceptGate::default(), Vec::new());
        let own = std::process::id().to_string();
        let limited = std::process::Command::new("prlimit").args(["--nofile=100:", "--pid", &own]).status().unwrap();
        assert!(limited.success());
        let _client = std::net::TcpStream::connect(listener.name()).unwrap();
        let all: Vec<_> = std::iter::from_fn(|| std::fs::File::open("/dev/null").ok()).collect();
        accept(&listener, &mut gate, &mut clients, &no_master(), &Hosts::default());
        assert!(clients.is_empty() && gate.watched(&listener).is_none(), "it is not waited for");
        assert!(gate.longest_wait_ns().is_some(), "it is tried again");
        drop(all);
        accept(&listener, &mut gate, &mut clients, &no_master(), &Hosts::default());
        assert!(clients.len() == 1 && gate.watched(&listener).is_some() && gate.longest_wait_ns().is_none());
    }

    /// A listener with its clients, and both ends of them.
    struct Crowd {
        listener: Listener,
        gate: AcceptGate,
        clients: Vec<Client>,
        theirs: Vec<std::net::TcpStream>,
    }

    impl Crowd {
        fn new() -> Self {
            let listener = bind(&Address::parse("127.0.0.1:0").unwrap(), None).unwrap();
            Self { listener, gate: AcceptGate::default(), clients: Vec::new(), theirs: Vec::new() }
        }

        fn connect(&mut self, text: &str) -> std::net::SocketAddr {
            let mut client = std::net::TcpStream::connect(self.listener.name()).unwrap();
            client.write_all(text.as_bytes()).unwrap();
            self.theirs.push(client);
            self.theirs.last().unwrap().local_addr().unwrap()
        }

        fn accept(&mut self) {
            accept(&self.listener, &mut self.gate, &mut self.clients, &no_master(), &Hosts::default());
        }

        /// More than the kernel keeps waiting.
        fn flood(&mut self, count: usize, text: &str) {
            for _ in 0..count {
                self.connect(text);
                self.accept();
            }
        }

        fn has(&self, client: std::net::SocketAddr) -> bool {
            self.clients.iter().any(|there| there.stream.peer() == Some(client))
        }
    }

    #[test]
    fn silent_connections_push_out_none_that_has_asked() {
        let mut crowd = Crowd::new();
        crowd.connect("GET /nowhere HTTP/1.1\r\nHost: localhost\r\n\r\n");
        for _ in 0..100 {
            crowd.connect("");
        }
        crowd.accept();
        let mut answer = String::new();
        crowd.theirs[0].read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 404 "), "{answer}");
        crowd.flood(CLIENTS, "");
        assert_eq!(crowd.clients.len(), CLIENTS);
    }

    #[test]
    fn a_refused_head_request_gets_no_content() {
        let mut crowd = Crowd::new();
        crowd.connect("HEAD /nowhere HTTP/1.1\r\nHost: localhost\r\n\r\n");
        crowd.accept();
        let mut answer = String::new();
        crowd.theirs[0].read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 404 ") && answer.ends_with("\r\n\r\n"), "{answer}");
    }

    #[test]
    fn pieces_of_heads_push_out_neither_newcomers_nor_those_that_wait_for_the_master() {
        let mut crowd = Crowd::new();
        let waits = crowd.connect("GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n");
        crowd.flood(CLIENTS, "G");
        let newcomer = crowd.connect("");
        crowd.flood(CLIENTS / 2, "G");
        assert!(crowd.has(waits) && crowd.has(newcomer));
        crowd.flood(CLIENTS, "G");
        assert!(crowd.has(waits) && !crowd.has(newcomer), "it had its time");
    }

    #[test]
    fn when_all_wait_for_the_master_the_others_wait_outside() {
        let mut crowd = Crowd::new();
        crowd.flood(CLIENTS, "GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n");
        let last = crowd.connect("GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n");
        crowd.accept();
        assert!(!has_room(&crowd.clients) && !crowd.has(last));
        let answer = Answer { number: 1, status: None };
        crowd.clients.retain_mut(|client| client.hear(&answer));
        crowd.accept();
        assert!(crowd.has(last));
        let mut text = String::new();
        crowd.theirs[0].read_to_string(&mut text).unwrap();
        assert!(text.starts_with("HTTP/1.1 503 "), "{text}");
    }
}
