//! What a line looks like.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

use crate::entry::{Entry, Line};
use crate::redact::Redact;
use crate::text::{cut, ms, number, padded};
use crate::{escape, json};

/// The format that nginx and Apache call combined, byte for byte as nginx writes it.
const COMBINED: &str =
    r#"{client} - {user} [{time_local}] "{request}" {status} {body_bytes} "{referer}" "{user_agent}""#;

/// The shape of the lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Format {
    /// An object of JSON.
    Json,
    /// Text with fields in it.
    Template(Vec<Piece>),
}

/// A piece of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// It stands there.
    Text(String),
    /// It is replaced.
    Field(Field),
}

/// Why a format is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mistake {
    /// There is no field of this name.
    UnknownField(String),
    /// A brace has no partner.
    OpenBrace,
    /// It has no field.
    NoField,
    /// It would be more than one line.
    NotOneLine,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownField(name) => write!(f, "unknown field: {name}"),
            Self::OpenBrace => f.write_str("a brace has no partner ({{ and }} stand for themselves)"),
            Self::NoField => f.write_str("it is neither :json nor :combined, nor a template with a {field}"),
            Self::NotOneLine => f.write_str("a template has no line breaks or other control characters"),
        }
    }
}

/// Makes the enum of the fields and the list of their names.
macro_rules! fields {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)*) => {
        /// A field of a template.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Field {
            $($(#[$doc])* $variant,)*
        }

        /// The names of the fields of a template.
        pub const FIELDS: &[&str] = &[$($name),*];

        impl Field {
            fn named(name: &str) -> Option<Self> {
                match name {
                    $($name => Some(Self::$variant),)*
                    _ => None,
                }
            }
        }
    };
}

fields! {
    /// RFC 3339 in UTC, with milliseconds.
    Time = "time",
    /// As in nginx's `$time_local`.
    TimeLocal = "time_local",
    /// The id of the request.
    Id = "id",
    /// The client's address.
    Client = "client",
    /// The user of `Authorization: Basic`.
    User = "user",
    /// The request line.
    Request = "request",
    /// The method.
    Method = "method",
    /// The target as it was sent.
    Target = "target",
    /// The path.
    Path = "path",
    /// The query.
    Query = "query",
    /// The protocol.
    Protocol = "protocol",
    /// The host.
    Host = "host",
    /// The status.
    Status = "status",
    /// How the response ended.
    Ended = "ended",
    /// Bytes of the response.
    SentBytes = "sent_bytes",
    /// Bytes of the response without its head.
    BodyBytes = "body_bytes",
    /// Bytes of the request.
    ReceivedBytes = "received_bytes",
    /// How long the application took.
    ServiceMs = "service_ms",
    /// How long the request waited.
    QueueMs = "queue_ms",
    /// The number of the worker.
    Worker = "worker",
    /// The generation of its code.
    Generation = "generation",
    /// The process id of the worker.
    Pid = "pid",
    /// The page that led there.
    Referer = "referer",
    /// The program of the client.
    UserAgent = "user_agent",
}

impl Format {
    /// Reads `json`, `combined`, or a template: `{client} {method} {path} {status} {service_ms}`. `{{` and `}}` are braces.
    ///
    /// # Errors
    /// It is none of them.
    pub fn parse(text: &str) -> Result<Self, Mistake> {
        match text {
            "json" => Ok(Self::Json),
            "combined" => template(COMBINED),
            other => template(other),
        }
    }

    /// Appends a line with its end. Of each text that the client sent at most `most` bytes are written.
    pub fn write(&self, entry: &Entry<'_>, redact: &Redact, most: usize, out: &mut Vec<u8>) {
        match self {
            Self::Json => json::write(entry, redact, most, out),
            Self::Template(pieces) => {
                for piece in pieces {
                    match piece {
                        Piece::Text(text) => out.extend_from_slice(text.as_bytes()),
                        Piece::Field(field) => write_field(*field, entry, redact, most, out),
                    }
                }
            }
        }
        out.push(b'\n');
    }
}

fn template(text: &str) -> Result<Format, Mistake> {
    if text.chars().any(char::is_control) {
        return Err(Mistake::NotOneLine);
    }
    let mut pieces = Vec::new();
    let mut plain = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(['{', '}']) {
        plain.push_str(&rest[..at]);
        rest = &rest[at..];
        if let Some(behind) = rest.strip_prefix("{{").or_else(|| rest.strip_prefix("}}")) {
            plain.push_str(&rest[..1]);
            rest = behind;
            continue;
        }
        let (name, behind) = rest.strip_prefix('{').and_then(|rest| rest.split_once('}')).ok_or(Mistake::OpenBrace)?;
        if name.contains('{') {
            return Err(Mistake::OpenBrace);
        }
        let field = Field::named(name).ok_or_else(|| Mistake::UnknownField(name.to_string()))?;
        if !plain.is_empty() {
            pieces.push(Piece::Text(core::mem::take(&mut plain)));
        }
        pieces.push(Piece::Field(field));
        rest = behind;
    }
    plain.push_str(rest);
    if !pieces.iter().any(|piece| matches!(piece, Piece::Field(_))) {
        return Err(Mistake::NoField);
    }
    if !plain.is_empty() {
        pieces.push(Piece::Text(plain));
    }
    Ok(Format::Template(pieces))
}

/// What stands where nothing was sent.
const NOTHING: &[u8] = b"-";

fn write_field(field: Field, entry: &Entry<'_>, redact: &Redact, most: usize, out: &mut Vec<u8>) {
    match field {
        Field::Time => {
            out.extend_from_slice(entry.time.utc.as_bytes());
            out.push(b'.');
            padded(out, entry.time.milliseconds);
            out.push(b'Z');
        }
        Field::TimeLocal => out.extend_from_slice(entry.time.local.as_bytes()),
        Field::Id => sent(out, Some(entry.id).filter(|id| !id.is_empty()), most),
        Field::Client => out.extend_from_slice(entry.client.as_bytes()),
        Field::User => sent(out, entry.user, most),
        Field::Host => sent(out, entry.host, most),
        Field::UserAgent => sent(out, entry.user_agent, most),
        Field::Referer => match entry.referer {
            Some(referer) => redact.url(cut(referer, most), |piece| escape::plain(out, piece)),
            None => out.extend_from_slice(NOTHING),
        },
        Field::Status => padded(out, entry.status.into()),
        Field::Ended => out.extend_from_slice(entry.ended.word().as_bytes()),
        Field::SentBytes => number(out, entry.bytes.sent),
        Field::BodyBytes => number(out, entry.bytes.body),
        Field::ReceivedBytes => number(out, entry.bytes.received),
        Field::ServiceMs => optional_ms(out, entry.service_ns),
        Field::QueueMs => optional_ms(out, entry.queue_ns),
        Field::Worker => number(out, entry.process.slot.into()),
        Field::Generation => number(out, entry.process.generation.into()),
        Field::Pid => number(out, entry.process.pid.into()),
        Field::Request | Field::Method | Field::Target | Field::Path | Field::Query | Field::Protocol => {
            write_line(field, entry.line, redact, most, out);
        }
    }
}

fn write_line(field: Field, line: Line<'_>, redact: &Redact, most: usize, out: &mut Vec<u8>) {
    let (method, target, path, query, protocol) = match line {
        Line::Parsed { method, target, path, query, protocol } => (method, target, path, query, protocol),
        Line::Raw(bytes) if field == Field::Request && !bytes.is_empty() => {
            return redact.url(cut(bytes, most), |piece| escape::plain(out, piece));
        }
        Line::Raw(_) => return out.extend_from_slice(NOTHING),
    };
    match field {
        Field::Method => sent(out, Some(method), most),
        Field::Path => sent(out, Some(path), most),
        Field::Target => redact.url(cut(target, most), |piece| escape::plain(out, piece)),
        Field::Query => match query {
            Some(query) => redact.query(cut(query, most), |piece| escape::plain(out, piece)),
            None => out.extend_from_slice(NOTHING),
        },
        Field::Protocol => out.extend_from_slice(protocol.as_bytes()),
        _ => {
            sent(out, Some(method), most);
            out.push(b' ');
            redact.url(cut(target, most), |piece| escape::plain(out, piece));
            out.push(b' ');
            out.extend_from_slice(protocol.as_bytes());
        }
    }
}

fn sent(out: &mut Vec<u8>, bytes: Option<&[u8]>, most: usize) {
    match bytes {
        Some(bytes) => escape::plain(out, cut(bytes, most)),
        None => out.extend_from_slice(NOTHING),
    }
}

fn optional_ms(out: &mut Vec<u8>, ns: Option<u64>) {
    match ns {
        Some(ns) => ms(out, ns),
        None => out.extend_from_slice(NOTHING),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::{Bytes, Ended, Process, Time};
    use proptest::prelude::*;
    use std::vec;

    fn entry() -> Entry<'static> {
        Entry {
            time: Time { utc: "2026-11-28T21:13:28", milliseconds: 7, local: "28/Nov/2026:22:13:28 +0100" },
            id: b"c0ffee",
            client: "203.0.113.7",
            user: None,
            line: Line::Parsed {
                method: b"GET",
                target: b"/a?b=c&token=x",
                path: b"/a",
                query: Some(b"b=c&token=x"),
                protocol: "HTTP/1.1",
            },
            host: Some(b"example.com"),
            referer: None,
            user_agent: Some(b"curl/8 \"x\" \xff"),
            status: 200,
            ended: Ended::Complete,
            bytes: Bytes { received: 80, sent: 200, body: 42 },
            service_ns: Some(12_345_678),
            queue_ns: Some(9_000),
            process: Process { slot: 3, generation: 2, pid: 412 },
        }
    }

    #[track_caller]
    fn shown(format: &str, entry: &Entry<'_>) -> String {
        let mut out = vec![];
        let redact = Redact::names(crate::DEFAULT_NAMES);
        Format::parse(format).unwrap().write(entry, &redact, usize::MAX, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn json_is_one_object_on_a_line_with_the_documented_keys() {
        let want = concat!(
            r#"{"time":"2026-11-28T21:13:28.007Z","id":"c0ffee","client":"203.0.113.7","method":"GET","path":"/a","#,
            r#""query":"b=c&token=[redacted]","protocol":"HTTP/1.1","host":"example.com","status":200,"#,
            r#""ended":"complete","sent_bytes":200,"body_bytes":42,"received_bytes":80,"service_ms":12.345,"#,
            r#""queue_ms":0.009,"worker":3,"generation":2,"pid":412,"referer":null,"#,
            r#""user_agent":"curl/8 \"x\" "#,
            "\u{fffd}\"}\n",
        );
        assert_eq!(shown("json", &entry()), want);
    }

    #[test]
    fn combined_is_what_nginx_writes() {
        let want = concat!(
            r#"203.0.113.7 - - [28/Nov/2026:22:13:28 +0100] "GET /a?b=c&token=[redacted] HTTP/1.1" 200 42 "-" "#,
            r#""curl/8 \x22x\x22 \xFF""#,
            "\n",
        );
        assert_eq!(shown("combined", &entry()), want);
        let refused = Entry { line: Line::Raw(b"\x16\x03"), status: 400, user_agent: None, ..entry() };
        let want = "203.0.113.7 - - [28/Nov/2026:22:13:28 +0100] \"\\x16\\x03\" 400 42 \"-\" \"-\"\n";
        assert_eq!(shown("combined", &refused), want);
    }

    #[test]
    fn a_template_has_its_fields_replaced() {
        let cases = [
            ("{client} {method} {path} {status} {service_ms}", "203.0.113.7 GET /a 200 12.345"),
            ("{{{target}}} {query}", "{/a?b=c&token=[redacted]} b=c&token=[redacted]"),
            ("{id} {worker}/{generation}/{pid} {ended}", "c0ffee 3/2/412 complete"),
            ("{time} {user} {referer} {host} {protocol}", "2026-11-28T21:13:28.007Z - - example.com HTTP/1.1"),
            ("{sent_bytes} {received_bytes} {queue_ms}", "200 80 0.009"),
        ];
        for (template, want) in cases {
            assert_eq!(shown(template, &entry()), std::format!("{want}\n"), "{template}");
        }
        for name in FIELDS {
            shown(&std::format!("{{{name}}}"), &entry());
        }
    }

    #[test]
    fn a_template_with_an_unknown_field_or_a_lone_brace_is_refused() {
        let cases = [
            ("{statsu}", Mistake::UnknownField("statsu".to_string())),
            ("{status", Mistake::OpenBrace),
            ("status} {client}", Mistake::OpenBrace),
            ("{{status}}", Mistake::NoField),
            ("", Mistake::NoField),
            ("common", Mistake::NoField),
            ("{status}\n", Mistake::NotOneLine),
        ];
        for (template, want) in cases {
            assert_eq!(Format::parse(template), Err(want), "{template}");
        }
    }

    proptest! {
        #[test]
        fn a_line_is_one_line_whatever_the_client_sent(
            words in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..80), 7),
            most in prop_oneof![Just(usize::MAX), 0..20_usize],
            raw in any::<bool>(),
        ) {
            let line = if raw { Line::Raw(&words[0]) } else {
                Line::Parsed {
                    method: &words[0], target: &words[1], path: &words[2], query: Some(&words[3]), protocol: "HTTP/1.0",
                }
            };
            let (host, referer, user_agent) = (Some(&words[4][..]), Some(&words[5][..]), Some(&words[6][..]));
            let entry = Entry { line, host, referer, user_agent, ..entry() };
            let redact = Redact::names(crate::DEFAULT_NAMES);
            for format in ["json", "combined", "{request} {method} {target} {path} {query} {host} {referer}"] {
                let mut out = vec![];
                Format::parse(format).unwrap().write(&entry, &redact, most, &mut out);
                let text = String::from_utf8(out).unwrap();
                let line = text.strip_suffix('\n').unwrap();
                prop_assert!(!line.chars().any(|character| character.is_control()));
                if format == "json" {
                    let read: serde_json::Value = serde_json::from_str(line).unwrap();
                    let want = String::from_utf8_lossy(cut(&words[6], most)).into_owned();
                    prop_assert_eq!(read["user_agent"].as_str(), Some(&want[..]));
                }
            }
        }
    }
}
