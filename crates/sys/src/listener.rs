//! Listening sockets: addresses, options, binding, adopting inherited ones.
//!
//! The address grammar and the options are Unicorn's `listen`. See socket(7), tcp(7), unix(7).

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, ToSocketAddrs};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::libc;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, sockopt};

use crate::peer::Peer;
use crate::user::User;
use crate::{Error, Result, safe_open};

/// Whether descriptors may come with bytes. See unix(7), and asm-generic/socket.h for the number, which libc does not name.
const SO_PASSRIGHTS: i32 = 83;

/// How long something that listens here takes to take a connection.
const ANSWER: Duration = Duration::from_secs(1);

/// Where to listen.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Address {
    /// An IP address and port.
    Tcp(SocketAddr),
    /// A socket in the file system.
    Unix(PathBuf),
}

impl Address {
    /// Reads what users write: `8080`, `:8080`, `*:8080`, `host:port`, `[v6]:port`, `host` (port 80), `unix:path`,
    /// `~/path`, `/path`. Relative paths and `~` are resolved against the current directory and `HOME`.
    ///
    /// # Errors
    /// A port beyond 65535 (Unicorn wraps it around), a host that cannot be resolved, anything else.
    pub fn parse(text: &str) -> Result<Self> {
        let unknown = || Error::Address(text.to_string());
        if let Some(path) = text.strip_prefix("unix:") {
            return Ok(Self::Unix(absolute(path)));
        }
        if text.starts_with('~') || text.starts_with('/') {
            return Ok(Self::Unix(absolute(text)));
        }
        let port = |digits: &str| digits.parse::<u16>().map_err(|_| unknown());
        let digits = text.strip_prefix("*:").or_else(|| text.strip_prefix(':')).unwrap_or(text);
        if !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) {
            return Ok(Self::Tcp(SocketAddr::from(([0, 0, 0, 0], port(digits)?))));
        }
        let (host, number) = match text.rsplit_once(':') {
            Some((host, digits)) if !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) => {
                (host, port(digits)?)
            }
            // Without a port only an address will do: `foo.sock` is a path that lacks its `unix:`.
            _ if text.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok() => (text, 80),
            _ => return Err(unknown()),
        };
        let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
        if bare.contains(':') && bare == host {
            return Err(unknown());
        }
        let mut found = (bare, number).to_socket_addrs().map_err(|source| Error::Path {
            call: "getaddrinfo",
            path: PathBuf::from(text),
            source,
        })?;
        found.next().map(Self::Tcp).ok_or_else(unknown)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "{address}"),
            Self::Unix(path) => write!(f, "{}", path.display()),
        }
    }
}

/// How long accept(2) may take on a socket whose `O_NONBLOCK` another process has cleared.
const LONGEST_ACCEPT: Duration = Duration::from_millis(1);
/// Options of one listener, in Unicorn's units. The default sets none of them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Options {
    /// Length of the accept queue; the kernel caps it at `net.core.somaxconn`. `None`: as long
    /// as that where a socket is bound, and what it has where one was inherited.
    pub backlog: Option<i32>,
    /// `SO_RCVBUF` in bytes.
    pub rcvbuf: Option<i32>,
    /// `SO_SNDBUF` in bytes.
    pub sndbuf: Option<i32>,
    /// `TCP_NODELAY`
    pub tcp_nodelay: bool,
    /// `TCP_CORK`; `None` leaves it.
    pub tcp_nopush: Option<bool>,
    /// `TCP_DEFER_ACCEPT` in seconds; 0 is off.
    pub tcp_defer_accept: i32,
    /// `IPV6_V6ONLY`; `None` leaves the system's default. Only at bind time.
    pub ipv6only: Option<bool>,
    /// `SO_REUSEPORT`. Only at bind time.
    pub reuseport: bool,
    /// The umask while a UNIX socket is bound.
    pub umask: u32,
    /// How often to try again when the address is in use; negative: for ever.
    pub tries: i64,
    /// Seconds between tries.
    pub delay: f64,
}

/// A listening socket and the name that logs show: the bound address or path.
#[derive(Debug)]
pub struct Listener {
    fd: OwnedFd,
    name: String,
}

impl Listener {
    /// Binds and listens, once. A stale UNIX socket (no process listens on it) is removed first.
    ///
    /// # Errors
    /// `EADDRINUSE` (see [`in_use`]) and whatever else bind(2) and listen(2) say; a path that is no socket.
    pub fn bind(address: &Address, options: &Options) -> Result<Self> {
        let (family, shown) = match address {
            Address::Tcp(SocketAddr::V4(_)) => (AddressFamily::INET, address.to_string()),
            Address::Tcp(SocketAddr::V6(_)) => (AddressFamily::INET6, address.to_string()),
            Address::Unix(_) => (AddressFamily::UNIX, address.to_string()),
        };
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let fd = rustix::net::socket_with(family, SocketType::STREAM, flags, None).map_err(Error::call("socket"))?;
        let bound = match address {
            Address::Tcp(address) => {
                sockopt::set_socket_reuseaddr(&fd, true).map_err(Error::call("setsockopt(SO_REUSEADDR)"))?;
                if let (Some(only), SocketAddr::V6(_)) = (options.ipv6only, address) {
                    sockopt::set_ipv6_v6only(&fd, only).map_err(Error::call("setsockopt(IPV6_V6ONLY)"))?;
                }
                if options.reuseport {
                    sockopt::set_socket_reuseport(&fd, true).map_err(Error::call("setsockopt(SO_REUSEPORT)"))?;
                }
                rustix::net::bind(&fd, address)
            }
            Address::Unix(path) => {
                remove_stale(path)?;
                let target = SocketAddrUnix::new(path).map_err(Error::path("bind", path.clone()))?;
                let before = rustix::process::umask(rustix::fs::Mode::from_raw_mode(options.umask));
                let bound = rustix::net::bind(&fd, &target);
                rustix::process::umask(before);
                bound
            }
        };
        bound.map_err(Error::path("bind", &shown))?;
        rustix::net::listen(&fd, options.backlog.unwrap_or(libc::SOMAXCONN)).map_err(Error::path("listen", &shown))?;
        let name = name_of(fd.as_fd()).unwrap_or(shown);
        Ok(Self { fd, name })
    }

    /// The same for a root process whose application runs as `user`: where others than root control the path of a UNIX
    /// socket, it does so with that user's rights.
    ///
    /// # Errors
    /// Those of [`Listener::bind`].
    pub fn bind_as(user: Option<&User>, address: &Address, options: &Options) -> Result<Self> {
        match address {
            Address::Unix(path) => safe_open::act(path, user, || Self::bind(address, options)),
            Address::Tcp(_) => Self::bind(address, options),
        }
    }

    /// Takes the path of a UNIX socket on which another process listens, in one step: clients that connect from now on come
    /// here, and that process keeps its clients. `user` as in [`Listener::bind_as`].
    ///
    /// # Errors
    /// Those of [`Listener::bind`], with a path that is longer by the process id; those of rename(2).
    pub fn replace(user: Option<&User>, path: &Path, options: &Options) -> Result<Self> {
        let mut beside = path.as_os_str().to_owned();
        beside.push(format!(".{}", std::process::id()));
        let listener = Self::bind_as(user, &Address::Unix(beside.clone().into()), options)?;
        safe_open::act(path, user, || std::fs::rename(&beside, path).map_err(Error::path("rename", path)))?;
        Ok(Self { name: path.display().to_string(), ..listener })
    }

    /// Takes over an inherited descriptor and makes it close-on-exec and non-blocking.
    ///
    /// `O_NONBLOCK` belongs to all processes that share the socket, and another one may clear it: systemd does so whenever
    /// it starts a second service on it, unless `NonBlocking=yes` is set. So an accept whose connection is gone is also
    /// bounded by `SO_RCVTIMEO`, which no other program changes (socket(7)). Accepted connections inherit that limit; ours
    /// are non-blocking, and code that gives one away removes the limit ([`unlimit`]).
    ///
    /// # Errors
    /// It is not open, or no socket that listens (`EBADF`); a connection, which systemd passes with `Accept=yes`.
    pub fn adopt(number: RawFd) -> Result<Self> {
        let refuse = |errno: Errno| Error::Path {
            call: "adopt",
            path: PathBuf::from(format!("file descriptor {number}")),
            source: errno.into(),
        };
        if number < 0 {
            return Err(refuse(Errno::BADF));
        }
        // SAFETY: the descriptor was inherited for us (LISTEN_FDS, UNICORN_FD), so nothing else in this process owns
        // it; whether it is open at all is checked by the next call, before anything else is done with it.
        let fd = std::mem::ManuallyDrop::new(unsafe { OwnedFd::from_raw_fd(number) });
        match sockopt::socket_type(&*fd) {
            Err(Errno::NOTSOCK) => return Err(Error::NoListener(number, "no socket")),
            Err(errno) => return Err(refuse(errno)),
            Ok(SocketType::STREAM) => {}
            Ok(_) => {
                let what = "no socket for streams: the socket unit must say ListenStream=";
                return Err(Error::NoListener(number, what));
            }
        }
        if !sockopt::socket_acceptconn(&*fd).map_err(refuse)? {
            let connected = rustix::net::getpeername(&*fd).is_ok_and(|peer| peer.is_some());
            let what = if connected {
                "one connection, no listening socket: the socket unit must say Accept=no"
            } else {
                "a socket that does not listen"
            };
            return Err(Error::NoListener(number, what));
        }
        rustix::io::fcntl_setfd(&*fd, rustix::io::FdFlags::CLOEXEC).map_err(refuse)?;
        rustix::io::ioctl_fionbio(&*fd, true).map_err(refuse)?;
        sockopt::set_socket_timeout(&*fd, sockopt::Timeout::Recv, Some(LONGEST_ACCEPT)).map_err(refuse)?;
        let name = name_of(fd.as_fd()).ok_or_else(|| refuse(Errno::AFNOSUPPORT))?;
        Ok(Self { fd: std::mem::ManuallyDrop::into_inner(fd), name })
    }

    /// Takes over a listening socket that another program of ours had bound or adopted.
    ///
    /// # Errors
    /// It is no socket that listens.
    pub fn from_fd(fd: OwnedFd) -> Result<Self> {
        let refuse = |errno: Errno| Error::call("adopt")(errno);
        if !sockopt::socket_acceptconn(&fd).map_err(refuse)? {
            return Err(refuse(Errno::INVAL));
        }
        let name = name_of(fd.as_fd()).ok_or_else(|| refuse(Errno::AFNOSUPPORT))?;
        Ok(Self { fd, name })
    }

    /// Applies the options that can be changed on a bound socket, and the backlog. Returns what failed: Unicorn logs
    /// and goes on.
    pub fn apply(&self, options: &Options) -> Vec<Error> {
        let mut failed = Vec::new();
        let mut note = |call: &'static str, result: rustix::io::Result<()>| {
            if let Err(errno) = result {
                failed.push(Error::path(call, &self.name)(errno));
            }
        };
        if self.is_unix() {
            // A descriptor that comes with bytes would be closed by the process that reads them, which may have to wait for
            // that (SO_LINGER).
            // Linux before 6.16 knows no such option.
            let _ = self.set_option(libc::SOL_SOCKET, SO_PASSRIGHTS, 0);
        } else {
            note("setsockopt(SO_KEEPALIVE)", sockopt::set_socket_keepalive(&self.fd, true));
            note("setsockopt(TCP_NODELAY)", sockopt::set_tcp_nodelay(&self.fd, options.tcp_nodelay));
            if let Some(cork) = options.tcp_nopush {
                note("setsockopt(TCP_CORK)", sockopt::set_tcp_cork(&self.fd, cork));
            }
            note(
                "setsockopt(TCP_DEFER_ACCEPT)",
                self.set_option(libc::IPPROTO_TCP, libc::TCP_DEFER_ACCEPT, options.tcp_defer_accept),
            );
        }
        if let Some(bytes) = options.rcvbuf {
            let bytes = usize::try_from(bytes).unwrap_or(0);
            note("setsockopt(SO_RCVBUF)", sockopt::set_socket_recv_buffer_size(&self.fd, bytes));
        }
        if let Some(bytes) = options.sndbuf {
            let bytes = usize::try_from(bytes).unwrap_or(0);
            note("setsockopt(SO_SNDBUF)", sockopt::set_socket_send_buffer_size(&self.fd, bytes));
        }
        if let Some(backlog) = options.backlog {
            note("listen", rustix::net::listen(&self.fd, backlog));
        }
        failed
    }

    /// Sets an option that takes an int and that rustix has no name for.
    fn set_option(&self, level: i32, option: i32, value: i32) -> rustix::io::Result<()> {
        let size = libc::socklen_t::try_from(size_of::<i32>()).unwrap_or(4);
        // SAFETY: the option takes an int, and `value` is one that lives through the call.
        let result = unsafe { libc::setsockopt(self.fd.as_raw_fd(), level, option, (&raw const value).cast(), size) };
        if result == 0 {
            Ok(())
        } else {
            Err(Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::INVAL))
        }
    }

    /// The bound address, `127.0.0.1:8080`, `[::1]:8080` or the path.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Makes it non-blocking again: see [`Listener::adopt`].
    pub fn unblock(&self) {
        // It was done before on this very socket: there is no error left to happen.
        let _ = rustix::io::ioctl_fionbio(&self.fd, true);
    }

    /// Whether it is a UNIX socket, in the file system or in the abstract name space.
    pub fn is_unix(&self) -> bool {
        self.name.starts_with(['/', '@'])
    }

    /// Gives up the descriptor.
    pub fn into_fd(self) -> OwnedFd {
        self.fd
    }

    /// The sizes of its buffers in bytes, receive and send, for the log.
    pub fn buffers(&self) -> (usize, usize) {
        (
            sockopt::socket_recv_buffer_size(&self.fd).unwrap_or(0),
            sockopt::socket_send_buffer_size(&self.fd).unwrap_or(0),
        )
    }

    /// What tells this socket from another one of the same name, in every process that has it. See inode(7).
    pub fn identity(&self) -> u64 {
        rustix::fs::fstat(&self.fd).map_or(0, |status| status.st_ino)
    }

    /// Whether the socket file is still there (always true for what has none): Unicorn binds a vanished one anew at reload.
    pub fn path_exists(&self) -> bool {
        !self.name.starts_with('/')
            || std::fs::symlink_metadata(&self.name).is_ok_and(|meta| meta.file_type().is_socket())
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Whether an error means that another process listens there.
pub fn in_use(error: &Error) -> bool {
    match error {
        Error::Path { source, .. } | Error::Call { source, .. } => source.kind() == std::io::ErrorKind::AddrInUse,
        Error::As { source, .. } => in_use(source),
        Error::Refused { .. } | Error::AlreadyRunning { .. } | Error::Address(_) | Error::NoListener(..) => false,
    }
}

fn name_of(fd: BorrowedFd<'_>) -> Option<String> {
    let address = rustix::net::getsockname(fd).ok()?;
    if let Ok(tcp) = SocketAddr::try_from(address.clone()) {
        return Some(tcp.to_string());
    }
    let unix = SocketAddrUnix::try_from(address).ok()?;
    match unix.abstract_name() {
        Some(name) => Some(format!("@{}", String::from_utf8_lossy(name))),
        None => unix.path().map(|path| path.to_string_lossy().into_owned()),
    }
}

/// Takes back the limit that a connection has from a listener that was adopted. See [`Listener::adopt`].
pub fn unlimit(connection: BorrowedFd<'_>) {
    // On a socket of ours this cannot fail, and one that is gone needs nothing.
    let _ = sockopt::set_socket_timeout(connection, sockopt::Timeout::Recv, None);
}

/// Ends a connection whose peer has not confirmed what was sent to it for so long. See tcp(7), `TCP_USER_TIMEOUT`.
pub fn give_up_after(connection: BorrowedFd<'_>, patience: std::time::Duration) {
    // On a UNIX socket it fails; there the kernel knows at once when the peer is gone.
    let ms = u32::try_from(patience.as_millis()).unwrap_or(u32::MAX);
    let _ = sockopt::set_tcp_user_timeout(connection, ms);
}

fn remove_stale(path: &Path) -> Result<()> {
    let Ok(meta) = std::fs::symlink_metadata(path) else { return Ok(()) };
    if !meta.file_type().is_socket() {
        let source = std::io::Error::new(
            std::io::ErrorKind::AlreadyExists,
            format!("socket={} specified but it is not a socket!", path.display()),
        );
        return Err(Error::Path { call: "bind", path: path.to_path_buf(), source });
    }
    match connect(path) {
        Ok(_) => Err(Error::path("bind", path)(Errno::ADDRINUSE)),
        Err(Errno::CONNREFUSED) => std::fs::remove_file(path).map_err(Error::path("unlink", path)),
        // A full backlog (EAGAIN) or no permission: a process listens there.
        Err(_) => Err(Error::path("bind", path)(Errno::ADDRINUSE)),
    }
}

/// Returns the process that listens on a UNIX socket: the one that called listen(2). See unix(7), `SO_PEERCRED`.
pub fn listening_process(path: &Path) -> Option<u32> {
    Some(Peer::of(&connect(path).ok()?).ok()?.pid).filter(|pid| *pid != 0)
}

/// Tells whether no process listens on a UNIX socket any more.
pub fn is_stale(path: &Path) -> bool {
    // What is no socket refuses connections too.
    let is_socket = std::fs::symlink_metadata(path).is_ok_and(|meta| meta.file_type().is_socket());
    is_socket && matches!(connect(path), Err(Errno::CONNREFUSED))
}

/// Whether something answers there already. It gets a connection that says nothing.
pub fn is_answered(address: &Address) -> bool {
    match address {
        Address::Unix(path) => connect(path).is_ok(),
        Address::Tcp(address) => {
            let mut address = *address;
            if address.ip().is_unspecified() {
                let loopback = if address.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() };
                address.set_ip(loopback);
            }
            TcpStream::connect_timeout(&address, ANSWER).is_ok()
        }
    }
}

/// Connects to a UNIX socket without waiting: where the backlog is full, which is how a process that hangs is found, it
/// fails with `EAGAIN`. See connect(2). What is read and written on the connection waits.
///
/// # Errors
/// Those of connect(2).
pub fn connect(path: &Path) -> std::result::Result<UnixStream, Errno> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let fd = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    rustix::net::connect(&fd, &SocketAddrUnix::new(path)?)?;
    rustix::io::ioctl_fionbio(&fd, false)?;
    Ok(fd.into())
}

fn absolute(text: &str) -> PathBuf {
    let expanded = match text.strip_prefix("~/") {
        Some(rest) => {
            std::env::var_os("HOME").map_or_else(|| PathBuf::from(text), |home| PathBuf::from(home).join(rest))
        }
        None => PathBuf::from(text),
    };
    std::path::absolute(&expanded).unwrap_or(expanded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_read_as_unicorn_reads_them() {
        #[track_caller]
        fn check(text: &str, want: &str) {
            assert_eq!(Address::parse(text).map(|a| a.to_string()).unwrap_or_else(|e| e.to_string()), want, "{text}");
        }
        check("8080", "0.0.0.0:8080");
        check(":8080", "0.0.0.0:8080");
        check("*:8080", "0.0.0.0:8080");
        check("127.0.0.1:1", "127.0.0.1:1");
        check("localhost:1", "127.0.0.1:1");
        check("1.2.3.4", "1.2.3.4:80");
        check("[::1]:9", "[::1]:9");
        check("[::1]", "[::1]:80");
        check("/tmp/a.sock", "/tmp/a.sock");
        check("unix:/tmp/a.sock", "/tmp/a.sock");
        check("127.0.0.1:99999", "Don't know how to bind: 127.0.0.1:99999");
        check("99999", "Don't know how to bind: 99999");
        check("b.sock", "Don't know how to bind: b.sock");
        check("a/b.sock", "Don't know how to bind: a/b.sock");
        check("", "Don't know how to bind: ");
    }

    #[test]
    fn clients_attach_no_descriptors_where_the_kernel_can_forbid_it() {
        use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
        let directory = std::env::temp_dir().join(format!("licorne-rights-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let path = directory.join("sock");
        let listener = Listener::bind(&Address::Unix(path.clone()), &Options::default()).unwrap();
        let attach = || {
            let client = UnixStream::connect(&path).unwrap();
            let descriptors = [client.as_fd()];
            let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
            let mut control = SendAncillaryBuffer::new(&mut space);
            assert!(control.push(SendAncillaryMessage::ScmRights(&descriptors)));
            sendmsg(&client, &[std::io::IoSlice::new(b"x")], &mut control, SendFlags::empty())
        };
        assert_eq!(attach(), Ok(1));
        let is_known = listener.set_option(libc::SOL_SOCKET, SO_PASSRIGHTS, 1).is_ok();
        assert!(listener.apply(&Options::default()).is_empty());
        assert_eq!(attach(), if is_known { Err(Errno::PERM) } else { Ok(1) });
        std::fs::remove_dir_all(&directory).unwrap();
    }

    #[test]
    fn a_passed_descriptor_that_does_not_listen_is_reported() {
        use std::os::fd::IntoRawFd;
        #[track_caller]
        fn check(passed: impl IntoRawFd, want: &str) {
            let error = Listener::adopt(passed.into_raw_fd()).unwrap_err().to_string();
            assert!(error.contains(want), "{error}");
        }
        let udp = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        check(udp, "no socket for streams: the socket unit must say ListenStream=");
        check(std::fs::File::open("/dev/null").unwrap(), "no socket");
        let (one, _other) = std::os::unix::net::UnixStream::pair().unwrap();
        check(one, "one connection, no listening socket: the socket unit must say Accept=no");
        let silent = rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
        check(silent, "a socket that does not listen");
    }

    #[test]
    fn a_bound_port_is_named_and_a_second_bind_is_in_use() {
        let any = Address::parse("127.0.0.1:0").unwrap();
        let listener = Listener::bind(&any, &Options::default()).unwrap();
        assert!(!listener.name().ends_with(":0"), "{}", listener.name());
        assert!(listener.apply(&Options::default()).is_empty());
        let error = Listener::bind(&Address::parse(listener.name()).unwrap(), &Options::default()).unwrap_err();
        assert!(in_use(&error), "{}", error.chain());
    }

    #[test]
    fn an_adopted_listener_blocks_nobody_even_when_its_flag_is_cleared() {
        use std::os::fd::IntoRawFd;
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let same = listener.try_clone().unwrap();
        let adopted = Listener::adopt(listener.into_raw_fd()).unwrap();
        same.set_nonblocking(false).unwrap();
        // No client connects: this would wait for ever.
        let nobody = rustix::net::accept(&adopted).unwrap_err();
        assert_eq!(nobody, Errno::AGAIN);
        let client = std::net::TcpStream::connect(same.local_addr().unwrap()).unwrap();
        let connection = rustix::net::accept(&adopted).unwrap();
        unlimit(connection.as_fd());
        assert_eq!(sockopt::socket_timeout(&connection, sockopt::Timeout::Recv).unwrap(), None);
        drop(client);
    }

    #[test]
    fn a_connection_is_no_listener_and_is_called_one() {
        use std::os::fd::IntoRawFd;
        let (ours, _theirs) = UnixStream::pair().unwrap();
        let error = Listener::adopt(ours.into_raw_fd()).unwrap_err();
        assert!(error.chain().contains("Accept=no"), "{}", error.chain());
    }

    #[test]
    fn an_abstract_socket_has_a_name() {
        use std::os::fd::IntoRawFd;
        use std::os::linux::net::SocketAddrExt;
        let name = format!("licorne-listener-{}", std::process::id());
        let address = std::os::unix::net::SocketAddr::from_abstract_name(&name).unwrap();
        let socket = std::os::unix::net::UnixListener::bind_addr(&address).unwrap();
        let adopted = Listener::adopt(socket.into_raw_fd()).unwrap();
        assert_eq!((adopted.name(), adopted.path_exists()), (&*format!("@{name}"), true));
        assert!(adopted.apply(&Options::default()).is_empty());
    }

    #[test]
    fn a_server_that_hangs_is_in_use_and_keeps_nobody_waiting() {
        let path = std::env::temp_dir().join(format!("licorne-hangs-{}.sock", std::process::id()));
        let address = Address::Unix(path.clone());
        let _hangs = Listener::bind(&address, &Options { backlog: Some(1), ..Options::default() }).unwrap();
        let waiting: Vec<UnixStream> = std::iter::from_fn(|| connect(&path).ok()).collect();
        assert_eq!(connect(&path).unwrap_err(), Errno::AGAIN, "{} fill the backlog", waiting.len());
        assert!(in_use(&Listener::bind(&address, &Options::default()).unwrap_err()));
        std::fs::remove_file(&path).unwrap();
    }

    #[test]
    fn a_path_changes_hands_without_a_moment_in_between() {
        let path = std::env::temp_dir().join(format!("licorne-hands-{}.sock", std::process::id()));
        let first = Listener::bind(&Address::Unix(path.clone()), &Options::default()).unwrap();
        let early = connect(&path).unwrap();
        let second = Listener::replace(None, &path, &Options::default()).unwrap();
        let late = connect(&path).unwrap();
        assert!(!is_stale(&path));
        assert_eq!((second.name(), listening_process(&path)), (&*path.display().to_string(), Some(std::process::id())));
        assert!(rustix::net::accept(&second).is_ok());
        for listener in [&first, &second] {
            assert!(rustix::net::accept(listener).is_ok());
        }
        drop((early, late, first, second));
        assert!(listening_process(&path).is_none() && is_stale(&path));
        std::fs::remove_file(&path).unwrap();
    }

    #[test]
    fn a_stale_unix_socket_is_replaced_a_live_one_and_a_file_are_not() {
        let path = std::env::temp_dir().join(format!("licorne-listener-{}.sock", std::process::id()));
        let address = Address::Unix(path.clone());
        let first = Listener::bind(&address, &Options::default()).unwrap();
        assert!(in_use(&Listener::bind(&address, &Options::default()).unwrap_err()));
        drop(first);
        drop(Listener::bind(&address, &Options::default()).unwrap());
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, "").unwrap();
        let error = Listener::bind(&address, &Options::default()).unwrap_err();
        assert!(error.chain().contains("is not a socket"), "{}", error.chain());
        std::fs::remove_file(&path).unwrap();
    }
}
