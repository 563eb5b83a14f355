//! Variables of the environment that are between a supervisor, the masters before and after this one, and this process.

/// None of them is any of the application's business.
pub(crate) const PRIVATE: [&str; 15] = [
    "LISTEN_FDS",
    "LISTEN_PID",
    "LISTEN_PIDFDID",
    "LISTEN_FDNAMES",
    "UNICORN_FD",
    SOCKET_NAMES,
    "NOTIFY_SOCKET",
    "WATCHDOG_USEC",
    "WATCHDOG_PID",
    "FDSTORE",
    READY,
    QUEUE,
    RUBY,
    STATE,
    sys::way_back::REASON_VARIABLE,
];
/// The descriptor of the state that the program before this one has left, in an upgrade in place.
pub(crate) const STATE: &str = "LICORNE_STATE_FD";
/// The descriptor on which a second master tells the first that it serves.
pub(crate) const READY: &str = "LICORNE_READY_FD";
/// The version of the queue, and the descriptors of its ends.
pub(crate) const QUEUE: &str = "LICORNE_QUEUE_FD";
/// The names of the sockets in `UNICORN_FD`, in their order, between colons; no name for one that is the master's own.
pub(crate) const SOCKET_NAMES: &str = "LICORNE_FDNAMES";
/// The Ruby to run, where the command line names none.
pub(crate) const RUBY: &str = "LICORNE_RUBY";
/// Parents that keep a process of theirs running: `runsv` of runit, `s6-supervise`, daemontools' `supervise`, systemd.
const SUPERVISORS: [&str; 4] = ["runsv", "s6-supervise", "supervise", "systemd"];

/// Whether a variable is between a supervisor and this very process, whatever program it runs.
pub(crate) fn is_private_to_process(name: &str) -> bool {
    let ours = ["UNICORN_FD", SOCKET_NAMES, READY, RUBY, STATE, sys::way_back::REASON_VARIABLE];
    PRIVATE.contains(&name) && !ours.contains(&name)
}

/// Whether something watches over this process that would take a new process id for its end.
pub(crate) fn is_supervised() -> bool {
    let told = ["NOTIFY_SOCKET", "SUPERVISOR_ENABLED"].iter().any(|name| std::env::var_os(name).is_some());
    let parent = sys::process::parent_name();
    sys::process::own_pid() == 1 || told || parent.is_some_and(|name| SUPERVISORS.contains(&name.as_str()))
}
