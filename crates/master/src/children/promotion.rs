//! A worker is asked to fork a mold, and the mold announces itself.

use std::os::fd::AsFd;

use supervisor::{Generation, WorkerId};
use sys::channel::Channel;
use sys::process::{Exited, effective_uid_of};
use wire::{FromMold, Message, ToWorker};

use crate::children::error::{Error, Lie};
use crate::children::hearing::announced;
use crate::children::link::{Heard, Link};
use crate::children::mold::Mold;
use crate::children::reforks::Unborn;
use crate::children::registry::Children;
use crate::children::worker::Process;

/// What has become of a mold that a worker was to fork.
#[derive(Debug)]
pub(crate) enum PromotionNews {
    /// It is there.
    Born(Generation),
    /// It never will be.
    Lost(Generation),
    /// It says what is not its to say.
    Lied(Generation, Lie),
}

impl Children {
    /// Has a worker fork a mold of this generation.
    ///
    /// # Errors
    /// It cannot be asked: the text says why.
    pub(crate) fn promote(&mut self, worker: WorkerId, of: Generation, generation: Generation) -> Result<(), Error> {
        let (ours, theirs) = Channel::pair()?;
        let link = Link::new(ours)?;
        let before = self.mold(of).ok_or(Error::MoldGone)?;
        let asked = self.worker(worker).ok_or(Error::WorkerGone)?;
        if asked.pid().and_then(effective_uid_of) != effective_uid_of(before.pid) {
            return Err(Error::OtherUser);
        }
        let mold = before.successor(link);
        let message = ToWorker::Promote { generation: generation.0 };
        if !asked.link.send(&message, &[theirs.as_fd()]) {
            return Err(Error::WorkerGone);
        }
        self.reforks.unborn = Some(Unborn { worker, generation, mold });
        Ok(())
    }

    /// What has become of the mold that a worker was to fork. `reaped` have ended in this round, and are looked at behind this.
    pub(crate) fn hear_promotion(&mut self, reaped: &[Exited]) -> Option<PromotionNews> {
        let unborn = self.reforks.unborn.as_mut()?;
        let generation = unborn.generation;
        let lie = match unborn.mold.link.hear(None) {
            Heard::Nothing | Heard::Stranger => return None,
            Heard::Message(FromMold::Forked, sender) => match announced(self, sender, reaped) {
                Ok(Process::Born(child)) => return self.mold_born(child.pid()),
                Ok(Process::Gone(pid)) => return self.mold_born(pid),
                Ok(Process::Unborn { .. } | Process::Killed(_)) => return None,
                Err(lie) => lie,
            },
            Heard::Message(message, _) => Lie::Unexpected(message.kind()),
            Heard::End => {
                self.reforks.unborn = None;
                return Some(PromotionNews::Lost(generation));
            }
            Heard::Lie(lie) => lie,
        };
        self.reforks.unborn = None;
        Some(PromotionNews::Lied(generation, lie))
    }

    fn mold_born(&mut self, pid: u32) -> Option<PromotionNews> {
        let Unborn { generation, mold, .. } = self.reforks.unborn.take()?;
        self.add_mold(generation, Mold { pid, ..mold });
        Some(PromotionNews::Born(generation))
    }
}
