//! Which Ruby runs the molds, and where the gem's files are.
//!
//! In a checkout the program is `target/release/licorne`, the Ruby files are in `gem/lib` and the built extension in
//! `target/release/rubylib`. In an installed gem both are in the gem's own `lib`.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// What a mold is started with.
#[derive(Clone, Debug)]
pub struct Runtime {
    /// The Ruby program: a path, or a name to look up in `PATH` (so that rbenv, asdf and Docker images work).
    pub ruby: OsString,
    /// Directories to put on Ruby's load path.
    pub load_path: Vec<PathBuf>,
}

const ENTRY: &str = "licorne/mold.rb";
const EXTENSION: &str = "licorne/licorne_ext.so";

impl Runtime {
    /// Finds the gem's files beside the running program.
    ///
    /// # Errors
    /// They are not there: the text says what was looked for, and how to build it.
    pub fn find(ruby: Option<OsString>) -> Result<Self, String> {
        let program = std::env::current_exe().map_err(|error| format!("cannot tell where this program is: {error}"))?;
        let home = program.parent().unwrap_or(Path::new("/"));
        let ruby = ruby.unwrap_or_else(|| "ruby".into());
        for directory in home.ancestors().take(4) {
            for lib in [directory.join("gem/lib"), directory.join("lib")] {
                if !lib.join(ENTRY).is_file() {
                    continue;
                }
                let built = home.join("rubylib");
                if lib.join(EXTENSION).is_file() {
                    return Ok(Self { ruby, load_path: vec![lib] });
                }
                if built.join(EXTENSION).is_file() {
                    return Ok(Self { ruby, load_path: vec![lib, built] });
                }
                return Err(format!(
                    "the native extension is not built: {} is missing (in a checkout, run `make build`)",
                    built.join(EXTENSION).display()
                ));
            }
        }
        Err(format!("the files of the gem ({ENTRY}) are nowhere near {}", program.display()))
    }
}
