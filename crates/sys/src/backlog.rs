//! How many connections wait in a listening socket until a process accepts them, and how many may.
//!
//! See tcp(7), `TCP_INFO` (of a listening socket `tcpi_unacked` is the length of its queue, and `tcpi_sacked` its limit),
//! and sock_diag(7), `UDIAG_SHOW_RQLEN`. Nothing here waits: the kernel answers while it is asked.

use std::os::fd::{AsFd, BorrowedFd};

use nix::libc;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink, sockopt};

use crate::tcp;

/// The queue of a listening socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backlog {
    /// How many connections wait.
    pub waiting: u32,
    /// How many may.
    pub limit: u32,
}

/// `SOCK_DIAG_BY_FAMILY`: the type of a question about sockets.
const BY_FAMILY: u16 = 20;
/// `NLM_F_REQUEST`
const REQUEST: u16 = 1;
/// `UDIAG_SHOW_RQLEN`: what is asked for.
const SHOW_QUEUE: u32 = 0x10;
/// `UNIX_DIAG_RQLEN`: the attribute that answers it.
const QUEUE: u16 = 4;
/// Bytes of a `nlmsghdr`.
const HEADER_BYTES: usize = 16;
/// Bytes of a `unix_diag_msg`.
const ABOUT_BYTES: usize = 16;

/// What waits in this listening socket. `None` when the kernel does not tell.
pub fn of(socket: BorrowedFd<'_>) -> Option<Backlog> {
    match sockopt::socket_domain(socket).ok()? {
        AddressFamily::UNIX => of_unix(socket),
        AddressFamily::INET | AddressFamily::INET6 => of_tcp(socket),
        _ => None,
    }
}

fn of_tcp(socket: BorrowedFd<'_>) -> Option<Backlog> {
    let info = tcp::info(socket)?;
    Some(Backlog { waiting: info.tcpi_unacked, limit: info.tcpi_sacked })
}

fn of_unix(socket: BorrowedFd<'_>) -> Option<Backlog> {
    let inode = u32::try_from(rustix::fs::fstat(socket).ok()?.st_ino).ok()?;
    let kernel = rustix::net::socket_with(
        AddressFamily::NETLINK,
        SocketType::RAW,
        SocketFlags::CLOEXEC,
        Some(netlink::SOCK_DIAG),
    );
    let kernel = kernel.ok()?;
    rustix::net::send(kernel.as_fd(), &question(inode), SendFlags::empty()).ok()?;
    let mut answer = [0; 512];
    let (_, length) = rustix::net::recv(kernel.as_fd(), &mut answer[..], RecvFlags::DONTWAIT).ok()?;
    queue(answer.get(..length)?, inode)
}

/// A `nlmsghdr` and a `unix_diag_req`: one socket of any state, and the length of its queue.
fn question(inode: u32) -> Vec<u8> {
    let about: [&[u8]; 6] = [
        &[libc::AF_UNIX as u8, 0, 0, 0],
        &u32::MAX.to_ne_bytes(),
        &inode.to_ne_bytes(),
        &SHOW_QUEUE.to_ne_bytes(),
        &u32::MAX.to_ne_bytes(),
        &u32::MAX.to_ne_bytes(),
    ];
    let about = about.concat();
    let length = (HEADER_BYTES + about.len()) as u32;
    let header: [&[u8]; 5] = [
        &length.to_ne_bytes(),
        &BY_FAMILY.to_ne_bytes(),
        &REQUEST.to_ne_bytes(),
        &1_u32.to_ne_bytes(),
        &0_u32.to_ne_bytes(),
    ];
    [header.concat(), about].concat()
}

/// The queue that an answer tells of: a `nlmsghdr`, a `unix_diag_msg`, and attributes.
fn queue(answer: &[u8], inode: u32) -> Option<Backlog> {
    let number = |at: usize| Some(u32::from_ne_bytes(answer.get(at..at + 4)?.try_into().ok()?));
    let short = |at: usize| Some(u16::from_ne_bytes(answer.get(at..at + 2)?.try_into().ok()?));
    if short(4)? != BY_FAMILY || number(HEADER_BYTES + 4)? != inode {
        return None;
    }
    let mut at = HEADER_BYTES + ABOUT_BYTES;
    loop {
        let (length, kind) = (usize::from(short(at)?), short(at + 2)?);
        if kind == QUEUE {
            return Some(Backlog { waiting: number(at + 4)?, limit: number(at + 8)? });
        }
        at += length.max(4).next_multiple_of(4);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream};
    use std::os::unix::net::{UnixListener, UnixStream};

    #[test]
    fn connections_that_wait_in_a_listener_are_counted() {
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        let path = std::env::temp_dir().join(format!("licorne-backlog-{}", std::process::id()));
        let unix = UnixListener::bind(&path).unwrap();
        assert!([tcp.as_fd(), unix.as_fd()].into_iter().all(|socket| of(socket).unwrap().waiting == 0));
        let _tcp: Vec<_> = (0..3).map(|_| TcpStream::connect(tcp.local_addr().unwrap()).unwrap()).collect();
        let _unix: Vec<_> = (0..2).map(|_| UnixStream::connect(&path).unwrap()).collect();
        std::fs::remove_file(&path).unwrap();
        let (tcp, unix) = (of(tcp.as_fd()).unwrap(), of(unix.as_fd()).unwrap());
        assert_eq!((tcp.waiting, unix.waiting), (3, 2));
        assert!(tcp.limit >= 16 && unix.limit >= 16, "{tcp:?} {unix:?}");
    }

    #[test]
    fn a_file_has_no_backlog() {
        assert_eq!(of(std::fs::File::open("/dev/null").unwrap().as_fd()), None);
        assert_eq!(queue(&[0; 40], 0), None);
        assert_eq!(queue(&[], 7), None);
    }
}
