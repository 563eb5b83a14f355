//! The directory that the program was started in, by the name that the user knows.

use std::path::{Path, PathBuf};

use crate::error::Error;

/// What supervisord sets for its programs: a login shell that it starts cannot know the name of the directory either.
const SUPERVISORD: &str = "SUPERVISOR_ENABLED";

/// The current directory as the user sees it: `PWD`, when that is the same place, keeps symbolic links (`current`). A
/// supervisor that enters the link itself sets no `PWD`; then `OLDPWD`, `BUNDLE_GEMFILE` or one of these paths of the
/// command line may lead through the link. And where nothing names the directory, but the link to the current release leads
/// to just this one, that link is what was meant: releases have new names all the time, and nothing is set up with those.
pub(crate) fn start_directory(paths: &[&str]) -> Result<PathBuf, Error> {
    let real = std::env::current_dir().map_err(Error::CurrentDirectory)?;
    let variable = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let logical = variable("PWD").filter(|path| std::fs::canonicalize(path).is_ok_and(|there| there == real));
    // A shell that was started in the target of a link sets `PWD` to that target as well. `OLDPWD` counts only without a
    // valid `PWD`: a person who has left the link means the release.
    let unnamed = logical.is_none() || std::env::var_os(SUPERVISORD).is_some();
    let before = logical.is_none().then(|| variable("OLDPWD")).flatten();
    if let Some(logical) = logical.filter(|logical| *logical != real) {
        return Ok(logical);
    }
    let of_environment = before.into_iter().chain(variable("BUNDLE_GEMFILE"));
    let mut candidates = of_environment.chain(paths.iter().map(PathBuf::from));
    let named = candidates.find_map(|path| linked_name(&real, &path));
    Ok(named.or_else(|| unnamed.then(|| master::revision::current_name(&real)).flatten()).unwrap_or(real))
}

/// The name of the directory `real`, which has no symbolic links, by the links on the way of `path`: one of the
/// directories that `path` leads through is `real`, or is above it, under another name.
fn linked_name(real: &Path, path: &Path) -> Option<PathBuf> {
    path.is_absolute().then_some(())?;
    path.ancestors().find_map(|place| {
        let there = std::fs::canonicalize(place).ok().filter(|there| there != place)?;
        let rest = real.strip_prefix(&there).ok()?;
        Some(if rest.as_os_str().is_empty() { place.to_path_buf() } else { place.join(rest) })
    })
}
