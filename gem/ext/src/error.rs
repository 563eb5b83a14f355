//! Errors of the system as Ruby knows them.

use magnus::{Error, Ruby, prelude::*};

/// Makes the `Errno::…` exception of a failed call.
pub(crate) fn system_error(ruby: &Ruby, call: &str, error: &std::io::Error) -> Error {
    let arguments = (call, error.raw_os_error());
    let class = ruby.exception_system_call_error();
    match class.new_instance(arguments) {
        Ok(exception) => Error::from(exception),
        Err(other) => other,
    }
}
