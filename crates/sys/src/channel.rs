//! One end of a `SOCK_SEQPACKET` pair that carries datagrams with descriptors attached.
//!
//! See unix(7), `SCM_RIGHTS`, and cmsg(3). The end of the peer shows as [`Received::End`].

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType,
};

use crate::{Error, Result};

/// The largest datagram that is received, in bytes. The sender's messages are smaller (`wire::MAX_MESSAGE_BYTES`).
const DATAGRAM_BYTES: usize = 160 * 1024;
/// The kernel's limit of descriptors in one message (`SCM_MAX_FD`).
const MAX_DESCRIPTORS: usize = 253;

/// One end of a channel.
#[derive(Debug)]
pub struct Channel(OwnedFd);

/// What came out of a channel.
#[derive(Debug)]
pub enum Received {
    /// A datagram and the descriptors that were attached to it, in order, close-on-exec.
    Datagram(Vec<u8>, Vec<OwnedFd>),
    /// Nothing is waiting (only with [`Channel::try_recv`]).
    Empty,
    /// The peer is gone.
    End,
}

impl Channel {
    /// Makes a connected pair, both ends close-on-exec. See socketpair(2).
    ///
    /// # Errors
    /// No descriptors or memory left.
    pub fn pair() -> Result<(Self, Self)> {
        let (a, b) = rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
            .map_err(Error::call("socketpair"))?;
        Ok((Self(a), Self(b)))
    }

    /// Has what is sent here wait in up to so many bytes, as far as the kernel allows. See socket(7), `SO_SNDBUFFORCE`
    /// and `net.core.wmem_max`.
    pub fn enlarge(&self, bytes: usize) {
        if rustix::net::sockopt::set_socket_send_buffer_size_force(&self.0, bytes).is_err() {
            let _ = rustix::net::sockopt::set_socket_send_buffer_size(&self.0, bytes);
        }
    }

    /// Takes over an end that was inherited.
    pub fn from_fd(fd: OwnedFd) -> Self {
        Self(fd)
    }

    /// Another handle to this end.
    ///
    /// # Errors
    /// No descriptors left.
    pub fn duplicate(&self) -> Result<Self> {
        rustix::io::fcntl_dupfd_cloexec(&self.0, 3).map(Self).map_err(Error::call("fcntl"))
    }

    /// Gives up the descriptor.
    pub fn into_fd(self) -> OwnedFd {
        self.0
    }

    /// Sends one datagram without blocking.
    ///
    /// # Errors
    /// The peer is gone (`EPIPE`, `ECONNRESET`) or does not read (`EAGAIN`).
    pub fn send(&self, bytes: &[u8], descriptors: &[BorrowedFd<'_>]) -> Result<()> {
        let rights = SendAncillaryMessage::ScmRights(descriptors);
        let mut space = vec![MaybeUninit::uninit(); if descriptors.is_empty() { 0 } else { rights.size() }];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !descriptors.is_empty() {
            control.push(rights);
        }
        let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
        loop {
            match rustix::net::sendmsg(&self.0, &[IoSlice::new(bytes)], &mut control, flags) {
                Err(Errno::INTR) => {}
                other => return other.map(drop).map_err(Error::call("sendmsg")),
            }
        }
    }

    /// Takes one datagram if one is waiting.
    ///
    /// # Errors
    /// The datagram was larger than any of ours, or its descriptors did not fit this process (`EMFILE`).
    pub fn try_recv(&self) -> Result<Received> {
        self.recv_with(RecvFlags::DONTWAIT)
    }

    /// Waits for one datagram. Returns `EINTR` to the caller: a signal may be what it waits for.
    ///
    /// # Errors
    /// As [`Channel::try_recv`], and `EINTR`.
    pub fn recv(&self) -> Result<Received> {
        self.recv_with(RecvFlags::empty())
    }

    fn recv_with(&self, flags: RecvFlags) -> Result<Received> {
        let mut bytes = vec![0; DATAGRAM_BYTES];
        let mut descriptors = Vec::new();
        match self.recv_into(flags, &mut bytes, &mut descriptors)? {
            None => Ok(Received::Empty),
            Some(0) => Ok(Received::End),
            Some(count) => {
                bytes.truncate(count);
                Ok(Received::Datagram(bytes, descriptors))
            }
        }
    }

    /// Takes one datagram, if one is waiting, into a buffer of the caller's; returns its length. 0 is the end.
    ///
    /// # Errors
    /// As [`Channel::try_recv`]; the buffer counts as the limit.
    pub fn try_recv_into(&self, buffer: &mut [u8], descriptors: &mut Vec<OwnedFd>) -> Result<Option<usize>> {
        self.recv_into(RecvFlags::DONTWAIT, buffer, descriptors)
    }

    fn recv_into(&self, flags: RecvFlags, buffer: &mut [u8], descriptors: &mut Vec<OwnedFd>) -> Result<Option<usize>> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let flags = flags | RecvFlags::CMSG_CLOEXEC;
        let got = loop {
            match rustix::net::recvmsg(&self.0, &mut [IoSliceMut::new(buffer)], &mut control, flags) {
                Ok(got) => break got,
                Err(Errno::AGAIN) => return Ok(None),
                // The peer left with messages of ours unread. Linux says so once, before it gives out what the peer had
                // sent: its last words.
                Err(Errno::CONNRESET) => {}
                Err(errno) => return Err(Error::call("recvmsg")(errno)),
            }
        };
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(fds) = message {
                descriptors.extend(fds);
            }
        }
        if got.flags.intersects(ReturnFlags::TRUNC | ReturnFlags::CTRUNC) {
            return Err(Error::call("recvmsg")(Errno::MSGSIZE));
        }
        Ok(Some(got.bytes))
    }
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_datagram_arrives_whole_with_its_descriptors() {
        let (a, b) = Channel::pair().unwrap();
        let (reader, writer) = rustix::pipe::pipe().unwrap();
        a.send(b"hello", &[writer.as_fd(), reader.as_fd()]).unwrap();
        a.send(b"again", &[]).unwrap();
        let Received::Datagram(bytes, fds) = b.recv().unwrap() else { panic!("no datagram") };
        assert_eq!((bytes.as_slice(), fds.len()), (&b"hello"[..], 2));
        rustix::io::write(&fds[0], b"x").unwrap();
        let mut byte = [0];
        assert_eq!(rustix::io::read(&reader, &mut byte).unwrap(), 1);
        let Received::Datagram(bytes, fds) = b.recv().unwrap() else { panic!("no datagram") };
        assert_eq!((bytes.as_slice(), fds.len()), (&b"again"[..], 0));
        assert!(matches!(b.try_recv().unwrap(), Received::Empty));
    }

    #[test]
    fn the_last_words_of_a_peer_that_left_messages_unread_are_heard() {
        let (a, b) = Channel::pair().unwrap();
        b.send(b"never read", &[]).unwrap();
        a.send(b"last words", &[]).unwrap();
        drop(a);
        let Received::Datagram(bytes, _) = b.try_recv().unwrap() else { panic!("no datagram") };
        assert_eq!(bytes, b"last words");
        assert!(matches!(b.try_recv().unwrap(), Received::End));
    }

    #[test]
    fn the_end_of_the_peer_shows_after_what_it_sent() {
        let (a, b) = Channel::pair().unwrap();
        a.send(b"last", &[]).unwrap();
        drop(a);
        assert!(matches!(b.recv().unwrap(), Received::Datagram(..)));
        assert!(matches!(b.recv().unwrap(), Received::End));
        assert!(b.send(b"x", &[]).is_err());
    }
}
