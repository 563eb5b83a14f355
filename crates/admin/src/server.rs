//! The loop. One request per connection, a few connections at a time, each with a deadline: no client can keep it busy.
//!
//! While clients look on at `/events`, the master is asked once a second; otherwise nothing wakes this process up.

use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

use sys::accept_gate::AcceptGate;
use sys::listener::{Address, Listener};
use sys::stdio::complain;
use sys::user::User;

use crate::client::{Client, Stream};
use crate::events::{self, Events};
use crate::hosts::Hosts;
use crate::listen::{become_nobody, bind, own_parent, tidy_up};
use crate::source::{self, About, Heard, Master, Source};

/// More clients at once push out the one that has taken longest to ask.
const CLIENTS: usize = 256;
/// More clients do not look on at once.
const LOOKERS: usize = 16;
/// How long to go on when the pipe to the master has ended while it answers still: it has executed a new program in its
/// place, which starts an admin process of its own.
const OVERLAP: Duration = Duration::from_secs(2);
/// The exit status when the address cannot be had.
const NO_ADDRESS: u8 = 3;

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
    let mut events = Events::new(format!("{:x}", events::now_ms()));
    source.ask(About::Status, Instant::now());
    let (mut gate, mut clients) = (AcceptGate::default(), Vec::<Client>::new());
    let mut leave_at = None;
    loop {
        serve(&mut clients, &listener, &mut gate, &source, &hosts, leave_at)?;
        accept(&listener, &mut gate, &mut clients, &source, &hosts);
        admit(&mut clients);
        let pause = pause(&clients);
        if pause.is_some_and(|pause| source.may_be_asked(pause, Instant::now())) {
            let is_awaited = clients.iter().any(Client::waits);
            let about = if !is_awaited && events.wants_deaths() { About::Deaths } else { About::Status };
            source.ask(about, Instant::now());
        }
        while let Some(heard) = source.hear(Instant::now()) {
            match heard {
                Heard::Status(answer) => {
                    events.hear(&answer, Instant::now());
                    clients.retain_mut(|client| client.hear(&answer));
                }
                Heard::Deaths(deaths) => events.hear_deaths(deaths),
            }
        }
        clients.retain_mut(|client| client.tell(&events));
        clients.retain(|client| client.deadline().is_none_or(|at| Instant::now() < at));
        if leave_at.is_none() && source.has_ended() {
            leave_at = Some(Instant::now() + OVERLAP);
        }
        if let Some(at) = leave_at {
            if own_parent() != parent {
                tidy_up(&address);
                return Ok(0);
            }
            // The clients that had come by now have their answers; those that look on connect to the next process.
            if Instant::now() >= at && clients.iter().all(Client::looks) {
                return Ok(0);
            }
        }
    }
}

/// How soon after one question the clients need the next, if they do.
fn pause(clients: &[Client]) -> Option<Duration> {
    let waits = clients.iter().any(Client::waits).then_some(source::PAUSE);
    waits.or_else(|| clients.iter().any(Client::looks).then_some(events::PAUSE))
}

/// Waits until something can be done, and does what clients can.
fn serve(
    clients: &mut Vec<Client>,
    listener: &Listener,
    gate: &mut AcceptGate,
    source: &Source,
    hosts: &Hosts,
    leave_at: Option<Instant>,
) -> Result<(), String> {
    let mut readers: Vec<BorrowedFd<'_>> = source.readable().into_iter().collect();
    readers.extend(gate.watched(listener).filter(|_| has_room(clients)));
    let before_clients = readers.len();
    readers.extend(clients.iter().filter(|client| client.is_read()).map(|client| client.stream.as_fd()));
    let writers: Vec<_> =
        clients.iter().filter(|client| client.is_written()).map(|client| client.stream.as_fd()).collect();
    let leaving = leave_at.filter(|_| clients.iter().all(Client::looks));
    let deadlines = clients.iter().filter_map(Client::deadline).chain(leaving).chain(source.deadline(pause(clients)));
    let left = deadlines.min().map(|at| at.saturating_duration_since(Instant::now()));
    let left = left.map(|left| u64::try_from(left.as_nanos()).unwrap_or(u64::MAX));
    let left = left.into_iter().chain(gate.longest_wait_ns()).min();
    let ready = sys::poll::wait(&readers, &writers, left).map_err(|error| error.chain())?;
    let (readable, writable) = ready.split_at(readers.len());
    let (mut readable, mut writable) = (readable.iter().skip(before_clients), writable.iter());
    clients.retain_mut(|client| {
        let can_read = client.is_read() && readable.next() == Some(&true);
        let can_write = client.is_written() && writable.next() == Some(&true);
        !(can_read || can_write) || client.serve(source, hosts)
    });
    Ok(())
}

fn without_address(listen: &str, why: &str) -> u8 {
    complain(format_args!("licorne admin: cannot listen on {listen}: {why}"));
    NO_ADDRESS
}

/// Whether one more client can be let in: those that wait for the master's answer, and those that look on, keep their
/// places.
fn has_room(clients: &[Client]) -> bool {
    clients.len() < CLIENTS || clients.iter().any(|client| client.asks() || client.takes())
}

/// Lets those look on that want to, as many as may.
fn admit(clients: &mut Vec<Client>) {
    let mut places = LOOKERS.saturating_sub(clients.iter().filter(|client| client.looks()).count());
    clients.retain_mut(|client| {
        if !client.comes() {
            return true;
        }
        if places == 0 {
            return client.refuse();
        }
        places -= 1;
        client.admit();
        true
    });
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
        let mut client = Client::new(stream);
        // Most have asked by now: a flood of silent ones behind them pushes none of these out.
        if client.serve(source, hosts) {
            clients.push(client);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use super::*;
    use crate::source::Answer;

    fn no_master() -> Source {
        Source::new(Master::Socket("/nonexistent".into()), false).unwrap()
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

    #[test]
    fn more_clients_than_may_look_on_are_told_so_and_the_others_keep_their_places() {
        let mut crowd = Crowd::new();
        let first = crowd.connect("GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n");
        for _ in 0..LOOKERS {
            crowd.connect("GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n");
        }
        crowd.accept();
        admit(&mut crowd.clients);
        assert_eq!(crowd.clients.iter().filter(|client| client.looks()).count(), LOOKERS);
        let mut text = String::new();
        crowd.theirs[LOOKERS].read_to_string(&mut text).unwrap();
        assert!(text.starts_with("HTTP/1.1 503 ") && text.contains("\r\nRetry-After: 5\r\n"), "{text}");
        crowd.flood(2 * CLIENTS, "G");
        assert!(crowd.has(first));
        assert_eq!(pause(&crowd.clients), Some(events::PAUSE));
        crowd.clients.retain(|client| !client.looks());
        assert_eq!(pause(&crowd.clients), None, "nothing wakes up for clients that only ask");
    }
}
