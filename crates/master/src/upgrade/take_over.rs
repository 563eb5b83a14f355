//! The beginning of this program in an upgrade in place: what the one before held is taken over.
//!
//! Until everything is, the way back is open: an error, a panic, a crash or a hang executes the program before again, with
//! all that it held, since this one works on copies of the descriptors.

use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::PathBuf;
use std::rc::Rc;

use supervisor::{Event, Generation, Supervisor, WorkerId};
use sys::channel::Channel;
use sys::listener::{Address, Listener};
use sys::memory::Shared;
use sys::pidfd::Child;
use sys::signals::{Signal, Signals};
use sys::way_back;
use wire::Message;
use wire::state::{self, Bytes, Origin, State, WayBack};

use crate::children::link::Link;
use crate::children::mold::{Mold, MoldStage, Starter};
use crate::children::worker::{Process, Worker, WorkerStage};
use crate::config::anchor::Anchors;
use crate::config::options::Options;
use crate::config::revision::Release;
use crate::config::runtime::Runtime;
use crate::config::settings::Settings;
use crate::control::server::ControlServer;
use crate::environment;
use crate::report::log::Log;
use crate::service_manager::notifier::Notify;
use crate::shell::Shell;
use crate::sockets::bound::{Bound, Listeners};
use crate::sockets::inherited::{Inherited, NAMELESS};
use crate::sockets::queue::Queue;

type Handed = State<supervisor::Snapshot>;

/// Runs the program, which may have been executed in the place of another: then whatever ends `run` before it has taken
/// over leads back to that one.
///
/// # Errors
/// Those of `run`.
pub fn guard(run: impl FnOnce() -> Result<u8, String>) -> Result<u8, String> {
    open_way_back()?;
    match catch_unwind(AssertUnwindSafe(run)) {
        Ok(Err(text)) => {
            go_back(&text);
            Err(text)
        }
        Ok(done) => done,
        Err(panic) => {
            go_back("it panicked");
            resume_unwind(panic)
        }
    }
}

/// Executes the program before this one again, if it has not been taken over from yet.
pub(crate) fn go_back(why: &str) {
    if way_back::is_open() {
        let error = way_back::take(why);
        Log::last_words(&format!("cannot execute the program before this one again: {}", error.chain()));
    }
}

fn open_way_back() -> Result<(), String> {
    let Some(number) = state_number() else { return Ok(()) };
    // The program that is executed again has no other one to go back to.
    if std::env::var_os(way_back::REASON_VARIABLE).is_some() {
        return Ok(());
    }
    let WayBack { program, arguments, environment, .. } =
        WayBack::of_state(&read_state(number)?).map_err(|error| error.to_string())?;
    let program = sys::image::adopt(program).map_err(|error| error.chain())?;
    let mut environment = os_strings(environment);
    environment.push(format!("{}={number}", environment::STATE).into());
    way_back::prepare(program, &os_strings(arguments), &environment).map_err(|error| error.chain())
}

/// The descriptor of the state, if this program was executed in the place of another.
fn state_number() -> Option<i32> {
    std::env::var(environment::STATE).ok()?.parse().ok()
}

fn read_state(number: i32) -> Result<Vec<u8>, String> {
    sys::image::adopt(number).and_then(sys::memory::read_sealed).map_err(|error| error.chain())
}

/// What the program before this one has left, if there was one.
///
/// # Errors
/// It is not understood.
pub(crate) fn handed_over() -> Result<Option<Handed>, String> {
    let Some(number) = state_number() else { return Ok(None) };
    State::decode(&read_state(number)?).map(Some).map_err(|error| error.to_string())
}

impl Shell {
    /// Takes over what the program before this one held.
    ///
    /// # Errors
    /// It is not all there.
    pub(crate) fn take_over(options: Options, runtime: Runtime, handed: &Handed) -> Result<Self, String> {
        if handed.pid != sys::process::own_pid() {
            return Err(format!("the state is for process {}", handed.pid));
        }
        let options = Options { directory: path(&handed.directory), ..options };
        sys::image::set_name(&options.program_name());
        let config = Self::config(&options, handed.started_ns);
        let supervisor = Supervisor::restore(config, handed.decisions.clone()).map_err(|error| error.to_string())?;
        let scoreboard = Shared::map(adopt(handed.scoreboard)?).map_err(|error| error.chain())?;
        let (sockets, inherited) = take_listeners(&handed.listeners)?;
        let settings = Settings::parse_older(&handed.settings)?;
        let queue = match handed.queue {
            Some([receive, send]) => Queue::of_ends(adopt(receive)?, adopt(send)?),
            None => Queue::open().map_err(|error| error.chain())?,
        };
        let signals = Signals::listen().map_err(|error| error.chain())?;
        let mut shell = Self::assemble(options, runtime, signals, scoreboard, queue);
        shell.supervisor = supervisor;
        shell.inherited = inherited;
        shell.log.set_forward(settings.custom_logger);
        shell.settings = Some(settings);
        shell.listeners = chosen(&handed.listens_on, &sockets)?;
        shell.anchors = Anchors::from_seen(paths(&handed.places), paths(&handed.configured_places));
        shell.pid_path = handed.pid_path.as_ref().map(path);
        let control = |control| ControlServer::take_over(control, shell.user().cloned());
        shell.control = handed.control.as_ref().map(control).transpose()?.unwrap_or_default();
        shell.tickets = handed.last_ticket;
        for (generation, mold) in take_molds(&handed.molds, &sockets, &shell.anchors)? {
            shell.children.add_mold(generation, mold);
        }
        for (id, worker) in take_workers(&handed.workers, &shell.supervisor)? {
            shell.children.seats.keep(worker.seat)?;
            shell.children.add_worker(id, worker);
        }
        shell.oom_kills = handed.oom_kills;
        shell.started_ns = handed.started_ns;
        shell.notify = Notify::from_environment(false, &shell.log);
        shell.notify.stored_already(&sockets);
        shell.notify.add_requests(handed.requests);
        shell.entered = true;
        Ok(shell)
    }

    /// Everything is there: from now on this program is the master.
    pub(crate) fn commit_take_over(&mut self, handed: &Handed) {
        way_back::close();
        let own = [handed.way_back.program].into_iter().chain(state_number());
        sys::image::release(handed.way_back.descriptors.iter().copied().chain(own));
        self.show_title("master");
        self.event(Event::Unit { role: self.notify.role(), origin: false });
        match std::env::var(way_back::REASON_VARIABLE) {
            Ok(why) => {
                self.log.error(format_args!("the new program did not take over: {why}"));
                let cause = self.causes.note(why);
                self.event(Event::NotReplaced { cause });
            }
            Err(_) => {
                self.log.info(format_args!("licorne {} has taken over", env!("CARGO_PKG_VERSION")));
                self.event(Event::Replaced);
            }
        }
        for signal in handed.signals.iter().filter_map(|name| Signal::from_name(name)) {
            self.signal(signal);
        }
        sys::image::let_signals_go();
    }
}

fn take_listeners(listeners: &[state::Listener]) -> Result<(Listeners, Inherited), String> {
    let (mut all, mut inherited) = (Listeners::new(), Inherited::default());
    for listener in listeners {
        let socket = Listener::from_fd(adopt(listener.socket)?).map_err(|error| error.chain())?;
        let asked = listener.asked.as_deref().map(Address::parse).transpose().map_err(|error| error.chain())?;
        let activated = listener.origin == Origin::Activated;
        let name = activated.then(|| listener.name.clone().unwrap_or_else(|| NAMELESS.to_string()));
        let bound = Rc::new(Bound::new(socket, asked, name));
        match listener.origin {
            Origin::Bound => {}
            Origin::Activated => inherited.activated.push(Rc::clone(&bound)),
            Origin::HandedOver => inherited.handed_over.push(Rc::clone(&bound)),
        }
        all.push(bound);
    }
    Ok((all, inherited))
}

fn take_molds(
    molds: &[state::Mold],
    sockets: &Listeners,
    anchors: &Anchors,
) -> Result<Vec<(Generation, Mold)>, String> {
    // Which one of them serves: the place that the directory has led to last.
    let (start, configured) = anchors.seen();
    let place = configured.last().or(start.last());
    let take = |mold: &state::Mold| {
        let settings = mold.settings.as_deref().map(Settings::parse_older).transpose()?;
        let user = settings.as_ref().and_then(|settings| settings.user.as_ref());
        let taken = Mold {
            pid: mold.pid,
            link: take_link(mold.control)?,
            // The state does not tell whether it has said that it is ready: saying it once more means nothing.
            stage: match &settings {
                _ if mold.failed => MoldStage::Failed,
                None => MoldStage::Starting,
                Some(_) => MoldStage::Configured,
            },
            starter: Starter::Former,
            reopening: 0,
            release: place.map(|place| Release::at(place, user)).unwrap_or_default(),
            settings,
            listeners: chosen(&mold.listens_on, sockets)?,
        };
        Ok((Generation(mold.generation), taken))
    };
    molds.iter().map(take).collect()
}

fn take_workers(workers: &[state::Worker], supervisor: &Supervisor) -> Result<Vec<(WorkerId, Worker)>, String> {
    let take = |worker: &state::Worker| {
        let id = WorkerId(worker.id);
        let known = supervisor.worker(id).ok_or("a worker about which nothing is decided")?;
        let process = match worker.pid {
            Some(pid) => {
                let child = Child::of(pid).ok_or_else(|| format!("worker {pid} is no child"))?;
                if known.killed().is_some() { Process::Killed(child) } else { Process::Born(child) }
            }
            None => Process::Unborn { waiting: worker.waiting.as_deref().and_then(Signal::from_name) },
        };
        let taken = Worker {
            process,
            link: take_link(worker.control)?,
            seat: worker.seat,
            stage: if worker.ready { WorkerStage::Ready } else { WorkerStage::Booting },
        };
        Ok((id, taken))
    };
    workers.iter().map(take).collect()
}

fn take_link<In: Message, Out: Message>(control: Option<i32>) -> Result<Link<In, Out>, String> {
    let Some(channel) = control.map(adopt).transpose()?.map(Channel::from_fd) else { return Ok(Link::closed()) };
    Link::new(channel).map_err(|error| error.chain())
}

fn chosen(places: &[usize], sockets: &Listeners) -> Result<Listeners, String> {
    let one = |place: &usize| sockets.get(*place).cloned().ok_or_else(|| "a listener is missing".to_string());
    places.iter().map(one).collect()
}

pub(crate) fn adopt(number: i32) -> Result<OwnedFd, String> {
    sys::image::adopt(number).map_err(|error| error.chain())
}

fn os_strings(texts: Vec<Bytes>) -> Vec<OsString> {
    texts.iter().map(os_string).collect()
}

fn os_string(bytes: &Bytes) -> OsString {
    OsString::from_vec(bytes.0.clone())
}

pub(crate) fn path(bytes: &Bytes) -> PathBuf {
    PathBuf::from(os_string(bytes))
}

fn paths(all: &[Bytes]) -> Vec<PathBuf> {
    all.iter().map(path).collect()
}
