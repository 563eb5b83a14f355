//! `licorne status`: what the master and its workers do, once or again and again.
//!
//! | module | what it does |
//! |---|---|
//! | `told` | what the master tells |
//! | `text` | the status as text for people |
//! | `watch` | `--watch` |

mod text;
mod told;
mod watch;

use sys::text::printable_json;

use crate::client::Which;
use crate::error::Error;
use told::{ask, last_death, read};

/// The options of `licorne status`.
#[derive(Debug, clap::Args)]
pub(crate) struct Status {
    /// print JSON
    #[arg(long, short)]
    json: bool,
    /// print it again every SECONDS (2 without them), until the master ends; with --json one line each time
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, require_equals = true, default_missing_value = "2")]
    #[arg(value_parser = watch::seconds)]
    watch: Option<f64>,
    #[command(flatten)]
    which: Which,
}

impl Status {
    /// Runs it.
    ///
    /// # Errors
    /// No master.
    pub(crate) fn run(&self) -> Result<u8, Error> {
        let master = match self.which.find("status")? {
            Ok(master) => master,
            Err(status) => return Ok(status),
        };
        if let Some(seconds) = self.watch {
            return watch::run(&master, seconds, self.json);
        }
        let status = ask(&master)?;
        match self.json {
            true => sys::stdio::print(&printable_json(&format!("{status:#}\n")))?,
            false => sys::stdio::print(&text::text(&read(&status), last_death(&master, &status).as_ref(), None))?,
        }
        Ok(0)
    }
}
