//! A request that is being served.

use http1::response::Asked;
use magnus::{Exception, Ruby, Value};
use reactor::{RequestId, Token};

use crate::core::Core;
use crate::ffi::{Escape, ids, is_plain_array, protect};
use crate::report::report;

/// A request that is being served, and the object that is told about it.
pub(crate) struct Exchange<'a> {
    pub(crate) core: &'a Core,
    pub(crate) ruby: &'a Ruby,
    pub(crate) events: Value,
    pub(crate) token: Token,
    pub(crate) asked: Asked,
    pub(crate) env: Value,
    /// Its id, if something is noted of it.
    pub(crate) id: Option<RequestId>,
}

impl Exchange<'_> {
    /// What the client asked for, as far as it still can have it: behind a body that was not read comes no request.
    pub(crate) fn asked_now(&self) -> Asked {
        let keep_alive = self.asked.keep_alive && self.core.reactor().active(self.token).body_is_read();
        Asked { keep_alive, ..self.asked }
    }

    /// Notes the status of the response whose head, of so many bytes, is about to be sent.
    pub(crate) fn note_response(&self, status: u16, head_bytes: usize) {
        if self.id.is_some() {
            self.core.reactor().active(self.token).respond(status, head_bytes);
        }
    }

    /// Tells the worker's Ruby side of an exception of the application's. Other connections are looked after meanwhile:
    /// who is told there may ask the network.
    ///
    /// # Errors
    /// This is a child that was forked in the call.
    pub(crate) fn report(&self, method: &str, exception: Exception) -> Result<(), Escape> {
        self.core.away(|| {
            report(self.events, method, exception);
            Ok(())
        })
    }

    /// Tells whether the application took the connection over.
    pub(crate) fn is_hijacked(&self) -> bool {
        self.core.current.is_hijacked()
    }

    /// Closes a body, if it can be closed.
    pub(crate) fn close_body(&self, body: Value) -> Result<(), Escape> {
        if is_plain_array(body) {
            return Ok(());
        }
        protect(|rb| {
            if rb.responds(body, ids().close) {
                rb.call(body, ids().close, &[]);
            }
        })
    }
}
