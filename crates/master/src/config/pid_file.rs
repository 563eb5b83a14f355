//! The master's pid file: written with the first settings, moved with others, put aside while a new master serves.

use std::path::{Path, PathBuf};

use sys::user::User;

use crate::config::error::Error;
use crate::log::lines::Log;

/// Where this master's pid file is now, if it has one.
///
/// A verb that moves the file returns whether it did: hooks ask a mold where it is, so that molds have to be told.
#[derive(Debug, Default)]
pub(crate) struct PidFile {
    path: Option<PathBuf>,
}

impl PidFile {
    /// One that a program before this one has written.
    pub(crate) fn at(path: Option<PathBuf>) -> Self {
        Self { path }
    }

    pub(crate) fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// Writes the first one.
    ///
    /// # Errors
    /// It is that of another process that runs, or cannot be written: in Ruby's words.
    pub(crate) fn write(&mut self, path: &Path, user: Option<&User>) -> Result<(), Error> {
        sys::pidfile::write(path, sys::process::own_pid(), user).map_err(Error::PidFile)?;
        self.path = Some(path.to_path_buf());
        Ok(())
    }

    /// Moves the file to where other settings want it, or logs why that cannot be.
    pub(crate) fn follow(&mut self, wanted: Option<&Path>, user: Option<&User>, log: &Log) -> bool {
        let own = sys::process::own_pid();
        let moved = match (self.path.as_deref(), wanted) {
            (Some(old), Some(new)) if old == new => return false,
            (None, None) => return false,
            (Some(old), Some(new)) => sys::pidfile::rename(old, new, own, user),
            (None, Some(new)) => sys::pidfile::write(new, own, user),
            (Some(old), None) => {
                sys::pidfile::remove(old, own, user);
                Ok(())
            }
        };
        match moved {
            Ok(()) => self.path = wanted.map(Path::to_path_buf),
            Err(ref error) => log.error(error.chain()),
        }
        moved.is_ok()
    }

    /// Puts the file aside, so that a new master can write its own.
    ///
    /// # Errors
    /// There is another old master, or the file cannot be moved: in Unicorn's words.
    pub(crate) fn put_aside(&mut self, user: Option<&User>) -> Result<bool, Error> {
        let Some(path) = &self.path else { return Ok(false) };
        let old = oldbin(path);
        sys::pidfile::rename(path, &old, sys::process::own_pid(), user).map_err(|error| match error {
            sys::Error::AlreadyRunning { pid, .. } => Error::OldMaster { pid, path: old.clone() },
            why => Error::PidFileNotMoved { path: old.clone(), why },
        })?;
        self.path = Some(old);
        Ok(true)
    }

    /// Takes the plain name back, when no new master has it any more.
    pub(crate) fn take_back(&mut self, user: Option<&User>, log: &Log) -> bool {
        let Some(path) = &self.path else { return false };
        let Some(plain) = without_oldbin(path) else { return false };
        match sys::pidfile::rename(path, &plain, sys::process::own_pid(), user) {
            Ok(()) => {
                self.path = Some(plain);
                true
            }
            Err(why) => {
                log.error(Error::PidFileNotMoved { path: plain, why });
                false
            }
        }
    }

    /// Removes the file of a master that leaves.
    pub(crate) fn remove(&self, user: Option<&User>) {
        if let Some(path) = &self.path {
            sys::pidfile::remove(path, sys::process::own_pid(), user);
        }
    }
}

/// The name that an old master's files have while a new one serves.
pub(crate) fn oldbin(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".oldbin");
    PathBuf::from(name)
}

/// The plain name of a file that was put aside.
pub(crate) fn without_oldbin(path: &Path) -> Option<PathBuf> {
    path.to_str()?.strip_suffix(".oldbin").map(PathBuf::from)
}
