//! What a service manager is told: readiness, reloads, the stop, a summary, signs of life, and sockets to keep.
//!
//! The protocol is systemd's (sd_notify(3)). Nothing is sent where `NOTIFY_SOCKET` is not set, and nothing by a master
//! that is not the unit's main process: the second master of an upgrade is silent until the first gives it the unit
//! (`upgrade::succession`), since systemd would refuse its words anyway.
//!
//! What is sent follows from what the supervisor says alone, compared with what was told last; see
//! [`ServiceManager::tell`].

use std::ffi::OsString;
use std::time::Duration;

use supervisor::unit::{Role, Told};
use sys::notify::Notifier;

use crate::log::lines::Log;
use crate::service_manager::fd_store::FdStore;
use crate::service_manager::summary::{Outline, Past, Present};
use crate::sockets::bound::Listeners;

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
pub(crate) struct ServiceManager {
    notifier: Option<Notifier>,
    /// Whether another master is the unit's main process.
    silent: bool,
    told: Told,
    status: String,
    /// What the summary was made of.
    outline: Option<Outline>,
    /// Half of the time after which the manager takes this master for dead.
    ping_every_ns: Option<u64>,
    next_ping_ns: u64,
    next_status_ns: u64,
    /// When the manager is told again to wait, and until when that goes on.
    next_extension_ns: u64,
    extend_until_ns: Option<u64>,
    store: FdStore,
    pub(crate) past: Past,
}

impl ServiceManager {
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
        let room = number("FDSTORE").filter(|_| notifier.is_some()).map_or(0, |count| count.try_into().unwrap_or(0));
        Self {
            store: FdStore::of_room(room),
            notifier,
            silent,
            ping_every_ns: period_us.map(|period| (period * 1_000 / 2).max(1)),
            ..Self::default()
        }
    }

    /// The manager of the program before this one, which has stored its `sockets` there.
    pub(crate) fn load(sockets: &Listeners, log: &Log) -> Self {
        let mut manager = Self::from_environment(false, log);
        manager.store.stored_already(sockets);
        manager
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
    pub(crate) fn become_main(&mut self) {
        self.silent = false;
    }

    /// What the next master needs to speak to the manager.
    pub(crate) fn variables(&self) -> Vec<(OsString, OsString)> {
        let set = |name: &&str| Some((OsString::from(*name), std::env::var_os(name)?));
        VARIABLES.iter().filter(|_| self.is_main()).filter_map(set).collect()
    }

    /// Says that another process is the unit's main process from now on. Returns whether that could be said.
    pub(crate) fn give_unit(&mut self, pid: u32) -> bool {
        self.is_main() && self.send(&format!("MAINPID={pid}"))
    }

    /// Puts these sockets into the unit's store, and takes out what is not among them; `before` may be there already.
    pub(crate) fn keep(&mut self, listeners: &Listeners, before: &Listeners, log: &Log) {
        if let Some(notifier) = self.notifier.as_ref().filter(|_| !self.silent) {
            self.store.replace(notifier, listeners, before, log);
        }
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

    /// Tells the manager what has changed since it was told last, and what is due. A stop takes at most `longest_stop`: one
    /// that takes longer is the manager's to end.
    pub(crate) fn tell(&mut self, present: &Present<'_>, longest_stop: Duration) {
        if !self.is_main() {
            return;
        }
        let now_ns = sys::clock::monotonic_ns();
        let state = present.supervisor.told();
        if self.told == Told::Starting && state == Told::Reloading {
            // A reload that was asked for during the boot begins where that ends: what waits for the start must not wait
            // for both, and must not see the start fail when the newer code does.
            let ready = self.change(Told::Ready, now_ns);
            if !self.send(ready.trim_end()) {
                return self.tell_again(Told::Starting, now_ns);
            }
        }
        let before = self.told;
        let changed = state != before;
        let mut message = self.change(state, now_ns).to_string();
        if changed && state == Told::Reloading {
            message.push_str(&format!("MONOTONIC_USEC={}\n", now_ns / 1_000));
        }
        if changed && state == Told::Stopping {
            let limit_ns = longest_stop.as_nanos().try_into().unwrap_or(u64::MAX);
            self.extend_until_ns = Some(now_ns.saturating_add(limit_ns));
        }
        message.push_str(&self.due(now_ns));
        let outline = present.outline();
        let differs = self.outline.replace(outline) != Some(outline);
        let heard = if differs || now_ns >= self.next_status_ns {
            self.next_status_ns = now_ns + STATUS_EVERY_NS;
            let status = present.summary(&self.past);
            self.tell_status(status, &message)
        } else {
            message.is_empty() || self.send(message.trim_end())
        };
        if !heard {
            self.tell_again(before, now_ns);
        }
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
        if let Some(every) = self.ping_every_ns.filter(|_| now_ns >= self.next_ping_ns) {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn main_process() -> ServiceManager {
        ServiceManager { ping_every_ns: Some(500), ..ServiceManager::from_environment(false, &Log::default()) }
    }

    #[test]
    fn each_change_is_told_once() {
        let mut manager = main_process();
        let told = [Told::Starting, Told::Ready, Told::Ready, Told::Reloading, Told::Ready, Told::Stopping]
            .map(|state| manager.change(state, 0));
        assert_eq!(told, ["", "READY=1\n", "", "RELOADING=1\n", "READY=1\n", "STOPPING=1\n"]);
    }

    #[test]
    fn a_boot_that_failed_does_not_stop_what_never_began() {
        assert_eq!(main_process().change(Told::Stopping, 0), "");
    }

    #[test]
    fn signs_of_life_come_at_half_the_period_and_more_time_while_it_is_needed() {
        let mut manager = main_process();
        assert_eq!(manager.due(1_000), "WATCHDOG=1\nEXTEND_TIMEOUT_USEC=15000000\n");
        assert_eq!(manager.due(1_499), "");
        assert_eq!(manager.due(1_500), "WATCHDOG=1\n");
        manager.change(Told::Ready, 2_000);
        assert_eq!(manager.due(EXTEND_EVERY_NS + 2_000), "WATCHDOG=1\n");
        manager.change(Told::Stopping, 2 * EXTEND_EVERY_NS);
        manager.extend_until_ns = Some(2 * EXTEND_EVERY_NS + 1);
        assert_eq!(manager.due(2 * EXTEND_EVERY_NS), "WATCHDOG=1\nEXTEND_TIMEOUT_USEC=15000000\n");
        assert_eq!(manager.due(3 * EXTEND_EVERY_NS), "WATCHDOG=1\n", "the limit of a stop is the manager's to enforce");
    }
}
