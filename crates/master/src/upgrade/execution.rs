//! The end of this program in an upgrade in place: the next one is executed, with the state of this one in memory.

use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStringExt;

use sys::image::{Image, Inheritance};
use wire::state::{Bytes, State, WayBack};

use crate::carried::Number;
use crate::config::options::Options;
use crate::environment;
use crate::upgrade::error::Error;
use crate::upgrade::preflight::variable;
use crate::upgrade::replacement::Passed;

/// Becomes the program that has passed the preflight. `save` makes the state that it is left. When this returns, nothing has
/// changed: it returns what went wrong.
pub(crate) fn execute(
    next: &Passed,
    options: &Options,
    save: impl FnOnce(&mut Number<'_>) -> Result<State<supervisor::Snapshot>, Error>,
) -> Error {
    let mut kept = Inheritance::default();
    let variables = match prepare(next, save, &mut kept) {
        Ok(variables) => variables,
        Err(error) => return error,
    };
    let _back = match sys::image::enter(&next.place.directory) {
        Ok(back) => back,
        Err(error) => return error.into(),
    };
    next.image.execute(&command_line(&next.place.path, options), &variables).into()
}

fn prepare(
    next: &Passed,
    save: impl FnOnce(&mut Number<'_>) -> Result<State<supervisor::Snapshot>, Error>,
    kept: &mut Inheritance,
) -> Result<Vec<OsString>, Error> {
    let own = Image::running()?;
    let program = kept.add(own.as_fd())?;
    let mut descriptors = Vec::new();
    let mut number = |fd: BorrowedFd<'_>| {
        let number = kept.add(fd)?;
        descriptors.push(number);
        Ok(number)
    };
    let mut state = save(&mut number)?;
    state.way_back.program = program;
    state.way_back.descriptors = descriptors;
    let bytes = state.encode()?;
    let memory = sys::memory::sealed("licorne-state", &bytes)?;
    let memory = kept.add(memory.as_fd())?;
    let mut variables = next.environment.clone();
    variables.extend(own_variables());
    variables.push(format!("{}={memory}", environment::STATE).into());
    Ok(variables)
}

/// The arguments, the first of which is the program's name.
pub(crate) fn command_line(program: &OsStr, options: &Options) -> Vec<OsString> {
    let arguments = options.arguments.iter().map(OsString::from);
    std::iter::once(program.to_owned()).chain(arguments).collect()
}

/// How to execute this program again.
pub(crate) fn way_back(options: &Options) -> WayBack {
    let arguments = command_line(&options.program_path, options);
    // Those of an upgrade before this one mean nothing any more, and of a name that is there twice the first counts.
    let past = |name: &OsStr| name == environment::STATE || name == sys::way_back::REASON_VARIABLE;
    let own = std::env::vars_os().filter(|(name, _)| !past(name));
    WayBack {
        program: -1,
        arguments: arguments.into_iter().map(|word| Bytes(word.into_vec())).collect(),
        environment: own.map(|(name, value)| variable(name, value)).collect(),
        descriptors: Vec::new(),
    }
}

/// Variables that are between a supervisor and this very process, whatever program it runs.
fn own_variables() -> impl Iterator<Item = OsString> {
    let own = |name: &&&str| environment::is_private_to_process(name);
    let value = |name: &&str| Some(OsString::from_vec(variable(name.into(), std::env::var_os(name)?).0));
    environment::PRIVATE.iter().filter(own).filter_map(value)
}
