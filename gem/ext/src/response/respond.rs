//! From what the application returned to bytes on the wire.

use http1::response::{BadField, BodyFraming, Plan, Writer, reason_phrase};
use magnus::{Exception, Value, prelude::*};

use crate::exchange::Exchange;
use crate::ffi::{
    Escape, Flow, Rb, element, fixnum, ids, is_array, is_hash, is_plain_array, is_string, length, protect, with_bytes,
};
use crate::fork::own;
use crate::report::report_text;

use super::content::{Content, classify};
use super::fields::each_field_with_own;
use super::sink::{Sink, Written};

/// A response that was begun.
pub(crate) struct Outcome {
    pub(crate) status: Value,
    pub(crate) fields: Value,
    /// What the body raised.
    pub(crate) error: Option<Exception>,
    /// Whether the client left before it had all.
    pub(crate) is_cut: bool,
}

/// What the application returned, taken apart.
struct Answer {
    status: Value,
    code: u16,
    fields: Value,
    body: Value,
    content: Content,
    /// What the connection goes on with, if it leaves HTTP.
    protocol: Option<Value>,
}

/// How a head ends.
enum End {
    Planned(Plan),
    /// The application writes the rest: this object is called with the socket.
    Hijacked(Value),
}

/// Sends a response and closes its body, once, whatever happens.
///
/// # Errors
/// What was raised before any byte was sent, or what must end the worker.
pub(crate) fn respond(exchange: &Exchange<'_>, triple: Value) -> Result<Outcome, Escape> {
    if exchange.is_hijacked() {
        return after_hijack(exchange, triple);
    }
    let mut bad = Vec::new();
    let mut head = exchange.core.lend_buffer();
    // Owned out here: a jump out of `compose` would leak a file.
    let mut taken = None;
    let composed = protect(|rb| {
        let answer = taken.insert(take_apart(rb, exchange, triple)?);
        Ok(compose(rb, exchange, answer, &mut head, &mut bad))
    });
    let (composed, answer) = match (composed, taken) {
        (Ok(Ok(composed)), Some(answer)) => (composed, answer),
        (failed, _) => {
            exchange.core.take_back(head);
            return Err(nothing_to_send(exchange, triple, failed.map(Result::err)));
        }
    };
    exchange.note_response(answer.code, head.len());
    let (written, after, is_cut) = match composed {
        End::Hijacked(callable) => {
            let mut sink = Sink::new(exchange, head, BodyFraming::UntilClose);
            (Written { outcome: sink.give_socket(callable), closed: None }, None, sink.is_cut())
        }
        End::Planned(plan) => {
            let mut sink = Sink::new(exchange, head, plan.framing);
            if !plan.keep_alive && is_plain_array(answer.body) {
                sink.close_follows();
            }
            let written = sink.write(&answer.content, answer.body);
            let after = sink.after(plan.keep_alive, written.outcome.is_ok());
            // When nothing was sent the client gets a proper 500.
            let after = (written.outcome.is_ok() || sink.is_begun()).then_some(after);
            let is_cut = sink.is_cut();
            exchange.core.take_back(sink.into_buffer());
            (written, after, is_cut)
        }
    };
    let Written { outcome, closed } = written;
    if let Err(child @ Escape::Child(_)) = outcome {
        return Err(child);
    }
    let closed = closed.unwrap_or_else(|| exchange.close_body(answer.body));
    if let Some(after) = after {
        exchange.core.reactor().active(exchange.token).finish(after);
    }
    exchange.core.seat.look(|seat| {
        seat.count_response(answer.code);
        if answer.code >= 500 {
            seat.count_server_error();
        }
    });
    for (name, why) in bad {
        let text = format!("response field {} dropped: {why}", String::from_utf8_lossy(&name));
        report_text(exchange.ruby, exchange.events, text);
    }
    let error = settle(exchange, outcome, closed, after.is_some())?;
    Ok(Outcome { status: answer.status, fields: answer.fields, error, is_cut })
}

/// Closes the body of an answer that cannot be sent, and returns what is to be raised.
fn nothing_to_send(exchange: &Exchange<'_>, triple: Value, failed: Result<Option<String>, Escape>) -> Escape {
    let escape = match own(failed) {
        Ok(text) => type_error(exchange, &text.unwrap_or_default()),
        Err(child @ Escape::Child(_)) => return child,
        Err(escape) => escape,
    };
    let body = element(triple, 2);
    match if body.is_nil() { Ok(()) } else { exchange.close_body(body) } {
        Err(other) if other.standard_error().is_none() => other,
        _ => escape,
    }
}

/// Decides what becomes of exceptions of the body and of its `close`.
fn settle(
    exchange: &Exchange<'_>,
    outcome: Result<(), Escape>,
    closed: Result<(), Escape>,
    begun: bool,
) -> Result<Option<Exception>, Escape> {
    let mut error = None;
    match outcome {
        Ok(()) => {}
        Err(escape) => match escape.standard_error() {
            Some(exception) if begun || exchange.is_hijacked() => {
                exchange.report("app_error", exception)?;
                error = Some(exception);
            }
            _ => return Err(escape),
        },
    }
    if let Err(escape) = closed {
        let exception = escape.standard_error().ok_or(escape)?;
        exchange.report("app_error", exception)?;
        error = error.or(Some(exception));
    }
    Ok(error)
}

/// The application has the connection: what it returned is ignored, but a body is closed.
fn after_hijack(exchange: &Exchange<'_>, triple: Value) -> Result<Outcome, Escape> {
    let nil = exchange.ruby.qnil().as_value();
    if is_array(triple) && length(triple) > 2 {
        // The connection may have another owner by now, which has nothing to do with a body that fails to close.
        let closed = exchange.close_body(element(triple, 2));
        let error = settle(exchange, Ok(()), closed, false)?;
        return Ok(Outcome { status: element(triple, 0), fields: element(triple, 1), error, is_cut: false });
    }
    Ok(Outcome { status: nil, fields: nil, error: None, is_cut: false })
}

fn type_error(exchange: &Exchange<'_>, text: &str) -> Escape {
    match exchange.ruby.exception_type_error().new_instance((text,)) {
        Ok(exception) => Escape::Raised(exception),
        Err(_) => Escape::Raised(
            exchange.ruby.exception_type_error().new_instance(()).expect("an exception without a message can be made"),
        ),
    }
}

fn take_apart(rb: Rb<'_>, exchange: &Exchange<'_>, returned: Value) -> Result<Answer, String> {
    let triple = rb.to_array(returned);
    if length(triple) < 3 {
        return Err("the application must return an array of status, headers and body".to_owned());
    }
    let status = element(triple, 0);
    let number = fixnum(status).or_else(|| fixnum(rb.call(status, ids().to_i, &[])));
    let code = number.and_then(|code| u16::try_from(code).ok()).filter(|code| is_final(*code));
    let Some(code) = code else {
        return Err("the application returned no final status: 101, or 200 to 999".to_owned());
    };
    let (fields, body) = (element(triple, 1), element(triple, 2));
    let protocol = if exchange.asked.upgrade { protocol_of(rb, exchange, fields) } else { None };
    let code = if protocol.is_some() { 101 } else { code };
    let content = classify(rb, body, exchange.core.responses.asks_for_arrays)?;
    Ok(Answer { status, code, fields, body, content, protocol })
}

/// Returns which of the protocols that the client offered the application goes on with.
fn protocol_of(rb: Rb<'_>, exchange: &Exchange<'_>, fields: Value) -> Option<Value> {
    let chosen = is_hash(fields).then(|| rb.fetch(fields, exchange.core.template.keys.protocol))?;
    is_string(chosen).then_some(chosen)
}

/// Tells whether a response with this status can be the last of its request.
fn is_final(code: u16) -> bool {
    code == 101 || (200..=999).contains(&code)
}

/// Returns the reason phrase that comes with a status like `"666 BEAST"`.
fn reason_of(status: &[u8]) -> Option<Vec<u8>> {
    let blank = status.iter().position(|byte| *byte == b' ')?;
    Some(status[blank + 1..].to_vec())
}

/// Writes the head.
fn compose(
    rb: Rb<'_>,
    exchange: &Exchange<'_>,
    answer: &Answer,
    head: &mut Vec<u8>,
    bad: &mut Vec<(Vec<u8>, BadField)>,
) -> End {
    // Known statuses have their own; Unicorn's users may invent others.
    let reason = match (exchange.core.responses.reasons.get(&answer.code), reason_phrase(answer.code)) {
        (Some(reason), _) => Some(reason.clone()),
        (None, "") => with_bytes(answer.status, reason_of),
        (None, _) => None,
    };
    let asked = exchange.asked_now();
    let mut writer = {
        let mut reactor = exchange.core.reactor();
        Writer::begin(head, asked, answer.code, reason.as_deref(), reactor.date())
    };
    drop(reason);
    if let Some(protocol) = answer.protocol {
        if let Err(why) = with_bytes(protocol, |protocol| writer.upgrade(head, protocol)) {
            bad.push((b"rack.protocol".to_vec(), why));
        }
    }
    let mut hijack = match answer.content {
        Content::Stream if asked.gets_content(answer.code) => Some(answer.body),
        _ => None,
    };
    each_field_with_own(rb, answer.fields, &mut hijack, |name, value| {
        with_bytes(name, |name| {
            with_bytes(value, |value| {
                if let Err(why) = writer.field(head, name, value) {
                    bad.push((name.to_vec(), why));
                }
            });
        });
        Flow::Continue
    });
    if let Some(callable) = hijack {
        writer.finish_hijacked(head);
        return End::Hijacked(callable);
    }
    End::Planned(writer.finish(head, answer.content.length()))
}
