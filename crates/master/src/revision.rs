//! Which release a generation serves: its directory, its revision, and whether `current` means another one.
//!
//! All of it lies where the application's user can write, so it is read with that user's rights, in small pieces, and
//! taken only if it looks like a revision.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use sys::user::User;

/// No revision is longer: SHA-256 in hexadecimal has 64 digits, `git describe` some words.
const REVISION_BYTES: u64 = 100;
/// `.git/HEAD` and a ref, or the `gitdir:` line of a worktree.
const GIT_BYTES: u64 = 4_096;
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

    /// Returns the link beside the release that leads to another one by now, and where it leads.
    pub(crate) fn moved_on(&self) -> Option<(PathBuf, PathBuf)> {
        self.directory.ancestors().take(DEPTH).find_map(|root| {
            let releases = root.parent()?;
            let links = [releases.join(CURRENT), releases.parent()?.join(CURRENT)];
            links.into_iter().find_map(|link| {
                std::fs::read_link(&link).ok()?;
                let there = std::fs::canonicalize(&link).ok()?;
                (there.parent() == Some(releases) && there != root).then_some((link, there))
            })
        })
    }

    /// What is warned of when the link leads elsewhere.
    pub(crate) fn warning(&self) -> Option<String> {
        let (link, there) = self.moved_on()?;
        let (link, there) = (link.display(), there.display());
        Some(format!("{link} leads to {there}, but {} serves", self.directory.display()))
    }

    /// The release as `licorne status` has it.
    pub(crate) fn status(&self) -> Value {
        json!({ "directory": self.directory.to_string_lossy(), "revision": self.revision, "warning": self.warning() })
    }
}

impl std::fmt::Display for Release {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.directory.display())?;
        self.revision.as_ref().map_or(Ok(()), |revision| write!(f, " revision={revision}"))
    }
}

fn revision_of(place: &Path, user: Option<&User>) -> Option<String> {
    let read = |path: PathBuf, most| {
        let bytes = sys::safe_open::act(&path, user, || sys::safe_open::read(&path, most)).ok()?;
        Some(String::from_utf8(bytes).ok()?.trim().to_string())
    };
    if let Some(revision) = read(place.join("REVISION"), REVISION_BYTES).filter(|text| is_revision(text)) {
        return Some(revision);
    }
    let git = place.join(".git");
    let head = read(git.join("HEAD"), GIT_BYTES)?;
    let revision = match head.strip_prefix("ref: ") {
        Some(name) if name.starts_with("refs/") && !name.contains("..") => read(git.join(name), REVISION_BYTES)?,
        Some(_) => return None,
        None => head,
    };
    Some(revision).filter(|text| is_revision(text))
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
    fn current_that_leads_to_another_release_is_warned_of() {
        let place = tempfile::tempdir().unwrap();
        let root = fs::canonicalize(place.path()).unwrap();
        fs::create_dir_all(root.join("releases/1/backend")).unwrap();
        fs::create_dir_all(root.join("releases/2/backend")).unwrap();
        symlink("releases/1", root.join("current")).unwrap();
        let release = Release::at(&root.join("current/backend"), None);
        assert_eq!(release.directory, root.join("releases/1/backend"));
        assert_eq!(release.moved_on(), None);
        fs::remove_file(root.join("current")).unwrap();
        symlink("releases/2", root.join("current")).unwrap();
        assert_eq!(release.moved_on(), Some((root.join("current"), root.join("releases/2"))));
        assert!(release.warning().unwrap().ends_with("releases/1/backend serves"));
        assert_eq!(Release::at(&root, None).moved_on(), None, "a directory that is no release");
    }
}
