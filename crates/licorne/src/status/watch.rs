//! `licorne status --watch`: repainted on a terminal, printed one below the other elsewhere.

use std::io::{IsTerminal, Write, stdout};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use sys::pidfd::Pidfd;
use sys::stdio::complain;
use sys::text::{printable_json, printable_lines};

use crate::client::Master;
use crate::error::Error;
use crate::interval::Interval;
use crate::status::text;
use crate::status::told::{ask, last_death, read};

/// To the upper left corner; to the end of a line; to the end of the screen. See console_codes(4).
const HOME: &str = "\u{1b}[H";
const ERASE_LINE: &str = "\u{1b}[K";
const ERASE_REST: &str = "\u{1b}[J";

/// Reads how many seconds are between two statuses.
pub(super) fn seconds(text: &str) -> Result<f64, String> {
    let seconds = text.parse::<f64>().ok().filter(|seconds| (0.1..=86_400.0).contains(seconds));
    seconds.ok_or_else(|| "from 0.1 to 86400 seconds are possible".to_string())
}

/// Prints the status every so many seconds, until the master has ended.
///
/// # Errors
/// It was never told, or cannot be printed.
pub(super) fn run(master: &Master, seconds: f64, json: bool) -> Result<u8, Error> {
    // It ends with the process that was found, not with one that has its number later.
    let process = master.process().and_then(Pidfd::open);
    let repaints = !json && stdout().is_terminal() && !["dumb", ""].contains(&term().as_str());
    let mut before = None;
    loop {
        let (next, now) = (Instant::now() + Duration::from_secs_f64(seconds), Instant::now());
        let status = match ask(master) {
            Err(_) if before.is_some() => return Ok(ended(master)),
            status => status?,
        };
        let facts = read(&status);
        let interval = before.as_ref().and_then(|(before, at): &(_, Instant)| {
            Interval::between(before, &facts, now.saturating_duration_since(*at).as_secs_f64())
        });
        let shown = match json {
            true => printable_json(&format!("{status}\n")).into_owned(),
            false => text::text(&facts, last_death(master, &status).as_ref(), interval.as_ref()),
        };
        let printed = if repaints { repaint(&shown) } else { print(&shown, !json && before.is_some()) };
        if !printed? {
            return Ok(0);
        }
        before = Some((facts, now));
        if wait_for_end(process.as_ref(), next) {
            return Ok(ended(master));
        }
    }
}

fn term() -> String {
    std::env::var("TERM").unwrap_or_default()
}

fn ended(master: &Master) -> u8 {
    complain(format_args!("the {} has ended", master.name()));
    0
}

/// Whether the process ends before this moment.
fn wait_for_end(process: Option<&Pidfd>, until: Instant) -> bool {
    loop {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return false;
        }
        let ends: Vec<_> = process.iter().map(|process| process.as_fd()).collect();
        let ns = u64::try_from(left.as_nanos()).unwrap_or(u64::MAX);
        if sys::poll::wait(&ends, &[], Some(ns)).is_ok_and(|ready| ready.contains(&true)) {
            return true;
        }
    }
}

/// Prints below what was printed before. False when the reader has left.
fn print(text: &str, is_further: bool) -> Result<bool, Error> {
    let text = format!("{}{}", if is_further { "\n" } else { "" }, printable_lines(text));
    write(&text)
}

/// Prints over what was printed before, as many lines as the terminal has.
fn repaint(text: &str) -> Result<bool, Error> {
    let rows = crossterm::terminal::size().map_or(24, |(_, rows)| usize::from(rows.max(2)) - 1);
    let lines: String =
        printable_lines(text).lines().take(rows).map(|line| format!("{line}{ERASE_LINE}\r\n")).collect();
    write(&format!("{HOME}{lines}{ERASE_REST}"))
}

fn write(text: &str) -> Result<bool, Error> {
    let mut out = stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(Error::Terminal(error)),
    }
}
