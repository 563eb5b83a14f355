//! What the kernel says about processes and sockets: proc(5), read-only.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Duration;

/// A process as `/proc/PID/stat` shows it.
#[derive(Clone, Debug)]
pub struct Process {
    /// Its process id.
    pub pid: u32,
    /// Its parent's process id.
    pub parent: u32,
    /// `R`, `S`, `Z` … as ps(1) prints it.
    pub state: char,
    /// CPU time used by it, and by those of its children that it has waited for.
    pub cpu: Duration,
    /// The process title: the command line, as the process may have rewritten it.
    pub title: String,
}

/// One memory figure of a process, or a sum over several.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// Resident set size in KiB.
    pub rss_kib: u64,
    /// Proportional set size in KiB: shared pages are divided among those who share them.
    pub pss_kib: u64,
    /// In KiB, of no other process: what would be free without this one.
    pub private_kib: u64,
}

/// Reads one process; `None` when it is gone (or was never there).
#[must_use]
pub fn process(pid: u32) -> Option<Process> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The command in parentheses may hold spaces and parentheses itself: the last one ends it.
    let (_, rest) = stat.rsplit_once(") ")?;
    let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
    let ticks: u64 = fields.get(11..15)?.iter().map(|text| text.parse::<u64>().unwrap_or(0)).sum();
    Some(Process {
        pid,
        parent: fields.get(1)?.parse().ok()?,
        state: fields.first()?.chars().next()?,
        // USER_HZ is 100 on every Linux architecture that matters here (time(7)).
        cpu: Duration::from_millis(ticks * 10),
        title: title(pid),
    })
}

/// The process title: `/proc/PID/cmdline` with spaces for NULs. Empty for a zombie.
#[must_use]
pub fn title(pid: u32) -> String {
    let bytes = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let words = String::from_utf8_lossy(&bytes).replace('\0', " ");
    if words.starts_with("/usr/bin/qemu-") {
        return emulated_title(pid).unwrap_or(words);
    }
    words.trim_end().to_owned()
}

/// The title of a program that qemu runs. It writes it over its arguments as it does anywhere, but these are not where the
/// kernel knows them: they are at the top of a stack that qemu has made.
fn emulated_title(pid: u32) -> Option<String> {
    const STACK_BYTES: u64 = 8 << 20;
    const TOP_BYTES: usize = 64 << 10;
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).ok()?;
    let memory = fs::File::open(format!("/proc/{pid}/mem")).ok()?;
    let end_of_stack = |line: &str| {
        let (range, rest) = line.split_once(' ')?;
        let (start, end) = range.split_once('-')?;
        let (start, end) = (u64::from_str_radix(start, 16).ok()?, u64::from_str_radix(end, 16).ok()?);
        (rest.starts_with("rw-p 00000000 00:00 0") && end - start == STACK_BYTES).then_some(end)
    };
    let mut top = vec![0; TOP_BYTES];
    maps.lines().filter_map(end_of_stack).find_map(|end| {
        memory.read_exact_at(&mut top, end - TOP_BYTES as u64).ok()?;
        let title = top.split(|byte| *byte == 0).find(|text| text.starts_with(b"licorne "))?;
        Some(String::from_utf8_lossy(title).trim_end().to_owned())
    })
}

/// Every process that is visible.
#[must_use]
pub fn processes() -> Vec<Process> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).filter_map(process).collect()
}

/// The children of a process, zombies included.
#[must_use]
pub fn children(pid: u32) -> Vec<Process> {
    processes().into_iter().filter(|process| process.parent == pid).collect()
}

/// The children of a process, theirs, and so on; not the process itself.
#[must_use]
pub fn descendants(pid: u32) -> Vec<Process> {
    let all = processes();
    let mut family = BTreeSet::from([pid]);
    loop {
        let before = family.len();
        family.extend(
            all.iter()
                .filter(|process| family.contains(&process.parent))
                .map(|process| process.pid)
                .collect::<Vec<_>>(),
        );
        if family.len() == before {
            break;
        }
    }
    family.remove(&pid);
    all.into_iter().filter(|process| family.contains(&process.pid)).collect()
}

/// The open descriptors of a process, with what each refers to.
#[must_use]
pub fn descriptors(pid: u32) -> BTreeMap<u32, String> {
    let Ok(entries) = fs::read_dir(format!("/proc/{pid}/fd")) else { return BTreeMap::new() };
    let describe = |entry: fs::DirEntry| {
        let number = entry.file_name().to_str()?.parse().ok()?;
        Some((number, fs::read_link(entry.path()).ok()?.to_string_lossy().into_owned()))
    };
    entries.flatten().filter_map(describe).collect()
}

/// The memory of a process (`/proc/PID/smaps_rollup`); zero when it is gone.
#[must_use]
pub fn memory(pid: u32) -> Memory {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    let of = |name: &str| {
        let line = text.lines().find(|line| line.starts_with(name));
        line.and_then(|line| line.split_ascii_whitespace().nth(1)?.parse().ok()).unwrap_or(0)
    };
    Memory { rss_kib: of("Rss:"), pss_kib: of("Pss:"), private_kib: of("Private_Clean:") + of("Private_Dirty:") }
}

/// One line of `/proc/PID/status`, without its name, for example `SigIgn`.
#[must_use]
pub fn status(pid: u32, name: &str) -> Option<String> {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    Some(line.trim().to_owned())
}

/// Whether some process listens on this TCP address.
#[must_use]
pub fn listens(address: SocketAddr) -> bool {
    let table = if address.is_ipv4() { "/proc/net/tcp" } else { "/proc/net/tcp6" };
    let port = format!(":{:04X}", address.port());
    let text = fs::read_to_string(table).unwrap_or_default();
    text.lines().skip(1).any(|line| {
        let mut fields = line.split_ascii_whitespace().skip(1);
        let (local, state) = (fields.next().unwrap_or(""), fields.nth(1).unwrap_or(""));
        local.ends_with(&port) && state == "0A"
    })
}

/// The port of the IPv4 address on which a process listens, if there is just one such.
#[must_use]
pub fn port(pid: u32) -> Option<u16> {
    let own = descriptors(pid);
    let is_own = |inode: &str| own.values().any(|target| *target == format!("socket:[{inode}]"));
    let table = fs::read_to_string(format!("/proc/{pid}/net/tcp")).unwrap_or_default();
    let mut ports = table.lines().skip(1).filter_map(|line| {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        let [_, local, _, "0A", _, _, _, _, _, inode, ..] = fields.as_slice() else { return None };
        is_own(inode).then(|| u16::from_str_radix(local.rsplit_once(':')?.1, 16).ok())?
    });
    ports.next().filter(|_| ports.next().is_none())
}

/// Whether some process listens on this UNIX socket path (the file alone proves nothing).
#[must_use]
pub fn listens_on_path(path: &Path) -> bool {
    // The flag 00010000 is __SO_ACCEPTCON: the socket is a listener.
    let text = fs::read_to_string("/proc/net/unix").unwrap_or_default();
    let path = path.to_string_lossy();
    text.lines().any(|line| line.ends_with(path.as_ref()) && line.split_ascii_whitespace().nth(3) == Some("00010000"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_sees_itself_its_descriptors_and_its_memory() {
        let pid = std::process::id();
        let this = process(pid).expect("this process is there");
        assert!(matches!(this.state, 'R' | 'S'));
        assert!(!this.title.is_empty());
        assert!(descriptors(pid).contains_key(&0));
        assert!(memory(pid).rss_kib > 0);
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("bound");
        assert_eq!(port(pid), Some(listener.local_addr().expect("bound").port()));
    }

    #[test]
    fn a_listener_shows_in_the_table_until_it_is_closed() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("bound");
        let address = listener.local_addr().expect("bound");
        assert!(listens(address));
        drop(listener);
        assert!(!listens(address));
    }
}
