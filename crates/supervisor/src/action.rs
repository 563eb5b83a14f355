//! What the shell must do.

use core::fmt;
use core::time::Duration;

use serde::{Deserialize, Serialize};

use crate::types::{AdminPlace, CauseId, Generation, ServiceId, ServiceName, SlotId, Ticket, Wear, WorkerId};

/// One deed for the shell. Deeds are performed in the order in which they come, none is skipped; one that cannot be
/// done (a process that is gone already) is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Start a mold from the freshly resolved working directory, and send it `Boot`.
    StartMold {
        /// Its number.
        generation: Generation,
    },
    /// Have a worker fork a mold, between two requests. It has the settings of the mold that has forked the worker, and is
    /// to say that it is ready, with no word of settings before.
    Promote {
        /// The worker.
        worker: WorkerId,
        /// The number of the mold.
        generation: Generation,
    },
    /// Tell a mold that its settings are prepared: it may preload.
    Proceed {
        /// Which mold.
        generation: Generation,
    },
    /// Ask a mold to leave.
    RetireMold {
        /// Which mold.
        generation: Generation,
    },
    /// Kill a mold (SIGKILL).
    KillMold {
        /// Which mold.
        generation: Generation,
    },
    /// The settings that were prepared for this generation become those of the server: pid path, logs, titles. The
    /// listeners that they drop stay open until [`Action::Settle`]. At boot, at a reload, and when a mold has taken the
    /// place of a lost one (whose configuration file was read anew). Workers forked from now on get these listeners.
    Commit {
        /// Which generation.
        generation: Generation,
    },
    /// Nothing will go back to earlier settings any more: close all listeners that this generation does not have. It does not
    /// come for the first generation, nor for one that was lost before its time came.
    Settle {
        /// Which generation.
        generation: Generation,
    },
    /// This generation will not be used (any more): close the listeners that were bound for it alone; when it had been
    /// committed, put the settings before it back. Nothing to do when nothing had been prepared.
    Rollback {
        /// Which generation.
        generation: Generation,
    },

    /// Have a mold fork a worker. Later deeds may name the worker before its process is there: they are done when its pid
    /// is told, or are done with when it is known that it never will be ([`crate::Event::ForkFailed`]).
    Fork {
        /// The number of the new process.
        worker: WorkerId,
        /// Its slot.
        slot: SlotId,
        /// The mold that forks it.
        generation: Generation,
    },
    /// Ask a worker that serves to finish what it has begun and to leave.
    Retire {
        /// Which worker.
        worker: WorkerId,
        /// Whether to serve first what waits in the backlog: this server accepts nothing any more.
        drain: bool,
        /// Whether other workers take its connections. It may be asked again when that is no longer so.
        hand_over: bool,
        /// How long it may keep idle connections.
        linger: Duration,
    },
    /// Tell a worker to leave that has not reported ready, or that has closed its control socket. Send what a worker that
    /// serves takes for [`Action::Retire`], so that no begun request is cut off (SIGQUIT, which while booting means exit).
    Abandon {
        /// Which worker.
        worker: WorkerId,
    },
    /// Tell a worker to leave at once, whatever it does (SIGINT).
    Quick {
        /// Which worker.
        worker: WorkerId,
    },
    /// Kill a worker (SIGKILL).
    Kill {
        /// Which worker.
        worker: WorkerId,
        /// What to say of it in the log.
        why: KillReason,
    },

    /// Reopen the logs of master, molds and workers.
    ReopenLogs,
    /// Tell all living molds what `server.worker_processes` answers from now on.
    WorkerProcesses {
        /// The count.
        count: u32,
    },
    /// Start the new master program beside this one.
    StartSuccessor,
    /// Do not start the new master program that was asked for, if it does not run yet.
    ForgetSuccessor,
    /// Stop the new master program: its unit ends.
    StopSuccessor {
        /// With SIGINT, rather than with SIGTERM.
        quick: bool,
    },
    /// Hand the unit over to the new master program: to the service manager's knowledge first, then to that program's.
    HandOver,
    /// The new master program is gone: take pid path and title back.
    SuccessorLeft,
    /// Find out whether the new program can take this one's place, without touching anything.
    Preflight,
    /// The preflight is not awaited any more: end it.
    AbandonPreflight,
    /// Become the new program, when no other action is left: execute it with [`crate::Supervisor::snapshot`].
    Execute,

    /// Start the admin process.
    StartAdmin {
        /// Where it is to answer.
        place: AdminPlace,
    },
    /// Tell the admin process to leave (SIGTERM). Its exit is awaited.
    StopAdmin,

    /// Start a process of a service: a program, or one that the mold forks. What comes of it is told.
    StartService {
        /// The number of the new process.
        service: ServiceId,
        /// Which service.
        name: ServiceName,
        /// The mold whose settings say how, and which forks it if it is to be forked.
        generation: Generation,
    },
    /// Ask a service to finish what it does and to leave.
    StopService {
        /// Which process.
        service: ServiceId,
    },
    /// Kill a service (SIGKILL) that has not left in time, or that has not come to be.
    KillService {
        /// Which process.
        service: ServiceId,
    },

    /// The service is up, for the first time: each slot has a ready worker, or at least one has and the others have
    /// failed and will be tried again. Once, at most.
    Serving,
    /// The state of a roll, whenever it changes.
    Progress {
        /// Slots that the new generation serves.
        done: u32,
        /// Slots in all.
        total: u32,
    },
    /// The answer to a ticket. Exactly one for each ticket.
    Outcome {
        /// Whose.
        ticket: Ticket,
        /// How it went.
        result: Result<(), Failure>,
    },
    /// A fact that is worth a line in the log.
    Log(Fact),
    /// The first boot failed; everything is being torn down, [`Action::Exit`] follows.
    BootFailed(Failure),
    /// Close all listeners of the master: the workers drain the backlog and nothing new comes in.
    StopListening,
    /// Nothing is left: exit. The last action, but for the answers to requests of the same round.
    Exit {
        /// The exit status.
        code: u8,
    },
}

/// Why a worker is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KillReason {
    /// Its request outlived `timeout`.
    RequestTimeout,
    /// It was not ready within `boot_timeout`.
    BootTimeout,
    /// A retiring worker had not left after `timeout`, `linger` and a grace.
    RetireTimeout,
    /// It had not left `timeout` after a graceful stop began.
    StopTimeout,
    /// It had not left 2 s after it was told to leave at once.
    QuickStopTimeout,
    /// It said what no worker says.
    Lied,
    /// It closed its control socket and lived on, while it booted or for longer than a retiring worker may.
    Unreachable,
}

impl fmt::Display for KillReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::RequestTimeout => "request timeout",
            Self::BootTimeout => "boot timeout",
            Self::RetireTimeout => "retire timeout",
            Self::StopTimeout => "stop timeout",
            Self::QuickStopTimeout => "quick stop timeout",
            Self::Lied => "it broke the protocol",
            Self::Unreachable => "it closed its control socket",
        })
    }
}

/// Why a boot, a reload, an upgrade or a recovery failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureReason {
    /// The mold reported a failure, or its settings could not be applied.
    MoldFailed,
    /// The mold died.
    MoldExited,
    /// The first mold left without a word: the configuration ended the boot, and there is nothing to say of that.
    MoldLeft,
    /// The mold was not ready within `boot_timeout`.
    MoldBootTimeout,
    /// A worker reported that it cannot boot.
    WorkerBootFailed(SlotId),
    /// A worker died while it booted.
    WorkerExited(SlotId),
    /// A worker was not ready within `boot_timeout`.
    WorkerBootTimeout(SlotId),
    /// A worker said what no worker says, or closed its control socket, while it booted.
    WorkerUnfit(SlotId),
    /// The mold could not fork, or the worker said nothing before it died.
    ForkFailed(SlotId),
    /// The workers of a slot die again and again right after they became ready.
    WorkerCrashLoop(SlotId),
    /// The workers on trial fare worse than those of the old code.
    CanaryWorse,
    /// The worker that was to fork the next mold did not.
    NotPromoted,
    /// An operator has called it off.
    Aborted,
    /// No worker is on trial.
    NoCanary,
    /// No reload is under way.
    NoReload,
    /// There is no earlier mold to go back to.
    NoPrevious,
    /// A new master program runs already.
    SuccessorAlreadyRunning,
    /// The new master program could not be started.
    SuccessorFailed,
    /// The new master program died before it served.
    SuccessorExited,
    /// The program of an upgrade in place did not pass the preflight.
    PreflightFailed,
    /// The preflight did not end in time.
    PreflightTimeout,
    /// The program of an upgrade in place could not be executed, or gave up before it took over.
    NotReplaced,
    /// An upgrade in place is under way.
    UpgradeUnderWay,
    /// The server stops.
    Stopping,
}

/// A failure: why, in the supervisor's words, and by which of the causes that the shell has told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Why.
    pub reason: FailureReason,
    /// What the shell told with the event that it followed from.
    pub cause: CauseId,
}

impl FailureReason {
    /// The failure that follows from this cause.
    pub fn by(self, cause: CauseId) -> Failure {
        Failure { reason: self, cause }
    }
}

impl From<FailureReason> for Failure {
    fn from(reason: FailureReason) -> Self {
        reason.by(CauseId::NONE)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.reason.fmt(f)
    }
}

impl fmt::Display for FailureReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MoldFailed => f.write_str("the mold failed to boot"),
            Self::MoldExited => f.write_str("the mold died"),
            Self::MoldLeft => f.write_str("the configuration ended the boot"),
            Self::MoldBootTimeout => f.write_str("the mold was not ready in time"),
            Self::WorkerBootFailed(slot) => write!(f, "worker={slot} failed to boot"),
            Self::WorkerExited(slot) => write!(f, "worker={slot} died while booting"),
            Self::WorkerBootTimeout(slot) => write!(f, "worker={slot} was not ready in time"),
            Self::WorkerUnfit(slot) => write!(f, "worker={slot} broke the protocol while booting"),
            Self::ForkFailed(slot) => write!(f, "worker={slot} could not be forked, or died before it began"),
            Self::WorkerCrashLoop(slot) => write!(f, "worker={slot} dies again and again right after boot"),
            Self::CanaryWorse => f.write_str("the canary is worse than the old workers"),
            Self::NotPromoted => f.write_str("the worker forks no mold"),
            Self::Aborted => f.write_str("it was called off"),
            Self::NoCanary => f.write_str("there is no canary to promote"),
            Self::NoReload => f.write_str("there is no reload under way that could be undone"),
            Self::NoPrevious => f.write_str("no earlier generation is kept"),
            Self::SuccessorAlreadyRunning => f.write_str("a new master is running already"),
            Self::SuccessorFailed => f.write_str("the new master could not be started"),
            Self::SuccessorExited => f.write_str("the new master died before it served"),
            Self::PreflightFailed => f.write_str("the new program did not pass the preflight"),
            Self::PreflightTimeout => f.write_str("the preflight of the new program did not end in time"),
            Self::NotReplaced => f.write_str("the new program did not take over"),
            Self::UpgradeUnderWay => f.write_str("an upgrade is under way already"),
            Self::Stopping => f.write_str("the server stops"),
        }
    }
}

/// A fact that is worth a line in the log. Starts, exits and kills of processes are not among them: the shell logs
/// those as it performs or sees them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fact {
    /// A reload begins: this generation boots.
    ReloadStarted {
        /// Of the next mold.
        generation: Generation,
    },
    /// A reload came while the next mold of an earlier one was booting: that mold is dropped, newest code wins.
    ReloadRestarted {
        /// Of the mold that is dropped.
        dropped: Generation,
    },
    /// A reload came during a roll and will follow it.
    ReloadQueued,
    /// An upgrade in place came during a reload and will follow it.
    UpgradeQueued,
    /// The next mold did not get ready; everything is as it was.
    ReloadFailed {
        /// Of the mold that failed.
        generation: Generation,
        /// Why.
        why: Failure,
    },
    /// The next mold is ready and replaces the workers, slot by slot.
    RollStarted {
        /// Of the new mold.
        generation: Generation,
        /// How many slots.
        total: u32,
    },
    /// The first workers of the new generation serve, and are watched.
    CanaryServing {
        /// The new generation.
        generation: Generation,
        /// How many they are.
        workers: u32,
        /// For how long.
        watch: Duration,
    },
    /// They have proven themselves, or an operator thinks so: the roll goes on.
    CanaryPassed {
        /// The new generation.
        generation: Generation,
        /// Whether their time was not over.
        promoted: bool,
    },
    /// An earlier mold is to serve again.
    GoesBack {
        /// Its generation.
        generation: Generation,
    },
    /// The mold of the generation before is kept.
    PreviousKept {
        /// Its generation.
        generation: Generation,
        /// For how long.
        time: Duration,
    },
    /// It is not kept any more.
    PreviousGone {
        /// Its generation.
        generation: Generation,
    },
    /// Each slot is served by the new generation; the old workers finish.
    RollServing {
        /// The new generation.
        generation: Generation,
    },
    /// The last old worker is gone.
    RollDone {
        /// The new generation.
        generation: Generation,
    },
    /// The roll failed, the old generation is put back.
    RollBack {
        /// The generation that failed.
        generation: Generation,
        /// Why.
        why: Failure,
    },
    /// A worker has served enough to be the next mold: it is to fork it.
    ReforkStarted {
        /// Of the next mold.
        generation: Generation,
        /// The slot of the worker.
        slot: SlotId,
        /// How many requests it has served.
        requests: u64,
    },
    /// The worker is not to be forked: another one will be.
    ReforkElsewhere {
        /// Of the mold that there will not be.
        generation: Generation,
        /// Why.
        why: Failure,
    },
    /// A refork failed: everything is as it was.
    ReforkFailed {
        /// Of the mold that was to be, or was.
        generation: Generation,
        /// Why.
        why: Failure,
    },
    /// All workers are forked by the mold that a worker has forked.
    ReforkDone {
        /// Its generation.
        generation: Generation,
    },
    /// A slot waits before its next worker is forked.
    BackOff {
        /// Which slot.
        slot: SlotId,
        /// Failures in a row.
        failures: u32,
        /// How long it waits.
        delay: Duration,
    },
    /// The load wants another number of workers.
    Resized {
        /// How many there were to be.
        from: u32,
        /// How many there are to be.
        to: u32,
    },
    /// A worker that has had its time leaves: another one serves in its place.
    WorkerRecycled {
        /// Which worker.
        worker: WorkerId,
        /// Its slot.
        slot: SlotId,
        /// Why.
        why: Wear,
    },
    /// A worker has closed its control socket and lives on: it is told to leave.
    WorkerUnreachable {
        /// Its slot.
        slot: SlotId,
    },
    /// A mold did not fork a worker within `boot_timeout`: it is killed.
    MoldForksNothing {
        /// Which mold.
        generation: Generation,
    },
    /// The mold that new workers come from is lost; another is started from the same configuration.
    MoldLost {
        /// The mold that is gone.
        generation: Generation,
    },
    /// The mold that was started for a lost one is ready.
    MoldRecovered {
        /// Of the new mold.
        generation: Generation,
    },
    /// The mold that was started for a lost one failed.
    MoldRecoveryFailed {
        /// Of the mold that failed.
        generation: Generation,
        /// Why.
        why: Failure,
        /// How long until the next attempt.
        delay: Duration,
    },
    /// SIGHUP without a configuration file: the program is executed anew instead.
    NoConfigFile,
    /// An upgrade was asked for while a new master runs already.
    SuccessorAlreadyRunning,
    /// This master may not be followed by another one before the master before it has handed the unit over.
    OutOfTurn,
    /// The new master serves.
    SuccessorReady,
    /// The new master is gone.
    SuccessorGone {
        /// Whether it had served.
        ready: bool,
    },
    /// The new master died while this one was leaving the unit to it.
    SuccessorLost,
    /// The master before this one died and left its unit to no other one: this one leaves too.
    Orphaned,
    /// An upgrade in place begins: the new program is looked at first.
    PreflightStarted,
    /// An upgrade was refused.
    UpgradeRefused {
        /// Why.
        why: Failure,
    },
    /// An upgrade in place failed: this program goes on.
    UpgradeFailed {
        /// Why.
        why: Failure,
    },
    /// This program has taken the place of the one before; its workers are replaced now.
    Replaced,
    /// SIGQUIT came while the new master boots: this one serves until that one does.
    QuitDeferred,
    /// The new master is gone and with it the SIGQUIT that was put off: this one serves on.
    QuitDropped,
    /// The admin process has ended by itself.
    AdminDied {
        /// How.
        cause: CauseId,
    },
    /// The admin process could not have its address.
    AdminWithoutAddress {
        /// Where it was to answer.
        place: AdminPlace,
    },
    /// A service has ended too early, or could not be started: the next one waits.
    ServiceBackOff {
        /// Which service.
        name: ServiceName,
        /// Failures in a row.
        failures: u32,
        /// How long it waits.
        delay: Duration,
    },
    /// SIGWINCH came from a terminal and means nothing.
    WinchIgnored,
    /// SIGWINCH: all workers retire.
    WinchStarted,
    /// A request to the master means nothing while it stops.
    IgnoredWhileStopping,
    /// A stop begins (again, when it turns from graceful to quick).
    StopStarted {
        /// Whether begun requests are finished.
        graceful: bool,
        /// How long the service goes on before.
        delay: Duration,
    },
}
