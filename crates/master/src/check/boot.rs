//! A mold that boots as that of a server does, and forks nothing.

use std::time::Duration;

use sys::channel::Channel;
use sys::pidfd::Child;
use sys::signals::Signal;
use wire::{FromMold, ToMold};

use crate::check::finding::Finding;
use crate::children::link::{Heard, Link};
use crate::children::seats::Seats;
use crate::children::spawn;
use crate::config::owner::Boot;
use crate::config::settings::Settings;

/// How long the configuration may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// A mold that has told its settings.
pub(super) struct Told {
    pub(super) settings: Settings,
    /// Whether the application is loaded in molds, and not in each worker.
    pub(super) preloads: bool,
    mold: Mold,
}

/// A mold whose application is loaded. Its end is that of this value.
pub(super) struct Loaded(Mold);

struct Mold {
    pid: u32,
    link: Link<FromMold, ToMold>,
}

impl Drop for Mold {
    fn drop(&mut self) {
        if let Some(child) = Child::of(self.pid) {
            let _ = child.kill(Signal::Kill);
        }
    }
}

/// Starts a mold, and has it read the configuration.
pub(super) fn read(boot: Boot, found: &mut Vec<Finding>) -> Option<Told> {
    let mut mold = match start(boot) {
        Ok(mold) => mold,
        Err(error) => {
            found.push(Finding::error("ruby", error.chain()));
            return None;
        }
    };
    let why = match mold.hear(PATIENCE) {
        Ok(FromMold::Settings { json }) => match Settings::parse(&json) {
            Ok(settings) => {
                found.push(Finding::fine("configuration", "read"));
                let told = serde_json::from_str::<serde_json::Value>(&json).unwrap_or_default();
                return Some(Told { settings, preloads: told["preload_app"] == true, mold });
            }
            Err(error) => sys::chain(&error),
        },
        Ok(FromMold::Failed { text }) if text.is_empty() => "it ends the boot".to_string(),
        Ok(FromMold::Failed { text }) => text,
        Ok(_) => "the mold has said something else than its settings".to_string(),
        Err(why) => why,
    };
    found.push(Finding::error("configuration", why));
    None
}

impl Told {
    /// Has it load the application.
    pub(super) fn load(mut self, found: &mut Vec<Finding>) -> Option<Loaded> {
        self.mold.link.send(&ToMold::Proceed, &[]);
        let began = sys::clock::monotonic_ns();
        let why = match self.mold.hear(self.settings.processes.boot_timeout) {
            Ok(FromMold::Ready) => {
                let ms = sys::clock::monotonic_ns().saturating_sub(began) / 1_000_000;
                found.push(Finding::fine("application", format!("loaded in {ms} ms")));
                return Some(Loaded(self.mold));
            }
            Ok(FromMold::Failed { text }) => text,
            Ok(_) => "the mold has said something else than that it is ready".to_string(),
            Err(why) => why,
        };
        found.push(Finding::error("application", why));
        None
    }
}

impl Loaded {
    pub(super) fn pid(&self) -> u32 {
        self.0.pid
    }
}

fn start(mut boot: Boot) -> sys::Result<Mold> {
    // A member that says what the mold leaves undone: it opens no log and makes no directory, and loads the application in
    // any case.
    if let Ok(serde_json::Value::Object(mut members)) = serde_json::from_str(&boot.json) {
        members.insert("check".to_string(), true.into());
        boot.json = serde_json::Value::Object(members).to_string();
    }
    let (ours, theirs) = Channel::pair()?;
    let link = Link::new(ours)?;
    let seats = Seats::begin()?;
    let pid = spawn::start_mold(&boot, &theirs)?;
    let mold = Mold { pid, link };
    mold.link.send(&ToMold::Boot { json: boot.json }, &[seats.board()]);
    Ok(mold)
}

impl Mold {
    /// The next message.
    fn hear(&mut self, patience: Duration) -> Result<FromMold, String> {
        let ns = u64::try_from(patience.as_nanos()).unwrap_or(u64::MAX);
        let until_ns = sys::clock::monotonic_ns().saturating_add(ns);
        loop {
            match self.link.hear(None) {
                Heard::Message(message, _) => return Ok(message),
                Heard::Stranger => {}
                Heard::End => return Err("the mold has ended without a word".to_string()),
                Heard::Lie(lie) => return Err(format!("the mold broke the protocol: {}", sys::chain(&lie))),
                Heard::Nothing => {
                    let left = until_ns.saturating_sub(sys::clock::monotonic_ns());
                    if left == 0 {
                        return Err(format!("not ready within {} s", patience.as_secs()));
                    }
                    let readable: Vec<_> = self.link.readable().into_iter().collect();
                    sys::poll::wait(&readable, &[], Some(left)).map_err(|error| error.chain())?;
                }
            }
        }
    }
}
