//! File systems on the network, whose server may be gone: then write(2), open(2) and even stat(2) wait without end, and
//! nothing can stop them. So a separate process, which makes only system calls, does what may have to wait.
//! See nfs(5), `hard`.

use std::ffi::CString;
use std::fs::read_to_string;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use nix::libc;
use rustix::fs::{AtFlags, CWD, StatxFlags, statx};
use rustix::io::Errno;
use rustix::pipe::PipeFlags;

use crate::pidfd::Pidfd;

/// The types of file systems whose data is on another machine, or comes from another process. See proc_pid_mountinfo(5).
const REMOTE: [&str; 14] = [
    "9p", "afs", "beegfs", "ceph", "cifs", "coda", "fuse", "gfs2", "lustre", "nfs", "nfs4", "ocfs2", "smb3", "virtiofs",
];

/// A file as the kernel knows it already, without asking a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    device: (u32, u32),
    inode: u64,
}

/// What an open file is: its mode, and which it is.
///
/// # Errors
/// A kernel, or a filter, that knows no statx(2).
pub(crate) fn identify(fd: BorrowedFd<'_>) -> Result<(u32, Identity), Errno> {
    let flags = AtFlags::EMPTY_PATH | AtFlags::STATX_DONT_SYNC;
    let meta = statx(fd, c"", flags, StatxFlags::TYPE | StatxFlags::INO)?;
    Ok((meta.stx_mode.into(), Identity { device: (meta.stx_dev_major, meta.stx_dev_minor), inode: meta.stx_ino }))
}

/// Whether the file is on a file system on the network.
pub(crate) fn is_remote(identity: Identity) -> bool {
    let (major, minor) = identity.device;
    remote_mounts().iter().any(|device| *device == format!("{major}:{minor}"))
}

/// The devices of the mounted file systems on the network.
fn remote_mounts() -> Vec<String> {
    let table = read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let device = |line: &str| {
        let (head, tail) = line.split_once(" - ")?;
        let kind = tail.split(' ').next()?;
        let is_remote = REMOTE.contains(&kind) || kind.starts_with("fuse.");
        head.split(' ').nth(2).filter(|_| is_remote).map(str::to_owned)
    };
    table.lines().filter_map(device).collect()
}

/// Asks whether the file systems of these paths answer: the process that is returned ends when they have done so.
/// `None` where none is on the network, or no process can be made: then there is nothing to wait for.
pub fn ask(paths: &[&Path]) -> Option<Pidfd> {
    if paths.is_empty() || remote_mounts().is_empty() {
        return None;
    }
    // A file that is not there is looked for in its directory.
    let both = paths.iter().flat_map(|path| [Some(*path), path.parent()]).flatten();
    let names: Vec<CString> = both.filter_map(|path| CString::new(path.as_os_str().as_bytes()).ok()).collect();
    apart(&[], || {
        for name in &names {
            let _ = statx(CWD, name.as_c_str(), AtFlags::STATX_FORCE_SYNC, StatxFlags::BASIC_STATS);
        }
    })
}

/// A process that writes what comes through a pipe to a file.
#[derive(Debug)]
pub(crate) struct Writer {
    pipe: OwnedFd,
    process: Pidfd,
    file: Identity,
}

impl Writer {
    /// Starts one for the open file `to`.
    pub(crate) fn start(to: BorrowedFd<'_>, file: Identity) -> Option<Self> {
        let (reader, pipe) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC).ok()?;
        // Only this end: the other is the process's own open file.
        rustix::io::ioctl_fionbio(&pipe, true).ok()?;
        let process = apart(&[reader.as_fd(), to], || {
            let mut piece = [0; 4096];
            loop {
                match rustix::io::read(&reader, &mut piece) {
                    Err(Errno::INTR) => {}
                    Ok(0) | Err(_) => return,
                    Ok(count) => write_all(to, &piece[..count]),
                }
            }
        })?;
        Some(Self { pipe, process, file })
    }

    /// Whether it writes to this file, and lives.
    pub(crate) fn is_for(&self, file: Identity) -> bool {
        self.file == file && !self.process.has_exited()
    }

    /// Where to write to, without waiting.
    pub(crate) fn pipe(&self) -> BorrowedFd<'_> {
        self.pipe.as_fd()
    }

    /// Ends it when it has written everything, and waits for that, though not longer than this.
    pub(crate) fn finish(self, patience_ns: u64) {
        drop(self.pipe);
        let _ = crate::poll::wait(&[self.process.as_fd()], &[], Some(patience_ns));
    }
}

/// What cannot be written (a full disk) is lost, as it would be without this process.
fn write_all(to: BorrowedFd<'_>, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        match rustix::io::write(to, bytes) {
            Err(Errno::INTR) => {}
            Ok(0) | Err(_) => return,
            Ok(count) => bytes = &bytes[count..],
        }
    }
}

/// Runs `work`, which must make but system calls, in a process apart, which holds none but these descriptors and hears no
/// signal of this one's group. The caller reaps it.
fn apart(held: &[BorrowedFd<'_>], work: impl FnOnce()) -> Option<Pidfd> {
    // SAFETY: the child makes but system calls, none of which allocates or takes a lock.
    match unsafe { libc::fork() } {
        0 => {
            let _ = rustix::process::setsid();
            crate::title::show("licorne helper");
            let mut first = 0;
            let mut numbers = [u32::MAX; 3];
            for (number, fd) in numbers.iter_mut().zip(held) {
                *number = fd.as_raw_fd() as u32;
            }
            numbers.sort_unstable();
            for number in numbers {
                if first < number {
                    // SAFETY: the descriptors are this process's own, which uses none of them any more.
                    unsafe { libc::syscall(libc::SYS_close_range, first, number - 1, 0) };
                }
                first = number.saturating_add(1);
            }
            work();
            // SAFETY: _exit(2) runs no destructors, which belong to the original process.
            unsafe { libc::_exit(0) };
        }
        pid @ 1.. => Pidfd::open(pid as u32),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;

    #[test]
    fn a_writer_writes_everything_and_ends_with_its_pipe() {
        let path = std::env::temp_dir().join(format!("licorne-remote-{}", std::process::id()));
        let file = File::create(&path).unwrap();
        let (_, identity) = identify(file.as_fd()).unwrap();
        let writer = Writer::start(file.as_fd(), identity).unwrap();
        assert!(writer.is_for(identity));
        for _ in 0..10 {
            assert_eq!(rustix::io::write(writer.pipe(), &[b'x'; 5_000]), Ok(5_000));
        }
        writer.finish(60_000_000_000);
        assert_eq!(std::fs::read(&path).unwrap(), [b'x'; 50_000]);
        std::fs::remove_file(&path).unwrap();
    }

    #[test]
    fn a_process_apart_holds_what_it_is_given_and_nothing_else() {
        let (reader, writer) = crate::spawn::pipe().unwrap();
        let other = File::open("/dev/null").unwrap();
        let process = apart(&[writer.as_fd()], || {
            let held = [writer.as_raw_fd(), other.as_raw_fd(), reader.as_raw_fd(), 0, 1, 2].map(|number| {
                // SAFETY: it takes integers, and touches no memory.
                u8::from(unsafe { libc::fcntl(number, libc::F_GETFD) } >= 0)
            });
            let _ = rustix::io::write(&writer, &held);
        });
        drop(writer);
        let mut held = [9; 6];
        assert_eq!(rustix::io::read(&reader, &mut held), Ok(6));
        assert_eq!(held, [1, 0, 0, 0, 0, 0]);
        assert!(crate::poll::wait(&[process.unwrap().as_fd()], &[], None).unwrap()[0]);
    }
}
