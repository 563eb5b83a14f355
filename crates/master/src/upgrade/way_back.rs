//! The beginning of this program in an upgrade in place, and the way back to the program before.
//!
//! Until everything that one held is taken over, the way back is open: an error, a panic, a crash or a hang executes the
//! program before again, with all that it held, since this one works on copies of the descriptors.

use std::ffi::OsString;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use sys::way_back;
use wire::state::{Bytes, State, WayBack};

use crate::carried::os_string;
use crate::environment;
use crate::error::Error;
use crate::log::lines::Log;

/// What the program before this one has left.
pub(crate) type Handed = State<supervisor::Snapshot>;

/// Runs the program, which may have been executed in the place of another: then whatever ends `run` before it has taken
/// over leads back to that one.
///
/// # Errors
/// Those of `run`, or the way back cannot be opened.
pub fn guard<E: std::error::Error + From<Error>>(run: impl FnOnce() -> Result<u8, E>) -> Result<u8, E> {
    open_way_back()?;
    match catch_unwind(AssertUnwindSafe(run)) {
        Ok(Err(error)) => {
            go_back(&sys::chain(&error));
            Err(error)
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

fn open_way_back() -> Result<(), Error> {
    let Some(number) = state_number() else { return Ok(()) };
    // The program that is executed again has no other one to go back to.
    if std::env::var_os(way_back::REASON_VARIABLE).is_some() {
        return Ok(());
    }
    let WayBack { program, arguments, environment, .. } = WayBack::of_state(&read_state(number)?)?;
    let program = sys::image::adopt(program)?;
    let mut variables = os_strings(environment);
    variables.push(format!("{}={number}", environment::STATE).into());
    Ok(way_back::prepare(program, &os_strings(arguments), &variables)?)
}

/// The descriptor of the state, if this program was executed in the place of another.
fn state_number() -> Option<i32> {
    std::env::var(environment::STATE).ok()?.parse().ok()
}

fn read_state(number: i32) -> sys::Result<Vec<u8>> {
    sys::image::adopt(number).and_then(sys::memory::read_sealed)
}

/// What the program before this one has left, if there was one.
///
/// # Errors
/// It is not understood.
pub(crate) fn handed_over() -> Result<Option<Handed>, Error> {
    let Some(number) = state_number() else { return Ok(None) };
    Ok(Some(State::decode(&read_state(number)?)?))
}

/// Everything is taken over: the way back is closed. Returns why the program that was executed before did not take over, if
/// this is the one that was executed again.
pub(crate) fn close(handed: &Handed) -> Option<String> {
    way_back::close();
    let own = [handed.way_back.program].into_iter().chain(state_number());
    sys::image::release(handed.way_back.descriptors.iter().copied().chain(own));
    std::env::var(way_back::REASON_VARIABLE).ok()
}

fn os_strings(texts: Vec<Bytes>) -> Vec<OsString> {
    texts.iter().map(os_string).collect()
}
