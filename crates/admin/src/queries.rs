//! Takes query strings out of a status: they hold tokens, addresses and what people search for, and the answers here are
//! read by more people and programs than the control socket's.
//!
//! The field of a request is cut at its question mark. In sentences, which may quote a request, what follows the question
//! mark of a word with a slash before it goes.

use serde_json::Value;

/// Fields that hold the first line of a request.
const LINES: [&str; 2] = ["line", "request"];
/// Fields that hold sentences.
const SENTENCES: [&str; 3] = ["text", "failure", "warning"];

/// Hides each query string in this part of a status.
pub(crate) fn hide(part: &mut Value) {
    match part {
        Value::Object(fields) => {
            for (name, value) in fields {
                match value {
                    Value::String(text) if LINES.contains(&name.as_str()) => {
                        text.truncate(text.find('?').unwrap_or(text.len()));
                    }
                    Value::String(text) if SENTENCES.contains(&name.as_str()) && text.contains('?') => {
                        *text = without_queries(text);
                    }
                    _ => hide(value),
                }
            }
        }
        Value::Array(parts) => parts.iter_mut().for_each(hide),
        _ => {}
    }
}

fn without_queries(text: &str) -> String {
    text.split_inclusive(ends_a_word).map(without_query).collect()
}

/// The piece of a sentence with its end, which is no part of the query.
fn without_query(piece: &str) -> String {
    let cut = piece.find('/').and_then(|slash| piece[slash..].find('?').map(|mark| slash + mark));
    let end = piece.trim_end_matches(ends_a_word).len();
    cut.map_or_else(|| piece.to_string(), |cut| [&piece[..cut], &piece[end..]].concat())
}

fn ends_a_word(character: char) -> bool {
    character.is_whitespace() || matches!(character, '"' | '\'' | '<' | '>')
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn query_strings_are_hidden_wherever_a_request_is_told() {
        let mut status = json!({
            "phase": "what?",
            "last_reload": { "failure": "is it there? see /srv/app?token=1 \"/b?c/d?e\"" },
            "workers": [
                { "request": { "line": "GET /search?q=secret", "age_ms": 3 } },
                { "request": null },
            ],
            "deaths": [{ "request": "POST /a?b?c", "text": "killed in \"GET /a?token=x\" (why?)", "pid": 3 }],
        });
        hide(&mut status);
        let want = json!({
            "phase": "what?",
            "last_reload": { "failure": "is it there? see /srv/app \"/b\"" },
            "workers": [{ "request": { "line": "GET /search", "age_ms": 3 } }, { "request": null }],
            "deaths": [{ "request": "POST /a", "text": "killed in \"GET /a\" (why?)", "pid": 3 }],
        });
        assert_eq!(status, want);
    }
}
