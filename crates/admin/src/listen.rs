//! The address, which admin processes hand to each other, and the user that this process becomes.

use std::path::Path;
use std::time::{Duration, Instant};

use sys::listener::{Address, Listener};
use sys::stdio::complain;
use sys::user::User;

/// Users that own nothing, in the order in which they are tried.
const USERS: [&str; 3] = ["nobody", "daemon", "bin"];
/// How long another admin process may still hold the address.
const BIND_PATIENCE: Duration = Duration::from_secs(10);

pub(crate) fn own_parent() -> Option<u32> {
    sys::table::process(sys::process::own_pid()).map(|process| process.parent)
}

/// Gives root's rights up for those of a user that neither is root nor runs the application.
pub(crate) fn become_nobody(application: Option<u32>) -> Result<(), String> {
    if sys::process::own_uid() != 0 {
        return Ok(());
    }
    let fits = |user: &User| user.uid != 0 && Some(user.uid) != application;
    let user = USERS.iter().filter_map(|name| User::look_up(name, None)).find(fits);
    let user = user.ok_or_else(|| format!("there is no user to run as (looked for {})", USERS.join(", ")))?;
    user.become_it().map_err(|error| error.chain())
}

/// Takes the address back, unless it is another's by now.
pub(crate) fn tidy_up(address: &Address) {
    let Address::Unix(path) = address else { return };
    if sys::listener::listening_process(path) == Some(sys::process::own_pid()) {
        let _ = std::fs::remove_file(path);
    }
}

/// Whether the one that listens there has the same parent: then it is about to leave, and this one takes its place.
fn is_predecessor(path: &Path) -> bool {
    let parent = |pid| sys::table::process(pid).map(|process| process.parent);
    let other = sys::listener::listening_process(path).and_then(parent);
    other.is_some() && other == parent(sys::process::own_pid())
}

/// Binds beside another admin process (TCP) or in its place, else waits until the process that listens there has gone.
pub(crate) fn bind(address: &Address, user: Option<&User>) -> Result<Listener, String> {
    let options = sys::listener::Options {
        reuseport: true,
        tcp_defer_accept: 0,
        backlog: Some(128),
        ..sys::listener::Options::default()
    };
    let deadline = Instant::now() + BIND_PATIENCE;
    let mut told = false;
    loop {
        match Listener::bind_as(user, address, &options) {
            Ok(listener) => return Ok(listener),
            Err(error) if sys::listener::in_use(&error) && Instant::now() < deadline => {
                if let Address::Unix(path) = address {
                    let replaced = is_predecessor(path).then(|| Listener::replace(user, path, &options));
                    if let Some(Ok(listener)) = replaced {
                        return Ok(listener);
                    }
                }
                if !std::mem::replace(&mut told, true) {
                    let seconds = BIND_PATIENCE.as_secs();
                    complain(format_args!(
                        "licorne admin: {address} is in use by another process: trying for {seconds} s; until then nothing \
                         answers health checks"
                    ));
                }
                sys::poll::wait(&[], &[], Some(100_000_000)).map_err(|error| error.chain())?;
            }
            Err(error) => return Err(error.chain()),
        }
    }
}
