//! The next program of an upgrade, as it is called: where, with what arguments, and with the variables that `before_exec`
//! has left behind.

use std::ffi::OsString;
use std::path::PathBuf;

use serde_json::Value;

use crate::config::owner::{Start, log_followed};
use crate::config::release;
use crate::environment;
use crate::log::lines::Log;
use crate::upgrade::error::Error;

/// How a program is called.
#[derive(Debug)]
pub(crate) struct NextProgram {
    /// The program: a path, or a name in `PATH`.
    pub(crate) path: OsString,
    pub(crate) arguments: Vec<OsString>,
    /// The directory that it starts in.
    pub(crate) directory: PathBuf,
    pub(crate) variables: Vec<(OsString, OsString)>,
}

/// The variables of this process, as a mold tells them.
pub(crate) fn own() -> String {
    let text = |word: OsString| word.to_string_lossy().into_owned();
    let own: serde_json::Map<String, Value> =
        std::env::vars_os().map(|(name, value)| (text(name), Value::String(text(value)))).collect();
    Value::Object(own).to_string()
}

/// The variables of the next program: those that `before_exec` left behind, the old release's made the new one's.
///
/// # Errors
/// The hook has failed.
pub(crate) fn of_next(told: &str, start: &Start, log: &Log) -> Result<Vec<(OsString, OsString)>, Error> {
    let Ok(Value::Object(told)) = serde_json::from_str(told) else {
        return Err(Error::Hook);
    };
    let inherited: Vec<(String, String)> = told
        .into_iter()
        .filter(|(name, _)| !environment::PRIVATE.contains(&name.as_str()))
        .filter_map(|(name, value)| Some((name, value.as_str()?.to_string())))
        .collect();
    let followed = release::follow_variables(inherited.clone(), &start.moves);
    log_followed(log, &start.directory, &followed);
    // Of a name that is set twice, the second counts.
    let all = inherited.into_iter().chain(followed).map(|(name, value)| (name.into(), value.into()));
    Ok(all.chain([("PWD".into(), start.directory.as_os_str().to_owned())]).collect())
}
