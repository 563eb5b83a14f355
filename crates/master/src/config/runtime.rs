//! Which Ruby runs the molds, and where the gem's files are.
//!
//! In a checkout the program is `target/release/licorne`, the Ruby files are in `gem/lib` and the built extension in
//! `target/release/rubylib`. An installed gem is laid out alike, with the program in `gem/libexec` and the extension in
//! `gem/lib`: one that was compiled there, or one for each release of Ruby, of which the mold loads its own. In a package of
//! Debian's kind (`ruby-licorne`) they are among the files of the Ruby beside the program, which finds them by itself.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::config::error::Error;
use crate::config::release::{self, Move};
use crate::environment;

/// What a mold is started with.
#[derive(Clone, Debug)]
pub struct Runtime {
    /// The Ruby program: a path, or a name to look up in `PATH` (so that rbenv, asdf and Docker images work).
    pub ruby: OsString,
    /// Directories to put on Ruby's load path.
    pub load_path: Vec<PathBuf>,
}

/// The file that every mold begins with.
const ENTRY: &str = "licorne/mold.rb";
const EXTENSION: &str = "licorne/licorne_ext.so";
/// The same, in directories that are named as releases of Ruby: `licorne/3.3/licorne_ext.so`.
const PREBUILT: (&str, &str) = ("licorne", "licorne_ext.so");
/// Where packages put what they have for the system's Ruby.
const PACKAGED: &str = "lib/ruby/vendor_ruby";

impl Runtime {
    /// Finds the gem's files beside the running program.
    ///
    /// # Errors
    /// They are not there: the text says what was looked for, and how to build it.
    pub fn find(ruby: Option<OsString>) -> Result<Self, Error> {
        let program = std::env::current_exe().map_err(Error::Program)?;
        let home = program.parent().unwrap_or(Path::new("/"));
        // The gem's own start script names the Ruby that it runs on.
        let named = ruby.or_else(|| std::env::var_os(environment::RUBY));
        let ruby = named.clone().unwrap_or_else(|| "ruby".into());
        for directory in home.ancestors().take(4) {
            for lib in [directory.join("gem/lib"), directory.join("lib")] {
                if !lib.join(ENTRY).is_file() {
                    continue;
                }
                let built = home.join("rubylib");
                if lib.join(EXTENSION).is_file() || is_prebuilt(&lib) {
                    return Ok(Self { ruby, load_path: vec![lib] });
                }
                if built.join(EXTENSION).is_file() {
                    return Ok(Self { ruby, load_path: vec![lib, built] });
                }
                return Err(Error::NotBuilt(built.join(EXTENSION)));
            }
            // That directory has other packages' files too. Named on the load path they would come before an application's
            // own gems.
            if directory.join(PACKAGED).join(ENTRY).is_file() {
                let ruby = named.unwrap_or_else(|| directory.join("bin/ruby").into());
                return Ok(Self { ruby, load_path: Vec::new() });
            }
        }
        Err(Error::NoGem { entry: ENTRY, program })
    }

    /// The load path after these moves of the release: a gem that is installed within the release
    /// (`vendor/bundle`) goes with it when it was deleted, and the next release has the like.
    ///
    /// # Errors
    /// The gem's files are gone, and not in the new release either: the text names the directory.
    pub(crate) fn load_path_after(&self, moves: &[Move]) -> Result<Vec<PathBuf>, Error> {
        let present = |path: &PathBuf| {
            let followed = || release::follow(path, moves).filter(|path| path.is_dir());
            let found = if path.is_dir() { Some(path.clone()) } else { followed() };
            found.ok_or_else(|| Error::GemGone(path.clone()))
        };
        self.load_path.iter().map(present).collect()
    }
}

/// Whether there are builds for some releases of Ruby. Whether that of the mold is among them, the mold says.
fn is_prebuilt(lib: &Path) -> bool {
    let Ok(mut entries) = lib.join(PREBUILT.0).read_dir() else { return false };
    entries.any(|entry| entry.is_ok_and(|entry| entry.path().join(PREBUILT.1).is_file()))
}
