//! `licorne reload` and `licorne upgrade`: ask for new code, and say how it went.

use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use master::control::{Answer, Request, Way};

use sys::stdio::complain;
use sys::text::printable;

use crate::client::Command;
use crate::options::{Switch, show};

const WAIT: [Switch; 1] = [Switch {
    short: Some('w'),
    long: "wait",
    value: None,
    help: "wait until the new code serves; fail, and say why, when it does not",
}];

const WAYS: [Switch; 2] = [
    Switch { short: None, long: "in-place", value: None, help: "execute the new program in the place of the old one" },
    Switch { short: None, long: "two-masters", value: None, help: "start the new program beside the old one" },
];

/// Runs `licorne reload`.
///
/// # Errors
/// No master, or the new code does not serve.
pub(crate) fn reload(arguments: &[String]) -> Result<u8, String> {
    let command = match Command::parse("reload", arguments, &WAIT)? {
        Ok(command) => command,
        Err(status) => return Ok(status),
    };
    let wait = command.has("wait");
    follow(&command, Request::Reload { wait }, wait, "reload")
}

/// Runs `licorne upgrade`.
///
/// # Errors
/// No master, or the new program does not serve.
pub(crate) fn upgrade(arguments: &[String]) -> Result<u8, String> {
    let own: Vec<Switch> = WAIT.into_iter().chain(WAYS).collect();
    let command = match Command::parse("upgrade", arguments, &own)? {
        Ok(command) => command,
        Err(status) => return Ok(status),
    };
    let wait = command.has("wait");
    let way = match (command.has("in-place"), command.has("two-masters")) {
        (true, true) => return Err("licorne upgrade: --in-place and --two-masters exclude each other".to_string()),
        (true, false) => Some(Way::InPlace),
        (false, true) => Some(Way::TwoMasters),
        (false, false) => None,
    };
    follow(&command, Request::Upgrade { wait, way }, wait, "upgrade")
}

fn follow(command: &Command, request: Request, wait: bool, what: &str) -> Result<u8, String> {
    let bar = progress_bar(wait);
    let ended = command.ask(request, |answer| match answer {
        Answer::Accepted | Answer::Status(_) => None,
        Answer::Progress { done, total } => {
            bar.set_length(u64::from(total));
            bar.set_position(u64::from(done));
            bar.set_message("workers of the new generation");
            None
        }
        Answer::Done { generation, release, warning } => Some(Ok((generation, release, warning))),
        Answer::Failed { reason, backtrace } => Some(Err((reason, backtrace))),
    })?;
    bar.finish_and_clear();
    match ended {
        Some(Ok((generation, release, warning))) if wait => {
            show(&format!("{what} done: generation {generation} serves: {}\n", command.master().name()))?;
            if let Some(release) = release {
                show(&format!("release {}\n", printable(&release)))?;
            }
            if let Some(warning) = warning {
                complain(format_args!("warning: {}", printable(&warning)));
            }
            Ok(0)
        }
        Some(Ok(_)) => {
            show(&format!("{what} asked for: {}\n", command.master().name()))?;
            Ok(0)
        }
        Some(Err((reason, backtrace))) => {
            complain(format_args!("{what} failed: {}; the old code serves on", printable(&reason)));
            if let Some(text) = backtrace {
                complain(text.trim_end());
            }
            Ok(1)
        }
        None => Err(format!("{what}: the master left without an answer")),
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
