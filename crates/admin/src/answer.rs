//! What is answered to which path, given the master's status.

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

    /// The bytes of the response; without its content for HEAD.
    pub fn bytes(&self, head_only: bool) -> Vec<u8> {
        let reason = match self.status {
            200 => "OK",
            400 => "Bad Request",
            403 => "Forbidden",
            404 => "Not Found",
            405 => "Method Not Allowed",
            _ => "Service Unavailable",
        };
        let content = if head_only { "" } else { &self.content };
        format!(
            "HTTP/1.1 {} {reason}\r\nContent-Type: {}\r\nContent-Length: {}\r\nCache-Control: no-store\r\n\
             Connection: close\r\n\r\n{content}",
            self.status,
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

/// Reads the head of a request.
///
/// # Errors
/// What is answered to one for which the master is not asked.
pub fn asked(head: &str, hosts: &Hosts) -> Result<Asked, Response> {
    let line = head.lines().next().unwrap_or_default();
    let words: Vec<&str> = line.split(' ').collect();
    let [method, target, version] = words.as_slice() else {
        return Err(Response::text(400, "not HTTP"));
    };
    if !version.starts_with("HTTP/1.") {
        return Err(Response::text(400, "not HTTP/1"));
    }
    if let Some(name) = hosts.stranger(head) {
        let name = sys::text::printable(name);
        return Err(Response::text(
            403,
            &format!("{name} is not a name of this server. To allow it, add it to admin_hosts"),
        ));
    }
    let head_only = *method == "HEAD";
    if !head_only && *method != "GET" {
        return Err(Response::text(405, "GET and HEAD only"));
    }
    match target.split('?').next().unwrap_or_default() {
        path @ ("/livez" | "/readyz" | "/status" | "/metrics") => Ok(Asked { path: path.to_string(), head_only }),
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
    use serde_json::json;

    #[test]
    fn each_path_and_method_has_its_answer() {
        #[track_caller]
        fn check(line: &str, status: Option<Value>, want: u16) {
            let head = format!("{line}\r\nHost: x");
            let response = asked(&head, &Hosts::default()).map(|asked| Response::to(&asked, status.as_ref()));
            assert_eq!(response.unwrap_or_else(|refused| refused).status, want, "{line}");
        }
        let ready = || Some(json!({ "ready": true, "phase": "serving" }));
        let leaving = || Some(json!({ "ready": false, "phase": "delaying" }));
        check("GET /readyz HTTP/1.1", ready(), 200);
        check("HEAD /readyz?verbose HTTP/1.0", ready(), 200);
        check("GET /readyz HTTP/1.1", leaving(), 503);
        check("GET /livez HTTP/1.1", leaving(), 200);
        check("GET /livez HTTP/1.1", None, 503);
        check("GET /status HTTP/1.1", leaving(), 200);
        check("GET /metrics HTTP/1.1", ready(), 200);
        check("GET / HTTP/1.1", None, 404);
        check("POST /readyz HTTP/1.1", ready(), 405);
        check("GET /readyz", ready(), 400);
        check("GET /readyz SSH-2.0", ready(), 400);
        check("", ready(), 400);
        check("GET /livez HTTP/1.1\r\nHost: evil.example", ready(), 403);
    }

    #[test]
    fn a_head_has_the_length_and_not_the_content() {
        let asked = asked("HEAD /livez HTTP/1.1", &Hosts::default()).unwrap();
        let text = String::from_utf8(Response::to(&asked, Some(&json!({}))).bytes(asked.head_only)).unwrap();
        assert!(text.contains("Content-Length: 6\r\n") && text.ends_with("\r\n\r\n"), "{text}");
    }
}
