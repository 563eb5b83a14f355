//! What is answered to which path, given the master's status.

use http1::Reject;
use http1::request::{Head, Method};
use http1::response::reason_phrase;
use serde_json::Value;

use crate::hosts::Hosts;
use crate::metrics;

/// A response: status, content type, content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// The content type.
    pub content_type: &'static str,
    /// The content.
    pub content: String,
}

const TEXT: &str = "text/plain; charset=utf-8";

impl Response {
    fn text(status: u16, content: &str) -> Self {
        Self { status, content_type: TEXT, content: format!("{content}\n") }
    }

    /// Answers a request, given the master's status, if the master has told it.
    pub fn to(asked: &Asked, status: Option<&Value>) -> Self {
        status.map_or_else(|| Self::text(503, "the master does not answer"), |status| known(&asked.path, status))
    }

    /// What is answered to what is no request.
    pub fn refused(reject: Reject) -> Self {
        Self::text(reject.status, reject.reason)
    }

    /// The bytes of the response; without its content for HEAD.
    pub fn bytes(&self, head_only: bool) -> Vec<u8> {
        let content = if head_only { "" } else { &self.content };
        format!(
            "HTTP/1.1 {} {}\r\nContent-Type: {}\r\nContent-Length: {}\r\nCache-Control: no-store\r\n\
             Connection: close\r\n\r\n{content}",
            self.status,
            reason_phrase(self.status),
            self.content_type,
            self.content.len(),
        )
        .into_bytes()
    }
}

/// A request that needs the master's status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
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
        b"/livez" | b"/readyz" | b"/status" | b"/metrics" => {
            Ok(Asked { path: String::from_utf8_lossy(head.path.of(bytes)).into_owned(), head_only })
        }
        _ => Err(Response::text(404, "try /livez, /readyz, /status or /metrics")),
    }
}

fn known(path: &str, status: &Value) -> Response {
    match path {
        "/livez" => Response::text(200, "alive"),
        "/readyz" if status["ready"] == true => Response::text(200, "ready"),
        "/readyz" => Response::text(503, &format!("not ready: {}", status["phase"].as_str().unwrap_or("unknown"))),
        "/status" => Response {
            status: 200,
            content_type: "application/json",
            content: sys::text::printable_json(&format!("{status:#}\n")).into_owned(),
        },
        _ => Response {
            status: 200,
            content_type: "text/plain; version=0.0.4; charset=utf-8",
            content: metrics::text(status),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http1::Limits;
    use http1::request::HeadParser;
    use serde_json::json;

    fn ask(head: &str) -> Result<Asked, Response> {
        let mut parser = HeadParser::new();
        let head = format!("{head}\r\n\r\n");
        let parsed = parser.parse(head.as_bytes(), &Limits::default()).map_err(Response::refused)?;
        asked(parsed.expect("the head is whole"), head.as_bytes(), &Hosts::default())
    }

    #[test]
    fn each_path_and_method_has_its_answer() {
        #[track_caller]
        fn check(line: &str, status: Option<Value>, want: u16) {
            let response = ask(&format!("{line}\r\nHost: x")).map(|asked| Response::to(&asked, status.as_ref()));
            assert_eq!(response.unwrap_or_else(|refused| refused).status, want, "{line}");
        }
        let ready = || Some(json!({ "ready": true, "phase": "serving" }));
        let leaving = || Some(json!({ "ready": false, "phase": "delaying" }));
        check("GET /readyz HTTP/1.1", ready(), 200);
        check("HEAD /readyz?verbose HTTP/1.0", ready(), 200);
        check("GET /readyz HTTP/1.1", leaving(), 503);
        check("GET /livez HTTP/1.1", leaving(), 200);
        check("GET /livez HTTP/1.1", None, 503);
        check("GET http://localhost/status HTTP/1.1", leaving(), 200);
        check("GET /metrics HTTP/1.1", ready(), 200);
        check("GET / HTTP/1.1", None, 404);
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
    fn a_head_has_the_length_and_not_the_content() {
        let asked = ask("HEAD /livez HTTP/1.0").unwrap();
        let text = String::from_utf8(Response::to(&asked, Some(&json!({}))).bytes(asked.head_only)).unwrap();
        assert!(text.contains("Content-Length: 6\r\n") && text.ends_with("\r\n\r\n"), "{text}");
    }
}
