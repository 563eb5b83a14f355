//! The control socket, as both ends see it: where it is, and what goes over it.
//!
//! A UNIX stream socket, mode 0600. The client sends one line of JSON, `{"command":"reload","wait":true}`; the master
//! answers with lines of JSON, each an [`Answer`], and closes. Unknown fields are ignored on both sides, so that a
//! client of one version can talk to a master of another.

use std::path::{Path, PathBuf};

use facts::Backtrace;
use serde::{Deserialize, Serialize};

pub use supervisor::Way;

/// What a client asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case")]
pub enum Request {
    /// New code and configuration.
    Reload {
        /// Whether to answer only when it is decided.
        #[serde(default)]
        wait: bool,
        /// What each new worker has to answer before it serves; what the configuration says where it is empty.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        probe: Vec<String>,
        /// How it is tried, where that is other than the configuration says.
        #[serde(default, flatten)]
        canary: CanaryAsked,
    },
    /// The workers on trial have shown enough. Answered when all workers are of the new code.
    Promote,
    /// What a reload has done so far is to be undone.
    Abort,
    /// The code before is to serve again.
    Rollback {
        /// Whether to answer only when it does.
        #[serde(default)]
        wait: bool,
    },
    /// A new master program.
    Upgrade {
        /// Whether to answer only when it is decided.
        #[serde(default)]
        wait: bool,
        /// How; as configured when it is not said.
        #[serde(default)]
        way: Option<Way>,
    },
    /// Stop.
    Stop {
        /// Whether begun requests are finished.
        #[serde(default = "yes")]
        graceful: bool,
    },
    /// Tell the state.
    Status,
    /// Tell where the threads of workers are.
    Backtrace {
        /// The slot whose workers are asked; all without one.
        #[serde(default)]
        slot: Option<u32>,
    },
    /// Tell the last deaths.
    Deaths,
    /// Tell the configuration that holds.
    Configuration,
}

/// How one reload is tried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CanaryAsked {
    /// On how many workers; 0 for none.
    #[serde(default, rename = "canary", skip_serializing_if = "Option::is_none")]
    pub workers: Option<u32>,
    /// For how many seconds.
    #[serde(default, rename = "watch", skip_serializing_if = "Option::is_none")]
    pub watch_s: Option<u32>,
}

impl Request {
    /// What it makes the master do, in a word; `None` when it only asks.
    pub(crate) fn changes(&self) -> Option<&'static str> {
        match self {
            Self::Reload { .. } => Some("reload"),
            Self::Promote => Some("promotion of the canary"),
            Self::Abort => Some("end of the reload"),
            Self::Rollback { .. } => Some("rollback"),
            Self::Upgrade { .. } => Some("upgrade"),
            Self::Stop { graceful: true } => Some("stop"),
            Self::Stop { graceful: false } => Some("quick stop"),
            Self::Status | Self::Backtrace { .. } | Self::Deaths | Self::Configuration => None,
        }
    }
}

/// One line of the master's answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub enum Answer {
    /// The request was understood and is under way; more follows when the client waits.
    Accepted,
    /// A roll goes on.
    Progress {
        /// Slots that the new generation serves.
        done: u32,
        /// Slots in all.
        total: u32,
        /// For how long the workers on trial are watched now, in seconds.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        watch_s: Option<u32>,
    },
    /// It is done. The last answer.
    Done {
        /// The generation that serves.
        generation: u32,
        /// The directory and the revision of its release.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        release: Option<String>,
        /// That `current` leads to another release.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        warning: Option<String>,
    },
    /// It failed. The last answer.
    Failed {
        /// Why, in one line.
        reason: String,
        /// The message and backtrace of the boot that failed, if one did.
        backtrace: Option<String>,
    },
    /// The state, [`facts::Status`]. The last answer.
    Status(serde_json::Value),
    /// Where the threads of workers are, by slot. The last answer.
    Backtraces {
        /// One for each worker that was asked.
        workers: Vec<Backtrace>,
    },
    /// The last deaths, the newest first. The last answer.
    Deaths {
        /// At most 256.
        deaths: Vec<facts::Death>,
    },
    /// The configuration that holds. The last answer.
    Configuration {
        /// The generation that serves.
        generation: Option<u32>,
        /// The file, as the command line names it.
        file: Option<String>,
        /// `RACK_ENV` of the application.
        environment: Option<String>,
        /// The Ruby that has evaluated it.
        ruby: Option<String>,
        /// Each directive, and `listen` for each listener.
        directives: Vec<Setting>,
    },
}

/// A directive with its value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Setting {
    /// Its name.
    pub name: String,
    /// Its value; of a hook and of the logger whether it was given.
    pub value: serde_json::Value,
    /// What it is counted in.
    pub unit: Option<String>,
    /// Where it is from: file and line, an option, a variable, signals; null for the default.
    pub from: Option<String>,
}

impl Answer {
    /// It as a line of JSON, as it is sent.
    pub(crate) fn line(&self) -> Vec<u8> {
        // Nothing in an answer is a thing that JSON has no word for.
        let mut line = serde_json::to_vec(self).unwrap_or_default();
        line.push(b'\n');
        line
    }
}

fn yes() -> bool {
    true
}

/// Where a master puts its socket when nothing else is configured: known from its process id alone.
pub fn default_path(pid: u32) -> PathBuf {
    let uid = sys::process::own_uid();
    if uid == 0 {
        return PathBuf::from(format!("/run/licorne/{pid}.sock"));
    }
    if let Some(directory) = std::env::var("RUNTIME_DIRECTORY").ok().and_then(|list| first_directory(&list)) {
        return directory.join(format!("{pid}.sock"));
    }
    match std::env::var_os("XDG_RUNTIME_DIR") {
        Some(runtime) if Path::new(&runtime).is_dir() => PathBuf::from(runtime).join(format!("licorne/{pid}.sock")),
        _ => PathBuf::from(format!("/tmp/licorne-{uid}/{pid}.sock")),
    }
}

/// The first of the directories that a unit of systemd has (`RuntimeDirectory=`), if it is there.
fn first_directory(list: &str) -> Option<PathBuf> {
    list.split(':').next().map(PathBuf::from).filter(|path| path.is_dir())
}

/// Where the socket of the master `pid` may be, whatever user runs it: a root shell finds the master of a user, and a login
/// without `XDG_RUNTIME_DIR` that of a session.
pub fn candidates(pid: u32) -> Vec<PathBuf> {
    let uid = sys::process::owner_of(pid).unwrap_or_else(sys::process::own_uid);
    let mut all = vec![
        default_path(pid),
        PathBuf::from(format!("/run/licorne/{pid}.sock")),
        PathBuf::from(format!("/run/user/{uid}/licorne/{pid}.sock")),
        PathBuf::from(format!("/tmp/licorne-{uid}/{pid}.sock")),
    ];
    let of_unit = sys::process::variable_of(pid, "RUNTIME_DIRECTORY").and_then(|list| first_directory(&list));
    all.extend(of_unit.map(|directory| directory.join(format!("{pid}.sock"))));
    all.dedup();
    // Where another pid namespace has a process of that id, the second one's name has the namespace in it.
    let second: Vec<PathBuf> = all.iter().filter_map(|path| sys::runtime_directory::beside(path)).collect();
    all.extend(second);
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_and_answers_read_as_documented() {
        let request: Request = serde_json::from_str(r#"{"command":"reload","wait":true,"future":1}"#).unwrap();
        assert_eq!(request, Request::Reload { wait: true, probe: Vec::new(), canary: CanaryAsked::default() });
        let tried: Request = serde_json::from_str(r#"{"command":"reload","canary":2,"watch":30}"#).unwrap();
        let canary = CanaryAsked { workers: Some(2), watch_s: Some(30) };
        assert_eq!(tried, Request::Reload { wait: false, probe: Vec::new(), canary });
        assert_eq!(serde_json::from_str::<Request>(r#"{"command":"stop"}"#).unwrap(), Request::Stop { graceful: true });
        let upgrade: Request = serde_json::from_str(r#"{"command":"upgrade","way":"in_place"}"#).unwrap();
        assert_eq!(upgrade, Request::Upgrade { wait: false, way: Some(Way::InPlace) });
        let backtrace = |line| serde_json::from_str::<Request>(line).unwrap();
        assert_eq!(backtrace(r#"{"command":"backtrace"}"#), Request::Backtrace { slot: None });
        assert_eq!(backtrace(r#"{"command":"backtrace","slot":3}"#), Request::Backtrace { slot: Some(3) });
        assert!(serde_json::from_str::<Request>(r#"{"command":"explode"}"#).is_err());
        assert_eq!(
            serde_json::to_string(&Answer::Progress { done: 1, total: 4, watch_s: None }).unwrap(),
            r#"{"answer":"progress","done":1,"total":4}"#
        );
    }
}
