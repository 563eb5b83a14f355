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

/// A signal that this program hears or sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
#[allow(missing_docs)]
pub enum Signal {
    Quit = n::SIGQUIT,
    Term = n::SIGTERM,
    Int = n::SIGINT,
    Hup = n::SIGHUP,
    Usr1 = n::SIGUSR1,
    Usr2 = n::SIGUSR2,
    Ttin = n::SIGTTIN,
    Ttou = n::SIGTTOU,
    Winch = n::SIGWINCH,
    Chld = n::SIGCHLD,
    /// Sent only.
    Kill = n::SIGKILL,
    /// Sent only: has a worker report its request. Ignored by default.
    Urg = n::SIGURG,
}

/// Those that a program hears, which has [`Signals`].
const HEARD: [Signal; 10] = [
    Signal::Quit,
    Signal::Term,
    Signal::Int,
    Signal::Hup,
    Signal::Usr1,
    Signal::Usr2,
    Signal::Ttin,
    Signal::Ttou,
    Signal::Winch,
    Signal::Chld,
];

impl Signal {
    /// Its name, `SIGQUIT`.
    pub fn name(self) -> &'static str {
        self.numbered().as_str()
    }

    /// The signal of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        HEARD.into_iter().chain([Self::Kill, Self::Urg]).find(|signal| signal.name() == name)
    }

    fn numbered(self) -> nix::sys::signal::Signal {
        nix::sys::signal::Signal::try_from(self as i32).expect("each is a signal of Linux")
    }

    pub(crate) fn raw(self) -> rustix::process::Signal {
        rustix::process::Signal::from_named_raw(self as i32).expect("each is a signal of Linux")
    }
}

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
    for heard in HEARD {
        // SAFETY: the default is no handler of ours.
        let _ = unsafe { nix::sys::signal::signal(heard.numbered(), nix::sys::signal::SigHandler::SigDfl) };
    }
}

impl Signals {
    /// Installs the handlers of a master.
    ///
    /// # Errors
    /// No descriptors left.
    pub fn listen() -> Result<Self> {
        let (read, write) = UnixStream::pair().map_err(Error::call("socketpair"))?;
        let numbers = HEARD.map(|signal| signal as i32);
        let delivery =
            SignalDelivery::with_pipe(read, write, WithOrigin::default(), numbers).map_err(Error::call("sigaction"))?;
        Ok(Self { delivery })
    }

    /// Takes everything that has been delivered, in the order of signal numbers, without waiting.
    pub fn take(&mut self) -> Vec<Delivered> {
        self.delivery
            .pending()
            .filter_map(|origin| {
                let signal = HEARD.into_iter().find(|signal| *signal as i32 == origin.signal)?;
                Some(Delivered { signal, sender: origin.process.map(|p| p.pid as u32) })
            })
            .collect()
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.delivery.get_read().as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_signal_is_found_by_its_name() {
        for signal in HEARD.into_iter().chain([Signal::Kill, Signal::Urg]) {
            assert_eq!(signal.name(), format!("SIG{signal:?}").to_uppercase());
            assert_eq!(Signal::from_name(signal.name()), Some(signal));
            assert_eq!(signal.raw().as_raw(), signal as i32);
        }
        assert_eq!(Signal::from_name("SIGFOO"), None);
    }
}
