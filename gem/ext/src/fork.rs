//! This process, or a child that the application forked: told apart at one boundary, behind code of the application's.

use magnus::{Error, RModule, Ruby, Value, function, prelude::*};

use crate::error::system_error;
use crate::ffi::{self, Escape};

pub(crate) fn define(native: RModule) -> Result<(), Error> {
    native.define_module_function("keep_from_children", function!(keep_from_children, 1))?;
    native.define_module_function("fork_ours", function!(fork_ours, 0))
}

/// Tells apart, behind code of the application's, this process and a child that was forked in there: of the child's
/// outcome nothing may be done but to end.
pub(crate) fn own<T>(outcome: Result<T, Escape>) -> Result<T, Escape> {
    if ffi::is_forked() { Err(Escape::of_child(outcome)) } else { outcome }
}

/// Has children that this process forks from now on lose what these descriptors lead to.
fn keep_from_children(ruby: &Ruby, numbers: Vec<i32>) -> Result<(), Error> {
    ffi::watch_forks().map_err(|error| system_error(ruby, "pthread_atfork", &error))?;
    numbers.into_iter().for_each(ffi::keep_from_children);
    Ok(())
}

/// `Process.fork`, of a child that is the server's own and loses nothing.
fn fork_ours(ruby: &Ruby) -> Result<Value, Error> {
    let process: RModule = ruby.class_object().const_get("Process")?;
    ffi::forking_ours(|| process.funcall("fork", ()))
}
