//! `licorne reload` and `licorne upgrade`: ask for new code, and say how it went.

use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use master::control::{Answer, CanaryAsked, Request, Way};

use sys::stdio::complain;
use sys::text::printable;

use crate::client::{Master, Which};
use crate::error::Error;

/// The options of `licorne reload`.
#[derive(Debug, clap::Args)]
pub(crate) struct Reload {
    /// wait until the new code serves; if it does not, fail and say why
    #[arg(long, short)]
    wait: bool,
    /// have each new worker answer this before it serves, such as /up (again for more)
    #[arg(long, value_name = "PATH")]
    probe: Vec<String>,
    /// try the new code on so many workers first; 0 for none
    #[arg(long, value_name = "WORKERS")]
    canary: Option<u32>,
    /// watch these for so many seconds
    #[arg(long, value_name = "SECONDS")]
    watch: Option<u32>,
    /// end the watch: the new code has shown enough
    #[arg(long, conflicts_with_all = ["wait", "probe", "canary", "watch", "abort"])]
    promote: bool,
    /// undo what a reload has done so far
    #[arg(long, conflicts_with_all = ["wait", "probe", "canary", "watch"])]
    abort: bool,
    #[command(flatten)]
    which: Which,
}

/// The options of `licorne rollback`.
#[derive(Debug, clap::Args)]
pub(crate) struct Rollback {
    /// wait until the code before serves; if it does not, fail and say why
    #[arg(long, short)]
    wait: bool,
    #[command(flatten)]
    which: Which,
}

/// The options of `licorne upgrade`.
#[derive(Debug, clap::Args)]
pub(crate) struct Upgrade {
    /// wait until the new code serves; if it does not, fail and say why
    #[arg(long, short)]
    wait: bool,
    /// execute the new program in the place of the old one
    #[arg(long)]
    in_place: bool,
    /// start the new program beside the old one
    #[arg(long, conflicts_with = "in_place")]
    two_masters: bool,
    #[command(flatten)]
    which: Which,
}

impl Reload {
    /// Runs it.
    ///
    /// # Errors
    /// No master, or the new code does not serve.
    pub(crate) fn run(&self) -> Result<u8, Error> {
        match self.which.find("reload")? {
            Ok(master) if self.promote => follow(&master, Request::Promote, true, "promotion"),
            Ok(master) if self.abort => follow(&master, Request::Abort, true, "abort"),
            Ok(master) => {
                let canary = CanaryAsked { workers: self.canary, watch_s: self.watch };
                let request = Request::Reload { wait: self.wait, probe: self.probe.clone(), canary };
                follow(&master, request, self.wait, "reload")
            }
            Err(status) => Ok(status),
        }
    }
}

impl Rollback {
    /// Runs it.
    ///
    /// # Errors
    /// No master, or no way back.
    pub(crate) fn run(&self) -> Result<u8, Error> {
        match self.which.find("rollback")? {
            Ok(master) => follow(&master, Request::Rollback { wait: self.wait }, self.wait, "rollback"),
            Err(status) => Ok(status),
        }
    }
}

impl Upgrade {
    /// Runs it.
    ///
    /// # Errors
    /// No master, or the new program does not serve.
    pub(crate) fn run(&self) -> Result<u8, Error> {
        let way = match (self.in_place, self.two_masters) {
            (true, _) => Some(Way::InPlace),
            (_, true) => Some(Way::TwoMasters),
            (false, false) => None,
        };
        match self.which.find("upgrade")? {
            Ok(master) => follow(&master, Request::Upgrade { wait: self.wait, way }, self.wait, "upgrade"),
            Err(status) => Ok(status),
        }
    }
}

fn follow(master: &Master, request: Request, wait: bool, what: &'static str) -> Result<u8, Error> {
    let bar = progress_bar(wait);
    let ended = master.ask(request, |answer| match answer {
        Answer::Accepted
        | Answer::Status(_)
        | Answer::Backtraces { .. }
        | Answer::Deaths { .. }
        | Answer::Configuration { .. } => None,
        Answer::Progress { done, total, watch_s } => {
            bar.set_length(u64::from(total));
            bar.set_position(u64::from(done));
            bar.set_message(match watch_s {
                Some(seconds) => format!("workers of the new generation, watched for {seconds} s"),
                None => "workers of the new generation".to_string(),
            });
            None
        }
        Answer::Done { generation, release, warning } => Some(Ok((generation, release, warning))),
        Answer::Failed { reason, backtrace } => Some(Err((reason, backtrace))),
    })?;
    bar.finish_and_clear();
    match ended {
        Some(Ok((generation, release, warning))) if wait => {
            sys::stdio::print(&format!("{what} done: generation {generation} serves: {}\n", master.name()))?;
            if let Some(release) = release {
                sys::stdio::print(&format!("release {}\n", printable(&release)))?;
            }
            if let Some(warning) = warning {
                complain(format_args!("warning: {}", printable(&warning)));
            }
            Ok(0)
        }
        Some(Ok(_)) => {
            sys::stdio::print(&format!("{what} asked for: {}\n", master.name()))?;
            Ok(0)
        }
        Some(Err((reason, backtrace))) => {
            let rest = if matches!(what, "reload" | "upgrade") { "; the old code serves on" } else { "" };
            complain(format_args!("{what} failed: {}{rest}", printable(&reason)));
            if let Some(text) = backtrace {
                complain(text.trim_end());
            }
            Ok(1)
        }
        None => Err(Error::NoAnswerTo(what)),
    }
}

fn progress_bar(wait: bool) -> ProgressBar {
    if !wait || !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(1).with_message("the new code is loading");
    if let Ok(style) = ProgressStyle::with_template("{spinner} [{elapsed}] {bar:30} {pos}/{len} {msg}") {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(100));
    bar
}
