//! What one master program hands to the next that is executed in its place: JSON in a sealed file in memory.
//!
//! It crosses versions. A field that a later version adds has a default (`#[serde(default)]`), one that a version does not
//! know is ignored, none ever changes its meaning: then [`VERSION`] grows. Descriptors are numbers, times are
//! `CLOCK_MONOTONIC` in nanoseconds. A golden file of each version is kept and read by every later one.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

use facts::{Death, Recycled, Reloads};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The version of the state that this program writes.
pub const VERSION: u32 = 2;
/// The versions that it reads.
pub const READABLE: [u32; 2] = [1, 2];

/// The state of a master. `D` is what its decisions depend on, `supervisor::Snapshot`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct State<D> {
    /// [`VERSION`] of the program that wrote it.
    pub version: u32,
    /// How to execute that program again.
    pub way_back: WayBack,
    /// The process that it is for.
    pub pid: u32,
    /// When the server was started.
    pub started_ns: u64,
    /// The directory that the server was started in, symbolic links kept.
    pub directory: Bytes,
    /// Where that directory has led.
    pub places: Vec<Bytes>,
    /// Where `working_directory` has led.
    pub configured_places: Vec<Bytes>,
    /// The memory that has the seats of layout 1, while a mold or a worker of a program of that layout lives.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scoreboard: Option<i32>,
    /// The board of the workers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub board: Option<i32>,
    /// The ends of the queue between workers, the one to receive from first. Programs that speak the same messages
    /// ([`Preflight::messages`]) speak the same in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue: Option<[i32; 2]>,
    /// All sockets that it listens on.
    pub listeners: Vec<Listener>,
    /// Those of the generation in force, as places in `listeners`.
    pub listens_on: Vec<usize>,
    /// The settings in force, as the mold told them.
    pub settings: String,
    /// Where the pid file is.
    pub pid_path: Option<Bytes>,
    /// The control socket.
    pub control: Option<Control>,
    /// The number of the last request that came by it.
    pub last_ticket: u64,
    /// The molds.
    pub molds: Vec<Mold>,
    /// The workers.
    pub workers: Vec<Worker>,
    /// The services.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub services: Vec<Service>,
    /// The names of services, which [`Self::decisions`] has by their places here, and how many processes each has had.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub service_names: Vec<(String, u64)>,
    /// Signals that have been received and not been looked at, by name (`SIGHUP`).
    pub signals: Vec<String>,
    /// How many processes the kernel had killed for lack of memory.
    pub oom_kills: u64,
    /// Requests served by workers that are no more.
    #[serde(default)]
    pub requests: u64,
    /// What else those workers have done.
    #[serde(default)]
    pub totals: Totals,
    /// The most that waited at each address.
    #[serde(default)]
    pub marks: Vec<Mark>,
    /// How many workers each slot has had.
    #[serde(default)]
    pub starts: Vec<(u32, u64)>,
    /// The deaths of children.
    #[serde(default)]
    pub deaths: Deaths,
    /// How reloads went.
    #[serde(default)]
    pub reloads: Reloads,
    /// How many workers were replaced since they had had their time.
    #[serde(default)]
    pub recycled: Recycled,
    /// How reforks went.
    #[serde(default)]
    pub reforks: Reloads,
    /// What the decisions depend on.
    pub decisions: D,
}

/// The most connections that waited at an address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// The name of the listener.
    pub listener: String,
    /// How many.
    pub count: u32,
    /// When.
    pub at_ns: u64,
}

/// Deaths of children.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Deaths {
    /// How many there were.
    pub counts: facts::Deaths,
    /// The last ones, the oldest first.
    pub recent: Vec<Death>,
}

/// Runs of Ruby's garbage collector.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Collections {
    /// Those of young objects.
    pub minor_gcs: u64,
    /// Those of all objects.
    pub major_gcs: u64,
    /// The time that they took.
    pub gc_ms: u64,
    /// Those of all objects that were made between requests.
    pub gcs_between: u64,
    /// The time that these took, and the ends of others that were left to then.
    pub gc_between_ms: u64,
}

/// What workers have done that are no more.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// Time in requests.
    pub busy_ns: u64,
    /// Responses by the first digit of their status, 1xx to 5xx.
    pub responses: [u64; 5],
    /// Bytes of requests.
    pub received_bytes: u64,
    /// Bytes of responses.
    pub sent_bytes: u64,
    /// Requests whose application raised an exception.
    #[serde(default)]
    pub raised: u64,
    /// Requests that never were whole.
    #[serde(default)]
    pub aborted_requests: u64,
    /// Responses that their client has not taken to the end.
    #[serde(default)]
    pub aborted_responses: u64,
    /// What Ruby's collector did.
    #[serde(flatten)]
    pub collections: Collections,
    /// How long requests were in the application.
    pub service: Durations,
    /// How long requests waited before that.
    pub queue: Durations,
    /// Lines of the access log that were lost.
    #[serde(default)]
    pub access_losses: Losses,
    /// Lines of the log that were lost.
    #[serde(default)]
    pub log_losses: Losses,
}

/// Lines of a log that were lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Losses {
    /// How many.
    pub lines: u64,
    /// The number of the last error; 0 when it is not known.
    pub errno: i32,
    /// When that was (CLOCK_MONOTONIC, ns).
    pub at_ns: u64,
}

/// Durations, counted in the buckets of `scoreboard::histogram`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Durations {
    /// The buckets that are not empty: number and count.
    pub buckets: Vec<(usize, u64)>,
    /// All durations together.
    pub sum_ns: u64,
}

/// How to execute the program before this one again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WayBack {
    /// The program.
    pub program: i32,
    /// Its arguments, the first of which is its name.
    pub arguments: Vec<Bytes>,
    /// Its variables, `NAME=value`.
    pub environment: Vec<Bytes>,
    /// Descriptors to close when it is not needed any more.
    pub descriptors: Vec<i32>,
}

/// A socket that the server listens on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listener {
    /// The socket.
    pub socket: i32,
    /// The address that it was asked for under; `None` for one that was passed to the server.
    pub asked: Option<String>,
    /// Where it is from.
    pub origin: Origin,
    /// The name under which the service manager has passed it, if that did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// Where a socket is from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// The server has bound it.
    Bound,
    /// A supervisor passed it (`LISTEN_FDS`).
    Activated,
    /// The master before passed it (`UNICORN_FD`).
    HandedOver,
}

/// The control socket and its clients.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Control {
    /// The socket.
    pub socket: i32,
    /// Where it is.
    pub path: Bytes,
    /// Its clients.
    pub clients: Vec<Client>,
}

/// A client of the control socket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Client {
    /// The connection.
    pub stream: i32,
    /// What it has sent of its request.
    pub received: Bytes,
    /// The number of the request whose outcome it waits for.
    pub waits_for: Option<u64>,
}

/// A mold process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mold {
    /// Its generation.
    pub generation: u32,
    /// Its process id.
    pub pid: u32,
    /// Its control socket, unless that is closed.
    pub control: Option<i32>,
    /// The settings that it has told.
    pub settings: Option<String>,
    /// What its workers listen on, as places in [`State::listeners`].
    pub listens_on: Vec<usize>,
    /// Whether it has said why it leaves.
    pub failed: bool,
    /// The layout of the seats that its workers have.
    #[serde(default = "first_layout")]
    pub layout: u32,
}

/// A worker process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Worker {
    /// Its number.
    pub id: u32,
    /// Its process id, once it is known.
    pub pid: Option<u32>,
    /// Its control socket, unless that is closed.
    pub control: Option<i32>,
    /// Its slot.
    pub slot: u32,
    /// Its generation.
    pub generation: u32,
    /// The number of its seat.
    pub seat: usize,
    /// The page that is its seat; without it the seat is in [`State::scoreboard`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub page: Option<i32>,
    /// Whether it has reported ready.
    pub ready: bool,
    /// When, if that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready_ns: Option<u64>,
    /// A signal that it gets when its process id is known, by name.
    pub waiting: Option<String>,
}

/// A process of a service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Service {
    /// Its number.
    pub id: u32,
    /// Its process id, once it is known.
    pub pid: Option<u32>,
    /// Its control socket, if the mold has forked it and it is open.
    pub control: Option<i32>,
    /// The name of its service.
    pub name: String,
    /// The generation whose settings it has.
    pub generation: u32,
    /// The signal that asks it to leave, by name.
    pub stop_signal: String,
    /// When it was started, once it was.
    pub started_ns: Option<u64>,
    /// Where it was started.
    pub directory: Bytes,
}

/// What a program says of itself before it is let take the place of another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Preflight {
    /// Its version.
    pub program: String,
    /// The versions of the state that it reads.
    pub state: Vec<u32>,
    /// The version of the messages that it speaks with molds and workers.
    pub messages: u8,
    /// The first layout of seats that it reads: programs that know no other look at nothing else.
    pub scoreboard: u32,
    /// The layouts that it reads; empty: that one.
    #[serde(default)]
    pub layouts: Vec<u32>,
    /// Its variables as its own start scripts have left them, `NAME=value`.
    pub environment: Vec<Bytes>,
    /// Why it cannot take over, if it cannot.
    pub error: Option<String>,
}

/// The layout of seats before there was a word for it.
fn first_layout() -> u32 {
    1
}

impl Preflight {
    /// Whether the program reads seats of this layout.
    pub fn reads_layout(&self, layout: u32) -> bool {
        self.scoreboard == layout || self.layouts.contains(&layout)
    }
}

/// Bytes that are text nearly always: paths, arguments, variables.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bytes(pub Vec<u8>);

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match core::str::from_utf8(&self.0) {
            Ok(text) => serializer.serialize_str(text),
            Err(_) => self.0.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Form {
            Text(String),
            Bytes(Vec<u8>),
        }
        Ok(Self(match Form::deserialize(deserializer)? {
            Form::Text(text) => text.into_bytes(),
            Form::Bytes(bytes) => bytes,
        }))
    }
}

/// Why a state cannot be taken over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StateError {
    /// It is of a version that this program does not read.
    Version(u32),
    /// It is no state, or lacks something.
    Malformed(String),
}

impl fmt::Display for StateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Version(version) => write!(f, "state of version {version}, this program reads {READABLE:?}"),
            Self::Malformed(why) => write!(f, "malformed state: {why}"),
        }
    }
}

impl core::error::Error for StateError {}

impl<D: Serialize + DeserializeOwned> State<D> {
    /// Writes it.
    ///
    /// # Errors
    /// None that is known.
    pub fn encode(&self) -> Result<Vec<u8>, StateError> {
        serde_json::to_vec(self).map_err(|error| StateError::Malformed(error.to_string()))
    }

    /// Reads it.
    ///
    /// # Errors
    /// It is of another version, or malformed.
    pub fn decode(bytes: &[u8]) -> Result<Self, StateError> {
        #[derive(Deserialize)]
        struct Version {
            version: u32,
        }
        let Version { version } = read(bytes)?;
        if !READABLE.contains(&version) {
            return Err(StateError::Version(version));
        }
        read(bytes)
    }
}

impl WayBack {
    /// Reads this part of a state, of whatever version that is.
    ///
    /// # Errors
    /// It is not there.
    pub fn of_state(bytes: &[u8]) -> Result<Self, StateError> {
        #[derive(Deserialize)]
        struct Part {
            way_back: WayBack,
        }
        read::<Part>(bytes).map(|part| part.way_back)
    }
}

fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, StateError> {
    serde_json::from_slice(bytes).map_err(|error| StateError::Malformed(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    #[test]
    fn bytes_that_are_no_text_survive() {
        for bytes in [&b""[..], b"/srv/app", b"\xff\x00\n"] {
            let json = serde_json::to_string(&Bytes(bytes.to_vec())).unwrap();
            assert_eq!(serde_json::from_str::<Bytes>(&json).unwrap(), Bytes(bytes.to_vec()), "{json}");
        }
    }

    #[test]
    fn another_version_is_named_and_its_way_back_read_all_the_same() {
        let text =
            br#"{"version":9,"way_back":{"program":3,"arguments":["a"],"environment":[],"descriptors":[4],"x":1}}"#;
        assert_eq!(State::<()>::decode(text), Err(StateError::Version(9)));
        let back = WayBack::of_state(text).unwrap();
        assert_eq!((back.program, back.arguments, back.descriptors), (3, vec![Bytes(b"a".to_vec())], vec![4]));
        assert!(matches!(State::<()>::decode(b"[]"), Err(StateError::Malformed(_))));
    }
}
