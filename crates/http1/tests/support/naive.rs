//! What a head and a chunked body mean, written as plainly as possible and without regard to speed: the reference that
//! the parsers are compared with. It knows complete messages only, and the default limits only where they bite.

/// A head, as far as it is compared.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Naive {
    pub method: Vec<u8>,
    pub target: Vec<u8>,
    pub fields: Vec<(Vec<u8>, Vec<u8>)>,
    pub length: Option<u64>,
    pub chunked: bool,
    pub keep_alive: bool,
    pub len: usize,
}

/// `None`: the end of the head is missing. `Some(None)`: it is refused.
pub fn head(bytes: &[u8]) -> Option<Option<Naive>> {
    let mut lines = Vec::new();
    let mut at = 0;
    loop {
        let end = at + find(&bytes[at..], b"\r\n")?;
        let line = &bytes[at..end];
        at = end + 2;
        match (line.is_empty(), lines.is_empty()) {
            (true, true) if at <= 4 => {}
            (true, true) => return Some(None),
            (true, false) => break,
            (false, _) => lines.push(line),
        }
    }
    if at > 114_689 || lines.len() > 101 {
        return Some(None);
    }
    Some(interpret(&lines, at))
}

fn interpret(lines: &[&[u8]], len: usize) -> Option<Naive> {
    let [method, target, version] = lines[0].split(|&byte| byte == b' ').collect::<Vec<_>>()[..] else { return None };
    let http11 = match version {
        b"HTTP/1.1" => true,
        b"HTTP/1.0" => false,
        // No RFC defines these (RFC 9110, section 2.5).
        [b'H', b'T', b'T', b'P', b'/', b'1', b'.', b'2'..=b'9'] => true,
        _ => return None,
    };
    if !is_token(method) || method.len() > 20 || method == b"CONNECT" || !is_target(target, method) {
        return None;
    }
    let fields = lines[1..].iter().map(|line| field(line)).collect::<Option<Vec<_>>>()?;
    let all = |name: &str| -> Vec<&[u8]> {
        let same = |field: &&(Vec<u8>, Vec<u8>)| field.0.eq_ignore_ascii_case(name.as_bytes());
        fields.iter().filter(same).map(|field| field.1.as_slice()).collect()
    };
    let hosts = all("host");
    if hosts.len() > 1 || (http11 && hosts.is_empty()) || !hosts.iter().all(|host| host.is_empty() || is_host(host)) {
        return None;
    }
    if all("content-type").len() > 1 {
        return None;
    }
    let expects = all("expect");
    if http11 && (expects.len() > 1 || expects.iter().any(|value| !value.eq_ignore_ascii_case(b"100-continue"))) {
        return None;
    }
    let length = match all("content-length")[..] {
        [] => None,
        [value] if !value.is_empty() && value.iter().all(u8::is_ascii_digit) => {
            Some(std::str::from_utf8(value).unwrap().parse::<i64>().ok()? as u64)
        }
        _ => return None,
    };
    let chunked = match all("transfer-encoding")[..] {
        [] => false,
        [value] if value.eq_ignore_ascii_case(b"chunked") && http11 && length.is_none() => true,
        _ => return None,
    };
    let connection = all("connection").join(&b","[..]).to_ascii_lowercase();
    let has = |token: &[u8]| connection.split(|&byte| byte == b',').any(|word| word.trim_ascii() == token);
    let keep_alive = !has(b"close") && (http11 || has(b"keep-alive"));
    Some(Naive { method: method.to_vec(), target: target.to_vec(), fields, length, chunked, keep_alive, len })
}

fn field(line: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let colon = find(line, b":")?;
    let (name, value) = (&line[..colon], trim(&line[colon + 1..]));
    let control = |byte: &u8| (*byte < 0x20 && *byte != b'\t') || *byte == 0x7f;
    if !is_token(name) || name.len() > 256 || value.iter().any(control) {
        return None;
    }
    Some((name.to_vec(), value.to_vec()))
}

fn trim(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = value {
        value = rest;
    }
    while let [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

fn is_token(name: &[u8]) -> bool {
    !name.is_empty() && name.iter().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte))
}

fn is_target(target: &[u8], method: &[u8]) -> bool {
    if target.iter().any(|&byte| byte <= 0x20 || byte == 0x7f) || target.len() > 15_360 {
        return false;
    }
    if target == b"*" {
        return method == b"OPTIONS";
    }
    let rest = if target.starts_with(b"/") {
        target
    } else {
        let lower = target.to_ascii_lowercase();
        let Some(skip) = [&b"http://"[..], b"https://"].iter().find(|s| lower.starts_with(s)).map(|s| s.len()) else {
            return false;
        };
        let rest = &target[skip..];
        let end = rest.iter().position(|byte| b"/?#".contains(byte)).unwrap_or(rest.len());
        if !is_host(&rest[..end]) {
            return false;
        }
        &[if rest[end..].starts_with(b"/") { &b""[..] } else { b"/" }, &rest[end..]].concat()
    };
    let parts: Vec<_> = rest.split(|&byte| byte == b'#').collect();
    let query = find(parts[0], b"?");
    let path = &parts[0][..query.unwrap_or(parts[0].len())];
    let percent = |at: usize| match path.get(at + 1..at + 3) {
        Some(hex) => hex.iter().all(u8::is_ascii_hexdigit),
        None => false,
    };
    parts.len() <= 2
        && path.starts_with(b"/")
        && (0..path.len()).all(|at| path[at] != b'%' || percent(at))
        && path.len() <= 8_192
        && query.is_none_or(|query| parts[0].len() - query - 1 <= 10_240)
        && parts.get(1).is_none_or(|fragment| fragment.len() <= 1_024)
}

fn is_host(host: &[u8]) -> bool {
    let Ok(host) = std::str::from_utf8(host) else { return false };
    let (name, port) = match host.rfind(':') {
        Some(colon) if !host[colon..].contains(']') => (&host[..colon], &host[colon + 1..]),
        _ => (host, ""),
    };
    let port_ok = port.chars().all(|c| c.is_ascii_digit()) && (port.is_empty() || port.parse::<u16>().is_ok());
    let address = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let name_ok = match address {
        Some(address) => address.contains(':') && address.chars().all(|c| c.is_ascii_hexdigit() || ":.".contains(c)),
        None => {
            let mut parts = name.split('%');
            let plain = |part: &str| part.chars().all(|c| c.is_ascii_alphanumeric() || "-._~!$&'()*+,;=".contains(c));
            let coded = |part: &str| {
                part.len() >= 2 && part.is_char_boundary(2) && {
                    part[..2].chars().all(|c| c.is_ascii_hexdigit()) && plain(&part[2..])
                }
            };
            !name.is_empty() && parts.next().is_some_and(plain) && parts.all(coded)
        }
    };
    port_ok && name_ok
}

/// `None`: the end is missing. `Some(None)`: it is refused. Else the content, and the length of the coded body.
/// Extensions are not judged: give it none.
pub fn chunked(bytes: &[u8]) -> Option<Option<(Vec<u8>, usize)>> {
    let mut content = Vec::new();
    let mut at = 0;
    loop {
        let end = at + find(&bytes[at..], b"\r\n")?;
        let digits = &bytes[at..end];
        if digits.is_empty() || digits.len() > 16 || !digits.iter().all(u8::is_ascii_hexdigit) {
            return Some(None);
        }
        let size = u64::from_str_radix(std::str::from_utf8(digits).unwrap(), 16).unwrap();
        if size > i64::MAX as u64 - content.len() as u64 {
            return Some(None);
        }
        let size = size as usize;
        at = end + 2;
        if size == 0 {
            break;
        }
        content.extend_from_slice(bytes.get(at..at.checked_add(size)?)?);
        at += size;
        if bytes.get(at..at + 2)? != b"\r\n" {
            return Some(None);
        }
        at += 2;
    }
    loop {
        let end = at + find(&bytes[at..], b"\r\n")?;
        let line = &bytes[at..end];
        at = end + 2;
        if line.is_empty() {
            return Some(Some((content, at)));
        }
        let forbidden = |name: &[u8]| {
            let names = ["content-length", "host", "trailer", "transfer-encoding"];
            names.iter().any(|forbidden| name.eq_ignore_ascii_case(forbidden.as_bytes()))
        };
        match field_of_any_length(line) {
            Some(name) if !forbidden(&name) => {}
            _ => return Some(None),
        }
    }
}

fn field_of_any_length(line: &[u8]) -> Option<Vec<u8>> {
    let colon = find(line, b":")?;
    let control = |byte: &u8| (*byte < 0x20 && *byte != b'\t') || *byte == 0x7f;
    let fine = is_token(&line[..colon]) && !line[colon + 1..].iter().any(control);
    fine.then(|| line[..colon].to_vec())
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}
