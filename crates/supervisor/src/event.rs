//! What the world says.

use crate::service::Terms;
use crate::types::{AdminPlace, CauseId, Generation, Plan, ServiceId, ServiceName, Ticket, Way, Wear, WorkerId};
use crate::unit::Role;

/// A signal that the master understands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// SIGQUIT: graceful stop; put off while a successor boots.
    Quit,
    /// SIGTERM: graceful stop, or quick with `term_signal :quick`.
    Term,
    /// SIGINT: quick stop.
    Int,
    /// SIGHUP: reload; without a configuration file, upgrade.
    Hup,
    /// SIGUSR1: reopen the logs.
    Usr1,
    /// SIGUSR2: upgrade.
    Usr2,
    /// SIGTTIN: one worker more.
    Ttin,
    /// SIGTTOU: one worker less.
    Ttou,
    /// SIGWINCH: retire all workers and keep the master.
    Winch {
        /// False when stdin is a terminal, whose resizing sends this signal too.
        honoured: bool,
    },
}

/// One thing that happened. The order in which the shell reports things that happened at once matters: see
/// [`crate::Supervisor`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// What this master is in a service manager's unit when it begins. Once, before everything else.
    Unit {
        /// As the environment says.
        role: Role,
        /// Whether another master has started this one, and lives.
        origin: bool,
    },
    /// The command line is parsed and listeners are inherited: boot. Once.
    Start,
    /// A signal arrived.
    Signal(Signal),
    /// A reload was asked for through the control socket.
    Reload {
        /// The request that waits for it.
        ticket: Ticket,
    },
    /// The workers on trial have shown enough: the roll is to go on.
    Promote {
        /// The request that waits for the end of the roll.
        ticket: Ticket,
    },
    /// What a reload has done so far is to be undone.
    Abort {
        /// The request that waits for it.
        ticket: Ticket,
    },
    /// The code before is to serve again: what a reload has done so far is undone, or the kept mold takes over.
    GoBack {
        /// The request that waits for it.
        ticket: Ticket,
    },
    /// The workers on trial fare worse than those of the old code.
    CanaryWorse {
        /// In what.
        cause: CauseId,
    },
    /// A stop was asked for through the control socket. Unlike SIGQUIT it is never put off.
    Stop {
        /// Whether begun requests are finished.
        graceful: bool,
        /// The request that waits for it.
        ticket: Ticket,
    },
    /// A new master program was asked for through the control socket.
    Upgrade {
        /// The request that waits for it.
        ticket: Ticket,
        /// How, if not as configured.
        way: Option<Way>,
    },

    /// A mold told its settings and the shell has prepared them: new listeners are bound, paths are writable.
    MoldConfigured {
        /// Which mold.
        generation: Generation,
        /// Its settings.
        plan: Plan,
    },
    /// A mold can fork.
    MoldReady {
        /// Which mold.
        generation: Generation,
    },
    /// A mold reported a failure, or its settings could not be prepared. Its exit is reported apart.
    MoldFailed {
        /// Which mold.
        generation: Generation,
        /// Whether there is anything to say of it. Otherwise the configuration has ended the boot as it wanted, and what the
        /// mold exits with is honoured, 0 too.
        said: bool,
        /// Why.
        cause: CauseId,
    },
    /// A mold is of no use: it said what no mold says. Its exit is reported apart.
    MoldUnfit {
        /// Which mold.
        generation: Generation,
        /// Why.
        cause: CauseId,
    },
    /// A mold's control socket has ended: it is about to die, or it can be asked for nothing any more.
    MoldUnreachable {
        /// Which mold.
        generation: Generation,
    },
    /// A mold was reaped, or could not be started at all. Exactly one for each
    /// [`crate::Action::StartMold`], and for each [`crate::Action::Promote`] but those that are refused.
    MoldExited {
        /// Which mold.
        generation: Generation,
        /// Its exit status, unless a signal ended it or it was never there.
        status: Option<u8>,
        /// Why.
        cause: CauseId,
    },

    /// A worker accepts connections.
    WorkerReady {
        /// Which worker.
        worker: WorkerId,
    },
    /// A worker said that it cannot boot. Its exit is reported apart.
    WorkerBootFailed {
        /// Which worker.
        worker: WorkerId,
        /// Why.
        cause: CauseId,
    },
    /// The worker never came to be: the mold said so, or the worker's control socket closed before a pid was told.
    /// Exactly one of this and [`Event::WorkerExited`] for each [`crate::Action::Fork`].
    ForkFailed {
        /// Which worker.
        worker: WorkerId,
        /// Why.
        cause: CauseId,
    },
    /// A worker that serves was told to leave by another process, and does.
    WorkerLeaves {
        /// Which worker.
        worker: WorkerId,
    },
    /// A worker said what no worker says. Its exit is reported apart.
    WorkerLied {
        /// Which worker.
        worker: WorkerId,
        /// Whether it was in a request.
        in_request: bool,
    },
    /// A worker's control socket has ended: it is about to die, or it hears nothing any more.
    WorkerUnreachable {
        /// Which worker.
        worker: WorkerId,
    },
    /// A worker was reaped.
    WorkerExited {
        /// Which worker.
        worker: WorkerId,
        /// Whether it had a request, as its seat says. That is the worker's claim.
        in_request: bool,
        /// Why.
        cause: CauseId,
    },
    /// A worker that serves has had its time: another one is to take its place.
    WorkerWorn {
        /// Which worker.
        worker: WorkerId,
        /// By what.
        why: Wear,
    },
    /// The load wants this number of workers.
    Size {
        /// How many.
        count: u32,
    },
    /// So many requests a worker has answered by now.
    WorkerServed {
        /// Which worker.
        worker: WorkerId,
        /// How many, as its seat says. That is the worker's claim.
        requests: u64,
    },
    /// The workers have grown so much that a refork pays. What each has answered was told before.
    ReforkPays,
    /// A worker forks no mold. Exactly one of this and [`Event::MoldExited`] for each [`crate::Action::Promote`].
    NotPromoted {
        /// Which worker.
        worker: WorkerId,
        /// The mold that it was to fork.
        generation: Generation,
        /// Whether it never will.
        for_good: bool,
        /// Why.
        cause: CauseId,
    },
    /// A worker's request has outlived its deadline (its seat says so). Whatever the worker was told, it is killed.
    RequestOverdue {
        /// Which worker.
        worker: WorkerId,
    },

    /// The new master program runs.
    SuccessorStarted,
    /// The new master program serves.
    SuccessorReady {
        /// Whether its workers take connections that ours give away.
        takes_over: bool,
    },
    /// The new master program was reaped. Once for each [`Event::SuccessorStarted`].
    SuccessorExited {
        /// Why.
        cause: CauseId,
    },
    /// The new master program could not be started.
    SuccessorFailed {
        /// Why.
        cause: CauseId,
    },

    /// Other settings are in force, as far as the admin process is concerned.
    AdminWanted {
        /// Where they want it.
        place: Option<AdminPlace>,
        /// Whether they are new, rather than put back: what has failed there is tried again.
        anew: bool,
    },
    /// The admin process could not be started.
    AdminFailed,
    /// The admin process was reaped.
    AdminExited {
        /// Whether it could not have its address.
        no_address: bool,
        /// Why.
        cause: CauseId,
    },

    /// The settings of a mold have this service. Before [`Event::MoldConfigured`], once for each.
    ServicePlanned {
        /// Whose settings.
        generation: Generation,
        /// Which service.
        name: ServiceName,
        /// How it is to be treated.
        terms: Terms,
    },
    /// A service process is there.
    ServiceStarted {
        /// Which process.
        service: ServiceId,
    },
    /// A service process could not be started, or never came to be.
    /// Exactly one of this and [`Event::ServiceExited`] for each [`crate::Action::StartService`].
    ServiceFailed {
        /// Which process.
        service: ServiceId,
    },
    /// A service process was reaped.
    ServiceExited {
        /// Which process.
        service: ServiceId,
    },

    /// The master before this one has handed the unit over.
    HandedOver,
    /// The master before this one is gone.
    OriginGone,

    /// The new program can take this one's place.
    PreflightPassed,
    /// It cannot.
    PreflightFailed {
        /// Why.
        cause: CauseId,
    },
    /// The new program was not executed, or it gave up and this program is the old one again.
    NotReplaced {
        /// Why.
        cause: CauseId,
    },
    /// This program was executed in the place of the one before, and holds all that it held.
    Replaced,

    /// The moment of [`crate::Supervisor::next_deadline`] has come, and all that was said before it has been told. Harmless at
    /// any other moment.
    Tick,
}

impl Event {
    /// Whether it asks for something that a boot puts off and a stop refuses.
    pub(crate) fn asks_for_change(self) -> bool {
        match self {
            Self::Reload { .. }
            | Self::Upgrade { .. }
            | Self::Promote { .. }
            | Self::Abort { .. }
            | Self::GoBack { .. } => true,
            Self::Signal(signal) => match signal {
                Signal::Hup | Signal::Usr2 | Signal::Ttin | Signal::Ttou | Signal::Winch { .. } => true,
                Signal::Quit | Signal::Term | Signal::Int | Signal::Usr1 => false,
            },
            Self::Unit { .. }
            | Self::Start
            | Self::Stop { .. }
            | Self::MoldConfigured { .. }
            | Self::MoldReady { .. }
            | Self::MoldFailed { .. }
            | Self::MoldUnfit { .. }
            | Self::MoldUnreachable { .. }
            | Self::MoldExited { .. }
            | Self::WorkerReady { .. }
            | Self::WorkerBootFailed { .. }
            | Self::ForkFailed { .. }
            | Self::WorkerLeaves { .. }
            | Self::WorkerLied { .. }
            | Self::WorkerUnreachable { .. }
            | Self::WorkerExited { .. }
            | Self::WorkerWorn { .. }
            | Self::Size { .. }
            | Self::WorkerServed { .. }
            | Self::ReforkPays
            | Self::NotPromoted { .. }
            | Self::RequestOverdue { .. }
            | Self::CanaryWorse { .. }
            | Self::SuccessorStarted
            | Self::SuccessorReady { .. }
            | Self::SuccessorExited { .. }
            | Self::SuccessorFailed { .. }
            | Self::AdminWanted { .. }
            | Self::AdminFailed
            | Self::AdminExited { .. }
            | Self::ServicePlanned { .. }
            | Self::ServiceStarted { .. }
            | Self::ServiceFailed { .. }
            | Self::ServiceExited { .. }
            | Self::HandedOver
            | Self::OriginGone
            | Self::PreflightPassed
            | Self::PreflightFailed { .. }
            | Self::NotReplaced { .. }
            | Self::Replaced
            | Self::Tick => false,
        }
    }
}
