//! Which sockets the server listens on, and whose they are.
//!
//! Each generation holds the list that its configuration asks for; a socket that two generations share is one socket.
//! It is closed when nobody's list has it any more, so a reload that fails closes just what it had bound.

use std::rc::Rc;

use sys::listener::{Address, Listener, Options, in_use};

use crate::log::Log;
use crate::settings::Settings;

/// A socket of the server, and the address that it was asked for under (`127.0.0.1:0` is bound to some other port).
#[derive(Debug)]
pub(crate) struct Bound {
    pub(crate) socket: Listener,
    asked: Option<Address>,
}

/// The listeners of one generation, in binding order.
pub(crate) type Listeners = Vec<Rc<Bound>>;

/// Sockets that were passed to this process at its start.
#[derive(Debug, Default)]
pub(crate) struct Inherited {
    /// From systemd (`LISTEN_FDS`): kept whatever the configuration says, since the supervisor holds them anyway.
    pub(crate) activated: Listeners,
    /// From the master before this one (`UNICORN_FD`): kept until a reload does not ask for them.
    pub(crate) handed_over: Listeners,
}

impl Inherited {
    /// Adopts what `LISTEN_FDS` and `UNICORN_FD` announce, and logs each.
    ///
    /// # Errors
    /// A number that is no listening socket.
    pub(crate) fn from_environment(log: &Log) -> Result<Self, String> {
        let own = sys::process::own_pid().to_string();
        let mut inherited = Self::default();
        let handed_over = std::env::var("UNICORN_FD").unwrap_or_default();
        for number in handed_over.split(',').filter(|text| !text.is_empty()) {
            let fd = number.parse().map_err(|_| format!("UNICORN_FD={handed_over}: {number} is no number"))?;
            inherited.handed_over.push(adopt(fd, log)?);
        }
        if std::env::var("LISTEN_PID").is_ok_and(|pid| pid == own) {
            let count: i32 = std::env::var("LISTEN_FDS").ok().and_then(|text| text.parse().ok()).unwrap_or(0);
            for fd in 3..3 + count {
                inherited.activated.push(adopt(fd, log)?);
            }
        }
        Ok(inherited)
    }

    /// The names of all of them.
    pub(crate) fn names(&self) -> Vec<String> {
        self.activated.iter().chain(&self.handed_over).map(|bound| bound.socket.name().to_string()).collect()
    }
}

/// Makes the list that `settings` ask for: sockets there are already are used again, the others are bound.
///
/// `present` are the lists of living generations. At boot an address in use is tried again as the options say, while
/// `wait` (seconds) returns true.
///
/// # Errors
/// An address that cannot be bound, after it was logged.
pub(crate) fn prepare(
    settings: &Settings,
    inherited: &Inherited,
    present: &[Rc<Bound>],
    log: &Log,
    mut wait: impl FnMut(f64) -> bool,
) -> Result<Listeners, String> {
    let mut wanted: Listeners = inherited.activated.clone();
    for (text, options) in &settings.listeners {
        let address = Address::parse(text).map_err(|error| {
            log.fatal(format_args!("error adding listener addr={text}"));
            format!("{} (ArgumentError)", error.chain())
        })?;
        let bound = match present.iter().chain(&inherited.handed_over).chain(&wanted).find(|b| b.serves(&address)) {
            Some(bound) => Rc::clone(bound),
            None => Rc::new(bind(address, options, log, &mut wait)?),
        };
        for error in bound.socket.apply(options) {
            log.error(format_args!("{} {}", bound.socket.name(), error.chain()));
        }
        if options.rcvbuf.is_some() || options.sndbuf.is_some() {
            let (receive, send) = bound.socket.buffers();
            log.info(format_args!(" after: {} rcvbuf={receive} sndbuf={send}", bound.socket.name()));
        }
        if !wanted.iter().any(|other| Rc::ptr_eq(other, &bound)) {
            wanted.push(bound);
        }
    }
    Ok(wanted)
}

impl Bound {
    /// The version of the PROXY protocol that these settings want on this socket; empty when there is none.
    pub(crate) fn proxy(&self, settings: &Settings) -> String {
        let wanted =
            settings.proxies.iter().find(|(text, _)| Address::parse(text).is_ok_and(|address| self.is_at(&address)));
        wanted.map(|(_, version)| version.clone()).unwrap_or_default()
    }

    fn is_at(&self, address: &Address) -> bool {
        self.asked.as_ref() == Some(address) || self.socket.name() == address.to_string()
    }

    pub(crate) fn new(socket: Listener, asked: Option<Address>) -> Self {
        Self { socket, asked }
    }

    /// The address that it was asked for under; `None` for one that was passed to this process.
    pub(crate) fn asked(&self) -> Option<&Address> {
        self.asked.as_ref()
    }

    fn serves(&self, address: &Address) -> bool {
        // A UNIX socket whose file was removed reaches nobody: it is bound anew.
        self.is_at(address) && self.socket.path_exists()
    }
}

fn adopt(fd: i32, log: &Log) -> Result<Rc<Bound>, String> {
    let socket = Listener::adopt(fd).map_err(|error| format!("{} (Errno::EBADF)", error.chain()))?;
    log.info(format_args!("inherited addr={} fd={fd}", socket.name()));
    for error in socket.apply(&Options::default()) {
        log.error(format_args!("{} {}", socket.name(), error.chain()));
    }
    Ok(Rc::new(Bound { socket, asked: None }))
}

fn bind(address: Address, options: &Options, log: &Log, wait: &mut impl FnMut(f64) -> bool) -> Result<Bound, String> {
    let mut left = options.tries;
    loop {
        match Listener::bind(&address, options) {
            Ok(socket) => {
                let number = std::os::fd::AsRawFd::as_raw_fd(&std::os::fd::AsFd::as_fd(&socket));
                log.info(format_args!("listening on addr={} fd={number}", socket.name()));
                return Ok(Bound { socket, asked: Some(address) });
            }
            Err(error) if in_use(&error) => {
                log.error(format_args!("adding listener failed addr={address} (in use)"));
                let tries = if left < 0 { "infinite".to_string() } else { (left - 1).max(0).to_string() };
                if left == 0 || !wait(options.delay) {
                    return Err(format!("Address already in use - bind(2) for {address} (Errno::EADDRINUSE)"));
                }
                log.error(format_args!("retrying in {} seconds ({tries} tries left)", options.delay));
                left -= i64::from(left > 0);
            }
            Err(error) => {
                log.fatal(format_args!("error adding listener addr={address}"));
                return Err(error.chain());
            }
        }
    }
}
