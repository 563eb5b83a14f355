//! What the kernel knows of a TCP socket. See tcp(7), `TCP_INFO`.

use std::mem::size_of;
use std::os::fd::{AsRawFd, BorrowedFd};

use nix::libc;

/// All of it. `None` of another socket.
pub(crate) fn info(socket: BorrowedFd<'_>) -> Option<libc::tcp_info> {
    // SAFETY: all zero is a valid tcp_info: it has numbers only.
    let mut info: libc::tcp_info = unsafe { std::mem::zeroed() };
    let mut bytes = libc::socklen_t::try_from(size_of::<libc::tcp_info>()).ok()?;
    // SAFETY: the descriptor is open, and the kernel writes `bytes` bytes at most, the size of what is written to.
    let outcome = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            std::ptr::from_mut(&mut info).cast(),
            &mut bytes,
        )
    };
    (outcome == 0).then_some(info)
}

/// How long ago its last bytes came, in nanoseconds, exact to some milliseconds. `None` of another socket.
pub fn silence_ns(socket: BorrowedFd<'_>) -> Option<u64> {
    info(socket).map(|info| u64::from(info.tcpi_last_data_recv) * 1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;
    use std::time::{Duration, Instant};

    #[test]
    fn the_kernel_knows_since_when_bytes_wait() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        client.write_all(b"x").unwrap();
        let wrote = Instant::now();
        let (socket, _) = listener.accept().unwrap();
        while silence_ns(socket.as_fd()).unwrap() < 20_000_000 {}
        assert!(wrote.elapsed() > Duration::from_millis(10), "{:?}", wrote.elapsed());
        client.write_all(b"y").unwrap();
        while silence_ns(socket.as_fd()).unwrap() > 10_000_000 {}
        assert_eq!(silence_ns(UnixStream::pair().unwrap().0.as_fd()), None);
    }
}
