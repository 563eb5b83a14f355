//! The loop. One request per connection, a few connections at a time, each with a deadline: nobody can keep it busy.

use std::cell::RefCell;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::Value;
use sys::door::Door;
use sys::listener::{Address, Listener};
use sys::stdio::complain;
use sys::user::User;

use crate::answer;

/// Users that own nothing, in the order in which they are tried.
const USERS: [&str; 3] = ["nobody", "daemon", "bin"];
/// The longest head that is read, in bytes.
const HEAD_BYTES: usize = 8192;
/// More clients at once push the oldest out.
const CLIENTS: usize = 64;
/// How long a client may take to ask.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long the master may take to answer before it counts as dead.
const MASTER_PATIENCE: Duration = Duration::from_secs(2);
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
}

/// Where the master is asked for its status.
#[derive(Clone, Debug)]
pub enum Master {
    /// On its control socket.
    Socket(PathBuf),
    /// On standard input, a socket pair on which it tells nothing else; its end is the end of this process.
    Parent,
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
    let with_parent = matches!(options.master, Master::Parent);
    let parent = own_parent();
    let master = &Source::new(options.master.clone());
    let _ = master.ask();
    let (mut door, mut clients) = (Door::default(), Vec::<Client>::new());
    let mut leave_at = None;
    let stdin = std::io::stdin();
    loop {
        let watched = with_parent && leave_at.is_none();
        let mut readers: Vec<BorrowedFd<'_>> = watched.then(|| stdin.as_fd()).into_iter().collect();
        readers.extend(door.watched(&listener));
        let before_clients = readers.len();
        readers.extend(clients.iter().filter(|client| client.asks()).map(|client| client.stream.as_fd()));
        let takers: Vec<_> =
            clients.iter().filter(|client| !client.asks()).map(|client| client.stream.as_fd()).collect();
        let leaving = leave_at.filter(|_| clients.is_empty());
        let deadline = clients.iter().map(|client| client.deadline).chain(leaving).min();
        let left = deadline.map(|at| at.saturating_duration_since(Instant::now()));
        let left = left.map(|left| u64::try_from(left.as_nanos()).unwrap_or(u64::MAX));
        let left = left.into_iter().chain(door.longest_wait_ns()).min();
        let ready = sys::poll::wait(&readers, &takers, left).map_err(|error| error.chain())?;
        let (readable, writable) = ready.split_at(readers.len());
        if watched && ready.first() == Some(&true) {
            leave_at = Some(Instant::now() + OVERLAP);
        }
        if let Some(at) = leave_at {
            let alone = own_parent() != parent;
            if alone {
                tidy_up(&address);
                return Ok(0);
            }
            // Whoever has come by now is answered before.
            accept(&listener, &mut door, &mut clients, master);
            if Instant::now() >= at && clients.is_empty() {
                return Ok(0);
            }
        }
        let (mut readable, mut writable) = (readable.iter().skip(before_clients), writable.iter());
        clients.retain_mut(|client| {
            let ready = if client.asks() { readable.next() } else { writable.next() };
            ready != Some(&true) || client.serve(master)
        });
        clients.retain(|client| Instant::now() < client.deadline);
        accept(&listener, &mut door, &mut clients, master);
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
        && sys::listener::who_listens(path) == Some(sys::process::own_pid())
    {
        let _ = std::fs::remove_file(path);
    }
}

/// Whether the one that listens there has the same parent: then it is about to leave, and this one takes its place.
fn is_predecessor(path: &Path) -> bool {
    let parent = |pid| sys::table::process(pid).map(|process| process.parent);
    let other = sys::listener::who_listens(path).and_then(parent);
    other.is_some() && other == parent(sys::process::own_pid())
}

/// Binds beside another admin process (TCP) or in its place, else waits until whoever is there has gone.
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
    Asking(Vec<u8>),
    /// It has this much of its answer still to take.
    Taking(Vec<u8>),
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

fn accept(listener: &Listener, door: &mut Door, clients: &mut Vec<Client>, master: &Source) {
    while let Some(stream) = door.let_in(listener) {
        let stream = if listener.is_unix() { Stream::Unix(stream.into()) } else { Stream::Tcp(stream.into()) };
        if clients.len() >= CLIENTS {
            // The one that has been silent for longest; those that have said something are about to be answered.
            let idle = |client: &Client| matches!(&client.state, State::Asking(received) if received.is_empty());
            clients.remove(clients.iter().position(idle).unwrap_or(0));
        }
        let mut client = Client { stream, state: State::Asking(Vec::new()), deadline: Instant::now() + PATIENCE };
        // Most have asked by now: a flood of silent ones behind them pushes none of these out.
        if client.serve(master) {
            clients.push(client);
        }
    }
}

impl Client {
    /// Whether it has not asked yet, and is read from.
    fn asks(&self) -> bool {
        matches!(self.state, State::Asking(_))
    }

    /// Reads, or writes, what can be without waiting. Returns whether the connection is still needed.
    fn serve(&mut self, master: &Source) -> bool {
        if let State::Asking(received) = &mut self.state {
            match hear(&mut self.stream, received) {
                Ok(true) => {
                    let (response, head_only) = answer::answer(&String::from_utf8_lossy(received), || master.ask());
                    self.state = State::Taking(response.bytes(head_only));
                }
                Ok(false) => return true,
                Err(_) => return false,
            }
        }
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

/// Reads what is there. Returns whether the head is whole.
fn hear(stream: &mut Stream, received: &mut Vec<u8>) -> std::io::Result<bool> {
    let mut buffer = [0; 1024];
    while received.len() <= HEAD_BYTES {
        match stream.read(&mut buffer) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(count) => {
                received.extend_from_slice(&buffer[..count]);
                // What follows it, were it the end of all that the client sends, changes nothing.
                if received.windows(4).any(|end| end == b"\r\n\r\n") {
                    return Ok(true);
                }
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
            Err(error) => return Err(error),
        }
    }
    Err(ErrorKind::FileTooLarge.into())
}

/// Asks the master, and keeps what it said last.
struct Source {
    master: Master,
    last: RefCell<Option<Value>>,
}

impl Source {
    fn new(master: Master) -> Self {
        Self { master, last: RefCell::new(None) }
    }

    /// The master's status; `None` when it does not answer. While a master executes another program it is what the old one
    /// said last.
    fn ask(&self) -> Option<Value> {
        let mut stream = match &self.master {
            Master::Socket(path) => sys::listener::connect(path).ok()?,
            Master::Parent => UnixStream::from(std::io::stdin().as_fd().try_clone_to_owned().ok()?),
        };
        // An answer that came too late is not that to this question.
        stream.set_nonblocking(true).ok()?;
        while matches!(stream.read(&mut [0; 4096]), Ok(1..)) {}
        stream.set_nonblocking(false).ok()?;
        stream.set_read_timeout(Some(MASTER_PATIENCE)).ok()?;
        let mut line = String::new();
        let asked = stream.write_all(b"{\"command\":\"status\"}\n");
        match asked.and_then(|()| BufReader::new(stream).read_line(&mut line)) {
            Ok(1..) => {}
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => return None,
            // The end; or a reset, when the question was there and not read.
            Ok(0) | Err(_) => return self.last.borrow().clone().filter(|_| matches!(self.master, Master::Parent)),
        }
        let mut answer: Value = serde_json::from_str(&line).ok()?;
        answer.as_object_mut()?.remove("answer")?;
        *self.last.borrow_mut() = Some(answer.clone());
        Some(answer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_that_fits_no_buffer_is_taken_piece_by_piece() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        let answer: Vec<u8> = (0..4_000_000_u32).map(|number| number.to_le_bytes()[1]).collect();
        let state = State::Taking(answer.clone());
        let mut client = Client { stream: Stream::Unix(ours), state, deadline: Instant::now() + PATIENCE };
        let (mut taken, mut piece) = (Vec::new(), vec![0; 100_000]);
        let nobody = &Source::new(Master::Socket("/nonexistent".into()));
        while client.serve(nobody) {
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
        let state = State::Asking(Vec::new());
        let mut client = Client { stream: Stream::Unix(ours), state, deadline: Instant::now() + PATIENCE };
        assert!(!client.serve(&Source::new(Master::Socket("/nonexistent".into()))));
    }

    #[test]
    fn who_cannot_be_let_in_waits_and_keeps_nobody_busy() {
        let address = Address::parse("127.0.0.1:0").unwrap();
        let listener = bind(&address, None).unwrap();
        let (mut door, mut clients) = (Door::default(), Vec::new());
        let own = std::process::id().to_string();
        let limited = std::process::Command::new("prlimit").args(["--nofile=100:", "--pid", &own]).status().unwrap();
        assert!(limited.success());
        let _client = std::net::TcpStream::connect(listener.name()).unwrap();
        let all: Vec<_> = std::iter::from_fn(|| std::fs::File::open("/dev/null").ok()).collect();
        accept(&listener, &mut door, &mut clients, &Source::new(Master::Socket("/nonexistent".into())));
        assert!(clients.is_empty() && door.watched(&listener).is_none(), "it is not waited for");
        assert!(door.longest_wait_ns().is_some(), "it is tried again");
        drop(all);
        accept(&listener, &mut door, &mut clients, &Source::new(Master::Socket("/nonexistent".into())));
        assert!(clients.len() == 1 && door.watched(&listener).is_some() && door.longest_wait_ns().is_none());
    }

    #[test]
    fn silent_connections_push_out_none_that_has_asked() {
        let listener = bind(&Address::parse("127.0.0.1:0").unwrap(), None).unwrap();
        let connect = || std::net::TcpStream::connect(listener.name()).unwrap();
        let mut first = connect();
        first.write_all(b"GET /nowhere HTTP/1.1\r\n\r\n").unwrap();
        let _silent: Vec<_> = (0..CLIENTS + 10).map(|_| connect()).collect();
        let (mut door, mut clients) = (Door::default(), Vec::new());
        accept(&listener, &mut door, &mut clients, &Source::new(Master::Socket("/nonexistent".into())));
        let mut answer = String::new();
        first.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 404 "), "{answer}");
        assert_eq!(clients.len(), CLIENTS);
    }
}
