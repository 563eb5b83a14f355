//! Signals as a queue that can be polled.
//!
//! Handlers only write to a pipe; each delivered instance is kept (twenty `SIGTTIN` are twenty). See signal(7),
//! pipe(7), "self-pipe".

use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

use signal_hook::consts as n;
use signal_hook::iterator::backend::SignalDelivery;
use signal_hook::iterator::exfiltrator::origin::WithOrigin;

use crate::{Error, Result};

/// The signals that a master listens to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Signal {
    Quit,
    Term,
    Int,
    Hup,
    Usr1,
    Usr2,
    Ttin,
    Ttou,
    Winch,
    Chld,
}

impl Signal {
    const ALL: [Self; 10] = [
        Self::Quit,
        Self::Term,
        Self::Int,
        Self::Hup,
        Self::Usr1,
        Self::Usr2,
        Self::Ttin,
        Self::Ttou,
        Self::Winch,
        Self::Chld,
    ];

    /// Its name, `SIGQUIT`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Quit => "SIGQUIT",
            Self::Term => "SIGTERM",
            Self::Int => "SIGINT",
            Self::Hup => "SIGHUP",
            Self::Usr1 => "SIGUSR1",
            Self::Usr2 => "SIGUSR2",
            Self::Ttin => "SIGTTIN",
            Self::Ttou => "SIGTTOU",
            Self::Winch => "SIGWINCH",
            Self::Chld => "SIGCHLD",
        }
    }

    /// The signal of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|signal| signal.name() == name)
    }
}

/// The numbers of all of them.
const HEARD: [i32; 10] = [
    n::SIGQUIT,
    n::SIGTERM,
    n::SIGINT,
    n::SIGHUP,
    n::SIGUSR1,
    n::SIGUSR2,
    n::SIGTTIN,
    n::SIGTTOU,
    n::SIGWINCH,
    n::SIGCHLD,
];

/// The queue.
#[derive(Debug)]
pub struct Signals {
    delivery: SignalDelivery<UnixStream, WithOrigin>,
}

/// A signal and the process that sent it, where the kernel tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delivered {
    /// The signal.
    pub signal: Signal,
    /// The sender's process id (0 or absent: the kernel).
    pub sender: Option<u32>,
}

/// Runs `start` with all signals blocked in this thread, for threads that it starts: those never handle any.
/// See pthread_sigmask(3).
pub fn without_signals<T>(start: impl FnOnce() -> T) -> T {
    let before = nix::sys::signal::SigSet::all().thread_swap_mask(nix::sys::signal::SigmaskHow::SIG_SETMASK);
    let started = start();
    if let Ok(before) = before {
        let _ = before.thread_set_mask();
    }
    started
}

/// Has the signals of a master act by default again. Call it when no [`Signals`] is left.
pub fn stop_listening() {
    use nix::sys::signal::{SigHandler, Signal as Number, signal};
    for number in HEARD.into_iter().filter_map(|number| Number::try_from(number).ok()) {
        // SAFETY: the default is no handler of ours.
        let _ = unsafe { signal(number, SigHandler::SigDfl) };
    }
}

impl Signals {
    /// Installs the handlers of a master.
    ///
    /// # Errors
    /// No descriptors left.
    pub fn listen() -> Result<Self> {
        let (read, write) = UnixStream::pair().map_err(Error::call("socketpair"))?;
        let delivery =
            SignalDelivery::with_pipe(read, write, WithOrigin::default(), HEARD).map_err(Error::call("sigaction"))?;
        Ok(Self { delivery })
    }

    /// Takes everything that has been delivered, in the order of signal numbers, without waiting.
    pub fn take(&mut self) -> Vec<Delivered> {
        self.delivery
            .pending()
            .filter_map(|origin| {
                let signal = match origin.signal {
                    n::SIGQUIT => Signal::Quit,
                    n::SIGTERM => Signal::Term,
                    n::SIGINT => Signal::Int,
                    n::SIGHUP => Signal::Hup,
                    n::SIGUSR1 => Signal::Usr1,
                    n::SIGUSR2 => Signal::Usr2,
                    n::SIGTTIN => Signal::Ttin,
                    n::SIGTTOU => Signal::Ttou,
                    n::SIGWINCH => Signal::Winch,
                    n::SIGCHLD => Signal::Chld,
                    _ => return None,
                };
                Some(Delivered { signal, sender: origin.process.map(|p| p.pid.cast_unsigned()) })
            })
            .collect()
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.delivery.get_read().as_fd()
    }
}
