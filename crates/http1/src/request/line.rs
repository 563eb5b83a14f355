//! The request line (RFC 9112, section 3).

use super::head::{Head, Method, Scheme, TargetForm, Version};
use super::host::is_valid_host;
use crate::limits::Limits;
use crate::reject::Reject;
use crate::scan::{self, NOT_TOKEN};
use crate::span::Span;

/// No registered method is longer (`UPDATEREDIRECTREF` has 17 characters); Unicorn has the same limit.
const METHOD_MAX: usize = 20;
/// Empty lines before a request line that are passed over: old clients send one behind a body.
const EMPTY_LINES_MAX: usize = 2;

/// Reads the request line into `head` and returns where the field lines start; `None` when it is incomplete.
///
/// Violations are reported in the order of the bytes, so that it makes no difference how the bytes are split.
#[inline]
pub(super) fn parse(view: &[u8], limits: &Limits, head: &mut Head) -> Result<Option<usize>, Reject> {
    let Some(start) = skip_empty_lines(view)? else { return Ok(None) };
    let longest = start.saturating_add(limits.request_line).saturating_add(2);
    let line = &view[..view.len().min(longest)];
    match parse_line(line, start, limits, head)? {
        None if line.len() == longest => Err(Reject::new(414, "request line too long")),
        end => Ok(end),
    }
}

fn skip_empty_lines(view: &[u8]) -> Result<Option<usize>, Reject> {
    let mut at = 0;
    loop {
        match view.get(at) {
            None => return Ok(None),
            Some(b'\r') if at < EMPTY_LINES_MAX * 2 => match view.get(at + 1) {
                None => return Ok(None),
                Some(b'\n') => at += 2,
                Some(_) => return Err(Reject::bad("CR without LF before the request line")),
            },
            Some(_) => return Ok(Some(at)),
        }
    }
}

fn parse_line(line: &[u8], start: usize, limits: &Limits, head: &mut Head) -> Result<Option<usize>, Reject> {
    let Some(method_end) = method_end(line, start)? else { return Ok(None) };
    let target_start = method_end + 1;
    let target_end = scan::target_end(line, target_start);
    if target_end - target_start > limits.target {
        return Err(Reject::new(414, "request target too long"));
    }
    match line.get(target_end) {
        None => return Ok(None),
        Some(b' ') if target_end > target_start => {}
        Some(_) => return Err(Reject::bad("malformed request target")),
    }
    let Some(version) = version(&line[target_end + 1..])? else { return Ok(None) };
    head.version = version;
    head.method = Span::new(start, method_end);
    head.known_method = match &line[start..method_end] {
        b"GET" => Method::Get,
        b"HEAD" => Method::Head,
        b"POST" => Method::Post,
        b"PUT" => Method::Put,
        b"DELETE" => Method::Delete,
        b"OPTIONS" => Method::Options,
        b"PATCH" => Method::Patch,
        b"TRACE" => Method::Trace,
        b"CONNECT" => return Err(Reject::new(501, "CONNECT is for proxies")),
        _ => Method::Other,
    };
    target(line, Span::new(target_start, target_end), limits, head)?;
    Ok(Some(target_end + 1 + VERSION_AND_END))
}

#[inline]
fn method_end(line: &[u8], start: usize) -> Result<Option<usize>, Reject> {
    let mut at = start;
    while let Some(&byte) = line.get(at) {
        if byte == b' ' && at > start {
            return Ok(Some(at));
        }
        if scan::class(byte) & NOT_TOKEN != 0 {
            return Err(Reject::bad("malformed method"));
        }
        if at - start == METHOD_MAX {
            return Err(Reject::new(501, "method too long"));
        }
        at += 1;
    }
    Ok(None)
}

/// The length of the version and the CRLF behind it.
const VERSION_AND_END: usize = 10;

/// Reads `HTTP/1.1` CRLF, and accepts no other major version than 1.
#[inline]
fn version(rest: &[u8]) -> Result<Option<Version>, Reject> {
    match rest.first_chunk() {
        Some(b"HTTP/1.1\r\n") => Ok(Some(Version::Http11)),
        Some(b"HTTP/1.0\r\n") => Ok(Some(Version::Http10)),
        _ => other_version(rest),
    }
}

/// Tells a version that is not complete from one that is malformed (400) or not supported (505). A higher minor version
/// is served as the highest that is known (RFC 9110, section 2.5).
#[cold]
fn other_version(rest: &[u8]) -> Result<Option<Version>, Reject> {
    for (&byte, &expected) in rest.iter().zip(b"HTTP/0.0\r\n") {
        let matches = if expected == b'0' { byte.is_ascii_digit() } else { byte == expected };
        if !matches {
            return Err(Reject::bad("malformed version or end of the request line"));
        }
    }
    match rest.get(..VERSION_AND_END) {
        None => Ok(None),
        Some(version) if version[5] == b'1' => Ok(Some(Version::Http11)),
        Some(_) => Err(Reject::new(505, "only HTTP/1")),
    }
}

/// Takes the target apart. It holds no blanks and no controls.
fn target(line: &[u8], target: Span, limits: &Limits, head: &mut Head) -> Result<(), Reject> {
    head.target = target;
    head.scheme = None;
    head.authority = None;
    let bytes = target.of(line);
    match bytes {
        [b'/', ..] => {
            head.form = TargetForm::Origin;
            path_and_query(line, target, limits, head)
        }
        b"*" if head.known_method == Method::Options => {
            head.form = TargetForm::Asterisk;
            head.uri = target;
            head.path = Span { start: target.end, end: target.end };
            head.query = None;
            head.fragment = None;
            Ok(())
        }
        _ => absolute(line, target, limits, head),
    }
}

/// Takes `http://host:port/path?query` apart.
#[cold]
fn absolute(line: &[u8], target: Span, limits: &Limits, head: &mut Head) -> Result<(), Reject> {
    const NO_TARGET: Reject = Reject::bad("malformed request target");
    let bytes = target.of(line);
    let scheme_end = bytes.iter().position(|&byte| byte == b':').ok_or(NO_TARGET)?;
    let (scheme, rest) = bytes.split_at(scheme_end);
    let scheme = match scheme {
        _ if scheme.eq_ignore_ascii_case(b"http") => Scheme::Http,
        _ if scheme.eq_ignore_ascii_case(b"https") => Scheme::Https,
        _ => return Err(NO_TARGET),
    };
    let rest = rest.strip_prefix(b"://").ok_or(NO_TARGET)?;
    let host_end = rest.iter().position(|byte| matches!(byte, b'/' | b'?' | b'#')).unwrap_or(rest.len());
    if !is_valid_host(&rest[..host_end]) {
        return Err(Reject::bad("invalid host in the request target"));
    }
    let start = target.end - rest.len() as u32;
    let host_end = start + host_end as u32;
    head.form = TargetForm::Absolute;
    head.scheme = Some(scheme);
    head.authority = Some(Span { start, end: host_end });
    path_and_query(line, Span { start: host_end, end: target.end }, limits, head)?;
    if head.path.is_empty() {
        // An empty path means `/` (RFC 9110, section 4.2.3), and there is one right before the host.
        head.path = Span { start: start - 1, end: start };
        if head.uri.is_empty() {
            head.uri = head.path;
        }
    }
    Ok(())
}

/// Splits `/path?query#fragment`.
fn path_and_query(line: &[u8], part: Span, limits: &Limits, head: &mut Head) -> Result<(), Reject> {
    let bytes = part.of(line);
    let mut path = part;
    let mut uri = part;
    let mut query = None;
    let mut fragment = None;
    let mut next = 0;
    loop {
        let at = scan::find_special(bytes, next);
        next = at + 1;
        let place = part.start + at as u32;
        match bytes.get(at) {
            None => break,
            Some(b'?') if query.is_none() => {
                path.end = place;
                query = Some(Span { start: place + 1, end: part.end });
            }
            Some(b'#') => {
                if bytes[at + 1..].contains(&b'#') {
                    return Err(Reject::bad("two fragments in the request target"));
                }
                fragment = Some(Span { start: place + 1, end: part.end });
                uri.end = place;
                path.end = path.end.min(place);
                query = query.map(|query| Span { end: place, ..query });
                break;
            }
            // In the query a bare `%` passes: many clients and forms send it.
            Some(b'%') if query.is_none() && !matches!(bytes.get(at + 1..at + 3), Some(hex) if is_hex(hex)) => {
                return Err(Reject::bad("malformed percent-encoding in the path"));
            }
            _ => {}
        }
    }
    let too_long = |span: Option<Span>, limit: usize| span.is_some_and(|span| span.len() > limit);
    if too_long(Some(path), limits.path) || too_long(query, limits.query) || too_long(fragment, limits.fragment) {
        return Err(Reject::new(414, "path, query or fragment too long"));
    }
    (head.path, head.uri, head.query, head.fragment) = (path, uri, query, fragment);
    Ok(())
}

fn is_hex(bytes: &[u8]) -> bool {
    bytes.iter().all(u8::is_ascii_hexdigit)
}
