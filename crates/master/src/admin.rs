//! The process that answers health checks: started when there is something to say, replaced when its address changes,
//! stopped when a successor answers in its stead.
//!
//! It holds one end of a socket pair, on which it is told the status whenever it asks: it can ask for nothing else. When
//! this master ends, or executes another program, so does the pair, and it leaves.

use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

use sys::claims::ClaimStream;
use sys::process::{Ending, Exited};
use sys::signals::Signal;
use sys::spawn::Program;
use sys::user::User;

use crate::config::settings::Place;
use crate::control::protocol::Answer;
use crate::environment;
use crate::log::lines::Log;
use crate::signals;

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
    /// What to poll.
    pub(crate) fn fds(&self) -> Option<BorrowedFd<'_>> {
        Some(self.running.as_ref()?.questions.as_ref()?.as_fd())
    }

    /// Whether it asks. Whatever it sends is that one question, and is answered once a round.
    pub(crate) fn hear(&mut self) -> bool {
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
    pub(crate) fn tell(&mut self, status: &Answer) {
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

    /// Has an address that could not be bound be tried again: it may be free by now.
    pub(crate) fn try_again(&mut self) {
        self.failed = None;
    }

    /// Starts or stops the process, so that it answers where it is `wanted`. Returns the process that was started. It never
    /// runs as `user`, which is the application's.
    pub(crate) fn tend(&mut self, wanted: Option<Place>, user: Option<&User>, log: &Log) -> Option<u32> {
        if let Some(running) = &mut self.running {
            if wanted.as_ref() != Some(&running.place) && !running.told_to_leave {
                running.told_to_leave = true;
                signals::send(running.pid, Signal::Term, log);
            }
            return None;
        }
        let place = wanted.filter(|place| self.failed.as_ref() != Some(place))?;
        match start(place.clone(), user) {
            Ok(running) => {
                let pid = running.pid;
                *self = Self { running: Some(running), failed: None };
                Some(pid)
            }
            Err(text) => {
                log.error(format_args!("admin_listen={}: {text}", place.listen));
                self.failed = Some(place);
                None
            }
        }
    }

    /// It was reaped.
    pub(crate) fn exited(&mut self, exited: Exited, log: &Log) {
        let Some(running) = self.running.take() else { return };
        if running.told_to_leave {
            return;
        }
        log.error(format_args!("reaped {} admin", exited.ruby_inspect()));
        if exited.ending() == Ending::Exit(NO_ADDRESS) {
            log.error(format_args!(
                "admin_listen={}: nothing answers health checks there; the next reload tries again",
                running.place.listen
            ));
            self.failed = Some(running.place);
        } else if sys::clock::monotonic_ns().saturating_sub(running.since_ns) < WORTH_A_RESTART_NS {
            self.failed = Some(running.place);
        }
    }
}

fn start(place: Place, user: Option<&User>) -> Result<Running, String> {
    let (ours, theirs) = UnixStream::pair().map_err(|error| error.to_string())?;
    let ours = ClaimStream::of(ours).map_err(|error| error.chain())?;
    let mut program = Program::new("/proc/self/exe");
    program.arguments = vec!["admin".into(), "--with-parent".into(), "--listen".into(), place.listen.as_str().into()];
    program.arguments.extend(place.hosts.iter().flat_map(|host| ["--host".into(), host.into()]));
    if let Some(user) = user {
        program.arguments.extend(["--application-user".into(), user.name.as_str().into()]);
    }
    program.unset = environment::PRIVATE.iter().map(Into::into).collect();
    program.inherit = vec![(theirs.as_fd(), 0)];
    let pid = program.spawn().map_err(|error| error.chain())?;
    let since_ns = sys::clock::monotonic_ns();
    Ok(Running { pid, place, since_ns, told_to_leave: false, questions: Some(ours) })
}
