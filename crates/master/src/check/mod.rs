//! Whether a server would start with this command line, found out without one: nothing is bound and no file is written.
//!
//! The mold is the one that a server starts, and reads the configuration and loads the application as it would there.
//! What it leaves open, rights, limits and listeners are looked at from outside.

mod boot;
mod finding;
mod leftovers;
mod surroundings;

use crate::config::options::Options;
use crate::config::owner::Config;
use crate::config::runtime::Runtime;
use crate::log::lines::Log;

pub use finding::{Finding, Level};

/// Looks at everything, in the order in which a server would need it.
pub fn check(options: Options, runtime: Runtime) -> Vec<Finding> {
    let mut config = Config::of(options, runtime);
    let mut found = Vec::new();
    let boot = match config.find_start().and_then(|_| config.boot(1, &[], &Log::default())) {
        Ok(boot) => boot,
        Err(error) => return vec![Finding::error("directory", sys::chain(&error))],
    };
    let start = boot.directory.clone();
    let Some(mold) = boot::read(boot, &mut found) else { return found };
    surroundings::look(&mold.settings, &start, &mut found);
    let preloads = mold.preloads;
    if let Some(loaded) = mold.load(&mut found).filter(|_| preloads) {
        leftovers::look(loaded.pid(), &mut found);
    }
    found
}
