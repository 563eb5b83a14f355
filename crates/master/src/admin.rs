//! The process that answers health checks, as the supervisor wants it.
//!
//! It holds one end of a socket pair, on which it is told the status or the last deaths whenever it asks: it can ask for nothing else. When
//! this master ends, or executes another program, so does the pair, and it leaves.

use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

use supervisor::AdminPlace;
use sys::claims::ClaimStream;
use sys::process::{Ending, Exited};
use sys::signals::Signal;
use sys::spawn::Program;
use sys::user::User;

use crate::config::settings::Place;
use crate::control::protocol::{Answer, Request};
use crate::environment;
use crate::log::lines::Log;
use crate::signals;

/// The exit status of one that cannot have its address.
const NO_ADDRESS: i32 = 3;

/// Why it does not run.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("there is no such place")]
    NoPlace,
    #[error("admin_listen={listen}")]
    NotStarted { listen: String, source: Box<Error> },
    #[error(transparent)]
    Pair(#[from] std::io::Error),
    #[error(transparent)]
    System(#[from] sys::Error),
}

/// The process, if there is one.
#[derive(Debug, Default)]
pub(crate) struct Admin {
    running: Option<Running>,
    /// The places that settings have named so far, by their numbers.
    places: Vec<Place>,
}

#[derive(Debug)]
struct Running {
    pid: u32,
    /// Where it asks for the status; its end is how the process learns of this one's. `None` once it talks nonsense.
    questions: Option<ClaimStream>,
    /// Whether it was told to leave.
    is_told: bool,
}

/// How it has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// It was told to leave.
    Told,
    /// It could not have its address.
    NoAddress,
    /// Otherwise.
    Died,
}

impl Admin {
    /// What to poll.
    pub(crate) fn fds(&self) -> Option<BorrowedFd<'_>> {
        Some(self.running.as_ref()?.questions.as_ref()?.as_fd())
    }

    /// What it asks for: the deaths, or else, whatever it sends, the status. It is answered once a round.
    pub(crate) fn hear(&mut self) -> Option<Request> {
        let questions = &mut self.running.as_mut()?.questions;
        let mut line = [0; 256];
        match questions.as_mut()?.read(&mut line) {
            Ok(count @ 1..) => {
                let asked = serde_json::from_slice(&line[..count]).ok();
                Some(asked.filter(|asked| *asked == Request::Deaths).unwrap_or(Request::Status))
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => None,
            Ok(0) | Err(_) => {
                *questions = None;
                None
            }
        }
    }

    /// Answers it. One that does not take the answer whole is not told any more.
    pub(crate) fn tell(&mut self, answer: &Answer) {
        let Some(running) = &mut self.running else { return };
        let Some(stream) = &mut running.questions else { return };
        let line = serde_json::to_vec(answer).map(|mut line| {
            line.push(b'\n');
            line
        });
        if !line.is_ok_and(|line| stream.write_all(&line).is_ok()) {
            running.questions = None;
        }
    }

    /// The number of a place, if there is one.
    pub(crate) fn number(&mut self, place: Option<Place>) -> Option<AdminPlace> {
        let place = place?;
        let known = self.places.iter().position(|other| *other == place);
        let number = known.unwrap_or_else(|| {
            self.places.push(place);
            self.places.len() - 1
        });
        Some(AdminPlace(u32::try_from(number).unwrap_or(u32::MAX)))
    }

    /// The place with this number.
    pub(crate) fn place(&self, number: AdminPlace) -> Option<&Place> {
        self.places.get(usize::try_from(number.0).ok()?)
    }

    /// Starts the process, which answers at this place and never runs as `user`, the application's. Returns its number.
    ///
    /// # Errors
    /// It cannot be started.
    pub(crate) fn start(&mut self, number: AdminPlace, user: Option<&User>) -> Result<u32, Error> {
        let place = self.place(number).ok_or(Error::NoPlace)?;
        let failed = |error| Error::NotStarted { listen: place.listen.clone(), source: Box::new(error) };
        let running = start(place, user).map_err(failed)?;
        let pid = running.pid;
        self.running = Some(running);
        Ok(pid)
    }

    /// Has the process leave.
    pub(crate) fn stop(&mut self, log: &Log) {
        if let Some(running) = &mut self.running {
            running.is_told = true;
            signals::send(running.pid, Signal::Term, log);
        }
    }

    /// It was reaped.
    pub(crate) fn exited(&mut self, exited: Exited) -> End {
        let is_told = self.running.take().is_some_and(|running| running.is_told);
        match exited.ending() {
            Ending::Exit(NO_ADDRESS) => End::NoAddress,
            _ if is_told => End::Told,
            _ => End::Died,
        }
    }
}

fn start(place: &Place, user: Option<&User>) -> Result<Running, Error> {
    let (ours, theirs) = UnixStream::pair()?;
    let ours = ClaimStream::of(ours)?;
    let mut program = Program::new("/proc/self/exe");
    program.arguments = vec!["admin".into(), "--with-parent".into(), "--listen".into(), place.listen.as_str().into()];
    program.arguments.extend(place.hosts.iter().flat_map(|host| ["--host".into(), host.into()]));
    if place.show_queries {
        program.arguments.extend(["--show-queries".into(), "true".into()]);
    }
    if let Some(user) = user {
        program.arguments.extend(["--application-user".into(), user.name.as_str().into()]);
    }
    program.unset = environment::PRIVATE.iter().map(Into::into).collect();
    program.inherit = vec![(theirs.as_fd(), 0)];
    let pid = program.spawn()?;
    Ok(Running { pid, questions: Some(ours), is_told: false })
}
