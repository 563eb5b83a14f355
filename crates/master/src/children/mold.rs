//! A mold process, as the master holds it.

use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::rc::Rc;

use supervisor::{Generation, SlotId, WorkerId};
use sys::channel::Channel;
use wire::{FromMold, ToMold, state};

use crate::carried::Number;
use crate::children::error::Error;
use crate::children::link::Link;
use crate::children::seats::{Layout, Seat};
use crate::config::revision::Release;
use crate::config::settings::Settings;
use crate::sockets::bound::{Bound, Listeners};
use crate::sockets::owner::{chosen, places};

/// A mold process.
#[derive(Debug)]
pub(crate) struct Mold {
    pub(crate) pid: u32,
    pub(crate) link: Link<FromMold, ToMold>,
    pub(crate) stage: MoldStage,
    pub(crate) starter: Starter,
    /// Where its workers have their seats.
    pub(crate) layout: Layout,
    /// How often it was asked to reopen its logs and has not answered.
    pub(crate) reopening: u32,
    /// Whether this process has killed it.
    pub(crate) is_killed: bool,
    /// What it answered, once it has evaluated the configuration.
    pub(crate) settings: Option<Settings>,
    /// What its workers listen on.
    pub(crate) listeners: Listeners,
    /// The release that it is of, known with its settings.
    pub(crate) release: Release,
    pub(crate) forks: Forks,
}

/// The workers that a mold is to fork.
///
/// It is asked for a few at a time: what waits on its socket is limited by the kernel, in bytes and in descriptors (unix(7),
/// `ETOOMANYREFS`), and another that did not fit would be lost.
#[derive(Debug, Default)]
pub(crate) struct Forks {
    /// Those that it was asked for; some may be there meanwhile.
    pub(crate) asked: Vec<WorkerId>,
    /// Those that it will be asked for, each with its end of the control socket.
    pub(crate) planned: VecDeque<(WorkerId, SlotId, Channel)>,
}

/// Which program has started a mold: its settings are in the words of that one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Starter {
    /// The one that runs.
    Present,
    /// One before it, in whose place it was executed.
    Former,
}

/// How far a mold has come, as far as it has said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MoldStage {
    /// It evaluates the configuration.
    Starting,
    /// It has told its settings.
    Configured,
    /// It forks.
    Ready,
    /// It has said why it leaves.
    Failed,
    /// It has said that it leaves as the configuration wants it, which has told the reason itself.
    Done,
}

impl Mold {
    /// One that was just started.
    pub(crate) fn started(pid: u32, link: Link<FromMold, ToMold>) -> Self {
        Self {
            pid,
            link,
            stage: MoldStage::Starting,
            starter: Starter::Present,
            layout: Layout::Pages,
            reopening: 0,
            is_killed: false,
            settings: None,
            listeners: Listeners::new(),
            release: Release::default(),
            forks: Forks::default(),
        }
    }

    /// One that a worker of its is to fork: it has the same settings, and says nothing of them.
    pub(crate) fn successor(&self, link: Link<FromMold, ToMold>) -> Self {
        Self {
            stage: MoldStage::Configured,
            starter: self.starter,
            settings: self.settings.clone(),
            listeners: self.listeners.clone(),
            release: self.release.clone(),
            ..Self::started(0, link)
        }
    }

    /// Asks it for a worker that has this seat, this end of its control socket, and these of the queue. Returns whether it
    /// can be asked.
    pub(crate) fn ask_for_worker(
        &self,
        slot: SlotId,
        generation: Generation,
        seat: &Seat,
        control: &Channel,
        queue: [BorrowedFd<'_>; 2],
    ) -> bool {
        let proxy =
            |bound: &Rc<Bound>| self.settings.as_ref().map_or_else(String::new, |settings| bound.proxy(settings));
        let message = ToMold::Fork {
            slot: slot.0,
            generation: generation.0,
            seat: u32::try_from(seat.number()).unwrap_or(u32::MAX),
            names: self.listener_names(),
            proxies: self.listeners.iter().map(proxy).collect(),
        };
        let mut descriptors: Vec<BorrowedFd<'_>> = vec![control.as_fd()];
        descriptors.extend(seat.page());
        descriptors.extend(queue);
        descriptors.extend(self.listeners.iter().map(|bound| bound.socket.as_fd()));
        self.link.send(&message, &descriptors)
    }

    /// The names of what its workers listen on, in their order.
    pub(crate) fn listener_names(&self) -> Vec<String> {
        self.listeners.iter().map(|bound| bound.socket.name().to_string()).collect()
    }

    /// Whether it may say this now, and notes how far it has come by that.
    pub(crate) fn accept(&mut self, message: &FromMold) -> bool {
        self.stage = match (message, self.stage) {
            (FromMold::Settings { .. }, MoldStage::Starting) => MoldStage::Configured,
            (FromMold::Ready, MoldStage::Configured) => MoldStage::Ready,
            (FromMold::Failed { text }, MoldStage::Starting | MoldStage::Configured) if text.is_empty() => {
                MoldStage::Done
            }
            (FromMold::Failed { .. }, MoldStage::Starting | MoldStage::Configured) => MoldStage::Failed,
            (FromMold::Settings { .. } | FromMold::Ready | FromMold::Failed { .. }, _) => return false,
            // It was heard before there was this mold.
            (FromMold::Forked, _) => return false,
            // Whether an answer is awaited is known where it was asked for.
            (
                FromMold::ReopenLogs
                | FromMold::ForkFailed { .. }
                | FromMold::ServiceForkFailed { .. }
                | FromMold::ExecEnvironment { .. },
                stage,
            ) => stage,
        };
        true
    }

    /// Asks it to reopen its logs.
    pub(crate) fn reopen_logs(&mut self) {
        if self.link.send(&ToMold::ReopenLogs, &[]) {
            self.reopening += 1;
        }
    }

    /// It has reopened its logs. Returns whether it was asked to.
    pub(crate) fn has_reopened(&mut self) -> bool {
        let asked = self.reopening > 0;
        self.reopening = self.reopening.saturating_sub(1);
        asked
    }

    /// What the next program of an upgrade in place is told; `sockets` are all that there are.
    ///
    /// # Errors
    /// No descriptors left.
    pub(crate) fn save(
        &self,
        generation: Generation,
        sockets: &Listeners,
        number: &mut Number<'_>,
    ) -> sys::Result<state::Mold> {
        Ok(state::Mold {
            generation: generation.0,
            pid: self.pid,
            control: self.link.readable().map(number).transpose()?,
            settings: self.settings.as_ref().map(|settings| settings.told.clone()),
            listens_on: places(&self.listeners, sockets),
            failed: self.stage == MoldStage::Failed,
            layout: self.layout.number(),
        })
    }

    /// Takes one that the program before this one had; `sockets` are all that there are, and it was started in
    /// `place`.
    ///
    /// # Errors
    /// Something of it is missing.
    pub(crate) fn load(mold: &state::Mold, sockets: &Listeners, place: Option<&Path>) -> Result<Self, Error> {
        let settings = mold.settings.as_deref().map(Settings::parse_older).transpose()?;
        let user = settings.as_ref().and_then(|settings| settings.user.as_ref());
        Ok(Self {
            pid: mold.pid,
            link: Link::load(mold.control)?,
            // The state does not tell whether it has said that it is ready: saying it once more means nothing.
            stage: match &settings {
                _ if mold.failed => MoldStage::Failed,
                None => MoldStage::Starting,
                Some(_) => MoldStage::Configured,
            },
            starter: Starter::Former,
            layout: Layout::numbered(mold.layout)?,
            reopening: 0,
            is_killed: false,
            release: place.map(|place| Release::at(place, user)).unwrap_or_default(),
            settings,
            listeners: chosen(&mold.listens_on, sockets)?,
            forks: Forks::default(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::children::link::accepted;

    #[test]
    fn a_mold_says_each_thing_in_its_time() {
        let mold = |stage| Mold {
            pid: 7,
            link: Link::closed(),
            stage,
            starter: Starter::Present,
            layout: Layout::Pages,
            reopening: 1,
            is_killed: false,
            settings: None,
            listeners: Listeners::new(),
            release: Release::default(),
            forks: Forks::default(),
        };
        let everything = [
            FromMold::ReopenLogs,
            FromMold::Settings { json: String::new() },
            FromMold::ExecEnvironment { json: String::new() },
            FromMold::ForkFailed { slot: 0, text: String::new() },
            FromMold::ServiceForkFailed { service: 0, text: String::new() },
            FromMold::Forked,
            FromMold::Ready,
            FromMold::Failed { text: String::new() },
        ];
        let heard = |stage| accepted(&everything, |message| mold(stage).accept(message));
        assert_eq!(heard(MoldStage::Starting), [9, 11, 12, 13, 20, 15]);
        assert_eq!(heard(MoldStage::Configured), [9, 12, 13, 20, 14, 15]);
        assert_eq!(heard(MoldStage::Ready), [9, 12, 13, 20]);
        assert_eq!(heard(MoldStage::Failed), [9, 12, 13, 20]);
        let mut once = mold(MoldStage::Ready);
        assert!(once.has_reopened());
        assert!(!once.has_reopened(), "it was not asked again");
    }
}
