//! The process that answers health checks, as the supervisor wants it.
//!
//! It holds one end of a socket pair, on which it is told the status or the last deaths whenever it asks: it can ask for
//! nothing else. When this master ends, or executes another program, so does the pair, and it leaves.

use std::io::{ErrorKind, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

use supervisor::AdminPlace;
use sys::claims::ClaimStream;
use sys::process::{Ending, Exited};
use sys::signals::Signal;
use sys::spawn::Program;
use sys::unsent::Unsent;
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
    /// What it has not taken yet of an answer. It is not heard before it has taken all.
    unsent: Unsent,
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
    /// What to poll for reading.
    pub(crate) fn fds(&self) -> Option<BorrowedFd<'_>> {
        self.running.as_ref().filter(|running| running.unsent.is_empty())?.stream()
    }

    /// What to poll for writing.
    pub(crate) fn writable(&self) -> Option<BorrowedFd<'_>> {
        self.running.as_ref().filter(|running| !running.unsent.is_empty())?.stream()
    }

    /// What it asks for: the deaths, or else, whatever it sends, the status. It is answered once a round.
    pub(crate) fn hear(&mut self) -> Option<Request> {
        let running = self.running.as_mut()?;
        running.send();
        let mut line = [0; 256];
        match running.questions.as_mut().filter(|_| running.unsent.is_empty())?.read(&mut line) {
            Ok(count @ 1..) => {
                let asked = serde_json::from_slice(&line[..count]).ok();
                Some(asked.filter(|asked| *asked == Request::Deaths).unwrap_or(Request::Status))
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => None,
            Ok(0) | Err(_) => {
                running.questions = None;
                None
            }
        }
    }

    /// Answers it. What it does not take at once waits for it.
    pub(crate) fn tell(&mut self, answer: &Answer) {
        if let Some(running) = &mut self.running {
            running.unsent.add(&answer.line());
            running.send();
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

impl Running {
    fn stream(&self) -> Option<BorrowedFd<'_>> {
        self.questions.as_ref().map(AsFd::as_fd)
    }

    /// Sends what is left. One that has gone is not told any more.
    fn send(&mut self) {
        self.questions.take_if(|stream| !self.unsent.send(stream));
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
    Ok(Running { pid, questions: Some(ours), unsent: Unsent::default(), is_told: false })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    /// The process's end of the pair, and what the master keeps of it.
    fn running() -> (UnixStream, Admin) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        theirs.set_nonblocking(true).unwrap();
        let questions = Some(ClaimStream::of(ours).unwrap());
        let running = Running { pid: 0, questions, unsent: Unsent::default(), is_told: false };
        (theirs, Admin { running: Some(running), places: Vec::new() })
    }

    #[test]
    fn a_status_that_is_longer_than_the_pair_holds_arrives_whole() {
        let (mut theirs, mut admin) = running();
        let question = b"{\"command\":\"status\"}\n";
        theirs.write_all(question).unwrap();
        assert_eq!(admin.hear(), Some(Request::Status));
        let long = Answer::Status(serde_json::json!({ "workers": "x".repeat(4 << 20) }));
        admin.tell(&long);
        assert!(admin.writable().is_some() && admin.fds().is_none(), "it is not heard before it has taken all");
        theirs.write_all(question).unwrap();
        let mut taken = Vec::new();
        let mut heard = None;
        while taken.len() < long.line().len() {
            let mut piece = [0; 65_536];
            match theirs.read(&mut piece) {
                Ok(count) => taken.extend_from_slice(&piece[..count]),
                Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
            }
            heard = heard.or(admin.hear());
        }
        assert!(taken == long.line());
        assert_eq!(heard.or(admin.hear()), Some(Request::Status), "its next question is heard");
        assert!(admin.writable().is_none() && admin.fds().is_some());
        drop(theirs);
        admin.tell(&long);
        assert!(admin.writable().is_none() && admin.fds().is_none(), "one that has gone is not told any more");
    }
}
