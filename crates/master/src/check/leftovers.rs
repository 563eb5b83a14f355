//! What the application has left open in the mold, which workers would share or lack: threads and sockets.

use crate::check::finding::Finding;

/// The control socket of the mold, and the standard streams: they are meant to be there.
const OURS: u32 = 3;

/// Looks at the process from outside: what it says of itself would be a claim.
pub(super) fn look(mold: u32, found: &mut Vec<Finding>) {
    let threads: Vec<String> = sys::table::threads(mold).into_iter().filter(|name| !is_rubys(name)).collect();
    let sockets: Vec<String> = sys::table::sockets(mold)
        .into_keys()
        .filter(|number| *number > OURS)
        .map(|number| format!("fd {number}"))
        .collect();
    if threads.is_empty() && sockets.is_empty() {
        found.push(Finding::fine("fork safety", "no thread and no socket is left in the mold"));
    }
    if !threads.is_empty() {
        let named = threads.join(", ");
        let text = format!("threads that no worker will have: {named} (with preload_app, start them in after_fork)");
        found.push(Finding::warning("fork safety", text));
    }
    if !sockets.is_empty() {
        let named = sockets.join(", ");
        let text = format!("sockets that all workers would share: {named} (close them in before_fork)");
        found.push(Finding::warning("fork safety", text));
    }
}

/// Threads of Ruby itself, which it makes anew in each process.
fn is_rubys(name: &str) -> bool {
    name.contains("timer") || name.starts_with("ruby-")
}
