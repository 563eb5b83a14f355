//! Notices that a file is touched, wherever its path leads by then. See inotify(7).

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ffi::{OsStr, OsString};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::inotify::{self, CreateFlags, WatchFlags};

use crate::{Error, Result};

/// No path leads through more symbolic links (`ELOOP`).
const LINKS: usize = 40;
/// So many names of a way are watched. The links on it may be another user's, and make it as long as they like.
const NAMES: usize = 256;
/// So many events are taken at once: another user may make them as fast as they are read.
const EVENTS: usize = 4096;

/// A watch on a file that may not be there, in directories that may be replaced.
///
/// Each directory on the way is watched for the next name of the path, links on the way likewise.
#[derive(Debug)]
pub struct PathWatch {
    path: PathBuf,
    way: Way,
    /// The file as it was when it was there last.
    seen: Option<Stamp>,
}

/// What tells one state of a file from the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    changed: (i64, i64),
}

#[derive(Debug)]
struct Way {
    fd: OwnedFd,
    /// The names that matter in each directory, by its watch.
    names: BTreeMap<i32, BTreeSet<OsString>>,
}

impl PathWatch {
    /// Begins to watch. The path is absolute.
    ///
    /// # Errors
    /// No watch is left (`fs.inotify.max_user_instances`, `max_user_watches`).
    pub fn on(path: &Path) -> Result<Self> {
        let way = Way::to(path)?;
        Ok(Self { path: path.to_path_buf(), way, seen: stamp(path) })
    }

    /// Takes what has happened. Returns whether something on the way has changed: then [`PathWatch::look`] tells what it means.
    pub fn take(&mut self) -> bool {
        self.way.take()
    }

    /// Goes the way anew. Returns whether the file was touched: written, given another time, or put there.
    ///
    /// # Errors
    /// As [`PathWatch::on`]: then nothing more will be noticed.
    pub fn look(&mut self) -> Result<bool> {
        // Before the look at the file: what happens between the two is noticed the next time.
        self.way = Way::to(&self.path)?;
        let now = stamp(&self.path);
        let touched = now.is_some() && now != self.seen;
        self.seen = now.or(self.seen);
        Ok(touched)
    }
}

impl AsFd for PathWatch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.way.fd.as_fd()
    }
}

impl Way {
    fn to(path: &Path) -> Result<Self> {
        let fd = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).map_err(Error::call("inotify_init1"))?;
        let mut way = Self { fd, names: BTreeMap::new() };
        let mut directory = PathBuf::from("/");
        let mut left: VecDeque<OsString> = names(path);
        let mut links = 0;
        for _ in 0..NAMES {
            let Some(name) = left.pop_front() else { break };
            if name == ".." {
                directory.pop();
                continue;
            }
            if !way.watch(&directory, &name)? {
                break;
            }
            let next = directory.join(&name);
            match std::fs::read_link(&next) {
                Ok(target) if links < LINKS => {
                    links += 1;
                    if target.is_absolute() {
                        directory = PathBuf::from("/");
                    }
                    names(&target).into_iter().rev().for_each(|name| left.push_front(name));
                }
                _ => directory = next,
            }
        }
        Ok(way)
    }

    /// Watches a directory for a name. Returns whether it is there.
    fn watch(&mut self, directory: &Path, name: &OsStr) -> Result<bool> {
        let events = WatchFlags::CREATE
            | WatchFlags::CLOSE_WRITE
            | WatchFlags::ATTRIB
            | WatchFlags::MODIFY
            | WatchFlags::MOVE
            | WatchFlags::DELETE
            | WatchFlags::DELETE_SELF
            | WatchFlags::MOVE_SELF
            | WatchFlags::ONLYDIR;
        match inotify::add_watch(&self.fd, directory, events) {
            Ok(watch) => {
                self.names.entry(watch).or_default().insert(name.to_owned());
                Ok(true)
            }
            // It is gone, was never there, or is not for this process: the directories before it tell when that changes.
            Err(rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR | rustix::io::Errno::ACCESS) => Ok(false),
            Err(errno) => Err(Error::path("inotify_add_watch", directory)(errno)),
        }
    }

    /// Takes what has happened, up to the first thing that matters. Returns whether there was one.
    fn take(&self) -> bool {
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut reader = inotify::Reader::new(&self.fd, &mut buffer);
        for _ in 0..EVENTS {
            let Ok(event) = reader.next() else { return false };
            let name = event.file_name().map(|name| OsStr::from_bytes(name.to_bytes()));
            // Without a name it is the directory itself, or events were lost.
            if name.is_none_or(|name| self.names.get(&event.wd()).is_some_and(|names| names.contains(name))) {
                return true;
            }
        }
        false
    }
}

/// The names of a path, in their order.
fn names(path: &Path) -> VecDeque<OsString> {
    let name = |component: Component<'_>| match component {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    };
    path.components().filter_map(name).collect()
}

fn stamp(path: &Path) -> Option<Stamp> {
    let stat = rustix::fs::stat(path).ok()?;
    let changed = (stat.st_mtime, i64::try_from(stat.st_mtime_nsec).unwrap_or(0));
    Some(Stamp { device: stat.st_dev, inode: stat.st_ino, changed })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    #[test]
    fn a_file_is_noticed_wherever_its_path_leads_by_then() {
        let root = std::env::temp_dir().join(format!("licorne-path-watch-{}", std::process::id()));
        let make = |name: &str| fs::create_dir_all(root.join(name)).unwrap();
        make("releases/1/tmp");
        symlink("releases/1", root.join("current")).unwrap();
        let file = root.join("current/tmp/restart.txt");
        let mut watch = PathWatch::on(&file).unwrap();
        let mut touched = || watch.take() && watch.look().unwrap();
        assert!(!touched());
        fs::write(root.join("current/tmp/other"), "").unwrap();
        assert!(!touched(), "other files do not matter");
        fs::write(&file, "").unwrap();
        assert!(touched(), "it is there now");
        assert!(!touched());
        let time = |seconds| std::time::UNIX_EPOCH + std::time::Duration::from_secs(seconds);
        fs::File::open(&file).unwrap().set_modified(time(1)).unwrap();
        assert!(touched(), "it has another time");
        fs::remove_file(&file).unwrap();
        assert!(!touched(), "it is gone");
        fs::remove_dir_all(root.join("releases/1/tmp")).unwrap();
        assert!(!touched());
        make("releases/1/tmp");
        fs::write(&file, "").unwrap();
        assert!(touched(), "its directory was replaced");
        make("releases/2/tmp");
        symlink("releases/2", root.join("next")).unwrap();
        fs::rename(root.join("next"), root.join("current")).unwrap();
        assert!(!touched(), "the new release has none");
        fs::write(&file, "").unwrap();
        assert!(touched(), "it is in the new release");
        fs::write(root.join("releases/1/tmp/restart.txt"), "again").unwrap();
        assert!(!touched(), "that is another file");
        fs::remove_dir_all(&root).unwrap();
        assert!(!touched());
        make("current/tmp");
        fs::write(&file, "").unwrap();
        assert!(touched(), "all of the way was replaced");
        fs::remove_dir_all(&root).unwrap();
    }
}
