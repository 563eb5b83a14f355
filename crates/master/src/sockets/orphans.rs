//! Workers that live longer than their master: they finish their requests, and until then its addresses are in use.

use sys::listener::Address;
use sys::table;

/// The name of the memory in which workers show each other what they do.
pub(crate) const BOARD: &str = "licorne-scoreboard";

/// Returns the workers that hold an address for a master that is dead; none when that may not be seen.
///
/// A worker is known by the board. Its master, the parent, holds the address as well as long as it lives, and runs
/// this very program. Neither is a proof: it is worth a wait that ends, and nothing else. What a process has in its memory
/// is not read: its user could make that take for ever.
pub(crate) fn holding(address: &Address) -> Vec<u32> {
    let place = match address {
        Address::Tcp(address) => format!("{:04X}", address.port()),
        Address::Unix(path) => path.display().to_string(),
    };
    let own = sys::process::own_pid();
    let (listening, master) = (table::network(own).listening, table::program(own));
    let holds = |pid| table::sockets(pid).values().any(|inode| listening.get(inode).is_some_and(|at| *at == place));
    let is_worker = |pid| table::has_memory(pid, BOARD) && table::program(pid) != master;
    let orphan = |process: &table::Process| is_worker(process.pid) && holds(process.pid) && !holds(process.parent);
    table::processes().filter(orphan).map(|process| process.pid).collect()
}
