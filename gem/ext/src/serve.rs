//! One request: env, application, response, and what has to happen afterwards however it went.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use http1::request::Version;
use http1::response::{Asked, write_error};
use magnus::{Exception, Ruby, Value, prelude::*, typed_data::Obj};
use reactor::{After, Body, Fault, RequestId, Token};
use scoreboard::State;
use sys::clock::monotonic_ns;

use crate::core::{Core, Running};
use crate::exchange::Exchange;
use crate::ffi::{Escape, Locked, element, fixnum, ids, is_array, length, protect};
use crate::fork::own;
use crate::rack::{EarlyHints, Input};
use crate::request::env::Parts;
use crate::response::{Outcome, respond};
use crate::socket::close_socket;

/// Serves a request. Comes back with an [`Escape`] only when the worker must end: an exception that is no
/// StandardError.
pub(crate) fn serve(
    ruby: &Ruby,
    shared: &Arc<Locked<Core>>,
    app: Value,
    events: Value,
    token: Token,
) -> Result<(), Escape> {
    let core = shared.get(ruby);
    if core.check_client && core.reactor().active(token).client_left() {
        let mut reactor = core.reactor();
        let mut active = reactor.active(token);
        if active.begin(monotonic_ns(), 0).is_some() {
            active.respond(CLIENT_LEFT, 0);
        }
        active.not_taken();
        active.finish(After::Abort);
        return Ok(());
    }
    let Some((asked, id)) = begin(core, token) else { return Ok(()) };
    core.usage.begin();
    let outcome = build_env(ruby, shared, token, asked.version, id).and_then(|(env, large)| {
        let exchange = Exchange { core, ruby, events, token, asked, env, id };
        let outcome = run(&exchange, app);
        if !matches!(outcome, Ended::Escaped(Escape::Child(_))) {
            afterwards(&exchange, &outcome)?;
        }
        if let Ended::Escaped(escape) = outcome {
            return Err(escape);
        }
        if let Some(input) = large.filter(|_| !exchange.is_hijacked()) {
            // Not left to the garbage collector: uploads would fill disk and memory until it runs.
            Input::close(ruby, &input);
        }
        Ok(())
    });
    let outcome = own(outcome);
    if let Err(Escape::Child(_)) = outcome {
        return outcome;
    }
    core.shared.take_back();
    let now_ns = monotonic_ns();
    core.seat.look(|seat| {
        core.usage.end(seat);
        core.collector.look(seat);
    });
    let mut reactor = core.reactor();
    if outcome.is_err() {
        reactor.active(token).finish(After::Abort);
    }
    reactor.note_time(now_ns);
    reactor.end_request(now_ns);
    let state = if reactor.is_retiring() { State::Retiring } else { State::Idle };
    core.current.end();
    core.seat.count_traffic(reactor.take_traffic());
    let looks_at_backlogs = core.seat.note_done(now_ns);
    core.seat.look(|seat| {
        if looks_at_backlogs {
            reactor.backlogs().for_each(|(listener, waiting)| seat.note_backlog(listener, waiting, now_ns));
        }
        // Of one that ends the worker, by `exit` or the like, the seat tells afterwards.
        if outcome.is_ok() {
            seat.end_request(now_ns, state);
        }
    });
    outcome
}

/// The status of a request whose client left before there was a response: nginx's.
const CLIENT_LEFT: u16 = 499;

/// Notes on the seat what begins. Returns what the client asks for, and the id of the request if it has one.
fn begin(core: &Core, token: Token) -> Option<(Asked, Option<RequestId>)> {
    let now_ns = monotonic_ns();
    let mut reactor = core.reactor();
    reactor.note_time(now_ns);
    let since_proxy_ns = core.template.waited_since_proxy_ns(&reactor.active(token).request()?);
    let waited_ns = since_proxy_ns.unwrap_or_else(|| reactor.waited_ns());
    let connections = reactor.connections() as u64;
    let mut active = reactor.active(token);
    let id = active.begin(now_ns, waited_ns);
    let request = active.request()?;
    core.seat.look(|seat| {
        let (head, buffer) = (request.head, request.buffer);
        seat.set_connections(connections);
        core.seat.place().set_movement(seat.requests(), connections);
        if let Some(queue) = seat.queue() {
            queue.count(waited_ns);
        }
        if let Some(id) = &id {
            seat.set_request_id(id.as_bytes());
        }
        seat.begin_request(now_ns, head.method.of(buffer), head.target.of(buffer));
    });
    core.seat.note_busy(now_ns);
    Some((Asked::by(request.head, active.keeps_alive()), id))
}

/// Numbers the requests of this process.
fn next_serial() -> u64 {
    static LAST: AtomicU64 = AtomicU64::new(0);
    LAST.fetch_add(1, Ordering::Relaxed) + 1
}

/// Makes the env. Its input is returned as well when the body is large.
fn build_env(
    ruby: &Ruby,
    shared: &Arc<Locked<Core>>,
    token: Token,
    version: Version,
    id: Option<RequestId>,
) -> Result<(Value, Option<Obj<Input>>), Escape> {
    let core = shared.get(ruby);
    let serial = next_serial();
    let body = core.reactor().active(token).take_body();
    let is_large = body.is_large();
    let streamed = core.reactor().active(token).streamed_body();
    let input = match streamed {
        Some(bytes) => Some(Input::of_arriving(ruby, &core.streaming, serial, bytes)),
        None => (!matches!(body, Body::Empty)).then(|| Input::of_whole(ruby, &core.streaming, body)),
    };
    let large = input.filter(|_| is_large || streamed.is_some());
    let parts = Parts {
        input: input.map(|input| input.as_value()),
        tempfile: large.filter(|_| is_large).map(|input| input.as_value()),
        serial,
        // Clients of HTTP/1.0 do not know interim responses; the application may call without a look at the version.
        early_hints: core.early_hints.then(|| {
            let serial = (version == Version::Http11).then_some(serial);
            ruby.obj_wrap(EarlyHints::new(shared, serial)).as_value()
        }),
        id,
    };
    let env = {
        let mut reactor = core.reactor();
        let active = reactor.active(token);
        let Some(request) = active.request() else { return Ok((ruby.qnil().as_value(), None)) };
        let mut scratch = core.template.scratch(&request);
        let env = protect(|rb| core.template.build(rb, &request, &parts, &mut scratch));
        core.template.give_back(scratch);
        env?
    };
    core.current.begin(Running { serial, token }, env);
    Ok((env, large))
}

/// How a request ended.
pub(crate) enum Ended {
    /// With a response: its status, and the objects for `rack.response_finished`.
    Responded { status: Value, fields: Value, error: Option<Exception>, is_cut: bool },
    /// With an exception before there was a response.
    Failed(Exception),
    /// With something that ends the worker.
    Escaped(Escape),
}

/// Calls the application and responds.
fn run(exchange: &Exchange<'_>, app: Value) -> Ended {
    let mut result = call(exchange, app);
    if result.is_ok_and(|triple| status_of(triple) == Some(100)) {
        // The client was invited to send its body before the application was called at all.
        let again = protect(|rb| rb.delete(exchange.env, exchange.core.template.keys.http_expect));
        result = again.and_then(|()| call(exchange, app));
    }
    match result {
        Ok(triple) => match own(respond(exchange, triple)) {
            Ok(Outcome { status, fields, error, is_cut }) => Ended::Responded { status, fields, error, is_cut },
            Err(escape) => fail(exchange, escape),
        },
        Err(escape) => fail(exchange, escape),
    }
}

fn call(exchange: &Exchange<'_>, app: Value) -> Result<Value, Escape> {
    exchange.core.away(|| {
        protect(|rb| {
            rb.check_interrupts();
            rb.call(app, ids().call, &[exchange.env])
        })
    })
}

/// Answers 500 to what went wrong before any byte of a response was sent.
fn fail(exchange: &Exchange<'_>, escape: Escape) -> Ended {
    let Some(exception) = escape.standard_error() else { return Ended::Escaped(escape) };
    let fault = if exchange.is_hijacked() { None } else { exchange.core.streaming.take_fault() };
    if let Some(fault) = fault {
        // The client's fault: it is not reported.
        if fault == Fault::Gone {
            exchange.note_response(CLIENT_LEFT, 0);
        }
        let mut reactor = exchange.core.reactor();
        match fault {
            Fault::Gone => reactor.active(exchange.token).finish(After::Abort),
            Fault::Refused(status) => {
                reactor.active(exchange.token).refuse(status);
                exchange.core.seat.look(|seat| seat.count_response(status));
            }
        }
        return Ended::Failed(exception);
    }
    if let Err(child) = exchange.report("app_error", exception) {
        return Ended::Escaped(child);
    }
    exchange.core.seat.look(|seat| {
        seat.count_server_error();
        seat.count_raised();
    });
    if let Some(socket) = exchange.core.current.hijacked() {
        // An application that failed has not passed it on, and no other owner would close it before a collection.
        close_socket(socket);
    } else {
        let mut reactor = exchange.core.reactor();
        let mut response = Vec::with_capacity(160);
        write_error(&mut response, 500, reactor.date());
        exchange.core.seat.look(|seat| seat.count_response(500));
        let mut active = reactor.active(exchange.token);
        active.respond(500, response.len());
        let after = match active.send(&[&response]) {
            Ok(()) => After::Close,
            Err(_) => After::Abort,
        };
        active.finish(after);
    }
    Ended::Failed(exception)
}

/// Runs what the application left to be done after the response. One that fails does not stop the others.
fn afterwards(exchange: &Exchange<'_>, ended: &Ended) -> Result<(), Escape> {
    let keys = &exchange.core.template.keys;
    let lists =
        protect(|rb| (rb.fetch(exchange.env, keys.after_reply), rb.fetch(exchange.env, keys.response_finished)));
    let Ok((after_reply, finished)) = lists else { return Ok(()) };
    if is_array(after_reply) && length(after_reply) > 0 {
        let mut index = 0;
        while index < length(after_reply) {
            isolated(exchange, element(after_reply, index), &[])?;
            index += 1;
        }
    }
    if !is_array(finished) || length(finished) == 0 {
        return Ok(());
    }
    let nil = exchange.ruby.qnil().as_value();
    let (status, fields, error) = match ended {
        Ended::Responded { status, fields, error, is_cut } => {
            let cut = || is_cut.then(|| client_left(exchange.ruby)).flatten();
            (*status, *fields, error.or_else(cut).map_or(nil, |error| error.as_value()))
        }
        Ended::Failed(error) | Ended::Escaped(Escape::Raised(error)) => (nil, nil, error.as_value()),
        Ended::Escaped(Escape::Jump(_) | Escape::Child(_)) => (nil, nil, nil),
    };
    for index in (0..length(finished)).rev() {
        isolated(exchange, element(finished, index), &[exchange.env, status, fields, error])?;
    }
    Ok(())
}

/// Calls something of the application's that must not keep others from being called.
///
/// # Errors
/// This is a child that was forked in the call.
fn isolated(exchange: &Exchange<'_>, callable: Value, arguments: &[Value]) -> Result<(), Escape> {
    let outcome = exchange.core.away(|| {
        protect(|rb| {
            rb.call(callable, ids().call, arguments);
        })
    });
    match outcome {
        Err(Escape::Raised(exception)) => exchange.report("after_reply_error", exception),
        Err(child @ Escape::Child(_)) => Err(child),
        Ok(()) | Err(Escape::Jump(_)) => Ok(()),
    }
}

/// Makes what those are told that wait for the end of a response whose client left before.
fn client_left(ruby: &Ruby) -> Option<Exception> {
    let errno = rustix::io::Errno::PIPE.raw_os_error();
    ruby.exception_system_call_error().new_instance(("the client left", errno)).ok()
}

/// Returns the status of a response if it is plainly one.
fn status_of(triple: Value) -> Option<i64> {
    fixnum(element(triple, 0))
}
