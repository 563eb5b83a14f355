//! Reads the cases of `corpus/*.txt`; the format is described in `corpus/README.md`.

use std::fs;
use std::path::Path;

/// One case.
#[derive(Debug)]
pub struct Case {
    /// The file and the name.
    pub name: String,
    /// The bytes to send.
    pub send: Vec<u8>,
    /// What becomes of each request.
    pub expect: Vec<Expect>,
}

/// What must become of one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expect {
    /// It is refused with this status.
    Reject(u16),
    /// More bytes are needed.
    Incomplete,
    /// It is served: method, `REQUEST_URI`, and properties as name and value (none for the plain words).
    Request(Vec<u8>, Vec<u8>, Vec<(String, Option<Vec<u8>>)>),
}

/// Reads all cases of this crate.
pub fn load() -> Vec<Case> {
    load_from(&Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus"))
}

/// Reads all cases in a folder.
pub fn load_from(folder: &Path) -> Vec<Case> {
    let mut paths: Vec<_> =
        fs::read_dir(folder).expect("the corpus is there").map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "txt"));
    paths.sort();
    let mut cases = Vec::new();
    for path in paths {
        let file = path.file_stem().unwrap().to_string_lossy().into_owned();
        let text = fs::read_to_string(&path).unwrap();
        cases.extend(text.split("\n\n").filter_map(|block| case(&file, block)));
    }
    cases
}

fn case(file: &str, block: &str) -> Option<Case> {
    let mut case = Case { name: String::new(), send: Vec::new(), expect: Vec::new() };
    for line in block.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (key, value) = line.split_once(':').unwrap_or_else(|| panic!("{file}: no key in {line:?}"));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match key {
            "case" => case.name = format!("{file}: {value}"),
            "send" => case.send.extend(unescape(value)),
            "expect" => case.expect.push(expect(value)),
            _ => panic!("{file}: unknown key in {line:?}"),
        }
    }
    if case.name.is_empty() && case.expect.is_empty() {
        return None;
    }
    assert!(!case.name.is_empty() && !case.expect.is_empty(), "{file}: incomplete case {block:?}");
    Some(case)
}

fn expect(text: &str) -> Expect {
    if text == "incomplete" {
        return Expect::Incomplete;
    }
    if let Ok(status) = text.parse() {
        return Expect::Reject(status);
    }
    let mut words = text.split(' ');
    let (method, uri) = (unescape(words.next().unwrap()), unescape(words.next().expect("REQUEST_URI")));
    let property = |word: &str| match word.split_once('=') {
        Some((name, value)) => (name.to_owned(), Some(unescape(value))),
        None => (word.to_owned(), None),
    };
    Expect::Request(method, uri, words.map(property).collect())
}

/// Resolves `\r \n \t \0 \\ \" \xHH` and `\{text*count}`.
fn unescape(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        out.extend_from_slice(&rest.as_bytes()[..at]);
        let escape = rest.as_bytes()[at + 1];
        let mut used = 2;
        match escape {
            b'r' => out.push(b'\r'),
            b'n' => out.push(b'\n'),
            b't' => out.push(b'\t'),
            b'0' => out.push(0),
            b'\\' | b'"' => out.push(escape),
            b'x' => {
                out.push(u8::from_str_radix(&rest[at + 2..at + 4], 16).expect("two hex digits"));
                used = 4;
            }
            b'{' => {
                let end = at + rest[at..].find('}').expect("a closing brace");
                let (unit, count) = rest[at + 2..end].rsplit_once('*').expect("a star and a count");
                out.extend(unescape(unit).repeat(count.parse().expect("a count")));
                used = end - at + 1;
            }
            _ => panic!("unknown escape in {text:?}"),
        }
        rest = &rest[at + used..];
    }
    out.extend_from_slice(rest.as_bytes());
    out
}
