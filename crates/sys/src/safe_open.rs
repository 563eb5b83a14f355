//! Opens files whose paths other users than root can change: logs, pid files, sockets.
//!
//! A log directory mostly belongs to the application's user, who can put anything there: a link to a file of root's, a
//! FIFO, a device without end. So it matters who controls the path. Where each directory that the path leads through,
//! symbolic links followed, belongs to root and only root can write it, root acts itself. Everywhere else it acts with
//! the rights of the application's user ([`User::act`]), and what it opens must be a file of one link, a FIFO or a
//! terminal, not behind a link. A directory may be a link: Capistrano's `log` leads to `shared/log`.
//!
//! In a directory with the sticky bit (`/tmp`) every user may make entries, and only the owner may replace them: there
//! root trusts only what belongs to root. A process that is not root acts as itself.
//!
//! No change between check and operation matters: a path that only root controls stays the same, and everywhere else the
//! rights protect, not the check.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{IsTerminal, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Component, Path};

use rustix::fs::{AtFlags, CWD, FileType, Gid, Mode, OFlags, Stat, Uid, fstat, openat};
use rustix::io::Errno;

use crate::user::User;
use crate::{Error, Result};

/// The longest way through symbolic links. See path_resolution(7).
const LINKS: usize = 40;

/// What proc(5) is known by. See statfs(2).
const PROC_SUPER_MAGIC: rustix::fs::FsWord = 0x9fa0;

/// Where a path leads: the directory, all links on the way followed, and the last name in it.
#[derive(Debug)]
struct Place {
    directory: OwnedFd,
    name: OsString,
    /// Whether others than root can change where the path leads, or what is there.
    others: bool,
    /// Whether the directory is root's, and the way to it leads through one of a user's.
    is_diverted: bool,
    /// Whether the name is one of the links of proc(5) that lead to open files, which no path could.
    is_open_file: bool,
}

/// Opens a log for appending, and creates it (mode 0666 less the umask) where there is none. Never waits: a FIFO must have
/// a reader.
///
/// Workers open it again by themselves. So what root creates belongs to `user`, or to the directory's owner; and what
/// takes the place of another log, in a directory of root's, to the owner of that one (`before`). Nothing is given away
/// that was found in a place of others.
///
/// # Errors
/// It cannot be opened; what is there is nothing to write to.
pub fn open_log(path: &Path, user: Option<&User>, before: Option<(u32, u32)>) -> Result<File> {
    let refused = |why: &'static str| Error::Refused { path: path.to_path_buf(), why };
    let failed = |errno: Errno| match errno {
        Errno::NXIO => refused("there is no reader (FIFO), or it is a socket"),
        Errno::LOOP => refused("it is a symbolic link that others can replace"),
        errno => Error::path("open", path)(errno),
    };
    let flags = OFlags::WRONLY | OFlags::APPEND | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let (fd, created, place) = match locate(path, user, true)? {
        None => (openat(CWD, path, flags | OFlags::CREATE, mode()).map_err(failed)?, false, None),
        Some(place) if place.is_open_file => {
            (openat(&place.directory, &place.name, flags, mode()).map_err(failed)?, false, Some(place))
        }
        Some(place) => {
            let flags = flags | OFlags::NOFOLLOW;
            let (fd, created) = match user.filter(|user| place.others && user.uid != 0) {
                Some(user) => user
                    .act(|| open_or_create(&CWD, path.as_os_str(), flags).map_err(failed))
                    .map_err(|error| Error::As { user: user.name.clone(), source: Box::new(error) })?,
                None if place.is_diverted => return Err(refused("a user has led the path to a directory of root's")),
                None => open_or_create(&place.directory, &place.name, flags).map_err(failed)?,
            };
            (fd, created, Some(place))
        }
    };
    let meta = fstat(&fd).map_err(Error::call("fstat"))?;
    if place.as_ref().is_some_and(|place| place.others) {
        check(path, &fd, &meta)?;
    }
    if let Some(place) = place.filter(|place| created || !place.others) {
        hand_over(&fd, &meta, &place, user.filter(|_| created), before);
    }
    // It was only to open it without waiting.
    let flags = rustix::fs::fcntl_getfl(&fd).map_err(Error::call("fcntl"))?;
    rustix::fs::fcntl_setfl(&fd, flags - OFlags::NONBLOCK).map_err(Error::call("fcntl"))?;
    Ok(fd.into())
}

/// Runs a deed on `path` that follows no link at its end (bind, rename, unlink, open with `O_EXCL`): as root where only
/// root controls the path, else as `user`, if there is one.
///
/// # Errors
/// Those of the deed.
pub fn act<T>(path: &Path, user: Option<&User>, deed: impl FnOnce() -> Result<T>) -> Result<T> {
    act_on(&[path], user, deed)
}

/// The same for a deed on several paths: as root where only root controls all of them.
///
/// # Errors
/// Those of the deed.
pub fn act_on<T>(paths: &[&Path], user: Option<&User>, deed: impl FnOnce() -> Result<T>) -> Result<T> {
    // Where the path leads nowhere the deed tells it in its own words.
    let others = |path: &&Path| locate(path, user, false).map_or(true, |place| place.is_some_and(|place| place.others));
    match user {
        Some(user) if paths.iter().any(others) => user.act(deed),
        _ => deed(),
    }
}

/// Reads a short regular file; of a longer one, the first `most` bytes. Opens nothing else: neither a FIFO, which may have
/// no writer, nor a device, which may have no end, or act when it is opened.
///
/// # Errors
/// It is not there, or no regular file.
pub fn read(path: &Path, most: u64) -> Result<Vec<u8>> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let seen = openat(CWD, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).map_err(Error::path("open", path))?;
    is_regular(path, &seen)?;
    // The very file that was looked at; where there is no /proc, one that is looked at once more.
    let again = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&seen));
    let file = match openat(CWD, again.as_str(), flags, Mode::empty()) {
        Err(Errno::NOENT) => openat(CWD, path, flags, Mode::empty()),
        other => other,
    };
    let file = file.map_err(Error::path("open", path))?;
    is_regular(path, &file)?;
    let mut bytes = Vec::new();
    File::from(file).take(most).read_to_end(&mut bytes).map_err(Error::path("read", path))?;
    Ok(bytes)
}

/// Gives an open log to this user and group where root alone controls the path and the path still leads to it. In places
/// of others nothing is given away: the file may be one that was put there for this.
pub fn give(file: &impl AsFd, path: &Path, user: Option<&User>, uid: u32, gid: u32) {
    let Ok(Some(place)) = locate(path, user, true) else { return };
    let there = rustix::fs::statat(&place.directory, &place.name, AtFlags::SYMLINK_NOFOLLOW);
    let (false, Ok(there), Ok(open)) = (place.others, there, fstat(file)) else { return };
    let same = (there.st_dev, there.st_ino, open.st_nlink) == (open.st_dev, open.st_ino, 1);
    if same && FileType::from_raw_mode(open.st_mode).is_file() {
        // A process that may not give files away has no workers of another user either.
        let _ = rustix::fs::fchown(file, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)));
    }
}

fn mode() -> Mode {
    Mode::from_raw_mode(0o666)
}

fn is_regular(path: &Path, fd: &OwnedFd) -> Result<()> {
    let meta = fstat(fd).map_err(Error::call("fstat"))?;
    match FileType::from_raw_mode(meta.st_mode) {
        FileType::RegularFile => Ok(()),
        _ => Err(Error::Refused { path: path.to_path_buf(), why: "it is no regular file" }),
    }
}

/// Opens what is there or else creates it. Returns whether it was created.
fn open_or_create(directory: &impl AsFd, name: &OsStr, flags: OFlags) -> std::result::Result<(OwnedFd, bool), Errno> {
    // As often as it vanishes and comes back in between: it is moved by logrotate once.
    let mut left = 8;
    loop {
        match openat(directory, name, flags, Mode::empty()) {
            Err(Errno::NOENT) => {}
            other => return other.map(|fd| (fd, false)),
        }
        match openat(directory, name, flags | OFlags::CREATE | OFlags::EXCL, mode()) {
            Err(Errno::EXIST) if left > 0 => left -= 1,
            other => return other.map(|fd| (fd, true)),
        }
    }
}

/// What was opened in a place of others must be something to write to, and nowhere else besides.
fn check(path: &Path, fd: &OwnedFd, meta: &Stat) -> Result<()> {
    let why = match FileType::from_raw_mode(meta.st_mode) {
        FileType::RegularFile | FileType::Fifo if meta.st_nlink > 1 => "it has another name (a hard link)",
        FileType::RegularFile | FileType::Fifo => return Ok(()),
        FileType::CharacterDevice if fd.is_terminal() => return Ok(()),
        _ => "it is no file, FIFO or terminal",
    };
    Err(Error::Refused { path: path.to_path_buf(), why })
}

/// Gives what root has created just now, or found in a place of its own, to those that are to open it again.
fn hand_over(fd: &OwnedFd, meta: &Stat, place: &Place, user: Option<&User>, before: Option<(u32, u32)>) {
    if !FileType::from_raw_mode(meta.st_mode).is_file() {
        return;
    }
    let directory = fstat(&place.directory).ok().filter(|_| place.others).map(|meta| (meta.st_uid, meta.st_gid));
    let owner = user.map(|user| (user.uid, user.gid)).or(directory).or(before);
    if let Some((uid, gid)) = owner.filter(|owner| *owner != (meta.st_uid, meta.st_gid)) {
        // A process that may not give files away has no workers of another user either.
        let _ = rustix::fs::fchown(fd, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)));
    }
}

/// Finds where `path` leads and who controls that; `None` for a process that is not root, which needs no protection. The last name is followed if `follow` says so and root controls the way to it.
fn locate(path: &Path, user: Option<&User>, follow: bool) -> Result<Option<Place>> {
    if !rustix::process::geteuid().is_root() {
        return Ok(None);
    }
    Walk::new(user).and_then(|walk| walk.go(path, follow)).map(Some).map_err(Error::path("open", path))
}

/// A walk along a path, name by name.
struct Walk<'a> {
    user: Option<&'a User>,
    directory: OwnedFd,
    /// Whether the directory has the sticky bit and others may make entries.
    is_shared: bool,
    /// Whether the directory belongs to root.
    is_roots: bool,
    /// Whether others than root can make the path lead elsewhere, and whether these are a user with a directory of its own,
    /// not just a group.
    others: bool,
    by_user: bool,
}

impl<'a> Walk<'a> {
    fn new(user: Option<&'a User>) -> std::result::Result<Self, Errno> {
        let mut walk =
            Self { user, directory: root()?, is_shared: false, is_roots: true, others: false, by_user: false };
        walk.enter(root()?)?;
        Ok(walk)
    }

    fn go(mut self, path: &Path, follow: bool) -> std::result::Result<Place, Errno> {
        let path = std::path::absolute(path).map_err(|_| Errno::NOENT)?;
        // The names that are still to be taken, the next one last.
        let mut names = names_of(&path);
        let mut links = 0;
        while let Some(name) = names.pop() {
            let is_last = names.is_empty();
            if name == ".." {
                self.enter(openat(&self.directory, "..", OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?)?;
                continue;
            }
            let found =
                openat(&self.directory, &name, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty());
            let entry = match found {
                Err(Errno::NOENT) if is_last => return Ok(self.end(name, true)),
                other => other?,
            };
            let meta = fstat(&entry)?;
            let is_theirs = self.is_shared && meta.st_uid != 0;
            self.others |= is_theirs;
            self.by_user |= is_theirs && !is_last;
            let is_link = FileType::from_raw_mode(meta.st_mode).is_symlink();
            if is_last && !(is_link && follow && !self.others) {
                return Ok(self.end(name, false));
            }
            if !is_link {
                self.enter(entry)?;
                continue;
            }
            links += 1;
            if links > LINKS {
                return Err(Errno::LOOP);
            }
            let target = rustix::fs::readlinkat(&entry, "", Vec::new())?.into_bytes();
            // `/proc/self` is an ordinary link; those to open files say a path, or `pipe:[7]`.
            if self.is_proc()? && (target.starts_with(b"/") || target.contains(&b':')) {
                if is_last {
                    return Ok(Place { is_open_file: true, ..self.end(name, false) });
                }
                // It leads to a directory that a process has open: nothing is known of the way there.
                self.others = true;
                self.enter(openat(&self.directory, &name, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?)?;
                continue;
            }
            if target.starts_with(b"/") {
                self.enter(root()?)?;
            }
            names.extend(names_of(Path::new(&OsString::from_vec(target))));
        }
        Err(Errno::ISDIR)
    }

    fn end(self, name: OsString, is_missing: bool) -> Place {
        let others = self.others || (self.is_shared && is_missing);
        let is_diverted = self.is_roots && self.by_user;
        Place { directory: self.directory, name, others, is_diverted, is_open_file: false }
    }

    /// Goes into a directory, and looks at who can make and replace entries there.
    fn enter(&mut self, directory: OwnedFd) -> std::result::Result<(), Errno> {
        let meta = fstat(&directory)?;
        if !FileType::from_raw_mode(meta.st_mode).is_dir() {
            return Err(Errno::NOTDIR);
        }
        // The mask of an access control list is shown as the group's rights.
        let by_group = meta.st_mode & 0o020 != 0 && self.is_others_group(meta.st_gid);
        let is_open = by_group || meta.st_mode & 0o002 != 0;
        let is_sticky = meta.st_mode & 0o1000 != 0;
        self.is_roots = meta.st_uid == 0;
        self.by_user |= !self.is_roots;
        self.others |= self.by_user || (is_open && !is_sticky);
        self.is_shared = is_open && is_sticky;
        self.directory = directory;
        Ok(())
    }

    /// Whether a group that can write has to be kept out. Debian's and Ubuntu's own directories belong to groups of
    /// the system (`/var/log` to `syslog`), which the application's user is not in.
    fn is_others_group(&self, gid: u32) -> bool {
        self.user.map_or(gid != 0, |user| user.gid == gid || user.groups.contains(&gid))
    }

    fn is_proc(&self) -> std::result::Result<bool, Errno> {
        Ok(rustix::fs::fstatfs(&self.directory)?.f_type == PROC_SUPER_MAGIC)
    }
}

fn root() -> std::result::Result<OwnedFd, Errno> {
    openat(CWD, "/", OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
}

fn names_of(path: &Path) -> Vec<OsString> {
    let names = path.components().filter(|part| matches!(part, Component::Normal(_) | Component::ParentDir));
    names.rev().map(|part| part.as_os_str().to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
    use std::path::PathBuf;

    /// A directory of root's, with a file of root's (`secret`) and a directory of the user `nobody` (`theirs`) in it.
    struct Ground(PathBuf, User);

    impl Ground {
        /// Without root there is nothing to be kept from.
        fn new(name: &str) -> Option<Self> {
            if !rustix::process::geteuid().is_root() {
                return None;
            }
            let nobody = User::look_up("nobody", None).unwrap();
            let directory = std::env::temp_dir().join(format!("licorne-{name}-{}", std::process::id()));
            std::fs::create_dir_all(directory.join("theirs")).unwrap();
            std::fs::set_permissions(&directory, PermissionsExt::from_mode(0o755)).unwrap();
            chown(directory.join("theirs"), Some(nobody.uid), Some(nobody.gid)).unwrap();
            std::fs::write(directory.join("secret"), "precious").unwrap();
            std::fs::set_permissions(directory.join("secret"), PermissionsExt::from_mode(0o600)).unwrap();
            Some(Self(directory, nobody))
        }

        fn path(&self, name: &str) -> PathBuf {
            self.0.join(name)
        }

        /// Opens a log for the user `nobody` and for an unknown one, and returns what became of it: an owner, or why not.
        fn open(&self, name: &str) -> [String; 2] {
            [Some(&self.1), None].map(|user| match open_log(&self.path(name), user, None) {
                Ok(file) => format!("uid {}", file.metadata().unwrap().uid()),
                Err(error) => error.chain().replace(&format!("{}/", self.0.display()), ""),
            })
        }
    }

    impl Drop for Ground {
        fn drop(&mut self) {
            assert_eq!(std::fs::read_to_string(self.path("secret")).unwrap(), "precious");
            assert_eq!(std::fs::metadata(self.path("secret")).unwrap().uid(), 0);
            std::fs::remove_dir_all(&self.0).unwrap();
        }
    }

    #[test]
    fn logs_belong_to_the_user_where_it_controls_the_path_and_to_root_where_root_does() {
        let Some(ground) = Ground::new("owners") else { return };
        assert_eq!(ground.open("theirs/log"), ["uid 65534", "uid 65534"], "created as the user");
        std::fs::write(ground.path("root.log"), "").unwrap();
        assert_eq!(ground.open("root.log"), ["uid 0", "uid 0"], "found in a directory of root's");
        assert_eq!(ground.open("new.log"), ["uid 65534", "uid 65534"], "created for the user");
        std::fs::remove_file(ground.path("theirs/log")).unwrap();
        let file = open_log(&ground.path("theirs/log"), None, Some((0, 0))).unwrap();
        assert_eq!(file.metadata().unwrap().uid(), 65534, "created for the directory's owner");
    }

    #[test]
    fn a_directory_may_be_a_link_and_a_log_may_not_where_others_can_replace_it() {
        let Some(ground) = Ground::new("links") else { return };
        symlink("theirs", ground.path("log")).unwrap();
        assert_eq!(ground.open("log/err.log"), ["uid 65534", "uid 65534"]);
        symlink(ground.path("secret"), ground.path("theirs/link")).unwrap();
        let why = "theirs/link is not opened: it is a symbolic link that others can replace";
        assert_eq!(ground.open("theirs/link"), [format!("as user nobody: {why}"), why.to_string()]);
        // A link of root's own is root's business.
        symlink("new.log", ground.path("root-link")).unwrap();
        assert_eq!(ground.open("root-link"), ["uid 65534", "uid 65534"]);
        symlink("..", ground.path("theirs/up")).unwrap();
        let [as_user, as_root] = ground.open("theirs/up/secret");
        assert!(
            as_user.starts_with("as user nobody: open failed") && as_user.contains("Permission denied"),
            "{as_user}"
        );
        assert_eq!(as_root, "theirs/up/secret is not opened: a user has led the path to a directory of root's");
    }

    #[test]
    fn hard_links_directories_and_fifos_without_a_reader_are_refused_at_once() {
        let Some(ground) = Ground::new("kinds") else { return };
        std::fs::hard_link(ground.path("secret"), ground.path("theirs/hard")).unwrap();
        std::fs::set_permissions(ground.path("secret"), PermissionsExt::from_mode(0o666)).unwrap();
        let why = "theirs/hard is not opened: it has another name (a hard link)";
        assert_eq!(ground.open("theirs/hard"), [why, why]);
        rustix::fs::mknodat(CWD, ground.path("theirs/fifo"), FileType::Fifo, mode(), 0).unwrap();
        chown(ground.path("theirs/fifo"), Some(65534), None).unwrap();
        let why = "theirs/fifo is not opened: there is no reader (FIFO), or it is a socket";
        assert_eq!(ground.open("theirs/fifo"), [format!("as user nobody: {why}"), why.to_string()]);
        assert!(ground.open("theirs")[1].contains("Is a directory"));
    }

    #[test]
    fn terminals_and_devices_can_be_opened_as_logs() {
        for path in ["/dev/null", "/proc/self/fd/2", "/dev/stderr"] {
            // A test's own standard error may be a socket, which no path opens.
            let opened = open_log(Path::new(path), None, None);
            assert!(opened.is_ok() || path != "/dev/null", "{path}: {opened:?}");
            let flags = opened.map(|file| rustix::fs::fcntl_getfl(&file).unwrap());
            assert!(flags.is_ok_and(|flags| !flags.contains(OFlags::NONBLOCK)) || path != "/dev/null");
        }
    }

    #[test]
    fn only_the_beginning_of_a_regular_file_is_read() {
        let path = std::env::temp_dir().join(format!("licorne-read-{}", std::process::id()));
        std::fs::write(&path, "0123456789").unwrap();
        assert_eq!(read(&path, 4).unwrap(), b"0123");
        std::fs::remove_file(&path).unwrap();
        rustix::fs::mknodat(CWD, &path, FileType::Fifo, mode(), 0).unwrap();
        assert!(read(&path, 4).unwrap_err().chain().contains("it is no regular file"));
        std::fs::remove_file(&path).unwrap();
        symlink("/dev/zero", &path).unwrap();
        assert!(read(&path, 4).unwrap_err().chain().contains("it is no regular file"));
        std::fs::remove_file(&path).unwrap();
    }

    #[test]
    fn in_a_sticky_directory_only_what_is_roots_is_opened_by_root() {
        let Some(ground) = Ground::new("sticky") else { return };
        std::fs::create_dir(ground.path("tmp")).unwrap();
        std::fs::set_permissions(ground.path("tmp"), PermissionsExt::from_mode(0o1777)).unwrap();
        std::fs::write(ground.path("tmp/root.log"), "").unwrap();
        std::fs::create_dir(ground.path("tmp/root")).unwrap();
        assert_eq!(ground.open("tmp/root.log"), ["uid 0", "uid 0"]);
        assert!(open_log(&ground.path("tmp/root/log"), None, None).is_ok());
        assert_eq!(ground.open("tmp/root/log"), ["uid 0", "uid 0"]);
        assert_eq!(ground.open("tmp/new.log"), ["uid 65534", "uid 65534"]);
        let done = act(&ground.path("tmp/file"), Some(&ground.1), || {
            std::fs::write(ground.path("tmp/file"), "").map_err(Error::path("open", ""))
        });
        done.unwrap();
        assert_eq!(std::fs::metadata(ground.path("tmp/file")).unwrap().uid(), 65534);
    }
}
