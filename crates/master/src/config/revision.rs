//! Which release a generation serves: its directory, its revision, and whether `current` means another one.
//!
//! All of it lies where the application's user can write, so it is read with that user's rights, in small pieces, and
//! taken only if it looks like a revision.

use std::path::{Path, PathBuf};

use sys::user::User;

/// No revision is longer: SHA-256 in hexadecimal has 64 digits, `git describe` some words.
const REVISION_BYTES: u64 = 100;
/// `.git/HEAD` and a ref, or the `gitdir:` line of a worktree.
const GIT_BYTES: u64 = 4_096;
/// Of the list of all refs.
const PACKED_BYTES: u64 = 1 << 20;
/// The link that deployment tools move. Capistrano, Mina, Deployer and their like agree on its name.
const CURRENT: &str = "current";
/// How far above the application's directory its release may begin (`releases/1/backend/api`).
const DEPTH: usize = 3;

/// A release as a mold was started in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Release {
    /// Its directory, without symbolic links.
    directory: PathBuf,
    /// What REVISION or git say it is.
    revision: Option<String>,
}

impl Release {
    /// Looks at the release in a directory.
    pub(crate) fn at(directory: &Path, user: Option<&User>) -> Self {
        let directory = std::fs::canonicalize(directory).unwrap_or_else(|_| directory.to_path_buf());
        let revision = directory.ancestors().take(DEPTH).find_map(|place| revision_of(place, user));
        Self { directory, revision }
    }

    /// Its directory, without symbolic links.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Returns the link beside the release that leads to another one by now, and where it leads.
    pub(crate) fn moved_on(&self) -> Option<(PathBuf, PathBuf)> {
        let Beside { root, link, there } = beside(&self.directory)?;
        (there != root).then_some((link, there))
    }

    /// What is warned of when the link leads elsewhere.
    pub(crate) fn warning(&self) -> Option<String> {
        let (link, there) = self.moved_on()?;
        let (link, there) = (link.display(), there.display());
        Some(format!("{link} leads to {there}, but {} serves", self.directory.display()))
    }

    /// The release as the status tells it.
    pub(crate) fn told(&self) -> facts::Release {
        facts::Release {
            directory: self.directory.to_string_lossy().into_owned(),
            revision: self.revision.clone(),
            warning: self.warning(),
        }
    }
}

impl std::fmt::Display for Release {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.directory.display())?;
        self.revision.as_ref().map_or(Ok(()), |revision| write!(f, " revision={revision}"))
    }
}

/// The link to the current release beside a release.
struct Beside<'a> {
    /// Where the release begins.
    root: &'a Path,
    link: PathBuf,
    /// Which release the link leads to; one that has been deleted counts.
    there: PathBuf,
}

/// Looks for the link to the current one of the releases that lie together with that of `directory`.
fn beside(directory: &Path) -> Option<Beside<'_>> {
    directory.ancestors().take(DEPTH).find_map(|root| {
        let releases = root.parent()?;
        let links = [Some(releases), releases.parent()].into_iter().flatten().map(|place| place.join(CURRENT));
        links.into_iter().find_map(|link| {
            let target = std::fs::read_link(&link).ok()?;
            let there = std::fs::canonicalize(&link).unwrap_or_else(|_| link.with_file_name(target));
            (there.parent() == Some(releases)).then_some(Beside { root, link, there })
        })
    })
}

/// The name of a directory by the link to the current release, if the directory, which is named without symbolic links,
/// is in that one: `/srv/app/current/api` for `/srv/app/releases/1/api`.
pub fn current_name(directory: &Path) -> Option<PathBuf> {
    let Beside { root, link, there } = beside(directory)?;
    let rest = directory.strip_prefix(root).ok().filter(|_| there == root)?;
    Some(if rest.as_os_str().is_empty() { link } else { link.join(rest) })
}

fn revision_of(place: &Path, user: Option<&User>) -> Option<String> {
    let read = |path: PathBuf, most| {
        let bytes = sys::safe_open::act(&path, user, || sys::safe_open::read(&path, most)).ok()?;
        Some(String::from_utf8(bytes).ok()?.trim().to_string())
    };
    if let Some(revision) = read(place.join("REVISION"), REVISION_BYTES).filter(|text| is_revision(text)) {
        return Some(revision);
    }
    commit_of(&place.join(".git"), read).filter(|text| is_revision(text))
}

/// What is checked out. See gitrepository-layout(5): `HEAD`, `packed-refs`, `commondir`, and a `.git` that is a file.
fn commit_of(git: &Path, read: impl Fn(PathBuf, u64) -> Option<String>) -> Option<String> {
    let elsewhere = read(git.to_path_buf(), GIT_BYTES);
    let git = elsewhere.and_then(|line| Some(git.with_file_name(line.strip_prefix("gitdir: ")?))).unwrap_or(git.into());
    let head = read(git.join("HEAD"), GIT_BYTES)?;
    let name = match head.strip_prefix("ref: ") {
        Some(name) if name.starts_with("refs/") && !name.contains("..") => name,
        Some(_) => return None,
        None => return Some(head),
    };
    let common = read(git.join("commondir"), GIT_BYTES).map(|path| git.join(path));
    let places: Vec<PathBuf> = [git].into_iter().chain(common).collect();
    places.iter().find_map(|place| read(place.join(name), REVISION_BYTES)).or_else(|| {
        let list = places.iter().find_map(|place| read(place.join("packed-refs"), PACKED_BYTES))?;
        list.lines().find_map(|line| line.strip_suffix(name)?.strip_suffix(' ').map(str::to_string))
    })
}

fn is_revision(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-+".contains(&byte))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    #[test]
    fn revision_comes_from_the_file_or_from_git_and_looks_like_one() {
        let place = tempfile::tempdir().unwrap();
        let revision = || Release::at(place.path(), None).revision;
        assert_eq!(revision(), None);
        fs::create_dir_all(place.path().join(".git/refs/heads")).unwrap();
        fs::write(place.path().join(".git/HEAD"), "ref: refs/heads/main\n").unwrap();
        fs::write(place.path().join(".git/refs/heads/main"), "0123abcd\n").unwrap();
        assert_eq!(revision().as_deref(), Some("0123abcd"));
        fs::write(place.path().join("REVISION"), "v1.2-3-gabcdef\n").unwrap();
        assert_eq!(revision().as_deref(), Some("v1.2-3-gabcdef"));
        fs::write(place.path().join("REVISION"), "root:$6$secret:1:2\n").unwrap();
        fs::write(place.path().join(".git/HEAD"), "ref: refs/../../secret\n").unwrap();
        assert_eq!(revision(), None);
    }

    #[test]
    fn commits_are_found_in_packed_refs_and_from_worktrees_too() {
        let place = tempfile::tempdir().unwrap();
        for directory in ["app", "git/worktrees/app"] {
            fs::create_dir_all(place.path().join(directory)).unwrap();
        }
        let write = |name: &str, text: &str| fs::write(place.path().join(name), text).unwrap();
        write("app/.git", "gitdir: ../git/worktrees/app\n");
        write("git/worktrees/app/HEAD", "ref: refs/heads/main\n");
        write("git/worktrees/app/commondir", "../..\n");
        write(
            "git/packed-refs",
            "# pack-refs with: peeled\n0000ffff refs/heads/other\n0123abcd refs/heads/main\n^0000eeee\n",
        );
        assert_eq!(Release::at(&place.path().join("app"), None).revision.as_deref(), Some("0123abcd"));
    }

    #[test]
    fn current_that_leads_to_another_release_is_warned_of() {
        let place = tempfile::tempdir().unwrap();
        let root = fs::canonicalize(place.path()).unwrap();
        fs::create_dir_all(root.join("releases/1/backend")).unwrap();
        fs::create_dir_all(root.join("releases/2/backend")).unwrap();
        symlink("releases/1", root.join("current")).unwrap();
        let release = Release::at(&root.join("current/backend"), None);
        assert_eq!(release.directory, root.join("releases/1/backend"));
        assert_eq!(release.moved_on(), None);
        assert_eq!(current_name(&release.directory), Some(root.join("current/backend")));
        fs::remove_file(root.join("current")).unwrap();
        symlink("releases/2", root.join("current")).unwrap();
        assert_eq!(release.moved_on(), Some((root.join("current"), root.join("releases/2"))));
        assert_eq!(current_name(&release.directory), None);
        assert!(release.warning().unwrap().ends_with("releases/1/backend serves"));
        fs::remove_dir_all(root.join("releases/2")).unwrap();
        assert_eq!(release.moved_on(), Some((root.join("current"), root.join("releases/2"))), "deleted");
        assert_eq!(Release::at(&root, None).moved_on(), None, "a directory that is no release");
    }
}
