//! Text from outside, made safe for terminals and logs.
//!
//! Request lines, messages of children, backtraces, names of files: their authors may attack a terminal. An
//! escape sequence hides what comes after it, sets titles, or answers on standard input; a line feed makes a line of the log
//! that was never logged; marks of direction turn a line around. Printable UTF-8 stays what it is.

use std::borrow::Cow;
use std::fmt::Write;

/// The text in one line, with `\x1b` and the like for what is not printable.
pub fn printable(text: &str) -> Cow<'_, str> {
    escaped(text, |_| false)
}

/// The same for a text of several lines, which stay lines.
pub fn printable_lines(text: &str) -> Cow<'_, str> {
    escaped(text, |character| character == '\n')
}

/// JSON whose strings show nothing but printable characters; it means the same as before. serde_json escapes C0 only.
pub fn printable_json(json: &str) -> Cow<'_, str> {
    if !json.chars().any(|character| character != '\n' && is_foul(character)) {
        return json.into();
    }
    let mut clean = String::with_capacity(json.len() + 8);
    for character in json.chars() {
        // Outside of strings only the line feed can be one of these.
        if character != '\n' && is_foul(character) {
            let _ = write!(clean, "\\u{:04x}", u32::from(character));
        } else {
            clean.push(character);
        }
    }
    clean.into()
}

fn escaped(text: &str, keep: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.chars().any(|character| is_foul(character) && !keep(character)) {
        return text.into();
    }
    let mut clean = String::with_capacity(text.len() + 8);
    for character in text.chars() {
        let _ = match character {
            _ if !is_foul(character) || keep(character) => clean.write_char(character),
            '\n' => clean.write_str("\\n"),
            '\r' => clean.write_str("\\r"),
            '\0'..='\x7f' => write!(clean, "\\x{:02x}", u32::from(character)),
            _ => write!(clean, "\\u{{{:x}}}", u32::from(character)),
        };
    }
    clean.into()
}

/// Whether a character does more than to be seen: the controls of C0 (but the tabulator) and C1, separators of
/// lines and paragraphs, marks and overrides of direction (Unicode Standard Annex 9).
fn is_foul(character: char) -> bool {
    match character {
        '\t' => false,
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}' => true,
        other => other.is_control(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_escaped_and_the_rest_stays() {
        #[track_caller]
        fn check(text: &str, want: &str) {
            assert_eq!(printable(text), want);
            assert_eq!(printable(&printable(text)), want, "once is enough");
        }
        check("GET /größe?q=日本 HTTP/1.1", "GET /größe?q=日本 HTTP/1.1");
        check("\u{1b}]0;title\u{7}", "\\x1b]0;title\\x07");
        check("C1 \u{9b}31m \u{80} \u{9f}", "C1 \\u{9b}31m \\u{80} \\u{9f}");
        check("a\nF, [now] FATAL\r\n", "a\\nF, [now] FATAL\\r\\n");
        check("tab\tdel\u{7f}nul\0", "tab\tdel\\x7fnul\\x00");
        check("right\u{202e}left\u{2066}\u{2028}", "right\\u{202e}left\\u{2066}\\u{2028}");
        assert_eq!(printable_lines("one\n\ttwo\u{1b}[2J\n"), "one\n\ttwo\\x1b[2J\n");
    }

    #[test]
    fn json_stays_json() {
        let json = "{\n  \"line\": \"GET /\u{9b}\u{7f}\u{202e}ö\"\n}\n";
        assert_eq!(printable_json(json), "{\n  \"line\": \"GET /\\u009b\\u007f\\u202eö\"\n}\n");
    }
}
