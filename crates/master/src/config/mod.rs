//! The configuration: what the command line and the molds say, which of it holds, and the directories that it is of.

pub(crate) mod anchor;
pub(crate) mod asked;
pub(crate) mod error;
pub(crate) mod older_settings;
pub(crate) mod options;
pub(crate) mod owner;
pub(crate) mod pid_file;
pub(crate) mod release;
pub mod revision;
pub(crate) mod runtime;
pub(crate) mod settings;
mod shown;

pub(crate) use error::Error;
