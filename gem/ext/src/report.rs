//! What the worker's Ruby side is told: exceptions, facts, and that logs are to be reopened.

use magnus::{Error, Exception, Ruby, Value, prelude::*};
use reactor::Notice;

use crate::ffi::protect;

/// Has the application's side reopen its logs. If that fails the worker serves on.
pub(crate) fn reopen_logs(events: Value) -> Result<(), Error> {
    let outcome = protect(|rb| {
        rb.send(events, "reopen_logs", &[]);
    });
    match outcome.map_err(|escape| (escape.standard_error(), escape)) {
        Ok(()) => Ok(()),
        Err((Some(exception), _)) => {
            report(events, "notice", exception);
            Ok(())
        }
        Err((None, escape)) => Err(escape.into_error()),
    }
}

/// Calls a method of `events` with an exception. What that raises must not hide what it was about, nor end the worker.
pub(crate) fn report(events: Value, method: &str, exception: Exception) {
    let outcome = protect(|rb| {
        rb.send(events, method, &[exception.as_value()]);
    });
    if outcome.is_err() {
        // Standard error is what remains when the log is broken; if that is gone too, nothing does.
        sys::stdio::complain(format_args!("{method}: {exception}"));
    }
}

/// Reports a fact that is no exception of the application as if it were one in the log, and there alone.
pub(crate) fn report_text(ruby: &Ruby, events: Value, text: String) {
    if let Ok(exception) = ruby.exception_runtime_error().new_instance((text,)) {
        report(events, "notice", exception);
    }
}

/// Tells what the operator should know of the connections.
pub(crate) fn tell(ruby: &Ruby, events: Value, notice: &Notice) {
    let text = match notice {
        Notice::CannotAccept(errno) => format!("cannot accept connections, trying again: {errno}"),
        Notice::CannotStoreBody(error) => format!("cannot store a request body: {error}"),
        Notice::CannotStoreResponse(error) => format!("cannot store a response, waiting for its client: {error}"),
        Notice::NoProxyHeader(reason) => format!("closed a connection that has to come from a proxy: {reason}"),
        Notice::CannotLog(errno) => {
            format!("cannot write the access log, its lines are lost until that works again: {errno}")
        }
        Notice::LogsAgain(lost) => format!("the access log is written again; {lost} lines were lost"),
        Notice::CannotTakeOver(text) => format!("a connection of another worker is lost: {text}"),
    };
    report_text(ruby, events, text);
}
