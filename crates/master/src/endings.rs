//! Children that ended.

use facts::Cause;
use supervisor::{CauseId, Event, Generation, Phase, WorkerId};
use sys::process::{Ending, Exited};
use wire::ToMold;

use crate::admin::End;
use crate::children::mold::MoldStage;
use crate::children::post_mortem::{self, PostMortem};
use crate::children::registry::Who;
use crate::master::Master;
use crate::owners::Owners;
use crate::upgrade;
use crate::upgrade::replacement::Replacement;
use crate::upgrade::successor::Successor;

/// Children that ended: what is told, what is logged, what is freed.
impl Master {
    pub(crate) fn exited(&mut self, exited: Exited) {
        match self.owners.children.forget(exited.pid) {
            Some(Who::Mold(generation)) => self.mold_exited(generation, exited),
            Some(Who::Worker(id)) => self.worker_exited(id, exited),
            Some(Who::Successor) => {
                self.owners.report.log.error(format_args!("reaped {} exec()-ed", exited.ruby_inspect()));
                self.successor_gone();
            }
            Some(Who::Admin) => {
                let end = self.owners.admin.exited(exited);
                if end == End::Died {
                    self.owners.report.deaths.note(post_mortem::admin(exited));
                }
                let cause = self.owners.report.causes.note(exited.ruby_inspect());
                self.event(Event::AdminExited { no_address: end == End::NoAddress, cause });
            }
            Some(Who::Service(id)) => self.service_exited(id, exited),
            Some(Who::Preflight) => match self.owners.upgrade.replacement.judge(exited) {
                Some(Ok(())) => self.event(Event::PreflightPassed),
                Some(Err(error)) => self.preflight_failed(&error),
                None => {}
            },
            // A stranger: reaping it is all there is to do.
            None => {}
        }
    }

    fn mold_exited(&mut self, generation: Generation, exited: Exited) {
        let Owners { children, report, .. } = &mut self.owners;
        let Some(mold) = children.remove_mold(generation) else { return };
        let told = matches!(mold.stage, MoldStage::Failed | MoldStage::Done);
        let clean = exited.ending() == Ending::Exit(0);
        let is_current = self.core.generation() == Some(generation);
        let status = match exited.ending() {
            Ending::Exit(code) => u8::try_from(code).ok(),
            Ending::Signal(_) => None,
        };
        let mut cause = CauseId::NONE;
        // The mold of the generation that serves is not told to leave before the server stops.
        let is_wanted = is_current && !matches!(self.core.phase(), Phase::Stopping | Phase::Over);
        if !told && (!clean || is_wanted) {
            let death = post_mortem::mold(exited, generation, &mold, &mut children.oom_kills);
            if !clean {
                report.log.error(format_args!("reaped {} mold gen={generation}", exited.ruby_inspect()));
                let why = if death.cause == Cause::Oom { death.text.clone() } else { exited.ruby_inspect() };
                cause = report.causes.note(format!("the mold died: {why}"));
            }
            report.deaths.note(death);
        }
        if is_current && matches!(self.owners.upgrade.successor, Successor::Preparing) {
            self.execute_successor("");
        }
        if is_current && matches!(self.owners.upgrade.replacement, Replacement::Preparing) {
            self.preflight_failed(&upgrade::Error::MoldDied);
        }
        self.event(Event::MoldExited { generation, status, cause });
    }

    fn worker_exited(&mut self, id: WorkerId, exited: Exited) {
        let Owners { children, report, .. } = &mut self.owners;
        let Some(&known) = self.core.worker(id) else { return };
        // While it boots a worker answers nothing but the probe.
        let (mut probed, mut lost_by) = (String::new(), None);
        if let Some(PostMortem { death, line }) = children.post_mortem(id, &known, exited) {
            line.into_iter().for_each(|line| report.log.error(line));
            probed = death.request.as_ref().map(|line| format!(" in the probe {line}")).unwrap_or_default();
            lost_by = (known.is_unasked() || known.killed().is_some()).then(|| death.text.clone());
            report.deaths.note(death);
        }
        let in_request = children.is_in_request(id);
        let supervisor::Worker { slot, generation, .. } = known;
        let Owners { children, upkeep, .. } = &mut self.owners;
        if let Some(worker) = children.worker(id) {
            upkeep.canary.worker_gone(id, known.edition, &worker.totals(), lost_by);
        }
        children.remove_worker(id);
        let text = format!("worker={slot} ended while booting{probed}: {}", exited.ruby_inspect());
        let cause = self.note_of_booting(id, text);
        // The configuration that holds now says how it is logged, as in Unicorn; its own one is asked when there is none.
        let Owners { children, report, .. } = &self.owners;
        let told = [self.core.generation(), Some(generation)].into_iter().flatten().any(|generation| {
            let message = ToMold::WorkerExited { slot: Some(slot.0), pid: exited.pid, status: exited.status };
            children.mold(generation).is_some_and(|mold| mold.settings.is_some() && mold.link.send(&message, &[]))
        });
        let clean = exited.ending() == Ending::Exit(0);
        if !told {
            let line = format!("reaped {} worker={slot}", exited.ruby_inspect());
            if clean { report.log.info(line) } else { report.log.error(line) }
        }
        self.event(Event::WorkerExited { worker: id, in_request, cause });
    }
}
