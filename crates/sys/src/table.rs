//! The process table, as far as it can be read from outside: kinship, sockets, and what a process waits for. See proc(5).
//!
//! All of it is a snapshot that is stale when it is read; before acting on a process, hold a [`crate::pidfd`] of it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use nix::libc;

/// One process, as `/proc/PID/stat` shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Process {
    /// Its process id.
    pub pid: u32,
    /// Its parent's process id.
    pub parent: u32,
    /// When it was started, in clock ticks after boot: with the process id, a name that is never used twice.
    pub started: u64,
    /// Where its stack begins: a fork keeps this, a program that is executed gets another.
    pub image: u64,
}

/// The names of its threads but for the main one. Ruby names a thread by itself after the place where it is made.
pub fn threads(pid: u32) -> Vec<String> {
    let name = |task: fs::DirEntry| {
        let is_main = task.file_name().to_str() == Some(pid.to_string().as_str());
        let name = (!is_main).then(|| fs::read_to_string(task.path().join("comm")).ok()).flatten()?;
        Some(name.trim_end().to_string())
    };
    fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten().filter_map(name).collect()
}

/// Reads one process; `None` when it is gone or a zombie.
pub fn process(pid: u32) -> Option<Process> {
    parse_stat(pid, &fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

fn parse_stat(pid: u32, stat: &str) -> Option<Process> {
    // The command in parentheses may hold blanks and parentheses itself: the last one ends it.
    let (_, rest) = stat.rsplit_once(") ")?;
    let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
    if matches!(*fields.first()?, "Z" | "X") {
        return None;
    }
    Some(Process {
        pid,
        parent: fields.get(1)?.parse().ok()?,
        started: fields.get(19)?.parse().ok()?,
        image: fields.get(25)?.parse().ok()?,
    })
}

/// The living children of a process.
pub fn children(pid: u32) -> Vec<Process> {
    let Some(listed) = listed_children(pid) else {
        return numbers("/proc").filter_map(process).filter(|process| process.parent == pid).collect();
    };
    // A child may have been adopted between the two readings.
    listed.into_iter().filter_map(process).filter(|process| process.parent == pid).collect()
}

/// What `/proc/PID/task/*/children` lists; `None` on a kernel without it.
fn listed_children(pid: u32) -> Option<Vec<u32>> {
    let mut all = Vec::new();
    for task in numbers(&format!("/proc/{pid}/task")) {
        match fs::read_to_string(format!("/proc/{pid}/task/{task}/children")) {
            Ok(text) => all.extend(text.split_ascii_whitespace().filter_map(|word| word.parse::<u32>().ok())),
            Err(_) if task == pid && process(pid).is_some() => return None,
            Err(_) => {}
        }
    }
    Some(all)
}

/// The living children of a process, theirs, and so on.
pub fn descendants(pid: u32) -> Vec<Process> {
    let mut all = children(pid);
    let mut next = 0;
    while let Some(process) = all.get(next) {
        all.extend(children(process.pid));
        next += 1;
    }
    all
}

/// The file name of the program that a process runs.
pub fn program(pid: u32) -> Option<String> {
    let path = fs::read_link(format!("/proc/{pid}/exe")).ok()?;
    Some(path.file_name()?.to_string_lossy().trim_end_matches(" (deleted)").to_string())
}

/// Every process of this pid namespace.
pub fn processes() -> impl Iterator<Item = Process> {
    numbers("/proc").filter_map(process)
}

/// Whether a process has shared memory of this name open. See memfd_create(2).
pub fn has_memory(pid: u32, name: &str) -> bool {
    let wanted = format!("/memfd:{name} (deleted)");
    let target = |number: u32| fs::read_link(format!("/proc/{pid}/fd/{number}")).ok();
    numbers(&format!("/proc/{pid}/fd")).filter_map(target).any(|target| target.as_os_str() == wanted.as_str())
}

/// The sockets that a process has open: descriptor and inode.
pub fn sockets(pid: u32) -> BTreeMap<u32, u64> {
    let inode = |number: u32| {
        let target = fs::read_link(format!("/proc/{pid}/fd/{number}")).ok()?;
        let inode = target.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()?;
        Some((number, inode))
    };
    numbers(&format!("/proc/{pid}/fd")).filter_map(inode).collect()
}

/// The stream sockets of a network namespace, by inode; the value says where: a TCP port or a path.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Network {
    /// Listeners.
    pub listening: BTreeMap<u64, String>,
    /// Connections, by their local end.
    pub connected: BTreeMap<u64, String>,
}

/// Reads the sockets of the network namespace that a process is in.
pub fn network(pid: u32) -> Network {
    let mut network = Network::default();
    for table in ["tcp", "tcp6"] {
        network.add_tcp(&fs::read_to_string(format!("/proc/{pid}/net/{table}")).unwrap_or_default());
    }
    network.add_unix(&fs::read_to_string(format!("/proc/{pid}/net/unix")).unwrap_or_default());
    network
}

impl Network {
    fn add_tcp(&mut self, text: &str) {
        for line in text.lines().skip(1) {
            let fields: Vec<&str> = line.split_ascii_whitespace().collect();
            let (Some(local), Some(state), Some(inode)) = (fields.get(1), fields.get(3), fields.get(9)) else {
                continue;
            };
            let Ok(inode) = inode.parse() else { continue };
            let port = local.rsplit(':').next().unwrap_or_default().to_string();
            // TCP_LISTEN and TCP_ESTABLISHED; see include/net/tcp_states.h.
            match *state {
                "0A" => self.listening.insert(inode, port),
                "01" => self.connected.insert(inode, port),
                _ => None,
            };
        }
    }

    fn add_unix(&mut self, text: &str) {
        for line in text.lines().skip(1) {
            let fields: Vec<&str> = line.split_ascii_whitespace().collect();
            let (Some(flags), Some(state), Some(inode)) = (fields.get(3), fields.get(5), fields.get(6)) else {
                continue;
            };
            let Ok(inode) = inode.parse() else { continue };
            let path = fields.get(7..).unwrap_or_default().join(" ");
            // __SO_ACCEPTCON, and SS_CONNECTED of include/uapi/linux/net.h.
            if *flags == "00010000" {
                self.listening.insert(inode, path);
            } else if *state == "03" && !path.is_empty() {
                self.connected.insert(inode, path);
            }
        }
    }
}

/// Whether some thread of the process waits, in accept(2), select(2), poll(2) or epoll_wait(2), for one of these
/// sockets. `None` when that may not be seen (another user's process, or a kernel that hides it).
pub fn waits_for(pid: u32, wanted: &BTreeSet<u64>) -> Option<bool> {
    let held = sockets(pid);
    let fds: BTreeSet<u32> = held.iter().filter(|(_, inode)| wanted.contains(inode)).map(|(fd, _)| *fd).collect();
    let mut seen = false;
    for task in numbers(&format!("/proc/{pid}/task")) {
        let Ok(text) = fs::read_to_string(format!("/proc/{pid}/task/{task}/syscall")) else { continue };
        seen = true;
        if waited_for(pid, &text).iter().any(|fd| fds.contains(fd)) {
            return Some(true);
        }
    }
    seen.then_some(false)
}

/// The descriptors that a thread waits for, given the line of its `syscall` file.
fn waited_for(pid: u32, line: &str) -> Vec<u32> {
    let mut words = line.split_ascii_whitespace();
    // `running`, or -1 outside any call.
    let Some(number) = words.next().and_then(|word| word.parse::<libc::c_long>().ok()) else { return Vec::new() };
    let arguments: Vec<u64> = words.filter_map(|word| u64::from_str_radix(word.strip_prefix("0x")?, 16).ok()).collect();
    let (Some(&first), Some(&second)) = (arguments.first(), arguments.get(1)) else { return Vec::new() };
    let small = u32::try_from(first).unwrap_or(u32::MAX);
    match number {
        libc::SYS_accept | libc::SYS_accept4 => vec![small],
        libc::SYS_epoll_pwait | libc::SYS_epoll_pwait2 => in_epoll(pid, small),
        libc::SYS_ppoll => in_poll(pid, first, second),
        libc::SYS_pselect6 => in_select(pid, second, small),
        #[cfg(target_arch = "x86_64")]
        libc::SYS_epoll_wait => in_epoll(pid, small),
        #[cfg(target_arch = "x86_64")]
        libc::SYS_poll => in_poll(pid, first, second),
        #[cfg(target_arch = "x86_64")]
        libc::SYS_select => in_select(pid, second, small),
        _ => Vec::new(),
    }
}

fn in_epoll(pid: u32, epoll: u32) -> Vec<u32> {
    let text = fs::read_to_string(format!("/proc/{pid}/fdinfo/{epoll}")).unwrap_or_default();
    let watched = text.lines().filter_map(|line| line.strip_prefix("tfd:"));
    watched.filter_map(|rest| rest.split_ascii_whitespace().next()?.parse().ok()).collect()
}

/// A process that polls more descriptors than this is no worker of a web server.
const MOST_DESCRIPTORS: usize = 4096;

fn in_poll(pid: u32, at: u64, count: u64) -> Vec<u32> {
    let count = usize::try_from(count).unwrap_or(0).min(MOST_DESCRIPTORS);
    // struct pollfd: the descriptor, then two shorts.
    let entry = |bytes: &[u8]| Some(u32::from_ne_bytes(bytes.get(..4)?.try_into().ok()?));
    memory(pid, at, count * 8).chunks(8).filter_map(entry).collect()
}

fn in_select(pid: u32, at: u64, count: u32) -> Vec<u32> {
    let count = count.min(1024);
    let bits = memory(pid, at, count.div_ceil(64) as usize * 8);
    let set = |fd: &u32| bits.get(*fd as usize / 8).is_some_and(|byte| byte & (1 << (fd % 8)) != 0);
    (0..count).filter(set).collect()
}

/// Memory of another process; empty when it cannot be read.
fn memory(pid: u32, at: u64, bytes: usize) -> Vec<u8> {
    let mut buffer = vec![0; bytes];
    let file = fs::File::open(PathBuf::from(format!("/proc/{pid}/mem")));
    match file.and_then(|file| file.read_exact_at(&mut buffer, at)) {
        Ok(()) => buffer,
        Err(_) => Vec::new(),
    }
}

/// The entries of a directory that are numbers.
fn numbers(directory: &str) -> impl Iterator<Item = u32> + use<> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsRawFd;
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn a_command_with_parentheses_is_read_and_a_zombie_is_nobody() {
        let rest = "7 7 7 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 5000 6 7 8 9 10 11000 12";
        let want = Process { pid: 5, parent: 7, started: 5000, image: 11000 };
        assert_eq!(parse_stat(5, &format!("5 (a) b) S {rest}")), Some(want));
        assert_eq!(parse_stat(5, &format!("5 (a) Z {rest}")), None);
    }

    #[test]
    fn a_child_is_seen_with_its_own_image() {
        let mut cat = std::process::Command::new("cat");
        let mut child = cat.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped()).spawn().unwrap();
        // The kernel lets the parent go on before the new program is all there: what that one says comes later.
        child.stdin.as_mut().unwrap().write_all(b"x").unwrap();
        child.stdout.as_mut().unwrap().read_exact(&mut [0]).unwrap();
        let own = process(std::process::id()).unwrap();
        let seen = children(own.pid).into_iter().find(|process| process.pid == child.id()).unwrap();
        assert_ne!(seen.image, own.image);
        assert!(descendants(own.pid).contains(&seen));
        assert_eq!(program(child.id()).as_deref(), Some("cat"));
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(process(child.id()), None);
    }

    #[test]
    fn listeners_and_accepted_connections_are_told_apart() {
        let directory = std::env::temp_dir().join(format!("licorne-table-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let inode = |fd: &dyn AsRawFd| fs::metadata(format!("/proc/self/fd/{}", fd.as_raw_fd())).unwrap().ino();
        let path = directory.join("a b.sock");
        let unix = std::os::unix::net::UnixListener::bind(&path).unwrap();
        let _asks = std::os::unix::net::UnixStream::connect(&path).unwrap();
        let (accepted, _) = unix.accept().unwrap();
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(tcp.local_addr().unwrap()).unwrap();
        let (served, _) = tcp.accept().unwrap();
        let network = network(std::process::id());
        let path = path.display().to_string();
        assert_eq!(network.listening.get(&inode(&unix)), Some(&path));
        assert_eq!(network.connected.get(&inode(&accepted)), Some(&path));
        let port = network.listening.get(&inode(&tcp));
        assert!(port.is_some());
        assert_eq!(network.connected.get(&inode(&served)), port);
        assert_ne!(network.connected.get(&inode(&client)), port);
        std::fs::remove_dir_all(&directory).unwrap();
    }

    #[test]
    fn a_process_shows_its_shared_memory_by_name() {
        let own = std::process::id();
        assert!(processes().any(|process| process.pid == own));
        let name = format!("licorne-table-{own}");
        assert!(!has_memory(own, &name));
        let _memory = crate::memory::Shared::create(&name, 4096).unwrap();
        assert!(has_memory(own, &name));
        assert!(!has_memory(own, &name[1..]));
    }

    #[test]
    fn a_wait_for_a_listener_is_seen_in_every_kind_of_call() {
        let calls = [
            "l.accept",
            "select.select([l], [], [])",
            "p = select.poll(); p.register(l, select.POLLIN); p.poll()",
            "e = select.epoll(); e.register(l, select.EPOLLIN); e.poll()",
        ];
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let wanted = fs::metadata(format!("/proc/self/fd/{}", listener.as_raw_fd())).unwrap().ino();
        for call in calls {
            let call = call.replace("l.accept", "l.accept()");
            let script = format!("import select, socket; l = socket.socket(fileno=3); {call}");
            let mut program = crate::spawn::Program::new("python3");
            program.arguments = vec!["-c".into(), script.into()];
            program.inherit = vec![(std::os::fd::AsFd::as_fd(&listener), 3)];
            let pid = program.spawn().unwrap();
            let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
            while waits_for(pid, &BTreeSet::from([wanted])) != Some(true) {
                assert!(std::time::Instant::now() < deadline, "never seen waiting: {call}");
                std::thread::yield_now();
            }
            assert_eq!(waits_for(pid, &BTreeSet::from([wanted + 1])), Some(false), "{call}");
            crate::process::kill(pid, crate::signals::Signal::Kill).unwrap();
            let raw = rustix::process::Pid::from_raw(pid as i32);
            rustix::process::waitpid(raw, rustix::process::WaitOptions::empty()).unwrap();
        }
    }
}
