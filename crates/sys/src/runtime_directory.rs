//! Directories of sockets that are named after the processes that listen on them: `PID.sock`, `herd-PID.ctl`.
//!
//! Containers may share such a directory and have the same process ids: there the second process of an id puts the pid
//! namespace into the name too, `PID-NAMESPACE.sock`. See pid_namespaces(7).

use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use crate::{Error, Result, listener, process};

/// Makes a directory that no other user can enter; one that is there already must be ours.
///
/// # Errors
/// It cannot be made, belongs to another user (in `/tmp`, one may have been there first), is a link, or others may write
/// in it.
pub fn make(path: &Path) -> Result<()> {
    match std::fs::DirBuilder::new().mode(0o700).create(path) {
        Ok(()) => return Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(Error::path("mkdir", path)(error)),
    }
    match owner(path) {
        Some(uid) if uid == process::own_uid() => Ok(()),
        _ => Err(Error::Refused { path: path.to_path_buf(), why: "another user controls this directory" }),
    }
}

/// The user that alone controls what is in a directory: its owner. `None` for a link, for what is no directory, and where
/// others may write.
pub fn owner(path: &Path) -> Option<u32> {
    let meta = std::fs::symlink_metadata(path).ok()?;
    (meta.is_dir() && meta.mode() & 0o022 == 0).then(|| meta.uid())
}

/// The same path for a process of this pid namespace when a process of another one has the first.
pub fn beside(path: &Path) -> Option<PathBuf> {
    let namespace = std::fs::metadata("/proc/self/ns/pid").ok()?.ino();
    let (stem, end) = (path.file_stem()?.to_str()?, path.extension()?.to_str()?);
    Some(path.with_file_name(format!("{stem}-{namespace}.{end}")))
}

/// Removes what processes that were killed have left in a directory of this user's: sockets named after processes that
/// are no more, on which no process listens in any pid namespace.
pub fn sweep(directory: &Path) {
    if owner(directory) != Some(process::own_uid()) {
        return;
    }
    for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        if named_after(&path).is_some_and(|pid| !process::is_alive(pid)) && listener::is_stale(&path) {
            let _ = std::fs::remove_file(path);
        }
    }
}

/// The process id in the name of a socket.
fn named_after(path: &Path) -> Option<u32> {
    let stem = path.file_stem()?.to_str()?;
    let number = match path.extension()?.to_str()? {
        "sock" => stem,
        "ctl" => stem.strip_prefix("herd-")?,
        _ => return None,
    };
    number.split('-').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::net::{AddressFamily, SocketAddrUnix, SocketType};
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::os::unix::net::UnixListener;

    fn place(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("licorne-runtime-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        path
    }

    #[test]
    fn sockets_of_dead_processes_are_removed_and_no_others() {
        let directory = place("sweep");
        make(&directory).unwrap();
        let path = |name: &str| directory.join(name);
        // No process has such an id (pid_max is at most 2^22).
        for dead in ["4200001.sock", "4200001-77.sock", "herd-4200001.ctl", "herd-4200001-77.ctl"] {
            drop(UnixListener::bind(path(dead)).unwrap());
        }
        let own = std::process::id();
        for kept in ["web.sock", &format!("{own}.sock"), "4200001.other"] {
            drop(UnixListener::bind(path(kept)).unwrap());
        }
        let _listens = UnixListener::bind(path("4200002.sock")).unwrap();
        std::fs::write(path("4200003.sock"), "no socket").unwrap();
        // A socket whose process has no time: it refuses nothing, and its process may live in another pid namespace.
        let busy = path("4200004.sock");
        let listener = rustix::net::socket(AddressFamily::UNIX, SocketType::STREAM, None).unwrap();
        rustix::net::bind(&listener, &SocketAddrUnix::new(&busy).unwrap()).unwrap();
        rustix::net::listen(&listener, 1).unwrap();
        let mut waiting = Vec::new();
        let full =
            std::iter::repeat_with(|| listener::connect(&busy)).find_map(|one| one.map(|one| waiting.push(one)).err());
        assert_eq!(full, Some(rustix::io::Errno::AGAIN));
        sweep(&directory);
        let mut left: Vec<_> = std::fs::read_dir(&directory)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        left.sort();
        let mut wanted = vec!["4200001.other".into(), "4200002.sock".into(), format!("{own}.sock"), "web.sock".into()];
        // What is no socket refuses connections too: it is no socket of a process's.
        wanted.extend(["4200003.sock".to_string(), "4200004.sock".to_string()]);
        wanted.sort();
        assert_eq!(left, wanted);
        std::fs::remove_dir_all(&directory).unwrap();
    }

    #[test]
    fn a_link_or_a_directory_that_others_write_is_refused() {
        let (directory, link) = (place("real"), place("link"));
        make(&directory).unwrap();
        make(&directory).unwrap();
        let _ = std::fs::remove_file(&link);
        symlink(&directory, &link).unwrap();
        assert!(make(&link).is_err());
        std::fs::remove_file(&link).unwrap();
        std::fs::set_permissions(&directory, PermissionsExt::from_mode(0o770)).unwrap();
        assert!(make(&directory).is_err());
        std::fs::remove_dir_all(&directory).unwrap();
    }

    #[test]
    fn the_second_of_a_process_id_has_its_namespace_in_the_name() {
        let path = beside(Path::new("/run/licorne/7.sock")).unwrap();
        let name = path.file_name().unwrap().to_str().unwrap();
        assert!(name.starts_with("7-") && name.ends_with(".sock"), "{name}");
        assert_eq!(named_after(&path), Some(7));
    }
}
