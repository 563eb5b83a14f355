//! What is done about reforks, and heard of them.

use std::cmp::Reverse;

use directives::Refork;
use supervisor::{Event, Generation, Instant, WorkerId};
use sys::process::Exited;
use wire::ToMold;

use crate::children::promotion::PromotionNews;
use crate::config::settings::Settings;
use crate::master::Master;
use crate::owners::Owners;
use crate::upkeep::sharing::Sharing;

impl Master {
    /// Has a worker fork a mold.
    pub(crate) fn promote(&mut self, worker: WorkerId, generation: Generation) {
        let Some(&supervisor::Worker { generation: of, .. }) = self.core.worker(worker) else { return };
        if let Err(error) = self.owners.children.promote(worker, of, generation) {
            self.promotion_lost(generation, sys::chain(&error));
        }
    }

    /// Tells how much each worker has answered, when it is time, those first that have answered most.
    pub(crate) fn watch_reforks(&mut self) {
        let reforks = &mut self.owners.children.reforks;
        if reforks.is_due(self.core.awaits_refork(), sys::clock::monotonic_ns()) {
            self.tell_served();
        }
    }

    /// Looks at what workers share, when it is time, and has them forked anew when that would win enough (`refork :auto`).
    pub(crate) fn watch_sharing(&mut self) {
        let now_ns = sys::clock::monotonic_ns();
        let is_asked = |settings: &Settings| settings.processes.refork == Refork::Auto;
        let newest = || self.core.workers().filter(|(_, worker)| worker.serves()).map(|(id, _)| id).max();
        let Owners { config, upkeep, .. } = &mut self.owners;
        if !config.settings.as_ref().is_some_and(is_asked) {
            upkeep.sharing = Sharing::default();
        } else if upkeep.sharing.is_due(self.core.warm(), newest(), now_ns) {
            self.look_at_sharing(now_ns);
        }
    }

    fn look_at_sharing(&mut self, now_ns: u64) {
        let seen = self.owners.see_sharing(&self.core, now_ns);
        let Some(bytes) = self.owners.upkeep.sharing.look(&seen, Instant(now_ns)) else { return };
        self.tell_served();
        self.event(Event::ReforkPays);
        // It may have failed a moment ago.
        if self.core.is_reforking() {
            let (mib, used) = (bytes >> 20, seen.used_bytes.unwrap_or(0) >> 20);
            self.owners.report.log.info(format_args!("the refork is to make {mib} of {used} MiB shared"));
        }
    }

    fn tell_served(&mut self) {
        let children = &self.owners.children;
        let serving = children.workers().filter(|(_, worker)| worker.is_ready() && !worker.is_killed());
        let mut served: Vec<_> = serving.map(|(id, worker)| (id, worker.seat.look().requests())).collect();
        served.sort_by_key(|(_, requests)| Reverse(*requests));
        for (worker, requests) in served {
            self.event(Event::WorkerServed { worker, requests });
        }
    }

    /// What has become of the mold that a worker was to fork. `reaped` have ended in this round.
    pub(crate) fn hear_promotion(&mut self, reaped: &[Exited]) {
        match self.owners.children.hear_promotion(reaped) {
            Some(PromotionNews::Born(generation)) => {
                let count = self.core.worker_processes();
                self.owners.children.tell_mold(generation, &ToMold::WorkerProcesses { count });
                self.plan_services(generation);
            }
            Some(PromotionNews::Lost(generation)) => {
                self.promotion_lost(generation, "the worker, or the mold that it forked, has ended".to_string());
            }
            Some(PromotionNews::Lied(generation, lie)) => {
                let text = format!("mold gen={generation} broke the protocol: {}", sys::chain(&lie));
                self.owners.report.log.error(&text);
                self.promotion_lost(generation, text);
            }
            None => {}
        }
    }

    fn promotion_lost(&mut self, generation: Generation, why: String) {
        let cause = self.owners.report.causes.note(why);
        self.event(Event::MoldExited { generation, status: None, cause });
    }

    /// A worker forks no mold, and says why.
    pub(crate) fn not_promoted(&mut self, worker: WorkerId, generation: Generation, for_good: bool, why: String) {
        self.owners.children.reforks.give_up(generation);
        let cause = self.owners.report.causes.note(why);
        self.event(Event::NotPromoted { worker, generation, for_good, cause });
    }

    /// Kills a mold. One that a worker has yet to fork will never be.
    pub(crate) fn kill_mold(&mut self, generation: Generation) {
        let owners = &mut self.owners;
        if owners.children.reforks.give_up(generation) {
            self.promotion_lost(generation, "it was not awaited any longer".to_string());
        } else {
            owners.children.kill_mold(generation, &owners.report.log);
        }
    }
}
