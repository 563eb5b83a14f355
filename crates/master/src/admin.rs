//! The process that answers health checks: started when there is something to say, replaced when its address changes,
//! stopped when a successor answers in its stead.
//!
//! It holds one end of a socket pair, on which it is told the status whenever it asks: it can ask for nothing else. When
//! this master ends, or executes another program, so does the pair, and it leaves.

use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

use supervisor::SuccessorPhase;
use sys::claims::ClaimStream;
use sys::process::{Ending, Exited};
use sys::signals::Signal;
use sys::spawn::Program;

use crate::children::registry::Who;
use crate::config::settings::{Place, Settings};
use crate::control::protocol::Answer;
use crate::environment;
use crate::shell::Shell;

/// One that ends sooner than this cannot do its work, and is not started again before the settings change.
const WORTH_A_RESTART_NS: u64 = 1_000_000_000;

/// The exit status of one that cannot have its address.
const NO_ADDRESS: i32 = 3;

/// The process, if there is one.
#[derive(Debug, Default)]
pub(crate) struct Admin {
    running: Option<Running>,
    /// The address with which it failed.
    failed: Option<Place>,
}

#[derive(Debug)]
struct Running {
    pid: u32,
    place: Place,
    since_ns: u64,
    told_to_leave: bool,
    /// Where it asks for the status; its end is how the process learns of this one's. `None` once it talks nonsense.
    questions: Option<ClaimStream>,
}

impl Admin {
    /// The descriptor to poll.
    pub(crate) fn readable(&self) -> Option<BorrowedFd<'_>> {
        Some(self.running.as_ref()?.questions.as_ref()?.as_fd())
    }

    /// Has an address that could not be bound be tried again: it may be free by now.
    pub(crate) fn try_again(&mut self) {
        self.failed = None;
    }

    /// Whether it asks. Whatever it sends is that one question, and is answered once a round.
    fn asks(&mut self) -> bool {
        let Some(running) = &mut self.running else { return false };
        let Some(stream) = &mut running.questions else { return false };
        match stream.read(&mut [0; 256]) {
            Ok(1..) => true,
            Err(error) if error.kind() == ErrorKind::WouldBlock => false,
            Ok(0) | Err(_) => {
                running.questions = None;
                false
            }
        }
    }

    /// Tells it the status. One that does not take it whole is not told any more.
    fn tell(&mut self, status: &Answer) {
        let Some(running) = &mut self.running else { return };
        let Some(stream) = &mut running.questions else { return };
        let line = serde_json::to_vec(status).map(|mut line| {
            line.push(b'\n');
            line
        });
        if !line.is_ok_and(|line| stream.write_all(&line).is_ok()) {
            running.questions = None;
        }
    }
}

impl Shell {
    /// Starts or stops the process, as the settings and the state want it.
    pub(crate) fn tend_admin(&mut self) {
        let wanted = self.settings.as_ref().and_then(Settings::admin);
        let wanted = wanted.filter(|_| self.speaks_for_itself());
        if let Some(running) = &mut self.admin.running {
            if wanted.as_ref() != Some(&running.place) && !running.told_to_leave {
                running.told_to_leave = true;
                let pid = running.pid;
                self.kill(pid, Signal::Term);
            }
            return;
        }
        let Some(place) = wanted.filter(|place| self.admin.failed.as_ref() != Some(place)) else { return };
        match self.start_admin(place.clone()) {
            Ok(running) => {
                self.children.register(running.pid, Who::Admin);
                self.admin = Admin { running: Some(running), failed: None };
            }
            Err(text) => {
                self.log.error(format_args!("admin_listen={}: {text}", place.listen));
                self.admin.failed = Some(place);
            }
        }
    }

    /// Answers the process.
    pub(crate) fn hear_admin(&mut self) {
        if self.admin.asks() {
            let status = Answer::Status(self.status());
            self.admin.tell(&status);
        }
    }

    /// Of two masters one answers: the old one until the new one is ready, then the new one.
    fn speaks_for_itself(&self) -> bool {
        let is_new = self.succession.origin.is_some() && !self.supervisor.readyz();
        let is_old = self.supervisor.successor() == SuccessorPhase::Serving && !self.supervisor.readyz();
        !is_new && !is_old
    }

    fn start_admin(&self, place: Place) -> Result<Running, String> {
        let (ours, theirs) = UnixStream::pair().map_err(|error| error.to_string())?;
        let ours = ClaimStream::of(ours).map_err(|error| error.chain())?;
        let mut program = Program::new("/proc/self/exe");
        program.arguments =
            vec!["admin".into(), "--with-parent".into(), "--listen".into(), place.listen.as_str().into()];
        program.arguments.extend(place.hosts.iter().flat_map(|host| ["--host".into(), host.into()]));
        if let Some(user) = self.user() {
            program.arguments.extend(["--application-user".into(), user.name.as_str().into()]);
        }
        program.unset = environment::PRIVATE.iter().map(Into::into).collect();
        program.inherit = vec![(theirs.as_fd(), 0)];
        let pid = program.spawn().map_err(|error| error.chain())?;
        let since_ns = sys::clock::monotonic_ns();
        Ok(Running { pid, place, since_ns, told_to_leave: false, questions: Some(ours) })
    }

    pub(crate) fn admin_exited(&mut self, exited: Exited) {
        let Some(running) = self.admin.running.take() else { return };
        if running.told_to_leave {
            return;
        }
        self.log.error(format_args!("reaped {} admin", exited.ruby_inspect()));
        if exited.ending() == Ending::Exit(NO_ADDRESS) {
            self.log.error(format_args!(
                "admin_listen={}: nothing answers health checks there; the next reload tries again",
                running.place.listen
            ));
            self.admin.failed = Some(running.place);
        } else if sys::clock::monotonic_ns().saturating_sub(running.since_ns) < WORTH_A_RESTART_NS {
            self.admin.failed = Some(running.place);
        }
    }
}
