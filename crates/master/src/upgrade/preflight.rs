//! The preflight, as the new program runs it, and what the running program makes of its answer.
//!
//! It links, starts, reads the command line, finds the gem's files and the state that it would get, and says which
//! versions it understands. It touches nothing.

use std::os::fd::AsFd;
use std::os::unix::ffi::OsStringExt;

use sys::channel::{Channel, Received};
use sys::image::Image;
use wire::state::{Bytes, Preflight, State};

use crate::environment;
use crate::upgrade::error::Error;

/// The first argument of a preflight. Whatever program does not know it refuses it.
pub const SWITCH: &str = "--preflight";
/// The descriptor of the channel to the running program.
pub(crate) const CHANNEL_FD: i32 = 3;
/// What the state is attached to.
pub(crate) const GREETING: &[u8] = b"preflight";

/// Answers the running program; `trouble` is what the command line or the installation lacks. Returns the exit status.
pub fn answer(trouble: Option<String>) -> u8 {
    match try_answer(trouble) {
        Ok(()) => 0,
        Err(error) => {
            sys::stdio::complain(sys::chain(&error));
            1
        }
    }
}

fn try_answer(trouble: Option<String>) -> Result<(), Error> {
    let channel = sys::spawn::inherited(CHANNEL_FD).map(Channel::from_fd);
    let channel = channel.ok_or(Error::NoMaster(SWITCH))?;
    let Ok(Received::Datagram(_, descriptors)) = channel.try_recv() else {
        return Err(Error::NoState);
    };
    let state = descriptors.into_iter().next().ok_or(Error::NoState)?;
    let state = sys::memory::read_sealed(state)?;
    let unreadable = || State::<supervisor::Snapshot>::decode(&state).err().map(|error| error.to_string());
    let answer = Preflight {
        program: env!("CARGO_PKG_VERSION").to_string(),
        state: wire::state::READABLE.to_vec(),
        messages: wire::VERSION,
        scoreboard: scoreboard::SHARED_LAYOUT,
        layouts: vec![scoreboard::SHARED_LAYOUT, scoreboard::LAYOUT],
        environment: environment(),
        error: trouble.or_else(unreadable),
    };
    let bytes = serde_json::to_vec(&answer)?;
    Ok(channel.send(&bytes, &[Image::running()?.as_fd()])?)
}

/// The variables of this process that the program is to have, as start scripts left them.
fn environment() -> Vec<Bytes> {
    let private = |name: &std::ffi::OsStr| name.to_str().is_some_and(environment::is_private_to_process);
    std::env::vars_os().filter(|(name, _)| !private(name)).map(|(name, value)| variable(name, value)).collect()
}

/// `NAME=value`
pub(crate) fn variable(mut name: std::ffi::OsString, value: std::ffi::OsString) -> Bytes {
    name.push("=");
    name.push(value);
    Bytes(name.into_vec())
}

/// Whether a program that answers so may take this one's place.
///
/// # Errors
/// Why not.
pub(crate) fn check(answer: &Preflight) -> Result<(), Error> {
    let program = answer.program.clone();
    if !answer.state.contains(&wire::state::VERSION) {
        return Err(Error::OtherState { program, reads: answer.state.clone() });
    }
    if answer.messages != wire::VERSION {
        return Err(Error::OtherMessages { program, speaks: answer.messages });
    }
    if !answer.reads_layout(scoreboard::LAYOUT) {
        return Err(Error::OtherScoreboard { program, reads: answer.scoreboard });
    }
    answer.error.clone().map_or(Ok(()), |lack| Err(Error::Lacks(lack)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_does_not_understand_all_of_it_is_refused() {
        let good = || Preflight {
            program: "9.9".to_string(),
            state: vec![wire::state::VERSION, 99],
            messages: wire::VERSION,
            scoreboard: scoreboard::SHARED_LAYOUT,
            layouts: vec![scoreboard::SHARED_LAYOUT, scoreboard::LAYOUT],
            environment: Vec::new(),
            error: None,
        };
        assert!(check(&good()).is_ok());
        let refused = |answer: Preflight| check(&answer).unwrap_err().to_string();
        let newer = refused(Preflight { state: vec![7, 8], ..good() });
        assert_eq!(newer, "licorne 9.9 takes over state of versions [7, 8], this one hands over version 2");
        assert!(refused(Preflight { messages: 9, ..good() }).contains("speaks version 9"));
        assert!(refused(Preflight { scoreboard: 9, layouts: Vec::new(), ..good() }).contains("layout 9"));
        assert_eq!(refused(Preflight { error: Some("no gem".to_string()), ..good() }), "no gem");
    }
}
