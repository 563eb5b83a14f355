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
        Err(text) => {
            sys::stdio::complain(text);
            1
        }
    }
}

fn try_answer(trouble: Option<String>) -> Result<(), String> {
    let chain = |error: sys::Error| error.chain();
    let channel = sys::spawn::inherited(CHANNEL_FD).map(Channel::from_fd);
    let channel = channel.ok_or_else(|| format!("{SWITCH} is for the master, which looks at a new program with it"))?;
    let Ok(Received::Datagram(_, descriptors)) = channel.try_recv() else {
        return Err("the master has sent no state".to_string());
    };
    let state = descriptors.into_iter().next().ok_or("the master has sent no state")?;
    let state = sys::memory::read_sealed(state).map_err(chain)?;
    let unreadable = || State::<supervisor::Snapshot>::decode(&state).err().map(|error| error.to_string());
    let answer = Preflight {
        program: env!("CARGO_PKG_VERSION").to_string(),
        state: wire::state::READABLE.to_vec(),
        messages: wire::VERSION,
        scoreboard: scoreboard::LAYOUT,
        environment: environment(),
        error: trouble.or_else(unreadable),
    };
    let bytes = serde_json::to_vec(&answer).map_err(|error| error.to_string())?;
    channel.send(&bytes, &[Image::running().map_err(chain)?.as_fd()]).map_err(chain)
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
pub(crate) fn check(answer: &Preflight) -> Result<(), String> {
    let program = &answer.program;
    if !answer.state.contains(&wire::state::VERSION) {
        return Err(format!(
            "licorne {program} takes over state of versions {:?}, this one hands over version {}",
            answer.state,
            wire::state::VERSION
        ));
    }
    if answer.messages != wire::VERSION {
        return Err(format!(
            "licorne {program} speaks version {} with molds and workers, those that run speak version {}",
            answer.messages,
            wire::VERSION
        ));
    }
    if answer.scoreboard != scoreboard::LAYOUT {
        return Err(format!(
            "licorne {program} reads scoreboards of layout {}, this one is of layout {}",
            answer.scoreboard,
            scoreboard::LAYOUT
        ));
    }
    answer.error.clone().map_or(Ok(()), Err)
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
            scoreboard: scoreboard::LAYOUT,
            environment: Vec::new(),
            error: None,
        };
        assert_eq!(check(&good()), Ok(()));
        let refused = |answer: Preflight| check(&answer).unwrap_err();
        let newer = refused(Preflight { state: vec![7, 8], ..good() });
        assert_eq!(newer, "licorne 9.9 takes over state of versions [7, 8], this one hands over version 1");
        assert!(refused(Preflight { messages: 9, ..good() }).contains("speaks version 9"));
        assert!(refused(Preflight { scoreboard: 9, ..good() }).contains("layout 9"));
        assert_eq!(refused(Preflight { error: Some("no gem".to_string()), ..good() }), "no gem");
    }
}
