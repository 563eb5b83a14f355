//! The loop. One request per connection, a few connections at a time, each with a deadline: nobody can keep it busy.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::Value;
use sys::listener::{Address, Listener};

use crate::answer;

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
/// How long another admin process may still hold the address.
const BIND_PATIENCE: Duration = Duration::from_secs(10);

/// What to serve.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where to listen.
    pub listen: String,
    /// The master's control socket.
    pub control: PathBuf,
    /// Whether standard input is a pipe from the master, whose end is the end of this process.
    pub with_parent: bool,
}

/// Serves until the master is gone. Returns the exit status.
///
/// # Errors
/// The address cannot be bound.
pub fn run(options: &Options) -> Result<u8, String> {
    if let Some(title) = sys::title::Title::claim() {
        title.set(&format!("licorne admin {}", options.listen));
    }
    let address = Address::parse(&options.listen).map_err(|error| error.chain())?;
    let listener = bind(&address)?;
    let mut clients: Vec<Client> = Vec::new();
    let mut leave_at = None;
    let stdin = std::io::stdin();
    loop {
        let watched = options.with_parent && leave_at.is_none();
        let mut readers: Vec<BorrowedFd<'_>> = vec![listener.as_fd()];
        readers.extend(clients.iter().map(|client| client.stream.as_fd()));
        if watched {
            readers.push(stdin.as_fd());
        }
        let deadline = clients.iter().map(|client| client.deadline).chain(leave_at).min();
        let left = deadline.map(|at| at.saturating_duration_since(Instant::now()));
        let left = left.map(|left| u64::try_from(left.as_nanos()).unwrap_or(u64::MAX));
        let ready = sys::poll::wait(&readers, &[], left).map_err(|error| error.chain())?;
        if watched && ready.last() == Some(&true) {
            leave_at = Some(Instant::now() + OVERLAP);
        }
        let gone = leave_at.is_some_and(|at| Instant::now() >= at || ask(&options.control).is_none());
        if gone {
            if let (Address::Unix(path), None) = (&address, ask(&options.control)) {
                let _ = std::fs::remove_file(path);
            }
            return Ok(0);
        }
        let mut flags = ready.iter().copied().skip(1);
        clients.retain_mut(|client| !flags.next().unwrap_or(false) || client.serve(&options.control));
        clients.retain(|client| Instant::now() < client.deadline);
        if ready.first() == Some(&true) {
            accept(&listener, &mut clients);
        }
    }
}

/// Binds beside another admin process where that is possible (TCP), else waits until it is gone.
fn bind(address: &Address) -> Result<Listener, String> {
    let options = sys::listener::Options {
        reuseport: true,
        tcp_defer_accept: 0,
        backlog: Some(128),
        ..sys::listener::Options::default()
    };
    let deadline = Instant::now() + BIND_PATIENCE;
    loop {
        match Listener::bind(address, &options) {
            Ok(listener) => return Ok(listener),
            Err(error) if sys::listener::in_use(&error) && Instant::now() < deadline => {
                sys::poll::wait(&[], &[], Some(100_000_000)).map_err(|error| error.chain())?;
            }
            Err(error) => return Err(error.chain()),
        }
    }
}

struct Client {
    stream: Stream,
    received: Vec<u8>,
    deadline: Instant,
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

    fn write_all(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.write_all(bytes),
            Self::Unix(stream) => stream.write_all(bytes),
        }
    }
}

fn accept(listener: &Listener, clients: &mut Vec<Client>) {
    while let Some(stream) = accept_one(listener) {
        if clients.len() >= CLIENTS {
            clients.remove(0);
        }
        clients.push(Client { stream, received: Vec::new(), deadline: Instant::now() + PATIENCE });
    }
}

fn accept_one(listener: &Listener) -> Option<Stream> {
    let copy: OwnedFd = listener.as_fd().try_clone_to_owned().ok()?;
    if listener.is_unix() {
        let (stream, _) = UnixListener::from(copy).accept().ok()?;
        stream.set_nonblocking(true).ok()?;
        Some(Stream::Unix(stream))
    } else {
        let (stream, _) = TcpListener::from(copy).accept().ok()?;
        stream.set_nonblocking(true).ok()?;
        Some(Stream::Tcp(stream))
    }
}

impl Client {
    /// Reads; answers a request that is whole. Returns whether the connection is still needed.
    fn serve(&mut self, control: &Path) -> bool {
        let mut buffer = [0; 1024];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => return false,
                Ok(count) => self.received.extend_from_slice(&buffer[..count]),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => break,
                Err(_) => return false,
            }
            if self.received.len() > HEAD_BYTES {
                return false;
            }
        }
        let whole = self.received.windows(4).any(|end| end == b"\r\n\r\n");
        if whole {
            let head = String::from_utf8_lossy(&self.received);
            let (response, head_only) = answer::answer(&head, || ask(control));
            // A response is smaller than any socket's buffer: who does not take it at once gets no more.
            let _ = self.stream.write_all(&response.bytes(head_only));
        }
        !whole
    }
}

/// The master's status; `None` when it does not answer.
fn ask(control: &Path) -> Option<Value> {
    let mut stream = UnixStream::connect(control).ok()?;
    stream.set_read_timeout(Some(MASTER_PATIENCE)).ok()?;
    stream.write_all(b"{\"command\":\"status\"}\n").ok()?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).ok()?;
    let mut answer: Value = serde_json::from_str(&line).ok()?;
    answer.as_object_mut()?.remove("answer")?;
    Some(answer)
}
