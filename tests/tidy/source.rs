//! A small scanner of Rust: what is code and what is comment, words and signs, and the paths that a module uses.
//!
//! It expands no macro and resolves no trait: a path counts where it is written.

/// A text without its comments and the insides of its literals, and the comments apart: a pair for each line.
pub(crate) fn lines(text: &str) -> Vec<(String, String)> {
    let mut lines = vec![(String::new(), String::new())];
    let mut rest = text;
    let mut within = Within::Code;
    while let Some(next) = rest.chars().next() {
        if next == '\n' {
            within = if within == Within::LineComment { Within::Code } else { within };
            lines.push((String::new(), String::new()));
            rest = &rest[1..];
            continue;
        }
        let (code, comment) = lines.last_mut().expect("there is always a line");
        let taken = match within {
            Within::Code => {
                let (taken, then) = code_token(rest, code);
                within = then;
                taken
            }
            Within::LineComment => {
                comment.push(next);
                next.len_utf8()
            }
            Within::BlockComment => {
                comment.push(next);
                within = if rest.starts_with("*/") { Within::Code } else { within };
                if within == Within::Code { 2 } else { next.len_utf8() }
            }
            Within::Text if rest.starts_with('\\') => {
                1 + rest[1..].chars().next().filter(|c| *c != '\n').map_or(0, char::len_utf8)
            }
            Within::Text => {
                within = if next == '"' { Within::Code } else { within };
                next.len_utf8()
            }
            Within::RawText(hashes) => {
                let end = rest.starts_with('"') && rest[1..].bytes().take_while(|byte| *byte == b'#').count() >= hashes;
                within = if end { Within::Code } else { within };
                if end { 1 + hashes } else { next.len_utf8() }
            }
        };
        rest = &rest[taken..];
    }
    lines
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Within {
    Code,
    LineComment,
    BlockComment,
    Text,
    RawText(usize),
}

/// Takes what is next in code. Returns its length, and what follows.
fn code_token(rest: &str, code: &mut String) -> (usize, Within) {
    if rest.starts_with("//") {
        return (2, Within::LineComment);
    }
    if rest.starts_with("/*") {
        return (2, Within::BlockComment);
    }
    if rest.starts_with('"') {
        code.push_str("\"\"");
        return (1, Within::Text);
    }
    let word_before = code.chars().next_back().is_some_and(|last| last.is_alphanumeric() || last == '_');
    let raw = rest.strip_prefix("br").or_else(|| rest.strip_prefix("cr")).or_else(|| rest.strip_prefix('r'));
    if let Some(after) = raw.filter(|_| !word_before) {
        let hashes = after.bytes().take_while(|byte| *byte == b'#').count();
        if after[hashes..].starts_with('"') {
            code.push_str("\"\"");
            return (rest.len() - after.len() + hashes + 1, Within::RawText(hashes));
        }
    }
    if let Some(after) = rest.strip_prefix('\'') {
        // A character, and no lifetime.
        let end = match after.strip_prefix('\\') {
            Some(escaped) => escaped.char_indices().skip(1).find(|(_, c)| *c == '\'').map(|(at, _)| at + 3),
            None => after.chars().next().filter(|c| after[c.len_utf8()..].starts_with('\'')).map(|c| c.len_utf8() + 2),
        };
        if let Some(end) = end {
            code.push_str("' '");
            return (end, Within::Code);
        }
    }
    let next = rest.chars().next().expect("there is more");
    code.push(next);
    (next.len_utf8(), Within::Code)
}

/// The words and signs of the code, without what is for tests alone.
pub(crate) fn tokens(text: &str) -> Vec<String> {
    without_tests(&all_tokens(text))
}

/// All words and signs of the code. `::`, `->` and `=>` are one sign.
fn all_tokens(text: &str) -> Vec<String> {
    let mut tokens: Vec<String> = Vec::new();
    for (code, _) in lines(text) {
        let mut rest = code.trim_start();
        while let Some(first) = rest.chars().next() {
            let word = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
            let long = ["::", "->", "=>"].into_iter().find(|sign| rest.starts_with(sign));
            let length = if word > 0 { word } else { long.map_or(first.len_utf8(), str::len) };
            tokens.push(rest[..length].to_string());
            rest = rest[length..].trim_start();
        }
    }
    tokens
}

const FOR_TESTS: [&str; 7] = ["#", "[", "cfg", "(", "test", ")", "]"];

fn without_tests(tokens: &[String]) -> Vec<String> {
    let (mut kept, mut rest) = (Vec::new(), tokens);
    while let Some(first) = rest.first() {
        if starts(rest, &FOR_TESTS) {
            rest = &rest[end_of_item(rest)..];
        } else {
            kept.push(first.clone());
            rest = &rest[1..];
        }
    }
    kept
}

fn starts(tokens: &[String], with: &[&str]) -> bool {
    tokens.len() >= with.len() && tokens.iter().zip(with).all(|(token, wanted)| token == wanted)
}

/// Where an item ends that begins with an attribute: behind its block, or its semicolon.
fn end_of_item(tokens: &[String]) -> usize {
    let mut depth = 0_usize;
    for (at, token) in tokens.iter().enumerate() {
        match token.as_str() {
            "{" | "(" | "[" => depth += 1,
            "}" | ")" | "]" => {
                depth = depth.saturating_sub(1);
                if depth == 0 && token == "}" {
                    return at + 1;
                }
            }
            ";" if depth == 0 => return at + 1,
            _ => {}
        }
    }
    tokens.len()
}

/// The modules of a text that are for tests alone and have a file of their own.
pub(crate) fn test_modules(text: &str) -> Vec<String> {
    let all = all_tokens(text);
    let mut found = Vec::new();
    for at in 0..all.len() {
        let rest = &all[at..];
        if starts(rest, &FOR_TESTS) {
            let item = &rest[FOR_TESTS.len()..end_of_item(rest)];
            let place = item.iter().position(|token| token == "mod");
            if let Some(place) = place.filter(|_| item.last().is_some_and(|last| last == ";")) {
                found.push(item[place + 1].clone());
            }
        }
    }
    found
}

/// The conditions that are a `let` and something else, which Rust has since 1.88.
pub(crate) fn let_chains(text: &str) -> Vec<String> {
    let all = all_tokens(text);
    let begins = |at: &usize| matches!(all[*at].as_str(), "if" | "while");
    let conditions = (0..all.len()).filter(begins).map(|at| condition(&all[at + 1..]));
    conditions.filter(|condition| is_let_chain(condition)).map(|condition| condition.join(" ")).collect()
}

/// The tokens before the block.
fn condition(tokens: &[String]) -> &[String] {
    let (mut depth, mut is_pattern) = (0_usize, false);
    let ends = |token: &String| {
        match token.as_str() {
            "let" => is_pattern = true,
            "=" if depth == 0 => is_pattern = false,
            "(" | "[" => depth += 1,
            "{" if is_pattern => depth += 1,
            "}" | ")" | "]" => depth = depth.saturating_sub(1),
            _ => {}
        }
        depth == 0 && matches!(token.as_str(), "{" | "=>" | ";")
    };
    &tokens[..tokens.iter().position(ends).unwrap_or(tokens.len())]
}

fn is_let_chain(condition: &[String]) -> bool {
    let (mut depth, mut lets, mut ands, mut before) = (0_usize, 0, 0, "");
    for token in condition {
        match token.as_str() {
            "(" | "[" => depth += 1,
            ")" | "]" => depth = depth.saturating_sub(1),
            "let" if depth == 0 => lets += 1,
            "&" if depth == 0 && before == "&" => ands += 1,
            _ => {}
        }
        before = token;
    }
    lets > 0 && ands > 0
}

/// The fields of each struct that has named ones.
pub(crate) fn structs(tokens: &[String]) -> Vec<(String, usize)> {
    let mut found = Vec::new();
    for at in 0..tokens.len() {
        let (true, Some(name)) = (tokens[at] == "struct", tokens.get(at + 1)) else { continue };
        let head = tokens[at..].iter().position(|token| matches!(token.as_str(), "{" | "(" | ";"));
        let Some(open) = head.map(|head| at + head).filter(|open| tokens[*open] == "{") else { continue };
        let (mut depth, mut fields, mut last) = (0_usize, 0, "");
        for token in &tokens[open..] {
            match token.as_str() {
                "{" | "(" | "[" | "<" => depth += 1,
                "}" | ")" | "]" | ">" => depth = depth.saturating_sub(1),
                "," if depth == 1 => fields += 1,
                _ => {}
            }
            if depth == 0 {
                break;
            }
            last = token;
        }
        found.push((name.clone(), fields + usize::from(!matches!(last, "," | "{"))));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_and_comments_are_told_apart() {
        let text = "let a = \"// no \\\" comment\"; // one\nlet b = '\"'; /* two\nmore */ c::<'a>(r#\"\"//\"#);\n";
        let (code, comments): (Vec<String>, Vec<String>) = lines(text).into_iter().unzip();
        assert_eq!(code, ["let a = \"\"; ", "let b = ' '; ", " c::<'a>(\"\");", ""]);
        assert_eq!(comments, [" one", " two", "more *", ""]);
    }

    #[test]
    fn code_for_tests_does_not_count() {
        let text =
            "use a::b;\n#[cfg(test)]\nmod tests { use c::d; }\n#[cfg(test)]\nuse e;\n#[cfg(test)]\nmod far;\nfn f() {}";
        assert_eq!(tokens(text).concat(), "usea::b;fnf(){}");
        assert_eq!(test_modules(text), ["far"]);
    }

    #[test]
    fn a_let_beside_something_else_is_found() {
        let fine = "if let Some(a) = b(c && d) { e && f } if a && b { let c = d; } while let [a, b] = &c {} \
                    match a { Some(b) if b && c => d, _ if let_it && be => {} }";
        assert_eq!(let_chains(fine), [""; 0]);
        let chains = "if let Some(a) = b && c { } while a && let Some(b) = c(d) { } if let A { .. } = b { } if let A { .. } = b && c { }";
        assert_eq!(
            let_chains(chains),
            ["let Some ( a ) = b & & c", "a & & let Some ( b ) = c ( d )", "let A { . . } = b & & c"]
        );
    }

    #[test]
    fn fields_are_counted() {
        let text = "struct A<T: X<Y>> { a: B<C, D>, pub(crate) b: fn(E, F) -> G, #[x(y, z)] c: T }\n\
                    struct B(u8, u8); struct C; pub struct D { a: [u8; 2], } struct E {}";
        let want = [("A", 3), ("D", 1), ("E", 0)];
        assert_eq!(structs(&tokens(text)), want.map(|(name, count)| (name.to_string(), count)));
    }
}
