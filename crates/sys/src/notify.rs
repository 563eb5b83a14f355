//! Messages to a service manager. See sd_notify(3), systemd.service(5), unix(7).
//!
//! One datagram is one message: lines of `NAME=value`, and descriptors for the manager's store. There is no answer,
//! and nothing here waits: if the manager does not read, the message is lost.

use std::ffi::OsStr;
use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use rustix::net::{
    AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketAddrUnix, SocketFlags, SocketType,
};

use crate::{Error, Result};

/// The longest message that systemd reads, in bytes (`PIPE_BUF`); it drops longer ones.
const MESSAGE_BYTES: usize = 4096;
/// How many descriptors are sent in one message: the kernel's limit (`SCM_MAX_FD`).
const MAX_DESCRIPTORS: usize = 253;

/// The socket on which a service manager listens.
#[derive(Debug)]
pub struct Notifier {
    socket: OwnedFd,
    address: SocketAddrUnix,
}

impl Notifier {
    /// Opens the way to `$NOTIFY_SOCKET`: a path, or `@name` in the abstract name space.
    ///
    /// # Errors
    /// The name fits no UNIX socket's (`vsock:` is for virtual machines), or no descriptors are left.
    pub fn open(name: &OsStr) -> Result<Self> {
        let address = match name.as_bytes() {
            [b'@', rest @ ..] => SocketAddrUnix::new_abstract_name(rest),
            [b'/', ..] => SocketAddrUnix::new(name),
            _ => Err(rustix::io::Errno::AFNOSUPPORT),
        }
        .map_err(Error::path("connect", name))?;
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::DGRAM, flags, None)
            .map_err(Error::call("socket"))?;
        Ok(Self { socket, address })
    }

    /// Sends one message.
    ///
    /// # Errors
    /// The manager is gone or does not read, or the message is too long for it.
    pub fn send(&self, message: &str, descriptors: &[BorrowedFd<'_>]) -> Result<()> {
        if message.len() > MESSAGE_BYTES || descriptors.len() > MAX_DESCRIPTORS {
            return Err(Error::call("sendmsg")(rustix::io::Errno::MSGSIZE));
        }
        let rights = SendAncillaryMessage::ScmRights(descriptors);
        let mut space = vec![MaybeUninit::uninit(); if descriptors.is_empty() { 0 } else { rights.size() }];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !descriptors.is_empty() {
            control.push(rights);
        }
        let bytes = [IoSlice::new(message.as_bytes())];
        loop {
            let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
            match rustix::net::sendmsg_addr(&self.socket, &self.address, &bytes, &mut control, flags) {
                Err(rustix::io::Errno::INTR) => {}
                other => return other.map(drop).map_err(Error::call("sendmsg")),
            }
        }
    }
}

impl AsFd for Notifier {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixDatagram;

    #[test]
    fn a_message_arrives_whole_at_a_path_and_at_an_abstract_name() {
        let path = std::env::temp_dir().join(format!("licorne-notify-{}", std::process::id()));
        let manager = UnixDatagram::bind(&path).unwrap();
        let notifier = Notifier::open(path.as_os_str()).unwrap();
        let (reader, _writer) = crate::spawn::pipe().unwrap();
        notifier.send("READY=1\nSTATUS=fine", &[]).unwrap();
        notifier.send("FDSTORE=1", &[reader.as_fd()]).unwrap();
        let mut bytes = [0; 100];
        let mut next = |manager: &UnixDatagram| {
            let count = manager.recv(&mut bytes).unwrap();
            String::from_utf8_lossy(&bytes[..count]).into_owned()
        };
        assert_eq!(next(&manager), "READY=1\nSTATUS=fine");
        assert_eq!(next(&manager), "FDSTORE=1");
        std::fs::remove_file(&path).unwrap();

        use std::os::linux::net::SocketAddrExt;
        let name = format!("licorne-notify-{}", std::process::id());
        let address = std::os::unix::net::SocketAddr::from_abstract_name(&name).unwrap();
        let manager = UnixDatagram::bind_addr(&address).unwrap();
        Notifier::open(OsStr::new(&format!("@{name}"))).unwrap().send("STOPPING=1", &[]).unwrap();
        assert_eq!(next(&manager), "STOPPING=1");
    }

    #[test]
    fn a_message_that_cannot_be_sent_is_an_error_and_never_a_wait() {
        assert!(Notifier::open(OsStr::new("vsock:2:1234")).is_err());
        let gone = Notifier::open(OsStr::new("/nonexistent/notify")).unwrap();
        assert!(gone.send("READY=1", &[]).is_err());
        assert!(gone.send(&"x".repeat(5000), &[]).is_err());
    }
}
