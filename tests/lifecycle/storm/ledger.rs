//! What the application has noted: each call, when it begins and when it ends, with the process that it is in.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// The calls of one request.
#[derive(Clone, Debug, Default)]
pub(crate) struct Calls {
    /// The processes in which it began.
    pub(crate) begun: Vec<u32>,
    /// The processes in which it ended.
    pub(crate) ended: Vec<u32>,
}

/// All calls, by request.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    calls: BTreeMap<u64, Calls>,
    /// Lines that make no sense.
    pub(crate) spoiled: Vec<String>,
}

impl Ledger {
    /// Reads the file of now and those that were renamed.
    pub(crate) fn read(directory: &Path) -> Ledger {
        let mut ledger = Ledger::default();
        for entry in fs::read_dir(directory).expect("the test's directory can be read").flatten() {
            if entry.file_name().to_string_lossy().starts_with("ledger") {
                let text = fs::read_to_string(entry.path()).expect("the application's file can be read");
                text.lines().for_each(|line| ledger.note(line));
            }
        }
        ledger
    }

    fn note(&mut self, line: &str) {
        let words: Vec<&str> = line.split(' ').collect();
        let parsed = match words[..] {
            [what, id, pid] => u64::from_str_radix(id, 16).ok().zip(pid.parse().ok()).map(|(id, pid)| (what, id, pid)),
            _ => None,
        };
        match parsed {
            Some(("begin", id, pid)) => self.calls.entry(id).or_default().begun.push(pid),
            Some(("end", id, pid)) => self.calls.entry(id).or_default().ended.push(pid),
            _ => self.spoiled.push(line.to_owned()),
        }
    }

    /// The calls of this request.
    pub(crate) fn calls(&self, id: u64) -> Calls {
        self.calls.get(&id).cloned().unwrap_or_default()
    }

    /// All requests that were served.
    pub(crate) fn ids(&self) -> impl Iterator<Item = u64> {
        self.calls.keys().copied()
    }
}
