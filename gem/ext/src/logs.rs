//! Log files and sockets, opened by the rule of `sys::safe_open`, for Ruby.

use std::ffi::OsString;
use std::os::fd::IntoRawFd;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use magnus::{Error, RHash, RModule, RString, Ruby, function, prelude::*};
use sys::listener::{Listener, Options};
use sys::user::User;

use crate::error::system_error;
use crate::ffi;

/// The arguments of the directive `user`: a name, and a group or nil.
type Named = Option<(String, Option<String>)>;

pub(crate) fn define(native: RModule) -> Result<(), Error> {
    native.define_module_function("user_ids", function!(user_ids, 2))?;
    native.define_module_function("open_log", function!(open_log, 3))?;
    native.define_module_function("put_descriptor", function!(put_descriptor, 2))?;
    native.define_module_function("give_log", function!(give_log, 5))?;
    native.define_module_function("replace_socket", function!(replace_socket, 3))
}

/// What the master has to know of a user, which it must not look up itself.
fn user_ids(ruby: &Ruby, name: String, group: Option<String>) -> Result<Option<RHash>, Error> {
    let Some(user) = User::look_up(&name, group.as_deref()) else { return Ok(None) };
    let ids = ruby.hash_new();
    ids.aset("name", user.name)?;
    ids.aset("uid", user.uid)?;
    ids.aset("gid", user.gid)?;
    ids.aset("groups", user.groups)?;
    Ok(Some(ids))
}

/// Opens a log for an application of `user`; `old` is the descriptor of the log that it takes the place of. Returns the
/// number of a descriptor that nothing owns yet.
fn open_log(ruby: &Ruby, path: RString, user: Named, old: Option<i32>) -> Result<i32, Error> {
    let path = path_of(path);
    let old = old.and_then(|number| ffi::duplicate_descriptor(number).ok());
    let before = old.and_then(|old| rustix::fs::fstat(&old).ok());
    let before = before.filter(|meta| rustix::fs::FileType::from_raw_mode(meta.st_mode).is_file());
    let before = before.map(|meta| (meta.st_uid, meta.st_gid));
    let file = sys::safe_open::open_log(&path, look_up(user).as_ref(), before).map_err(|error| raised(ruby, &error))?;
    Ok(file.into_raw_fd())
}

/// Makes a descriptor that `open_log` returned the one of another number, and closes it.
fn put_descriptor(ruby: &Ruby, from: i32, to: i32) -> Result<(), Error> {
    let from = ffi::adopt_descriptor(from).map_err(|error| system_error(ruby, "fcntl", &error))?;
    sys::stdio::put_at(from, to).map_err(|error| raised(ruby, &error))
}

/// Gives an open log away where root alone controls its path.
fn give_log(number: i32, path: RString, user: Named, uid: u32, gid: u32) {
    if let Ok(file) = ffi::duplicate_descriptor(number) {
        sys::safe_open::give(&file, &path_of(path), look_up(user).as_ref(), uid, gid);
    }
}

/// Listens on a UNIX socket at `path`, in the place of a server that did before. Returns the number of a descriptor
/// that nothing owns yet.
fn replace_socket(ruby: &Ruby, path: RString, umask: u32, user: Named) -> Result<i32, Error> {
    let options = Options { umask, ..Options::default() };
    let bound =
        Listener::replace(look_up(user).as_ref(), &path_of(path), &options).map_err(|error| raised(ruby, &error))?;
    Ok(bound.into_fd().into_raw_fd())
}

fn look_up(user: Named) -> Option<User> {
    user.and_then(|(name, group)| User::look_up(&name, group.as_deref()))
}

fn path_of(path: RString) -> PathBuf {
    ffi::with_bytes(path.as_value(), |bytes| OsString::from_vec(bytes.to_vec()).into())
}

/// A failed call is the `Errno::…` that Ruby knows for it; a refusal is none of those.
fn raised(ruby: &Ruby, error: &sys::Error) -> Error {
    let text = error.chain();
    let Some(number) = error.number() else { return Error::new(ruby.exception_io_error(), text) };
    match ruby.exception_system_call_error().new_instance((text, number)) {
        Ok(exception) => Error::from(exception),
        Err(other) => other,
    }
}
