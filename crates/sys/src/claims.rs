//! The end of a channel whose other end is not trusted: what comes from there is a claim.
//!
//! Each message comes with its sender, named by the kernel (unix(7), `SO_PASSCRED`): only root could forge it.
//! Descriptors are not received: closing a socket that another process has made may take as long as that one wants
//! (socket(7), `SO_LINGER`), and so may closing a file (FUSE, NFS). The message is first looked at where it lies (recv(2),
//! `MSG_PEEK`); if the kernel says that descriptors are attached, it stays there, and another process closes the channel, and
//! them with it: see [`crate::process::close_apart`].

use std::io::{self, Read, Write};
use std::mem::size_of;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use nix::libc;
use rustix::io::Errno;
use rustix::net::Shutdown;

use crate::channel::Channel;
use crate::{Error, Result};

/// One end of a channel to a process that is not trusted.
#[derive(Debug)]
pub struct Claims(Option<Channel>);

/// What came out of a channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claim {
    /// A message, and the process that sent it; 0 is one that cannot be seen from here (pid_namespaces(7)).
    Message(Vec<u8>, u32),
    /// Nothing is waiting.
    Empty,
    /// The peer is gone, or has closed its end.
    End,
    /// Descriptors are attached to the next message. Nothing behind it can be read.
    Descriptors,
    /// The next message has this many bytes, more than were asked for. Nothing behind it can be read.
    TooLong(usize),
}

impl Claims {
    /// Takes this end of a channel. What was sent before has no sender.
    ///
    /// # Errors
    /// It is no socket.
    pub fn of(channel: Channel) -> Result<Self> {
        rustix::net::sockopt::set_socket_passcred(&channel, true).map_err(Error::call("setsockopt(SO_PASSCRED)"))?;
        Ok(Self(Some(channel)))
    }

    /// Sends a message without blocking, as [`Channel::send`] does.
    ///
    /// # Errors
    /// As [`Channel::send`].
    pub fn send(&self, bytes: &[u8], descriptors: &[BorrowedFd<'_>]) -> Result<()> {
        self.channel().send(bytes, descriptors)
    }

    /// Takes one message of at most so many bytes, if one is waiting.
    ///
    /// # Errors
    /// None that is known.
    pub fn hear(&self, most: usize) -> Result<Claim> {
        let look = receive(self.as_fd(), &mut [], libc::MSG_PEEK | libc::MSG_TRUNC)?;
        let length = match look {
            Look::Empty => return Ok(Claim::Empty),
            Look::Got { sender: None, descriptors: false, .. } => return Ok(Claim::End),
            Look::Got { descriptors: true, .. } => return Ok(Claim::Descriptors),
            Look::Got { length, .. } if length > most => return Ok(Claim::TooLong(length)),
            Look::Got { length, .. } => length,
        };
        let mut bytes = vec![0; length];
        match receive(self.as_fd(), &mut bytes, 0)? {
            Look::Got { sender, .. } => Ok(Claim::Message(bytes, sender.unwrap_or(0))),
            Look::Empty => Ok(Claim::Empty),
        }
    }

    fn channel(&self) -> &Channel {
        self.0.as_ref().expect("it is taken out by drop alone")
    }
}

impl AsFd for Claims {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.channel().as_fd()
    }
}

impl Drop for Claims {
    /// Nothing comes in any more, and what has come is looked through: with messages that were never received the
    /// descriptors that are attached to them end too.
    fn drop(&mut self) {
        let _ = rustix::net::shutdown(&*self, Shutdown::Read);
        while let Ok(Look::Got { sender, descriptors, .. }) = receive(self.as_fd(), &mut [], libc::MSG_PEEK) {
            if descriptors {
                crate::process::close_apart(self.0.take().map(Channel::into_fd));
                return;
            }
            // The end has no sender; a message without descriptors is thrown away.
            if sender.is_none() || receive(self.as_fd(), &mut [], 0).is_err() {
                return;
            }
        }
    }
}

/// The same for a stream.
#[derive(Debug)]
pub struct ClaimStream(Option<UnixStream>);

impl ClaimStream {
    /// Takes this end of a connection, and makes it non-blocking.
    ///
    /// # Errors
    /// It is no socket.
    pub fn of(stream: UnixStream) -> Result<Self> {
        stream.set_nonblocking(true).map_err(Error::call("ioctl(FIONBIO)"))?;
        Ok(Self(Some(stream)))
    }

    fn stream(&self) -> &UnixStream {
        self.0.as_ref().expect("it is taken out by drop alone")
    }
}

impl Read for ClaimStream {
    /// Reads what has come. Descriptors among it are an error, and what has come stays.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match receive_with(self.as_fd(), buffer, libc::MSG_PEEK, 0) {
            Ok(Look::Got { descriptors: true, .. }) => Err(io::ErrorKind::InvalidData.into()),
            // What has come meanwhile was not looked at.
            Ok(Look::Got { length, .. }) => self.stream().read(&mut buffer[..length]),
            Ok(Look::Empty) => Err(io::ErrorKind::WouldBlock.into()),
            Err(error) => Err(io::Error::other(error)),
        }
    }
}

impl Write for ClaimStream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl AsFd for ClaimStream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream().as_fd()
    }
}

impl Drop for ClaimStream {
    fn drop(&mut self) {
        let _ = rustix::net::shutdown(&*self, Shutdown::Read);
        // Descriptors come with bytes.
        if rustix::io::ioctl_fionread(&*self).unwrap_or(1) > 0 {
            crate::process::close_apart(self.0.take().map(OwnedFd::from));
        }
    }
}

enum Look {
    Empty,
    Got { length: usize, sender: Option<u32>, descriptors: bool },
}

/// Room for the sender of a message, and for nothing else: a socket with `SO_PASSCRED` always fills it. See cmsg(3).
#[repr(C, align(8))]
struct Control([u8; CONTROL_BYTES]);

// SAFETY: CMSG_SPACE computes with its argument and touches no memory.
const CONTROL_BYTES: usize = unsafe { libc::CMSG_SPACE(size_of::<libc::ucred>() as u32) } as usize;

/// Receives into `buffer`. There is no room for descriptors: those that are attached are said to be, and the kernel
/// drops its copies; with `MSG_PEEK` the message keeps them. See recvmsg(2).
fn receive(socket: BorrowedFd<'_>, buffer: &mut [u8], flags: i32) -> Result<Look> {
    receive_with(socket, buffer, flags, CONTROL_BYTES)
}

/// The same with room for `room` bytes beside the message.
fn receive_with(socket: BorrowedFd<'_>, buffer: &mut [u8], flags: i32, room: usize) -> Result<Look> {
    let mut control = Control([0; CONTROL_BYTES]);
    let mut parts = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    // SAFETY: a msghdr is plain numbers and pointers, for which zero is a value.
    let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
    header.msg_iov = &raw mut parts;
    header.msg_iovlen = 1;
    header.msg_control = (&raw mut control).cast();
    let flags = flags | libc::MSG_DONTWAIT | libc::MSG_CMSG_CLOEXEC;
    let length = loop {
        header.msg_controllen = room.min(CONTROL_BYTES);
        // SAFETY: the header points to live locals of the sizes that it tells, and to `buffer`.
        let got = unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut header, flags) };
        if let Ok(length) = usize::try_from(got) {
            break length;
        }
        match Errno::from_io_error(&io::Error::last_os_error()) {
            Some(Errno::AGAIN) => return Ok(Look::Empty),
            // The peer left with messages of ours unread. Linux says so once, before it gives out what the peer had sent.
            Some(Errno::CONNRESET | Errno::INTR) => {}
            errno => return Err(Error::call("recvmsg")(errno.unwrap_or(Errno::IO))),
        }
    };
    // SAFETY: the kernel has filled in the header, whose control part is still there.
    let first = unsafe { libc::CMSG_FIRSTHDR(&raw const header) };
    let mut sender = None;
    // SAFETY: it is null, or points to a whole header within `control`, which is aligned for it.
    let first = unsafe { first.as_ref() };
    let holds_credentials =
        |first: &&libc::cmsghdr| (first.cmsg_level, first.cmsg_type) == (libc::SOL_SOCKET, libc::SCM_CREDENTIALS);
    if let Some(first) = first.filter(holds_credentials) {
        // SAFETY: the kernel puts a whole ucred into a control message of this type, for which there is room.
        let credentials: libc::ucred = unsafe { libc::CMSG_DATA(first).cast::<libc::ucred>().read_unaligned() };
        sender = Some(u32::try_from(credentials.pid).unwrap_or(0));
    }
    Ok(Look::Got { length, sender, descriptors: header.msg_flags & libc::MSG_CTRUNC != 0 })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream};
    use std::time::{Duration, Instant};

    fn pair() -> (Claims, Channel) {
        let (ours, theirs) = Channel::pair().unwrap();
        (Claims::of(ours).unwrap(), theirs)
    }

    #[test]
    fn each_message_comes_with_the_process_that_sent_it() {
        let (ours, theirs) = pair();
        assert_eq!(ours.hear(9).unwrap(), Claim::Empty);
        theirs.send(b"one", &[]).unwrap();
        theirs.send(b"", &[]).unwrap();
        let own = crate::process::own_pid();
        assert_eq!(ours.hear(9).unwrap(), Claim::Message(b"one".to_vec(), own));
        assert_eq!(ours.hear(9).unwrap(), Claim::Message(Vec::new(), own), "an empty message is not the end");
        theirs.send(b"last", &[]).unwrap();
        ours.send(b"never read", &[]).unwrap();
        drop(theirs);
        assert_eq!(ours.hear(9).unwrap(), Claim::Message(b"last".to_vec(), own));
        assert_eq!(ours.hear(9).unwrap(), Claim::End);
        assert_eq!(ours.hear(9).unwrap(), Claim::End);
    }

    #[test]
    fn a_child_is_the_sender_of_what_it_sends() {
        let (ours, theirs) = pair();
        let script = "import socket, sys; socket.socket(fileno=3).send(b'x')";
        let mut program = crate::spawn::Program::new("python3");
        program.arguments = vec!["-c".into(), script.into()];
        program.inherit = vec![(theirs.as_fd(), 3)];
        let Ok(pid) = program.spawn() else { return };
        drop(theirs);
        crate::poll::wait(&[ours.as_fd()], &[], None).unwrap();
        assert_eq!(ours.hear(9).unwrap(), Claim::Message(b"x".to_vec(), pid));
    }

    #[test]
    fn a_message_that_is_too_long_is_not_read() {
        let (ours, theirs) = pair();
        theirs.send(&[0; 10_000], &[]).unwrap();
        assert_eq!(ours.hear(9_999).unwrap(), Claim::TooLong(10_000));
        assert_eq!(ours.hear(9_999).unwrap(), Claim::TooLong(10_000));
    }

    /// A connection that cannot be closed at once: its peer does not read, and its close waits for that.
    fn lingering() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (server, _) = listener.accept().unwrap();
        server.set_nonblocking(true).unwrap();
        while rustix::io::write(&server, &[0; 65_536]).is_ok() {}
        rustix::net::sockopt::set_socket_linger(&server, Some(Duration::from_secs(600))).unwrap();
        (server, client)
    }

    #[test]
    fn a_stream_is_read_up_to_descriptors() {
        let began = Instant::now();
        for read in [true, false] {
            let (ours, theirs) = UnixStream::pair().unwrap();
            let mut ours = ClaimStream::of(ours).unwrap();
            assert_eq!(ours.read(&mut [0; 9]).unwrap_err().kind(), io::ErrorKind::WouldBlock);
            (&theirs).write_all(b"abc").unwrap();
            let mut bytes = [0; 9];
            assert_eq!((ours.read(&mut bytes).unwrap(), &bytes[..3]), (3, &b"abc"[..]));
            let (server, _client) = lingering();
            let theirs = Channel::from_fd(theirs.into());
            theirs.send(b"x", &[server.as_fd()]).unwrap();
            drop(server);
            if read {
                assert_eq!(ours.read(&mut [0; 9]).unwrap_err().kind(), io::ErrorKind::InvalidData);
            }
            drop(ours);
        }
        assert!(began.elapsed() < Duration::from_secs(300), "it was waited for");
    }

    #[test]
    fn descriptors_are_not_received_and_their_end_is_not_waited_for() {
        let began = Instant::now();
        for heard in [true, false] {
            let (ours, theirs) = pair();
            let (server, _client) = lingering();
            theirs.send(b"before", &[]).unwrap();
            theirs.send(b"x", &[server.as_fd(), server.as_fd()]).unwrap();
            theirs.send(b"behind", &[]).unwrap();
            drop(server);
            if heard {
                assert!(matches!(ours.hear(9).unwrap(), Claim::Message(..)));
                assert_eq!(ours.hear(9).unwrap(), Claim::Descriptors);
            }
            drop(ours);
            assert!(theirs.send(b"y", &[]).is_err(), "nothing comes in any more");
        }
        assert!(began.elapsed() < Duration::from_secs(300), "it was waited for");
    }
}
