//! Directories that may lead to another place than they did: those that the server was told by a name with a symbolic
//! link in it.
//!
//! A name is resolved anew whenever a mold or a second master starts, and each place it has led to is remembered: a
//! release that has been deleted since cannot be asked any more where it was. What to do with a move is in `release`.

use std::path::{Path, PathBuf};

use crate::config::error::Error;
use crate::config::release::Move;

/// The directories that a release may be known by.
#[derive(Clone, Debug, Default)]
pub(crate) struct Anchors {
    /// Where the master was started.
    start: Anchor,
    /// `working_directory`.
    configured: Anchor,
}

impl Anchors {
    /// Those that have led to these places.
    pub(crate) fn from_seen(start: Vec<PathBuf>, configured: Vec<PathBuf>) -> Self {
        Self { start: Anchor { seen: start }, configured: Anchor { seen: configured } }
    }

    /// The places that they have led to.
    pub(crate) fn seen(&self) -> (&[PathBuf], &[PathBuf]) {
        (&self.start.seen, &self.configured.seen)
    }

    /// Looks where both directories lead now, and returns how to get there from each place before.
    ///
    /// # Errors
    /// The one that counts, which is the configured one if there is one, leads nowhere: the text names it.
    pub(crate) fn resolve(&mut self, start: &Path, configured: Option<&Path>) -> Result<Vec<Move>, Error> {
        let from_start = self.start.resolve(start);
        let Some(configured) = configured else { return from_start };
        let mut moves = self.configured.resolve(configured)?;
        moves.extend(from_start.unwrap_or_default());
        Ok(moves)
    }
}

/// A directory by its name, and the places that it has been.
#[derive(Clone, Debug, Default)]
struct Anchor {
    seen: Vec<PathBuf>,
}

impl Anchor {
    /// Looks where `name` leads now, and returns how to get there from each place before.
    ///
    /// # Errors
    /// It leads nowhere: the text names the directory.
    fn resolve(&mut self, name: &Path) -> Result<Vec<Move>, Error> {
        let real = std::fs::canonicalize(name).map_err(|why| vanished(name, why))?;
        if !real.is_dir() {
            return Err(Error::NoDirectory(real));
        }
        let moves = self.seen.iter().filter_map(|old| Move::between(old, &real)).collect();
        if !self.seen.contains(&real) {
            self.seen.push(real);
        }
        Ok(moves)
    }
}

fn vanished(name: &Path, why: std::io::Error) -> Error {
    let link = name.to_path_buf();
    match std::fs::read_link(name) {
        Ok(target) => Error::LeadsNowhere { target, link, why },
        Err(_) => Error::DirectoryGone { name: link, why },
    }
}
