//! `licorne backtrace`: where the threads of workers are.

use facts::Backtrace;
use master::control::{Answer, Request};
use sys::text::{printable, printable_json, printable_lines};

use crate::client::Which;
use crate::error::Error;

/// The options of `licorne backtrace`.
#[derive(Debug, clap::Args)]
pub(crate) struct Backtraces {
    /// the number of the worker; all workers without it
    slot: Option<u32>,
    /// print JSON
    #[arg(long, short)]
    json: bool,
    #[command(flatten)]
    which: Which,
}

impl Backtraces {
    /// Runs it.
    ///
    /// # Errors
    /// No master, or no such worker.
    pub(crate) fn run(&self) -> Result<u8, Error> {
        let master = match self.which.find("backtrace")? {
            Ok(master) => master,
            Err(status) => return Ok(status),
        };
        let workers = master.ask(Request::Backtrace { slot: self.slot }, |answer| match answer {
            Answer::Backtraces { workers } => Some(Ok(workers)),
            Answer::Failed { reason, .. } => Some(Err(Error::Refused(reason))),
            _ => None,
        })?;
        let workers = workers.unwrap_or(Err(Error::NoAnswer))?;
        match self.json {
            true => sys::stdio::print(&printable_json(&format!("{:#}\n", serde_json::json!(workers))))?,
            false if workers.is_empty() => sys::stdio::print("there are no workers\n")?,
            false => sys::stdio::print(&workers.iter().map(text).collect::<Vec<_>>().join("\n"))?,
        }
        Ok(0)
    }
}

/// A line about the worker, and what it has told.
fn text(worker: &Backtrace) -> String {
    let pid = worker.pid.map_or_else(String::new, |pid| format!(" pid={pid}"));
    let slot = worker.slot.map_or_else(String::new, |slot| format!("worker={slot} "));
    let mut text = format!("{slot}gen={}{pid} {}", worker.generation, worker.state.word());
    if let Some(request) = &worker.request {
        text.push_str(&format!(", {} ms in \"{}\"", request.age_ms, printable(&request.line)));
    }
    text.push('\n');
    match (&worker.text, &worker.missing) {
        (Some(told), _) => text.push_str(&printable_lines(told)),
        (None, why) => text.push_str(&format!("no backtrace: {}", why.as_deref().map(printable).unwrap_or_default())),
    }
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use facts::{Request, State};

    #[test]
    fn each_worker_has_a_head_and_its_threads_or_why_not() {
        let busy = Backtrace {
            slot: Some(3),
            generation: 2,
            pid: Some(7),
            state: State::Busy,
            request: Some(Request { line: "GET /\u{1b}[31m".to_string(), age_ms: 1200, id: None }),
            text: Some("main thread\n  config.ru:3:in `sleep'\u{9b}".to_string()),
            missing: None,
        };
        assert_eq!(
            text(&busy),
            "worker=3 gen=2 pid=7 busy, 1200 ms in \"GET /\\x1b[31m\"\nmain thread\n  config.ru:3:in `sleep'\\u{9b}\n"
        );
        let silent = Backtrace { text: None, missing: Some("it has ended".to_string()), request: None, ..busy };
        assert_eq!(text(&silent), "worker=3 gen=2 pid=7 busy\nno backtrace: it has ended\n");
    }
}
