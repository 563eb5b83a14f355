//! Ruby Sockets for connections that the application takes over.

use std::os::fd::{AsFd, IntoRawFd, OwnedFd};

use magnus::{Error, Value, prelude::*};

use crate::ffi::{self, Rb, protect};

/// Makes a Ruby Socket that owns the descriptor.
pub(crate) fn ruby_socket(rb: Rb<'_>, fd: OwnedFd) -> Result<Value, Error> {
    let ruby = ffi::ruby();
    // The application may well read and wait: a limit that is ours must not end that.
    sys::listener::unlimit(fd.as_fd());
    // From here on Ruby closes it; if Ruby raises first, the descriptor leaks until the worker ends.
    let number = ruby.integer_from_i64(fd.into_raw_fd().into()).as_value();
    rb.require(c"socket");
    let class: Value = ruby.class_object().const_get("Socket")?;
    Ok(rb.send(class, "for_fd", &[number]))
}

/// Ends the connection of a Ruby Socket that has no use any more.
pub(crate) fn close_socket(socket: Value) {
    // Not merely closed: a child that the application forked may hold the descriptor, and the client would wait. The
    // first raises when the application closed the socket, or the client left.
    for method in ["shutdown", "close"] {
        let _ = protect(|rb| {
            rb.send(socket, method, &[]);
        });
    }
}
