//! The end of this program in an upgrade in place: what it holds is described, and the next one executed.

use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;
use std::rc::Rc;

use supervisor::{Event, Generation, WorkerId};
use sys::image::{Image, Inheritance};
use sys::signals::Signal;
use wire::state::{self, Bytes, Origin, State, WayBack};

use crate::children::mold::{Mold, MoldStage};
use crate::children::worker::{Process, Worker};
use crate::environment;
use crate::shell::Shell;
use crate::sockets::bound::{Bound, Listeners};
use crate::upgrade::preflight::variable;
use crate::upgrade::replacement::{Passed, Replacement};

/// Gives each descriptor the number under which the next program has it.
pub(crate) type Number<'a> = dyn FnMut(BorrowedFd<'_>) -> sys::Result<i32> + 'a;

impl Shell {
    /// Becomes the program that has passed the preflight. When it returns, nothing has changed.
    pub(crate) fn execute(&mut self) {
        let Replacement::Passed(next) = std::mem::replace(&mut self.replacement, Replacement::None) else { return };
        // A stop may have come in between.
        if self.supervisor.snapshot().is_none() {
            return;
        }
        self.forward_log();
        self.log.info(format_args!(
            "executing {:?} in place (in {})",
            self.command_line(&next.place.path),
            next.place.directory.display()
        ));
        let held = sys::image::hold_signals();
        let unheard = self.signals.take().into_iter().map(|delivered| delivered.signal);
        // Whoever goes on collects the dead first.
        let unheard: Vec<Signal> = unheard.filter(|signal| *signal != Signal::Chld).collect();
        self.collect_again = true;
        let error = match held {
            Ok(_) => self.try_execute(&next, &unheard),
            Err(ref error) => error.chain(),
        };
        drop(held);
        self.log.error(format_args!("cannot execute the new program: {error}"));
        let cause = self.causes.note(error);
        self.event(Event::NotReplaced { cause });
        for signal in unheard {
            self.signal(signal);
        }
    }

    /// Returns what went wrong.
    fn try_execute(&mut self, next: &Passed, unheard: &[Signal]) -> String {
        let mut kept = Inheritance::default();
        let environment = match self.prepare_execution(next, unheard, &mut kept) {
            Ok(environment) => environment,
            Err(text) => return text,
        };
        let _back = match sys::image::enter(&next.place.directory) {
            Ok(back) => back,
            Err(error) => return error.chain(),
        };
        next.image.execute(&self.command_line(&next.place.path), &environment).chain()
    }

    fn prepare_execution(
        &mut self,
        next: &Passed,
        unheard: &[Signal],
        kept: &mut Inheritance,
    ) -> Result<Vec<OsString>, String> {
        let chain = |error: sys::Error| error.chain();
        let own = Image::running().map_err(chain)?;
        let program = kept.add(own.as_fd()).map_err(chain)?;
        let mut descriptors = Vec::new();
        let mut number = |fd: BorrowedFd<'_>| {
            let number = kept.add(fd)?;
            descriptors.push(number);
            Ok(number)
        };
        let mut state = self.describe(&mut number, unheard)?;
        state.way_back.program = program;
        state.way_back.descriptors = descriptors;
        let bytes = state.encode().map_err(|error| error.to_string())?;
        let memory = sys::memory::sealed("licorne-state", &bytes).map_err(chain)?;
        let memory = kept.add(memory.as_fd()).map_err(chain)?;
        let mut variables = next.environment.clone();
        variables.extend(own_variables());
        variables.push(format!("{}={memory}", environment::STATE).into());
        Ok(variables)
    }

    /// The arguments, the first of which is the program's name.
    fn command_line(&self, program: &OsStr) -> Vec<OsString> {
        let arguments = self.options.arguments.iter().map(OsString::from);
        std::iter::once(program.to_owned()).chain(arguments).collect()
    }

    /// All that the next program has to know. `unheard` signals were received and are its to act upon.
    ///
    /// # Errors
    /// No descriptors left, or nothing can be handed over now.
    pub(crate) fn describe(
        &self,
        number: &mut Number<'_>,
        unheard: &[Signal],
    ) -> Result<State<supervisor::Snapshot>, String> {
        let decisions = self.supervisor.snapshot().ok_or("something else goes on")?;
        self.state(number, unheard, decisions).map_err(|error| error.chain())
    }

    fn state(
        &self,
        number: &mut Number<'_>,
        unheard: &[Signal],
        decisions: supervisor::Snapshot,
    ) -> sys::Result<State<supervisor::Snapshot>> {
        let sockets = self.all_sockets();
        let (places, configured_places) = self.anchors.seen();
        Ok(State {
            version: state::VERSION,
            way_back: self.way_back(),
            pid: sys::process::own_pid(),
            started_ns: self.started_ns,
            directory: bytes(&self.options.directory),
            places: places.iter().map(|path| bytes(path)).collect(),
            configured_places: configured_places.iter().map(|path| bytes(path)).collect(),
            scoreboard: number(self.children.seats.as_fd())?,
            queue: Some(self.queue_ends(number)?),
            listeners: sockets.iter().map(|bound| self.listener(bound, number)).collect::<sys::Result<_>>()?,
            listens_on: places_of(&self.listeners, &sockets),
            settings: self.settings.as_ref().map(|settings| settings.told.clone()).unwrap_or_default(),
            pid_path: self.pid_path.as_deref().map(bytes),
            control: self.control.describe(number)?,
            last_ticket: self.tickets,
            molds: self.describe_molds(&sockets, number)?,
            workers: self.describe_workers(number)?,
            signals: unheard.iter().map(|signal| signal.name().to_string()).collect(),
            oom_kills: self.oom_kills,
            requests: self.notify.requests(),
            decisions,
        })
    }

    fn queue_ends(&self, number: &mut Number<'_>) -> sys::Result<[i32; 2]> {
        let [receive, send] = self.queue.ends();
        Ok([number(receive)?, number(send)?])
    }

    /// Every socket that anything of this server refers to, once.
    fn all_sockets(&self) -> Listeners {
        let mut all = self.present_listeners();
        for bound in self.inherited.activated.iter().chain(&self.inherited.handed_over) {
            if !all.iter().any(|other| Rc::ptr_eq(other, bound)) {
                all.push(Rc::clone(bound));
            }
        }
        all
    }

    fn listener(&self, bound: &Rc<Bound>, number: &mut Number<'_>) -> sys::Result<state::Listener> {
        let among = |list: &Listeners| list.iter().any(|other| Rc::ptr_eq(other, bound));
        let origin = if among(&self.inherited.activated) {
            Origin::Activated
        } else if among(&self.inherited.handed_over) {
            Origin::HandedOver
        } else {
            Origin::Bound
        };
        let asked = bound.asked().map(ToString::to_string);
        let name = bound.activated_as.clone();
        Ok(state::Listener { socket: number(bound.socket.as_fd())?, asked, origin, name })
    }

    fn describe_molds(&self, sockets: &Listeners, number: &mut Number<'_>) -> sys::Result<Vec<state::Mold>> {
        let describe = |(generation, mold): (Generation, &Mold)| {
            Ok(state::Mold {
                generation: generation.0,
                pid: mold.pid,
                control: mold.link.readable().map(&mut *number).transpose()?,
                settings: mold.settings.as_ref().map(|settings| settings.told.clone()),
                listens_on: places_of(&mold.listeners, sockets),
                failed: mold.stage == MoldStage::Failed,
            })
        };
        self.children.molds().map(describe).collect()
    }

    fn describe_workers(&self, number: &mut Number<'_>) -> sys::Result<Vec<state::Worker>> {
        let describe = |(id, known, worker): (WorkerId, &supervisor::Worker, &Worker)| {
            Ok(state::Worker {
                id: id.0,
                pid: worker.pid(),
                control: worker.link.readable().map(&mut *number).transpose()?,
                slot: known.slot.0,
                generation: known.generation.0,
                seat: worker.seat,
                ready: worker.is_ready(),
                waiting: match worker.process {
                    Process::Unborn { waiting } => waiting.map(|signal| signal.name().to_string()),
                    Process::Born(_) | Process::Killed(_) | Process::Gone(_) => None,
                },
            })
        };
        let workers = self.supervisor.workers();
        workers.filter_map(|(id, known)| Some((id, known, self.children.worker(id)?))).map(describe).collect()
    }

    fn way_back(&self) -> WayBack {
        let arguments =
            self.command_line(&self.options.program_path).into_iter().map(|word| Bytes(word.into_vec())).collect();
        // Those of an upgrade before this one mean nothing any more, and of a name that is there twice the first counts.
        let past = |name: &OsStr| name == environment::STATE || name == sys::way_back::REASON_VARIABLE;
        let own = std::env::vars_os().filter(|(name, _)| !past(name));
        let environment = own.map(|(name, value)| variable(name, value)).collect();
        WayBack { program: -1, arguments, environment, descriptors: Vec::new() }
    }
}

/// Variables that are between a supervisor and this very process, whatever program it runs.
fn own_variables() -> impl Iterator<Item = OsString> {
    let own = |name: &&&str| environment::is_private_to_process(name);
    let value = |name: &&str| Some(OsString::from_vec(variable(name.into(), std::env::var_os(name)?).0));
    environment::PRIVATE.iter().filter(own).filter_map(value)
}

fn places_of(some: &Listeners, all: &Listeners) -> Vec<usize> {
    some.iter().filter_map(|bound| all.iter().position(|other| Rc::ptr_eq(other, bound))).collect()
}

fn bytes(path: &Path) -> Bytes {
    Bytes(path.as_os_str().as_bytes().to_vec())
}
