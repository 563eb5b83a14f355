//! What is answered to which path, given the master's status.

use std::borrow::Cow;

use crate::hosts::Hosts;
use crate::told::Told;
use crate::{metrics, page};
use http1::Reject;
use http1::request::{Field, Head, Method};
use http1::response::reason_phrase;

/// A response: status, content type, content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// The content type.
    pub content_type: &'static str,
    /// The content.
    pub content: Cow<'static, str>,
    /// More field lines, each with its end.
    fields: &'static str,
}

/// Field lines of every response: it is kept nowhere, is what it says it is, and is for pages of this server alone.
pub(crate) const COMMON: &str = "Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\nReferrer-Policy: no-referrer\r\n\
                                 Cross-Origin-Resource-Policy: same-origin\r\nConnection: close\r\n";

const TEXT: &str = "text/plain; charset=utf-8";

impl Response {
    fn text(status: u16, content: &str) -> Self {
        Self { status, content_type: TEXT, content: format!("{content}\n").into(), fields: "" }
    }

    /// Answers a question, given the master's status, if the master has told it.
    pub(crate) fn to(question: &Question, status: Option<&Told>) -> Self {
        status.map_or_else(|| Self::text(503, "the master does not answer"), |status| known(&question.path, status))
    }

    /// What is answered to one that wants to look on when enough do.
    pub(crate) fn busy() -> Self {
        let fields = "Retry-After: 5\r\n";
        Self { fields, ..Self::text(503, "as many pages as may look at the server at once do so already") }
    }

    fn page() -> Self {
        let content = Cow::Borrowed(page::DOCUMENT);
        Self { status: 200, content_type: "text/html; charset=utf-8", content, fields: &page::POLICY }
    }

    /// What is answered to what is no request.
    pub fn refused(reject: Reject) -> Self {
        Self::text(reject.status, reject.reason)
    }

    /// The bytes of the response; without its content for HEAD.
    pub fn bytes(&self, head_only: bool) -> Vec<u8> {
        let content = if head_only { "" } else { self.content.as_ref() };
        format!(
            "HTTP/1.1 {} {}\r\nContent-Type: {}\r\nContent-Length: {}\r\n{}{COMMON}\r\n{content}",
            self.status,
            reason_phrase(self.status),
            self.content_type,
            self.content.len(),
            self.fields,
        )
        .into_bytes()
    }
}

/// A request that needs the master.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked {
    /// One for its status.
    Status(Question),
    /// One for events, after that with this id.
    Events(String),
}

/// A request for the master's status in some form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    path: String,
    /// Whether the content is left away.
    pub head_only: bool,
}

/// What is asked by this head, which `bytes` begin with.
///
/// # Errors
/// What is answered to one for which the master is not asked.
pub fn asked(head: &Head, bytes: &[u8], hosts: &Hosts) -> Result<Asked, Response> {
    let host = head.effective_host().map(|host| String::from_utf8_lossy(host.of(bytes)));
    if let Some(host) = host.filter(|host| !hosts.knows(host)) {
        let name = sys::text::printable(&host);
        return Err(Response::text(
            403,
            &format!("{name} is not a name of this server. To allow it, add it to admin_hosts"),
        ));
    }
    let head_only = head.known_method == Method::Head;
    if !head_only && head.known_method != Method::Get {
        return Err(Response::text(405, "GET and HEAD only"));
    }
    match head.path.of(bytes) {
        b"/" => Err(Response::page()),
        b"/events" if head_only => Err(Response::text(405, "GET only")),
        // A page of another site cannot read it, but could take the places of those that may.
        b"/events" if field(head, bytes, "sec-fetch-site").is_some_and(|site| site.ends_with("-site")) => {
            Err(Response::text(403, "for pages of this server only"))
        }
        b"/events" => Ok(Asked::Events(last_event(head, bytes))),
        b"/livez" | b"/readyz" | b"/status" | b"/metrics" => {
            Ok(Asked::Status(Question { path: String::from_utf8_lossy(head.path.of(bytes)).into_owned(), head_only }))
        }
        _ => Err(Response::text(404, "try /, /livez, /readyz, /status or /metrics")),
    }
}

/// The value of a field.
fn field(head: &Head, bytes: &[u8], name: &str) -> Option<String> {
    let is_it = |field: &&Field| field.name.of(bytes).eq_ignore_ascii_case(name.as_bytes());
    head.fields.iter().find(is_it).map(|field| String::from_utf8_lossy(field.value.of(bytes)).into_owned())
}

/// The id of the event that the client has seen last: a browser that connects again tells it in a field, a page that makes
/// a new connection in the query.
fn last_event(head: &Head, bytes: &[u8]) -> String {
    let query = head.query.map(|query| String::from_utf8_lossy(query.of(bytes)).into_owned());
    let after = || query?.split('&').find_map(|pair| pair.strip_prefix("after=").map(str::to_string));
    field(head, bytes, "last-event-id").or_else(after).unwrap_or_default()
}

fn known(path: &str, told: &Told) -> Response {
    let status = &told.json;
    match path {
        "/livez" => Response::text(200, "alive"),
        "/readyz" if status["ready"] == true => Response::text(200, "ready"),
        "/readyz" => Response::text(503, &format!("not ready: {}", status["phase"].as_str().unwrap_or("unknown"))),
        "/status" => Response {
            status: 200,
            content_type: "application/json",
            content: sys::text::printable_json(&format!("{status:#}\n")).into_owned().into(),
            fields: "",
        },
        _ => match &told.facts {
            Ok(facts) => Response {
                status: 200,
                content_type: "text/plain; version=0.0.4; charset=utf-8",
                content: metrics::text(facts, told.saturation).into(),
                fields: "",
            },
            // Figures that are not those of this server would be believed.
            Err(why) => Response::text(503, &format!("the master is of another version than this process: {why}")),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http1::Limits;
    use http1::request::HeadParser;
    use serde_json::{Value, json};

    fn ask(head: &str) -> Result<Asked, Response> {
        let mut parser = HeadParser::new();
        let head = format!("{head}\r\n\r\n");
        let parsed = parser.parse(head.as_bytes(), &Limits::default()).map_err(Response::refused)?;
        asked(parsed.expect("the head is whole"), head.as_bytes(), &Hosts::default())
    }

    fn question(head: &str) -> Result<Question, Response> {
        match ask(head)? {
            Asked::Status(question) => Ok(question),
            Asked::Events(_) => panic!("it asks for the status"),
        }
    }

    #[test]
    fn each_path_and_method_has_its_answer() {
        #[track_caller]
        fn check(line: &str, status: Option<Value>, want: u16) {
            let response = question(&format!("{line}\r\nHost: x"))
                .map(|asked| Response::to(&asked, status.map(Told::from).as_ref()));
            assert_eq!(response.unwrap_or_else(|refused| refused).status, want, "{line}");
        }
        let ready = || Some(json!({ "schema": 1, "ready": true, "phase": "serving" }));
        let other = || Some(json!({ "schema": 2, "ready": true, "phase": "serving" }));
        let leaving = || Some(json!({ "ready": false, "phase": "delaying" }));
        check("GET /readyz HTTP/1.1", ready(), 200);
        check("HEAD /readyz?verbose HTTP/1.0", ready(), 200);
        check("GET /readyz HTTP/1.1", leaving(), 503);
        check("GET /livez HTTP/1.1", leaving(), 200);
        check("GET /livez HTTP/1.1", None, 503);
        check("GET http://localhost/status HTTP/1.1", leaving(), 200);
        check("GET /metrics HTTP/1.1", ready(), 200);
        check("GET /metrics HTTP/1.1", other(), 503);
        check("GET /readyz HTTP/1.1", other(), 200);
        check("GET /status HTTP/1.1", other(), 200);
        check("GET / HTTP/1.1", None, 200);
        check("GET /nowhere HTTP/1.1", None, 404);
        check("HEAD /events HTTP/1.1", ready(), 405);
        check("GET /events HTTP/1.1\r\nSec-Fetch-Site: cross-site", ready(), 403);
        check("GET http://evil.example/ HTTP/1.1", ready(), 403);
        check("GET http://evil.example/events HTTP/1.1", ready(), 403);
        check("POST /readyz HTTP/1.1", ready(), 405);
        check("GET /readyz", ready(), 400);
        check("GET /readyz SSH-2.0", ready(), 400);
        check("no request", ready(), 400);
        check("GET /livez HTTP/1.1\r\nHost: evil.example", ready(), 400);
        check("GET http://evil.example/livez HTTP/1.1", ready(), 403);
    }

    #[test]
    fn a_strangers_name_is_refused_and_a_health_check_of_http_1_0_needs_none() {
        assert_eq!(ask("GET /livez HTTP/1.1\r\nHost: evil.example").unwrap_err().status, 403);
        assert_eq!(ask("GET /livez HTTP/1.1").unwrap_err().status, 400);
        assert!(ask("GET /livez HTTP/1.0").is_ok());
    }

    #[test]
    fn events_go_on_after_the_last_that_the_client_has_seen() {
        let after = |head: &str| match ask(head).unwrap() {
            Asked::Events(after) => after,
            Asked::Status(question) => panic!("{question:?}"),
        };
        assert_eq!(after("GET /events HTTP/1.0"), "");
        assert_eq!(after("GET /events?after=a-1 HTTP/1.0"), "a-1");
        assert_eq!(
            after("GET /events?x&after=a-1 HTTP/1.0\r\nSec-Fetch-Site: same-origin\r\nLast-Event-ID: a-2"),
            "a-2"
        );
    }

    #[test]
    fn the_page_may_do_no_more_than_it_needs() {
        let text = String::from_utf8(ask("GET / HTTP/1.0").unwrap_err().bytes(false)).unwrap();
        let (head, document) = text.split_once("\r\n\r\n").unwrap();
        assert!(document.starts_with("<!DOCTYPE html>"));
        for part in
            ["default-src 'none'; script-src 'sha256-", "style-src 'sha256-", "frame-ancestors 'none'", "nosniff"]
        {
            assert!(head.contains(part), "{part} in {head}");
        }
        assert!(!head.contains("unsafe"), "{head}");
    }

    #[test]
    fn a_head_has_the_length_and_not_the_content() {
        let asked = question("HEAD /livez HTTP/1.0").unwrap();
        let text =
            String::from_utf8(Response::to(&asked, Some(&Told::from(json!({})))).bytes(asked.head_only)).unwrap();
        assert!(text.contains("Content-Length: 6\r\n") && text.ends_with("\r\n\r\n"), "{text}");
    }
}
