//! What a service manager is told: readiness, reloads, the stop, a summary, signs of life, and sockets to keep.
//!
//! The protocol is systemd's (sd_notify(3)). Nothing is sent where `NOTIFY_SOCKET` is not set, and nothing by a master
//! that is not the unit's main process: the second master of an upgrade is silent until the first hands the unit over
//! (`succession`), since systemd would refuse its words anyway.
//!
//! What is sent follows from the supervisor's phase alone, compared with what was told last; see [`Shell::notify`].

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::os::fd::AsFd;

use supervisor::{Phase, SuccessorPhase, WorkerState};
use sys::notify::Notifier;
use sys::text::printable;

use crate::report::log::Log;
use crate::shell::Shell;
use crate::sockets::bound::Listeners;
use crate::sockets::inherited::store_name;
use supervisor::unit::{Role, Told};

/// Variables that the main process of a unit is spoken to by, and that it passes on to the master after it.
const VARIABLES: [&str; 3] = ["NOTIFY_SOCKET", "WATCHDOG_USEC", "FDSTORE"];
/// How much longer the manager is to wait while something goes on, in microseconds; said again three times in that span.
const EXTENSION_US: u64 = 15_000_000;
const EXTEND_EVERY_NS: u64 = EXTENSION_US * 1_000 / 3;
/// How often the summary is made while nothing happens.
const STATUS_EVERY_NS: u64 = 10_000_000_000;
/// When a message is repeated that the manager had no room for.
const REPEAT_AFTER_NS: u64 = 100_000_000;
/// The longest summary, in characters.
const STATUS_LENGTH: usize = 300;

/// The service manager, as this master knows it.
#[derive(Debug, Default)]
pub(crate) struct Notify {
    notifier: Option<Notifier>,
    /// Whether another master is the unit's main process.
    silent: bool,
    told: Told,
    status: String,
    /// What the summary was made of: when this changes it is made anew at once.
    outline: Option<(Phase, SuccessorPhase, usize)>,
    /// Half of the time after which the manager takes this master for dead.
    ping_every_ns: Option<u64>,
    next_ping_ns: u64,
    next_status_ns: u64,
    /// When the manager is told again to wait, and until when that goes on.
    next_extension_ns: u64,
    extend_until_ns: Option<u64>,
    /// How many descriptors the manager keeps for this unit.
    room: usize,
    /// What it keeps: names, and which sockets these are of.
    stored: BTreeSet<(String, u64)>,
    /// Requests served by workers that are no more.
    requests: u64,
    /// Why the last reload failed, if it did.
    reload_failure: Option<String>,
    /// Why the first boot failed, if it did.
    boot_failure: Option<String>,
}

impl Notify {
    /// Reads the environment. `silent`: another master is the unit's main process now.
    pub(crate) fn from_environment(silent: bool, log: &Log) -> Self {
        let notifier = std::env::var_os("NOTIFY_SOCKET").filter(|name| !name.is_empty()).and_then(|name| {
            let opened = Notifier::open(&name);
            if let Err(error) = &opened {
                log.error(format_args!("NOTIFY_SOCKET: {}", error.chain()));
            }
            opened.ok()
        });
        let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
        // Told by the master before this one, there is no WATCHDOG_PID.
        let watched = number("WATCHDOG_PID").is_none_or(|pid| pid == u64::from(sys::process::own_pid()));
        let period_us = number("WATCHDOG_USEC").filter(|period| watched && *period > 0);
        Self {
            room: number("FDSTORE").filter(|_| notifier.is_some()).map_or(0, |count| count.try_into().unwrap_or(0)),
            notifier,
            silent,
            ping_every_ns: period_us.map(|period| (period * 1_000 / 2).max(1)),
            ..Self::default()
        }
    }

    /// The program before this one has stored those of these sockets that are its own.
    pub(crate) fn stored_already(&mut self, listeners: &Listeners) {
        if self.room > 0 {
            self.stored = own_names(listeners);
        }
    }

    /// What this master is in its unit.
    pub(crate) fn role(&self) -> Role {
        match (&self.notifier, self.silent) {
            (None, _) => Role::Free,
            (Some(_), false) => Role::Main,
            (Some(_), true) => Role::Waiting,
        }
    }

    /// Whether this master is the main process of a unit.
    pub(crate) fn is_main(&self) -> bool {
        self.role() == Role::Main
    }

    /// This master is the unit's main process from now on.
    pub(crate) fn take_over(&mut self) {
        self.silent = false;
    }

    /// What the next master needs to speak to the manager.
    pub(crate) fn variables(&self) -> Vec<(OsString, OsString)> {
        let set = |name: &&str| Some((OsString::from(*name), std::env::var_os(name)?));
        VARIABLES.iter().filter(|_| self.is_main()).filter_map(set).collect()
    }

    /// Says that another process is the unit's main process from now on. Returns whether that could be said.
    pub(crate) fn hand_over(&mut self, pid: u32) -> bool {
        self.is_main() && self.send(&format!("MAINPID={pid}"))
    }

    /// When there is something to say without anything happening.
    pub(crate) fn next_ns(&self) -> Option<u64> {
        if !self.is_main() {
            return None;
        }
        let ping = self.ping_every_ns.map(|_| self.next_ping_ns);
        let extension = (self.told != Told::Ready).then_some(self.next_extension_ns);
        [ping, extension, Some(self.next_status_ns)].into_iter().flatten().min()
    }

    /// Adds what a worker that is no more has served.
    pub(crate) fn add_requests(&mut self, count: u64) {
        self.requests = self.requests.saturating_add(count);
    }

    /// What workers that are no more have served.
    pub(crate) fn requests(&self) -> u64 {
        self.requests
    }

    /// Remembers how a reload ended, for the summary.
    pub(crate) fn reload_ended(&mut self, failure: Option<&str>) {
        self.reload_failure = failure.and_then(|text| text.lines().next()).map(|line| printable(line).into_owned());
    }

    /// Remembers why there will be no service, for the summary.
    pub(crate) fn boot_failed(&mut self, why: &str) {
        self.boot_failure = Some(format!("Failed to boot: {}", printable(why.lines().next().unwrap_or_default())));
    }

    /// Puts these sockets into the unit's store, and takes out what is not among them; `before` may be there already.
    pub(crate) fn store(&mut self, listeners: &Listeners, before: &Listeners, log: &Log) {
        if self.room == 0 || self.silent {
            return;
        }
        self.stored.extend(own_names(before));
        let wanted = own_names(listeners);
        if wanted.len() > self.room && wanted != self.stored {
            log.error(format_args!(
                "{} sockets, and the service manager keeps {}: raise FileDescriptorStoreMax= (and FDSTORE=)",
                wanted.len(),
                self.room
            ));
        }
        // First what is to go: a socket that was bound anew has the name of the one before, and the manager would keep,
        // and give back, both.
        let stale: BTreeSet<&String> = self.stored.difference(&wanted).map(|(name, _)| name).collect();
        for name in stale {
            self.send(&format!("FDSTOREREMOVE=1\nFDNAME={name}"));
        }
        for bound in listeners.iter().filter(|bound| bound.activated_as.is_none()) {
            let name = store_name(bound);
            let message = format!("FDSTORE=1\nFDNAME={name}");
            // What is there already is kept once.
            if let Some(notifier) = &self.notifier
                && let Err(error) = notifier.send(&message, &[bound.socket.as_fd()])
            {
                log.error(format_args!("cannot store {}: {}", bound.socket.name(), error.chain()));
            }
        }
        self.stored = wanted;
    }

    /// The manager has not taken the message: what was in it is to be told again, from this state on.
    fn tell_again(&mut self, before: Told, now_ns: u64) {
        self.told = before;
        self.status.clear();
        self.next_status_ns = now_ns + REPEAT_AFTER_NS;
        self.next_ping_ns = self.next_ping_ns.min(self.next_status_ns);
    }

    fn send(&self, message: &str) -> bool {
        self.notifier.as_ref().is_some_and(|notifier| notifier.send(message, &[]).is_ok())
    }

    /// Sends the summary when it has changed, and `more` in any case. Returns whether the manager has taken it.
    fn tell_status(&mut self, status: String, more: &str) -> bool {
        let status: String = status.chars().map(|c| if c.is_control() { ' ' } else { c }).take(STATUS_LENGTH).collect();
        let mut message = String::new();
        if status != self.status {
            message = format!("STATUS={status}\n");
            self.status = status;
        }
        message.push_str(more);
        message.is_empty() || !self.is_main() || self.send(message.trim_end())
    }

    /// What is due at this moment: signs of life, more time.
    fn due(&mut self, now_ns: u64) -> String {
        let mut message = String::new();
        if let Some(every) = self.ping_every_ns
            && now_ns >= self.next_ping_ns
        {
            message.push_str("WATCHDOG=1\n");
            self.next_ping_ns = now_ns + every;
        }
        if self.told != Told::Ready && now_ns >= self.next_extension_ns {
            if self.extend_until_ns.is_none_or(|end| now_ns < end) {
                message.push_str(&format!("EXTEND_TIMEOUT_USEC={EXTENSION_US}\n"));
            }
            self.next_extension_ns = now_ns + EXTEND_EVERY_NS;
        }
        message
    }

    /// The change from what was told to `state`, as a message.
    fn change(&mut self, state: Told, now_ns: u64) -> &'static str {
        if state == self.told {
            return "";
        }
        let before = std::mem::replace(&mut self.told, state);
        self.next_extension_ns = now_ns;
        match state {
            Told::Ready => "READY=1\n",
            Told::Reloading => "RELOADING=1\n",
            // A boot that failed was never ready: its exit says what there is to say.
            Told::Stopping if before == Told::Starting => "",
            Told::Stopping => "STOPPING=1\n",
            Told::Starting => "",
        }
    }
}

/// The names of those sockets that are not the manager's own.
fn own_names(listeners: &Listeners) -> BTreeSet<(String, u64)> {
    let own = listeners.iter().filter(|bound| bound.activated_as.is_none());
    own.map(|bound| (store_name(bound), bound.socket.identity())).collect()
}

impl Shell {
    /// Tells the service manager what has changed since it was told last, and what is due.
    ///
    /// Before an answer to a client it is called too: when `systemctl reload` sees its command end, the manager must
    /// know already that the unit is ready again.
    pub(crate) fn notify(&mut self) {
        if !self.notify.is_main() {
            return;
        }
        let now_ns = sys::clock::monotonic_ns();
        let state = self.supervisor.told();
        if self.notify.told == Told::Starting && state == Told::Reloading {
            // A reload that was asked for during the boot begins where that ends: who waits for the start must not wait
            // for both, and must not see the start fail when the newer code does.
            let ready = self.notify.change(Told::Ready, now_ns);
            if !self.notify.send(ready.trim_end()) {
                return self.notify.tell_again(Told::Starting, now_ns);
            }
        }
        let before = self.notify.told;
        let changed = state != before;
        let mut message = self.notify.change(state, now_ns).to_string();
        if changed && state == Told::Reloading {
            message.push_str(&format!("MONOTONIC_USEC={}\n", now_ns / 1_000));
        }
        if changed && state == Told::Stopping {
            // Everything that a stop may wait for is bounded by these; one that takes longer is the manager's to end.
            let limit = self.settings.as_ref().map_or(0, |settings| {
                let processes = &settings.processes;
                (processes.timeout + processes.shutdown_delay).as_nanos().try_into().unwrap_or(u64::MAX)
            });
            self.notify.extend_until_ns = Some(now_ns.saturating_add(limit));
        }
        message.push_str(&self.notify.due(now_ns));
        let outline = (self.supervisor.phase(), self.supervisor.successor(), self.supervisor.workers().count());
        let differs = self.notify.outline.replace(outline) != Some(outline);
        let heard = if differs || now_ns >= self.notify.next_status_ns {
            self.notify.next_status_ns = now_ns + STATUS_EVERY_NS;
            let status = self.summary();
            self.notify.tell_status(status, &message)
        } else {
            message.is_empty() || self.notify.send(message.trim_end())
        };
        if !heard {
            self.notify.tell_again(before, now_ns);
        }
    }

    /// One line for `systemctl status`.
    fn summary(&self) -> String {
        if let Some(failure) = &self.notify.boot_failure {
            return failure.clone();
        }
        let (mut serving, mut busy) = (0, 0);
        let mut requests = self.notify.requests;
        for (id, worker) in self.supervisor.workers() {
            let seat = self.children.seat(id);
            requests = requests.saturating_add(seat.map_or(0, |seat| seat.requests()));
            if let WorkerState::Serving { .. } = worker.state {
                serving += 1;
                busy += u32::from(seat.is_some_and(|seat| seat.request_start_ns().is_some()));
            }
        }
        let wanted = self.supervisor.worker_processes();
        let generation = self.supervisor.generation().map_or(0, |generation| generation.0);
        let what = match self.supervisor.phase() {
            Phase::New | Phase::Booting => return format!("Booting: {serving} of {wanted} workers ready"),
            Phase::Preparing => "Reloading, the new code loads: ",
            Phase::Rolling => "Reloading, workers are replaced: ",
            Phase::Serving | Phase::Draining => "Serving: ",
            Phase::Delaying => "Stopping soon, still serving: ",
            Phase::Stopping | Phase::Over if self.supervisor.hands_over() => "Leaving to the new master: ",
            Phase::Stopping | Phase::Over => "Stopping: ",
        };
        let mut text = format!("{what}{serving} workers, {busy} busy, gen={generation}, {requests} requests");
        if serving < wanted {
            text.push_str(&format!("; {wanted} workers are wanted"));
        }
        if let Some(pid) = self.successor.pid() {
            let serves = self.supervisor.successor() == SuccessorPhase::Serving;
            text.push_str(&format!("; new master {pid} {}", if serves { "serves too" } else { "boots" }));
        }
        if let Some(failure) = &self.notify.reload_failure {
            text.push_str(&format!("; the last reload failed: {failure}"));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn main_process() -> Notify {
        Notify { ping_every_ns: Some(500), ..Notify::from_environment(false, &Log::default()) }
    }

    #[test]
    fn each_change_is_told_once() {
        let mut notify = main_process();
        let told = [Told::Starting, Told::Ready, Told::Ready, Told::Reloading, Told::Ready, Told::Stopping]
            .map(|state| notify.change(state, 0));
        assert_eq!(told, ["", "READY=1\n", "", "RELOADING=1\n", "READY=1\n", "STOPPING=1\n"]);
    }

    #[test]
    fn a_boot_that_failed_does_not_stop_what_never_began() {
        assert_eq!(main_process().change(Told::Stopping, 0), "");
    }

    #[test]
    fn signs_of_life_come_at_half_the_period_and_more_time_while_it_is_needed() {
        let mut notify = main_process();
        assert_eq!(notify.due(1_000), "WATCHDOG=1\nEXTEND_TIMEOUT_USEC=15000000\n");
        assert_eq!(notify.due(1_499), "");
        assert_eq!(notify.due(1_500), "WATCHDOG=1\n");
        notify.change(Told::Ready, 2_000);
        assert_eq!(notify.due(EXTEND_EVERY_NS + 2_000), "WATCHDOG=1\n");
        notify.change(Told::Stopping, 2 * EXTEND_EVERY_NS);
        notify.extend_until_ns = Some(2 * EXTEND_EVERY_NS + 1);
        assert_eq!(notify.due(2 * EXTEND_EVERY_NS), "WATCHDOG=1\nEXTEND_TIMEOUT_USEC=15000000\n");
        assert_eq!(notify.due(3 * EXTEND_EVERY_NS), "WATCHDOG=1\n", "the limit of a stop is the manager's to enforce");
    }
}
