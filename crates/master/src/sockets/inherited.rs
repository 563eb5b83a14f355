//! Sockets that this process was started with: from a service manager, or from the master before this one.
//!
//! systemd passes them as descriptors 3, 4, … with their names in `LISTEN_FDNAMES` (sd_listen_fds(3)): those of socket
//! units, in no order that could be relied upon, and those that an earlier master has put into the unit's store. A
//! master that is upgraded passes them on with their numbers in `UNICORN_FD`, as Unicorn does, and beside it the names
//! of those that are the service manager's.

use std::rc::Rc;

use sys::listener::Listener;

use crate::config::settings;
use crate::environment;
use crate::log::lines::Log;
use crate::sockets::bound::{Bound, Listeners};
use crate::sockets::error::Error;

/// What the names of sockets begin with that a master has put into the unit's store.
const STORED: &str = "licorne/";
/// The first descriptor that systemd passes (`SD_LISTEN_FDS_START`).
const FIRST_FD: i32 = 3;
/// What a socket is called whose name was not told, as in sd_listen_fds_with_names(3).
pub(crate) const NAMELESS: &str = "unknown";

/// Sockets that were passed to this process at its start.
#[derive(Debug, Default)]
pub(crate) struct Inherited {
    /// Of a service manager: kept whatever the configuration says, since the manager holds them anyway.
    pub(crate) activated: Listeners,
    /// From the master before this one (`UNICORN_FD`): kept until a reload does not ask for them.
    pub(crate) handed_over: Listeners,
    /// From the unit's store, where a master that is gone has put them: those that no configuration asks for are dropped.
    pub(crate) stored: Listeners,
    /// What is to be logged of them, as soon as it is known where the log is.
    pub(crate) lines: Vec<String>,
}

/// What `LISTEN_FDS` announces to this process: how many sockets, and their names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Announced {
    count: i32,
    names: Vec<String>,
}

impl Announced {
    /// Reads the variables. They are meant for one process alone, so this is to be asked before it goes to the
    /// background, where it is another.
    pub(crate) fn to_this_process() -> Self {
        let variable = |name: &str| std::env::var(name).ok();
        let ours = variable("LISTEN_PID").and_then(|pid| pid.parse().ok()) == Some(sys::process::own_pid());
        let identity = variable("LISTEN_PIDFDID").and_then(|id| id.parse().ok());
        // A process number may have been given anew; this number, where systemd tells it, has not.
        let same = identity.is_none_or(|id: u64| sys::process::own_identity().is_none_or(|own| own == id));
        if !ours || !same {
            return Self::default();
        }
        let count = variable("LISTEN_FDS").and_then(|count| count.parse().ok()).unwrap_or(0);
        let names = variable("LISTEN_FDNAMES").unwrap_or_default();
        // An empty name is one too: those after it are others'.
        let named = |name: &str| if name.is_empty() { NAMELESS.to_string() } else { name.to_string() };
        let names = names.split(':').map(named).collect();
        Self { count, names }
    }
}

impl Inherited {
    /// Adopts what was announced, and what `UNICORN_FD` names, and notes a line for each.
    ///
    /// # Errors
    /// A number that is no listening socket.
    pub(crate) fn adopt(announced: &Announced, log: &Log) -> Result<Self, Error> {
        let mut inherited = Self::default();
        let handed_over = std::env::var("UNICORN_FD").unwrap_or_default();
        let names = std::env::var(environment::SOCKET_NAMES).unwrap_or_default();
        let mut names = names.split(':');
        for number in handed_over.split(',').filter(|text| !text.is_empty()) {
            let no_number = |_| Error::NoNumber { list: handed_over.clone(), number: number.to_string() };
            let fd = number.parse().map_err(no_number)?;
            match names.next() {
                Some(name) if !name.is_empty() => {
                    inherited.activated.push(adopt(fd, Some(name), log, &mut inherited.lines)?)
                }
                _ => inherited.handed_over.push(adopt(fd, None, log, &mut inherited.lines)?),
            }
        }
        for (fd, index) in (FIRST_FD..FIRST_FD.saturating_add(announced.count)).zip(0..) {
            match announced.names.get(index).map_or(NAMELESS, String::as_str) {
                name if name.starts_with(STORED) => inherited.stored.push(adopt(fd, None, log, &mut inherited.lines)?),
                name => inherited.activated.push(adopt(fd, Some(name), log, &mut inherited.lines)?),
            }
        }
        Ok(inherited)
    }

    /// The sockets from the store that may be listened on again. Of several with one name only one can be what its path
    /// leads to, and there is no telling which: then the address is bound anew.
    pub(crate) fn kept(&self) -> impl Iterator<Item = &Rc<Bound>> {
        let same = |one: &Bound| self.stored.iter().filter(|other| other.socket.name() == one.socket.name()).count();
        self.stored.iter().filter(move |bound| same(bound) == 1)
    }

    /// The names of all that are listened on unless the configuration says otherwise.
    pub(crate) fn names(&self) -> Vec<String> {
        self.activated.iter().chain(&self.handed_over).map(|bound| bound.socket.name().to_string()).collect()
    }
}

/// The name of a socket in the unit's store. Colons would end it there.
pub(crate) fn store_name(bound: &Bound) -> String {
    format!("{STORED}{}", bound.socket.name().replace(':', "_"))
}

fn adopt(fd: i32, activated_as: Option<&str>, log: &Log, lines: &mut Vec<String>) -> Result<Rc<Bound>, Error> {
    let socket = Listener::adopt(fd).map_err(Error::NoListener)?;
    match activated_as {
        Some(name) if name != NAMELESS => {
            lines.push(format!("inherited addr={} fd={fd} name={name}", socket.name()));
        }
        _ => lines.push(format!("inherited addr={} fd={fd}", socket.name())),
    }
    let bound = Bound::new(socket, None, activated_as.map(str::to_string));
    bound.apply(&settings::unasked(), log);
    Ok(Rc::new(bound))
}
