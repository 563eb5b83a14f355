//! The process at the other end of a UNIX socket, as the kernel tells it. See unix(7), `SO_PEERCRED`.

use std::os::fd::{AsFd, AsRawFd};

use nix::libc;

use crate::{Error, Result};

/// How much of a command line is kept, in bytes.
const COMMAND_BYTES: usize = 200;

/// The process that connected, or that called listen(2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its process id; 0 when it lives in a pid namespace that cannot be seen from here.
    pub pid: u32,
    /// Its effective user.
    pub uid: u32,
}

impl Peer {
    /// Asks the kernel.
    ///
    /// # Errors
    /// Those of getsockopt(2).
    pub fn of(connection: &impl AsFd) -> Result<Self> {
        let mut found = libc::ucred { pid: 0, uid: 0, gid: 0 };
        let mut length = libc::socklen_t::try_from(size_of::<libc::ucred>()).unwrap_or(0);
        // SAFETY: getsockopt writes at most `length` bytes to `found`, which is that long and of plain numbers.
        // JUSTIFICATION: rustix declares the process id as never 0, and it is 0 for a peer of another pid namespace.
        let status = unsafe {
            libc::getsockopt(
                connection.as_fd().as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_PEERCRED,
                (&raw mut found).cast(),
                &raw mut length,
            )
        };
        match status {
            0 => Ok(Self { pid: u32::try_from(found.pid).unwrap_or(0), uid: found.uid }),
            _ => Err(Error::call("getsockopt(SO_PEERCRED)")(std::io::Error::last_os_error())),
        }
    }

    /// Whether it is root's, or of this process's own user.
    pub fn is_trusted(self) -> bool {
        self.uid == 0 || self.uid == crate::process::own_uid()
    }

    /// Its user, process id and command line, for a log: what a process says of itself proves nothing.
    pub fn describe(self) -> String {
        let uid = self.uid;
        if self.pid == 0 {
            return format!("uid={uid} (of another pid namespace)");
        }
        let name = local_user_name(uid).map(|name| format!(" user={name}")).unwrap_or_default();
        let command = command_line(self.pid).map(|line| format!(" command={line:?}")).unwrap_or_default();
        format!("uid={uid}{name} pid={}{command}", self.pid)
    }
}

/// The beginning of a process's command line. See proc_pid_cmdline(5).
fn command_line(pid: u32) -> Option<String> {
    use std::io::Read;
    let mut bytes = Vec::new();
    let file = std::fs::File::open(format!("/proc/{pid}/cmdline")).ok()?;
    file.take(COMMAND_BYTES as u64).read_to_end(&mut bytes).ok()?;
    let words = String::from_utf8_lossy(&bytes).trim_end_matches('\0').replace('\0', " ");
    Some(words).filter(|words| !words.is_empty())
}

/// The name of a user of this machine's own list: unlike getpwuid(3) it never asks a server and waits for it.
fn local_user_name(uid: u32) -> Option<String> {
    let list = std::fs::read_to_string("/etc/passwd").ok()?;
    list.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then(|| crate::text::printable(name).into_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_peer_is_told_with_its_command_line() {
        let (one, _other) = std::os::unix::net::UnixStream::pair().unwrap();
        let peer = Peer::of(&one).unwrap();
        assert_eq!(peer, Peer { pid: std::process::id(), uid: crate::process::own_uid() });
        assert!(peer.is_trusted());
        let text = peer.describe();
        assert!(text.contains(&format!("pid={} command=", peer.pid)), "{text}");
        assert!(Peer { pid: 0, uid: 7 }.describe().starts_with("uid=7 ("));
    }
}
