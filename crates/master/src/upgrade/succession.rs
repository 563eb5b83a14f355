//! Two masters in one unit of a service manager: which of them it is about, and how that changes.
//!
//! systemd follows one process, the unit's main process, and takes its end for the unit's. During an upgrade that is the
//! old master. It gives the unit as its last act, to a new master that serves (`MAINPID=`): until then whatever
//! befalls the new one changes nothing, and from then on the new one is systemd's own child, watched and restarted.
//! The old one sends, since systemd believes no other process (`NotifyAccess=main`), and the new one is started as a child of
//! systemd: a main process that is not its own it would kill without waiting (`KillMode=mixed`).
//!
//! | what happens | what follows |
//! |---|---|
//! | QUIT to the old master, the new one serves | the old one finishes, gives the unit, leaves |
//! | TERM or INT to the old one, `licorne stop` | the unit is meant: the new one is stopped too, and waited for |
//! | the new one dies before the old one is told to leave | nothing: the old one is the only master again |
//! | the new one dies while the old one leaves | the old one exits with 75, the manager starts another |
//! | the old one dies without having given the unit | the new one leaves: the manager starts another |
//!
//! A new master that waits for its turn starts no other one, and is replaced by no other program: the master it waits for knows
//! only this one.
//!
//! Without a service manager nothing of this happens: the new master of an upgrade simply stays.
//!
//! Here is what is done; what is decided is in `supervisor::unit`.

use std::os::fd::{AsFd, BorrowedFd};

use sys::channel::{Channel, Received};

use crate::environment;

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

/// What a successor says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Said {
    /// It serves.
    Ready {
        /// Whether its workers take connections from ours.
        takes_over: bool,
    },
    /// It does not serve, and this is why.
    Failed(String),
    Nothing,
    /// It is silent for ever.
    End,
}

/// Hears what a successor says.
pub(crate) fn hear(successor: &Channel) -> Said {
    match successor.try_recv() {
        Ok(Received::Datagram(bytes, _)) if bytes == READY => Said::Ready { takes_over: false },
        Ok(Received::Datagram(bytes, _)) if bytes == READY_TO_TAKE_OVER => Said::Ready { takes_over: true },
        Ok(Received::Datagram(bytes, _)) => match bytes.strip_prefix(FAILED) {
            Some(reason) => Said::Failed(String::from_utf8_lossy(reason).into_owned()),
            None => Said::Nothing,
        },
        Ok(Received::Empty) => Said::Nothing,
        Ok(Received::End) | Err(_) => Said::End,
    }
}

/// Tells a successor that the unit is given to it. Returns whether that could be told.
pub(crate) fn give_unit(successor: &Channel) -> bool {
    successor.send(YOURS, &[]).is_ok()
}

/// The way to the master before this one, while it lives and if this one is a successor.
#[derive(Debug, Default)]
pub(crate) struct Origin(Option<Channel>);

/// What was heard of the master before this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OriginNews {
    /// It gives the unit to this one.
    GivesUnit,
    /// It is gone.
    Gone,
}

impl Origin {
    /// The one that the environment names.
    pub(crate) fn from_environment() -> Self {
        let number = std::env::var(environment::READY).ok().and_then(|text| text.parse().ok());
        Self(number.and_then(sys::spawn::inherited).map(Channel::from_fd))
    }

    /// Whether there is a master before this one.
    pub(crate) fn lives(&self) -> bool {
        self.0.is_some()
    }

    /// What to poll.
    pub(crate) fn fds(&self) -> Option<BorrowedFd<'_>> {
        self.0.as_ref().map(AsFd::as_fd)
    }

    /// Hears it.
    pub(crate) fn hear(&mut self) -> Option<OriginNews> {
        match self.0.as_ref()?.try_recv() {
            Ok(Received::Datagram(bytes, _)) if bytes == YOURS => Some(OriginNews::GivesUnit),
            Ok(Received::Datagram(..) | Received::Empty) => None,
            Ok(Received::End) | Err(_) => {
                self.0 = None;
                Some(OriginNews::Gone)
            }
        }
    }

    /// Tells it that this master serves. One that is gone by now needs no telling.
    pub(crate) fn tell_ready(&self, takes_over: bool) {
        if let Some(origin) = &self.0 {
            let _ = origin.send(if takes_over { READY_TO_TAKE_OVER } else { READY }, &[]);
        }
    }

    /// Tells it why this master will not serve: what waits for the upgrade wants to know.
    pub(crate) fn tell_failed(&self, reason: &str) {
        if let Some(origin) = &self.0 {
            let reason = &reason.as_bytes()[..reason.len().min(REASON_BYTES)];
            let _ = origin.send(&[FAILED, reason].concat(), &[]);
        }
    }
}
