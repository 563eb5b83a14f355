//! Two masters in one unit of a service manager: which of them it is about, and how that changes.
//!
//! systemd follows one process, the unit's main process, and takes its end for the unit's. During an upgrade that is the
//! old master. It hands the unit over as its last act, to a new master that serves (`MAINPID=`): until then whatever
//! befalls the new one changes nothing, and from then on the new one is systemd's own child, watched and restarted.
//! The old one sends, since systemd believes nobody else (`NotifyAccess=main`), and the new one is started as a child of
//! systemd: a main process that is not its own it would kill without waiting (`KillMode=mixed`).
//!
//! | what happens | what follows |
//! |---|---|
//! | QUIT to the old master, the new one serves | the old one finishes, hands over, leaves |
//! | TERM or INT to the old one, `licorne stop` | the unit is meant: the new one is stopped too, and waited for |
//! | the new one dies before the old one is told to leave | nothing: the old one is the only master again |
//! | the new one dies while the old one leaves | the old one exits with 75, the manager starts another |
//! | the old one dies without having handed over | the new one leaves: the manager starts another |
//!
//! A new master that waits for its turn starts no other one, and is replaced by no other program: the master it waits for knows
//! only this one.
//!
//! Without a service manager nothing of this happens: the new master of an upgrade simply stays.
//!
//! Here is what is done; what is decided is in `supervisor::unit`.

use supervisor::Event;
use sys::channel::{Channel, Received};
use sys::signals::Signal;

use crate::shell::Shell;
use crate::upgrade::successor::Successor;

/// What the new master says when it serves.
const READY: &[u8] = b"ready";
/// The same, when its workers also take connections from the queue of the old one's.
const READY_TO_TAKE_OVER: &[u8] = b"ready, queue shared";
/// What the new master says when it does not serve, and why follows.
const FAILED: &[u8] = b"failed: ";
/// The longest reason that is told, in bytes: a backtrace, and no more than a datagram takes.
const REASON_BYTES: usize = 32_768;
/// What the old master says when it hands the unit over.
const YOURS: &[u8] = b"yours";

/// Where this master is in the succession, beside what the supervisor knows.
#[derive(Debug, Default)]
pub(crate) struct Succession {
    /// The master before this one, while it lives.
    pub(crate) origin: Option<Channel>,
}

/// Whether the successor has said that it serves, or is silent for ever.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    Ready {
        /// Whether its workers take connections from ours.
        takes_over: bool,
    },
    /// It does not serve, and this is why.
    Failed(String),
    Nothing,
    End,
}

/// Hears what a successor says.
pub(crate) fn hear(successor: &Channel) -> Heard {
    match successor.try_recv() {
        Ok(Received::Datagram(bytes, _)) if bytes == READY => Heard::Ready { takes_over: false },
        Ok(Received::Datagram(bytes, _)) if bytes == READY_TO_TAKE_OVER => Heard::Ready { takes_over: true },
        Ok(Received::Datagram(bytes, _)) => match bytes.strip_prefix(FAILED) {
            Some(reason) => Heard::Failed(String::from_utf8_lossy(reason).into_owned()),
            None => Heard::Nothing,
        },
        Ok(Received::Empty) => Heard::Nothing,
        Ok(Received::End) | Err(_) => Heard::End,
    }
}

impl Succession {
    /// The beginning of a master, and, of a successor, the way to the master before it.
    pub(crate) fn after(origin: Option<Channel>) -> Self {
        Self { origin }
    }

    /// Tells the master before this one that this one serves. One that is gone by now needs no telling.
    pub(crate) fn tell_ready(&self, takes_over: bool) {
        if let Some(origin) = &self.origin {
            let _ = origin.send(if takes_over { READY_TO_TAKE_OVER } else { READY }, &[]);
        }
    }

    /// Tells the master before this one why this one will not serve: who waits for the upgrade wants to know.
    pub(crate) fn tell_failed(&self, reason: &str) {
        if let Some(origin) = &self.origin {
            let reason = &reason.as_bytes()[..reason.len().min(REASON_BYTES)];
            let _ = origin.send(&[FAILED, reason].concat(), &[]);
        }
    }
}

impl Shell {
    /// Hears the master before this one.
    pub(crate) fn hear_origin(&mut self) {
        let Some(origin) = &self.succession.origin else { return };
        match origin.try_recv() {
            Ok(Received::Empty) => {}
            Ok(Received::Datagram(bytes, _)) if bytes == YOURS => {
                self.log.info("this master is the unit's main process now");
                self.notify.take_over();
                self.event(Event::HandedOver);
                let before = self.inherited.handed_over.clone();
                self.notify.store(&self.listeners, &before, &self.log);
            }
            Ok(Received::Datagram(..)) => {}
            Ok(Received::End) | Err(_) => {
                self.succession.origin = None;
                self.event(Event::OriginGone);
            }
        }
    }

    /// The unit ends, and the new master with it.
    pub(crate) fn stop_successor(&self, signal: Signal) {
        let Some(pid) = self.successor.pid() else { return };
        self.log.info(format_args!("stopping the new master PID:{pid} too"));
        self.kill(pid, signal);
    }

    /// Leaves the unit to the new master.
    pub(crate) fn hand_over_unit(&mut self) {
        let Successor::Running { pid, link, .. } = &self.successor else { return };
        let pid = *pid;
        // The manager first: whatever the new master says then comes after this, and is listened to.
        let handed = self.notify.hand_over(pid);
        let told = link.as_ref().is_some_and(|link| link.send(YOURS, &[]).is_ok());
        if handed && told {
            self.log.info(format_args!("the unit is left to the new master PID:{pid}"));
        }
    }
}
