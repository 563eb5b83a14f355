//! Facts that the supervisor found worth a line, as lines.

use supervisor::{Fact, Failure};

use crate::causes::OUT_OF_TURN;
use crate::report::status::LastReload;
use crate::shell::Shell;

impl Shell {
    pub(crate) fn log_fact(&mut self, fact: Fact) {
        match fact {
            Fact::ReloadStarted { .. } | Fact::RollServing { .. } => self.notify.reload_ended(None),
            Fact::ReloadFailed { why, generation } | Fact::RollBack { why, generation } => {
                let text = self.causes.text(why);
                self.notify.reload_ended(Some(&text));
                self.last_reload = Some(LastReload::now(generation, text.lines().next()));
            }
            Fact::RollDone { generation } => self.last_reload = Some(LastReload::now(generation, None)),
            _ => {}
        }
        let log = &self.log;
        match fact {
            Fact::ReloadStarted { .. } => self.log_reload("reloading"),
            Fact::ReloadRestarted { dropped } => {
                log.info(format_args!("another reload: gen={dropped} is dropped while it boots"));
            }
            Fact::ReloadQueued => log.info("another reload: it follows the one under way"),
            Fact::UpgradeQueued => log.info("an upgrade: it follows the reload under way"),
            Fact::ReloadFailed { generation, why } => self.log_failure("error reloading", generation.0, why),
            Fact::RollStarted { generation, total } => {
                log.info(format_args!("gen={generation} is ready, replacing {total} workers"));
            }
            Fact::RollServing { generation } => log.info(format_args!("gen={generation} serves")),
            Fact::RollDone { generation } => {
                log.info(format_args!("gen={generation} serves alone"));
                self.log_reload("done reloading");
                self.log_release();
            }
            Fact::RollBack { generation, why } => self.log_failure("error reloading, going back", generation.0, why),
            Fact::BackOff { slot, failures, delay } => log.error(format_args!(
                "worker={slot} failed {failures} times in a row, next try in {:.1} s",
                delay.as_secs_f64()
            )),
            Fact::WorkerUnreachable { slot } => {
                log.error(format_args!(
                    "worker={slot} has closed its control socket and lives on, telling it to leave"
                ));
            }
            Fact::MoldLost { generation } => log.error(format_args!("mold gen={generation} is lost, starting another")),
            Fact::MoldRecovered { generation } => log.info(format_args!("mold gen={generation} is ready")),
            Fact::MoldRecoveryFailed { generation, why, delay } => {
                log.error(format_args!("mold gen={generation}: {why}, next try in {:.1} s", delay.as_secs_f64()));
            }
            Fact::NoConfigFile => log.info("config_file not present, reexecuting binary"),
            Fact::SuccessorAlreadyRunning => {
                let pid = self.successor.pid().unwrap_or(0);
                log.error(format_args!("reexec-ed child already running PID:{pid}"));
            }
            Fact::OutOfTurn => log.error(format_args!("cannot upgrade: {OUT_OF_TURN}")),
            Fact::SuccessorReady => log.info("the new master serves"),
            Fact::SuccessorGone { ready: true } => log.info("the new master has left"),
            Fact::SuccessorGone { ready: false } => log.error("the new master died before it served"),
            Fact::SuccessorLost => {
                log.error("the new master died while this one was leaving to it: the unit has to be started again");
            }
            Fact::Orphaned => log.error("the old master died and left its unit to nobody: leaving too"),
            Fact::PreflightStarted => log.info("looking at the new program"),
            Fact::UpgradeRefused { why } => log.error(format_args!("no upgrade: {why}")),
            Fact::UpgradeFailed { why } => self.log_upgrade_failure(why),
            Fact::Replaced => {}
            Fact::QuitDeferred => log.info("the new master is not ready yet: serving on until it is"),
            Fact::QuitDropped => log.warn("the new master never served: this one stays"),
            Fact::WinchIgnored => log.info("SIGWINCH ignored because we're not daemonized"),
            Fact::WinchStarted => log.info("gracefully stopping all workers"),
            Fact::IgnoredWhileStopping => log.info("ignored: the server is stopping"),
            Fact::StopStarted { graceful: true, delay } if !delay.is_zero() => {
                log.info(format_args!("stopping in {:.0} s", delay.as_secs_f64()));
            }
            Fact::StopStarted { .. } => {}
        }
    }

    fn log_upgrade_failure(&self, why: Failure) {
        self.log.error(format_args!("error upgrading: {why}; this program serves on"));
        self.causes.told(why).iter().flat_map(|text| text.lines()).for_each(|line| self.log.error(line));
    }

    /// Unicorn's line about a failed reload, then one line for each line of the backtrace.
    fn log_failure(&self, what: &str, generation: u32, why: Failure) {
        let text = self.causes.text(why);
        let mut lines = text.lines();
        let file = self.options.config_file.as_deref().unwrap_or("");
        let first = lines.next().unwrap_or_default();
        self.log.error(format_args!("{what} config_file={file}: {first}"));
        lines.for_each(|line| self.log.error(line));
        self.log.error(format_args!("gen={generation}: {why}; the generation before it serves on"));
    }
}
