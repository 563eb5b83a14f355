//! The state, the loop, and the order in which a round looks at things.

use std::os::fd::{AsFd, BorrowedFd};
use std::path::PathBuf;
use std::rc::Rc;

use supervisor::{Config, Event, Instant, Supervisor, Ticket};
use sys::daemon::Reporter;
use sys::memory::Shared;
use sys::process::Exited;
use sys::signals::{Signal, Signals};
use sys::title::Title;
use wire::ToMold;

use crate::admin::Admin;
use crate::causes::Causes;
use crate::children::mold::Mold;
use crate::children::registry::{Children, Who};
use crate::config::anchor::Anchors;
use crate::config::options::Options;
use crate::config::runtime::Runtime;
use crate::config::settings::Settings;
use crate::control::protocol::{Answer, Request};
use crate::control::server::ControlServer;
use crate::deadlines::{Limits, Looks, Watched};
use crate::report::log::Log;
use crate::report::log_files::Unanswered;
use crate::report::status::LastReload;
use crate::service_manager::notifier::Notify;
use crate::sockets::bound::Listeners;
use crate::sockets::inherited::{Announced, Inherited};
use crate::sockets::queue::Queue;
use crate::upgrade::replacement::{self, Replacement};
use crate::upgrade::succession::Succession;
use crate::upgrade::successor::{self, Successor};

/// What the master holds. Decisions are in `supervisor`; here are only the things it decides about.
pub(crate) struct Shell {
    pub(crate) options: Options,
    pub(crate) runtime: Runtime,
    pub(crate) log: Log,
    pub(crate) title: Option<Title>,
    pub(crate) supervisor: Supervisor,
    pub(crate) signals: Signals,
    /// Where workers give connections to each other.
    pub(crate) queue: Queue,
    /// How the last reload went.
    pub(crate) last_reload: Option<LastReload>,
    pub(crate) children: Children,
    pub(crate) inherited: Inherited,
    /// The settings that hold, and before the first mold has answered, none.
    pub(crate) settings: Option<Settings>,
    /// What the generation that holds listens on.
    pub(crate) listeners: Listeners,
    /// What a failed roll goes back to.
    pub(crate) before: Option<(Settings, Listeners)>,
    /// The directories that may move to another release.
    pub(crate) anchors: Anchors,
    /// Where this master's pid file is now.
    pub(crate) pid_path: Option<PathBuf>,
    pub(crate) control: ControlServer,
    pub(crate) tickets: u64,
    pub(crate) causes: Causes,
    pub(crate) successor: Successor,
    /// The process that answers health checks.
    pub(crate) admin: Admin,
    /// The program that is to take this one's place.
    pub(crate) replacement: Replacement,
    /// Whether it is to be executed as soon as nothing else is to be done.
    pub(crate) executes: bool,
    /// Whether something watches over this process that would take a new process id for its end.
    pub(crate) supervised: bool,
    pub(crate) succession: Succession,
    /// Who is told how the service is: the service manager.
    pub(crate) notify: Notify,
    /// Who is told when the service is up: the command that put it into the background.
    pub(crate) reporter: Option<Reporter>,
    /// How many processes the kernel had killed for lack of memory when this master last looked.
    pub(crate) oom_kills: u64,
    pub(crate) started_ns: u64,
    pub(crate) looks: Looks,
    /// A child may have died since the dead were collected: the next round comes at once.
    pub(crate) collect_again: bool,
    /// Whether the standard streams have been sent where the settings want them.
    pub(crate) entered: bool,
    /// Whether to begin anew in the background, which the rackup file asks for: that is known when a mold has found it.
    pub(crate) begins_anew: bool,
    /// Whether it has been logged that everything is done.
    pub(crate) completed: bool,
    pub(crate) unanswered: Option<Unanswered>,
    pub(crate) exit: Option<u8>,
}

impl Shell {
    pub(crate) fn new(options: Options, runtime: Runtime, announced: &Announced) -> Result<Self, String> {
        let inherited = Inherited::adopt(announced, &Log::default())?;
        Self::begin(options, runtime, inherited)
    }

    /// A master on these sockets.
    pub(crate) fn begin(options: Options, runtime: Runtime, inherited: Inherited) -> Result<Self, String> {
        let chain = |error: sys::Error| error.chain();
        let signals = Signals::listen().map_err(chain)?;
        sys::process::become_subreaper().map_err(chain)?;
        let scoreboard = Shared::create(crate::sockets::orphans::SCOREBOARD, scoreboard::BYTES).map_err(chain)?;
        let mut shell = Self::assemble(options, runtime, signals, scoreboard, Queue::open().map_err(chain)?);
        shell.inherited = inherited;
        shell.succession = Succession::after(successor::origin());
        shell.notify = Notify::from_environment(shell.succession.origin.is_some(), &shell.log);
        shell.event(Event::Unit { role: shell.notify.role(), origin: shell.succession.origin.is_some() });
        // Now, before anything can move: this is where Bundler has pinned the environment to.
        shell.anchors.resolve(&shell.options.directory, None)?;
        Ok(shell)
    }

    /// A master that has nothing yet.
    pub(crate) fn assemble(
        options: Options,
        runtime: Runtime,
        signals: Signals,
        scoreboard: Shared,
        queue: Queue,
    ) -> Self {
        let title = Title::claim();
        let started_ns = sys::clock::monotonic_ns();
        Self {
            log: Log::default(),
            title,
            supervisor: Supervisor::new(Self::config(&options, started_ns)),
            signals,
            queue,
            last_reload: None,
            children: Children::none(scoreboard),
            inherited: Inherited::default(),
            settings: None,
            listeners: Vec::new(),
            before: None,
            anchors: Anchors::default(),
            pid_path: None,
            control: ControlServer::default(),
            tickets: 0,
            causes: Causes::default(),
            successor: Successor::None,
            admin: Admin::default(),
            replacement: Replacement::None,
            executes: false,
            supervised: replacement::is_supervised(),
            succession: Succession::default(),
            notify: Notify::default(),
            reporter: None,
            oom_kills: sys::process::oom_kills().unwrap_or(0),
            started_ns,
            looks: Looks::default(),
            // What died before there was a handler, or before this program took over, has told nobody.
            collect_again: true,
            entered: false,
            begins_anew: false,
            completed: false,
            unanswered: None,
            exit: None,
            options,
            runtime,
        }
    }

    /// What the supervisor must know before there are settings.
    pub(crate) fn config(options: &Options, seed: u64) -> Config {
        Config { has_config_file: options.config_file.is_some(), seed, ..Config::default() }
    }

    pub(crate) fn serve(&mut self) -> u8 {
        self.show_title("master");
        self.event(Event::Start);
        self.go_on()
    }

    pub(crate) fn go_on(&mut self) -> u8 {
        loop {
            while let Some(action) = self.supervisor.poll_action() {
                self.perform(action);
            }
            if std::mem::take(&mut self.executes) {
                self.execute();
                continue;
            }
            self.forward_log();
            if let Some(code) = self.exit {
                return code;
            }
            if self.watch_requests() {
                continue;
            }
            self.notify();
            self.tend_admin();
            self.hear_admin();
            // Another service that is started on the same sockets may have made them blocking.
            self.inherited.activated.iter().for_each(|bound| bound.socket.unblock());
            let late_ns = self.sleep();
            let limits = self.settings.as_ref().map_or(Limits::NONE, Settings::limits);
            self.looks.pardon(late_ns, limits, sys::clock::monotonic_ns());
            self.collect();
        }
    }

    /// Hands an event to the supervisor, at this moment.
    pub(crate) fn event(&mut self, event: Event) {
        self.supervisor.handle(now(), event);
    }

    pub(crate) fn show_title(&self, tag: &str) {
        if let Some(title) = &self.title {
            title.set(&self.options.title(tag));
        }
    }

    /// Asks for the reports that are due, and tells of overdue requests; returns whether there were any.
    fn watch_requests(&mut self) -> bool {
        let limits = self.settings.as_ref().map_or(Limits::NONE, Settings::limits);
        let watched = self
            .children
            .workers()
            .filter(|(_, worker)| worker.is_ready() && !worker.is_killed())
            .map(|(id, worker)| Watched { id, seat: worker.seat });
        let due = self.looks.look(self.children.seats.words(), watched, limits, sys::clock::monotonic_ns());
        for (worker, start_ns) in due.reports {
            self.ask_for_report(worker, start_ns);
        }
        for worker in &due.overdue {
            self.event(Event::RequestOverdue { worker: *worker });
        }
        !due.overdue.is_empty()
    }

    /// Sleeps until there is something to do, and returns how late it woke up.
    fn sleep(&self) -> u64 {
        Log::tell_lost();
        let now = sys::clock::monotonic_ns();
        let deadline = self.supervisor.next_deadline().map(|at| at.0).filter(|ns| *ns != u64::MAX);
        let until = [deadline, self.looks.next_ns, self.notify.next_ns()].into_iter().flatten().min();
        let mut fds: Vec<BorrowedFd<'_>> = vec![self.signals.as_fd()];
        fds.extend(self.children.readable());
        fds.extend(self.control.readable());
        fds.extend(self.admin.readable());
        fds.extend(self.successor.readable());
        fds.extend(self.succession.origin.as_ref().map(AsFd::as_fd));
        fds.extend(self.unanswered.as_ref().map(|unanswered| unanswered.answer.as_fd()));
        let left = if self.collect_again { Some(0) } else { until.map(|ns| ns.saturating_sub(now)) };
        let left = left.into_iter().chain(self.control.longest_wait_ns()).min();
        if let Err(error) = sys::poll::wait(&fds, &[], left) {
            self.log.error(format_args!("master loop error: {}", error.chain()));
        }
        until.map_or(0, |until| sys::clock::monotonic_ns().saturating_sub(until.max(now)))
    }

    /// Takes in what has happened.
    ///
    /// The order matters. Deaths are collected first and handled last: a signal that reached the whole group is known
    /// by then (a worker that it stopped is not replaced), and so is what a child said before it died. One that dies
    /// after the dead were collected may have its signal taken in the same round: that round has to be followed by another.
    fn collect(&mut self) {
        self.collect_again = false;
        let mut exits = Vec::new();
        while let Some(exited) = sys::process::reap() {
            exits.push(exited);
        }
        for delivered in self.signals.take() {
            self.signal(delivered.signal);
        }
        self.hear_molds();
        self.hear_workers(&exits);
        self.hear_successor();
        self.hear_origin();
        let died = !exits.is_empty();
        for exited in exits {
            self.exited(exited);
        }
        if died {
            self.forget_oom_kills();
        }
        self.look_after_successor();
        self.hear_file_systems();
        self.hear_clients();
        let due = self.supervisor.next_deadline().is_some_and(|at| at <= now());
        if due {
            self.event(Event::Tick);
        }
    }

    pub(crate) fn signal(&mut self, signal: Signal) {
        use supervisor::Signal as Known;
        let known = match signal {
            Signal::Quit => Known::Quit,
            Signal::Term => Known::Term,
            Signal::Int => Known::Int,
            Signal::Hup => Known::Hup,
            Signal::Usr1 => Known::Usr1,
            Signal::Usr2 => Known::Usr2,
            Signal::Ttin => Known::Ttin,
            Signal::Ttou => Known::Ttou,
            Signal::Winch => Known::Winch { honoured: !sys::process::stdin_is_terminal() },
            Signal::Chld => {
                self.collect_again = true;
                return;
            }
            // These are only sent.
            Signal::Kill | Signal::Urg => return,
        };
        self.event(Event::Signal(known));
    }

    fn hear_clients(&mut self) {
        let tickets = &mut self.tickets;
        let requests = self.control.take(|| {
            *tickets += 1;
            Ticket(*tickets)
        });
        for (request, ticket, peer) in requests {
            if let Some(what) = request.changes() {
                self.log.info(format_args!("{what} asked for by {}", peer.describe()));
            }
            let (event, wait) = match request {
                Request::Reload { wait } => (Event::Reload { ticket }, wait),
                Request::Upgrade { wait, way } => (Event::Upgrade { ticket, way }, wait),
                Request::Stop { graceful } => (Event::Stop { graceful, ticket }, true),
                Request::Status => {
                    let status = Answer::Status(self.status());
                    self.control.answer(ticket, &status);
                    continue;
                }
            };
            self.control.answer(ticket, &Answer::Accepted);
            if !wait {
                let done = self.done();
                self.control.answer(ticket, &done);
            }
            self.event(event);
        }
    }

    fn exited(&mut self, exited: Exited) {
        match self.children.forget(exited.pid) {
            Some(Who::Mold(generation)) => self.mold_exited(generation, exited),
            Some(Who::Worker(id)) => self.worker_exited(id, exited),
            Some(Who::Successor) => self.successor_exited(exited),
            Some(Who::Admin) => self.admin_exited(exited),
            Some(Who::Preflight) => self.preflight_exited(exited),
            // A stranger: reaping it is all there is to do.
            None => {}
        }
    }

    /// Sends waiting log lines through a mold; without one they go to standard error.
    pub(crate) fn forward_log(&mut self) {
        for (severity, text) in self.log.take_forwarded() {
            let message = ToMold::Log { severity, text: text.clone() };
            // While the server boots there is the first one.
            let mold = self.current_mold().or_else(|| self.children.molds().next().map(|(_, mold)| mold));
            let sent = mold.is_some_and(|mold| mold.link.send(&message, &[]));
            if !sent {
                Log::write(severity, &text);
            }
        }
    }

    /// The mold of the generation that serves.
    pub(crate) fn current_mold(&self) -> Option<&Mold> {
        self.supervisor.generation().and_then(|generation| self.children.mold(generation))
    }

    /// All sockets of living generations.
    pub(crate) fn present_listeners(&self) -> Listeners {
        let mut all: Listeners = self.listeners.clone();
        for bound in self.children.molds().flat_map(|(_, mold)| &mold.listeners) {
            if !all.iter().any(|other| Rc::ptr_eq(other, bound)) {
                all.push(Rc::clone(bound));
            }
        }
        all
    }
}

/// This moment, as the supervisor counts.
pub(crate) fn now() -> Instant {
    Instant(sys::clock::monotonic_ns())
}
