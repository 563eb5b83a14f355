//! The lines that the server writes to its log, as the code has them, and as docs/logs.md explains them.
//!
//! A line is compared without what it names: `{slot}` or `#{worker.nr}` of the code and `<slot>` of the document are both
//! a star. Lines whose whole text comes from elsewhere (an error, a hook) are a star alone, and not compared.

use std::collections::BTreeSet;

/// The lines of a text of this language, with their level.
pub(crate) fn of_code(extension: &str, text: &str) -> BTreeSet<(String, String)> {
    let code = text.split("#[cfg(test)]").next().unwrap_or_default();
    let mut found = BTreeSet::new();
    for level in ["info", "warn", "error", "fatal"] {
        for (at, _) in code.match_indices(&format!(".{level}(")) {
            if !code[..at].trim_end().ends_with("log") && !code[..at].ends_with("logger") {
                continue;
            }
            let rest = code[at + level.len() + 2..].trim_start();
            let rest = rest.strip_prefix("format_args!(").unwrap_or(rest).trim_start();
            if let Some(literal) = rest.strip_prefix('"') {
                found.insert((level.to_uppercase(), starred(extension, &text_of(literal))));
            }
        }
    }
    found.retain(|(_, line)| line.chars().any(char::is_alphabetic));
    found
}

/// A literal that begins here, without its line breaks and up to its end.
fn text_of(literal: &str) -> String {
    let mut text = String::new();
    let mut depth = 0_usize;
    let mut rest = literal.chars().peekable();
    while let Some(next) = rest.next() {
        match next {
            // Ruby's literals may hold others within braces.
            '"' if depth == 0 => break,
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            '\\' if rest.peek() == Some(&'\n') => {
                while rest.next_if(|next| next.is_whitespace()).is_some() {}
                continue;
            }
            '\\' => text.extend(rest.next()),
            _ => {}
        }
        if next != '\\' {
            text.push(next);
        }
    }
    text
}

/// The same with a star for each name in braces.
fn starred(extension: &str, text: &str) -> String {
    let opening = if extension == "rb" { "#{" } else { "{" };
    let mut line = String::new();
    let mut rest = text;
    while let Some(start) = rest.find(opening) {
        line.push_str(&rest[..start]);
        if !line.ends_with('*') {
            line.push('*');
        }
        let mut depth = 0_usize;
        let end = rest[start..].find(|next| {
            depth = match next {
                '{' => depth + 1,
                '}' => depth - 1,
                _ => depth,
            };
            depth == 0 && next == '}'
        });
        rest = end.map_or("", |end| &rest[start + end + 1..]);
    }
    line.push_str(rest);
    line.trim().to_string()
}

/// The lines that the document explains, in rows `| LEVEL | \`line\` | … |`.
pub(crate) fn of_document(text: &str) -> BTreeSet<(String, String)> {
    let rows = text.lines().filter_map(|line| {
        let mut cells = line.trim().strip_prefix('|')?.splitn(3, '|').map(str::trim);
        let (level, line, meaning) = (cells.next()?, cells.next()?, cells.next()?);
        let is_explained = meaning.trim_end_matches('|').trim().len() > 10;
        let line = line.strip_prefix('`')?.strip_suffix('`')?;
        (is_explained && level.chars().all(|next| next.is_ascii_uppercase())).then(|| {
            let line = line.replace('<', "{").replace('>', "}");
            // "> " is a sign where no name ends.
            (level.to_string(), starred("rs", &line.replace(" } ", " > ")))
        })
    });
    rows.collect()
}

#[test]
fn lines_are_found_in_rust_and_ruby_and_in_the_document() {
    let rust = "log.info(format_args!(\n \"gen={generation} is {:?}, \\\n   age ({age}s > {limit}s)\", x)); log\n.warn(\"a\\\"b\");
                self.log.error(&text); report.log.error(format_args!(\"{}\", error));";
    let line = |level: &str, text: &str| (level.to_string(), text.to_string());
    assert_eq!(of_code("rs", rust), BTreeSet::from([line("INFO", "gen=* is *, age (*s > *s)"), line("WARN", "a\"b")]));
    let ruby = r##"logger.error("in #{n.negative? ? "infinite" : n} s")"##;
    assert_eq!(of_code("rb", ruby), BTreeSet::from([line("ERROR", "in * s")]));
    let document = "| INFO | `gen=<n> is <state>, age (<n>s > <n>s)` | It means something. |\n| ERROR | `in <n> s` | |";
    assert_eq!(of_document(document), BTreeSet::from([line("INFO", "gen=* is *, age (*s > *s)")]));
}
