//! The applications that tests serve: those in `tests/apps`, a generated Rails one, and ones written in the test.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rustix::fs::FlockOperation;

use crate::{process, program, spawn};

/// An application: files for a server's working directory.
#[derive(Clone, Debug)]
pub struct App {
    source: Source,
    /// What `-E` gets.
    pub(crate) environment: &'static str,
}

#[derive(Clone, Debug)]
enum Source {
    Directory(PathBuf),
    File(&'static str, String),
}

impl App {
    /// `tests/apps/plain`: pure Rack, one path for each thing that a server can get wrong.
    #[must_use]
    pub fn plain() -> App {
        App::directory("plain")
    }

    /// `tests/apps/sinatra`: JSON, uploads, its pid.
    #[must_use]
    pub fn sinatra() -> App {
        App::directory("sinatra")
    }

    /// A Rails application with a model in sqlite, generated once by Debian's Rails and kept.
    #[must_use]
    pub fn rails() -> App {
        App { source: Source::Directory(generated("rails", &["generate"])), environment: "production" }
    }

    /// The same with Action Cable, Active Storage and Action Controller Live.
    #[must_use]
    pub fn rails_live() -> App {
        let place = generated("rails-live", &["generate-live", "generate"]);
        App { source: Source::Directory(place), environment: "production" }
    }

    /// An application of one `config.ru` with this text.
    #[must_use]
    pub fn rackup(text: impl Into<String>) -> App {
        App::file("config.ru", text)
    }

    /// An application of one file, for a server of another language.
    #[must_use]
    pub fn file(name: &'static str, text: impl Into<String>) -> App {
        App { source: Source::File(name, text.into()), environment: "none" }
    }

    fn directory(name: &str) -> App {
        App { source: Source::Directory(program::repository().join("tests/apps").join(name)), environment: "none" }
    }

    /// Puts the application's files at `place`, which does not exist yet.
    pub fn install(&self, place: &Path) {
        match &self.source {
            Source::Directory(directory) => spawn::copy_tree(directory, place),
            Source::File(name, text) => {
                fs::create_dir(place).expect("the test's directory can be written");
                fs::write(place.join(name), text).expect("the test's directory can be written");
            }
        }
    }
}

/// Generates a Rails application unless it is there, and returns its directory. The first of the scripts does it, with
/// those behind it.
fn generated(name: &str, scripts: &[&str]) -> PathBuf {
    let generators = program::repository().join("tests/apps/rails");
    let read = |script| fs::read_to_string(generators.join(script)).expect("the generator is there");
    let text: String = scripts.iter().map(read).collect();
    // A changed generator makes another application: its text is part of the name.
    let cache = program::cache();
    let sum = text.bytes().fold(5381_u32, |sum, byte| sum.wrapping_mul(33) ^ u32::from(byte));
    let place = cache.join(format!("{name}-{sum:08x}"));
    fs::create_dir_all(&cache).expect("the cache can be made");
    let lock = File::create(cache.join("rails.lock")).expect("the cache can be written");
    rustix::fs::flock(&lock, FlockOperation::LockExclusive).expect("a lock of a file of ours");
    if !place.join("config.ru").exists() {
        let mut generate = Command::new(generators.join(scripts[0]));
        let finished = process::run(generate.arg(&place), Duration::from_secs(120));
        assert!(finished.status.success(), "failed to generate the Rails application: {finished:#?}");
    }
    place
}
