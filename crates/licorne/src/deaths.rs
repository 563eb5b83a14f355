//! `licorne deaths`: what died last, and of what.

use facts::{Death, Doing, Kind};
use master::control::{Answer, Request};
use sys::text::{printable, printable_json, printable_lines};

use crate::client::Which;
use crate::error::Error;
use crate::words::size;

/// The options of `licorne deaths`.
#[derive(Debug, clap::Args)]
pub(crate) struct Deaths {
    /// print JSON
    #[arg(long, short)]
    json: bool,
    /// how many to show at most
    #[arg(long, short = 'n', value_name = "N")]
    number: Option<usize>,
    #[command(flatten)]
    which: Which,
}

impl Deaths {
    /// Runs it.
    ///
    /// # Errors
    /// No master.
    pub(crate) fn run(&self) -> Result<u8, Error> {
        let master = match self.which.find("deaths")? {
            Ok(master) => master,
            Err(status) => return Ok(status),
        };
        let deaths = master.ask(Request::Deaths, |answer| match answer {
            Answer::Deaths { deaths } => Some(Ok(deaths)),
            Answer::Failed { reason, .. } => Some(Err(Error::Refused(reason))),
            _ => None,
        })?;
        let mut deaths = deaths.unwrap_or(Err(Error::NoAnswer))?;
        deaths.truncate(self.number.unwrap_or(usize::MAX));
        let text = match self.json {
            true => {
                // Nothing in a death is a thing that JSON has no word for.
                let json = serde_json::to_string_pretty(&deaths).unwrap_or_default();
                printable_json(&format!("{json}\n")).into_owned()
            }
            false => deaths.iter().map(|death| told(death, sys::clock::local_time)).collect(),
        };
        sys::stdio::print(&text)?;
        Ok(0)
    }
}

/// One line, and the backtrace below it.
fn told(death: &Death, local_time: impl Fn(f64) -> String) -> String {
    let number = |name: &str, number: Option<u32>| number.map_or_else(String::new, |it| format!("{name}={it} "));
    let process = match death.kind {
        Kind::Worker => number("worker", death.slot),
        Kind::Service => format!("service={} ", printable(death.service.as_deref().unwrap_or_default())),
        kind => format!("{} ", kind.word()),
    };
    let mut text = format!(
        "{}  {process}{}pid={} {}: {}",
        local_time(death.at),
        number("gen", death.generation),
        death.pid,
        death.cause.word(),
        printable(&death.text)
    );
    match (&death.request, death.doing) {
        (Some(request), _) => {
            let age_ms = death.age_ms.unwrap_or(0);
            text.push_str(&format!(", after {age_ms} ms in \"{}\"", printable(request)));
            if let Some(id) = &death.request_id {
                text.push_str(&format!(" id={}", printable(id)));
            }
        }
        (None, Some(Doing::Idle | Doing::Booting)) => {
            text.push_str(&format!(", while {}", death.doing.unwrap_or_default().word()));
        }
        (None, _) => {}
    }
    if let Some(peak) = death.peak_rss_bytes {
        text.push_str(&format!(", {} resident at most", size(peak)));
    }
    text.push('\n');
    for line in death.backtrace.as_deref().unwrap_or_default().lines() {
        text.push_str(&format!("    {}\n", printable_lines(line)));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use facts::Cause;

    #[track_caller]
    fn check(death: Death, want: &str) {
        assert_eq!(told(&death, |at| format!("@{at}")), want);
    }

    #[test]
    fn each_death_is_a_line_with_its_backtrace_below() {
        let worker = Death {
            at: 60.5,
            kind: Kind::Worker,
            slot: Some(3),
            service: None,
            generation: Some(2),
            pid: 7,
            cause: Cause::Timeout,
            text: "killed by the master: request timeout".to_string(),
            doing: Some(Doing::Request),
            request: Some("GET /a?\u{1b}[31m".to_string()),
            request_id: Some("c0ffee".to_string()),
            age_ms: Some(30_012),
            peak_rss_bytes: Some(300 << 20),
            backtrace: Some("config.ru:3:in `sleep'\nconfig.ru:3:in `call'\n".to_string()),
        };
        let line = "@60.5  worker=3 gen=2 pid=7 timeout: killed by the master: request timeout, \
                    after 30012 ms in \"GET /a?\\x1b[31m\" id=c0ffee, 300M resident at most\n";
        check(worker.clone(), &format!("{line}    config.ru:3:in `sleep'\n    config.ru:3:in `call'\n"));
        let mold = Death {
            kind: Kind::Mold,
            slot: None,
            cause: Cause::Exit,
            text: "exit status 1".to_string(),
            doing: Some(Doing::Booting),
            request: None,
            peak_rss_bytes: None,
            backtrace: None,
            ..worker
        };
        check(mold, "@60.5  mold gen=2 pid=7 exit: exit status 1, while booting\n");
        let admin =
            Death { kind: Kind::Admin, pid: 8, cause: Cause::Sent, text: "SIGKILL".to_string(), ..Death::default() };
        check(admin.clone(), "@0  admin pid=8 sent: SIGKILL\n");
        let service = Death { kind: Kind::Service, service: Some("jobs".to_string()), generation: Some(2), ..admin };
        check(service, "@0  service=jobs gen=2 pid=8 sent: SIGKILL\n");
    }
}
