//! What an upgrade in place carries from one program to the next: descriptors by their numbers, and paths as bytes.

use std::ffi::OsString;
use std::os::fd::BorrowedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use wire::state::Bytes;

/// Gives each descriptor the number under which the next program has it.
pub(crate) type Number<'a> = dyn FnMut(BorrowedFd<'_>) -> sys::Result<i32> + 'a;

pub(crate) fn bytes(path: &Path) -> Bytes {
    Bytes(path.as_os_str().as_bytes().to_vec())
}

pub(crate) fn os_string(bytes: &Bytes) -> OsString {
    OsString::from_vec(bytes.0.clone())
}

pub(crate) fn path(bytes: &Bytes) -> PathBuf {
    PathBuf::from(os_string(bytes))
}

pub(crate) fn paths(all: &[Bytes]) -> Vec<PathBuf> {
    all.iter().map(path).collect()
}
