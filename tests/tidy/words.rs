//! Plain English, as far as a test can see it: words that comments do not have, and how names of tests do not begin.

use crate::source;

/// Words for persons, which are wrong for processes and things.
const BANNED: &[&str] = &["nobody", "somebody", "anybody", "everybody", "whoever", "newcomer", "newcomers"];

/// Names of types that had to be looked up; each has a plainer one now.
const OLD_NAMES: &[&str] = &["Desk", "Door", "Luggage", "Guise", "Colleagues"];

/// What is wrong in a text of this kind (`rs`, `rb`, ...), with the numbers of lines.
pub(crate) fn offences(kind: &str, text: &str) -> Vec<(usize, String)> {
    let lines = if kind == "rs" { source::lines(text) } else { text.lines().map(hashed).collect() };
    let mut found = Vec::new();
    let mut ended = true;
    for (number, (code, comment)) in lines.iter().enumerate() {
        // Quoted it is the user of that name.
        let words = comment.split(|c: char| !c.is_alphanumeric() && c != '`').map(str::to_lowercase);
        let banned = words.filter(|word| BANNED.contains(&word.as_str()));
        found.extend(banned.map(|word| (number + 1, format!("{word:?} is for persons"))));
        let comment = comment.trim_start_matches(['/', '!', ' ', '-', '*']);
        let sentence = if ended { comment.starts_with("Who ") } else { false };
        if sentence || [". Who ", ": Who "].iter().any(|start| comment.contains(start)) {
            found.push((number + 1, "a sentence begins with \"Who\"".to_string()));
        }
        ended = comment.is_empty() || comment.ends_with(['.', ':', '?']);
        let code = code.trim_start();
        let name = ["fn ", "def test_", "test \""].iter().find_map(|start| code.strip_prefix(start));
        if name.is_some_and(|name| name.starts_with("who_") || name.starts_with("what_")) {
            found.push((number + 1, "a name says what the server does".to_string()));
        }
        let old = code.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| OLD_NAMES.contains(word));
        found.extend(old.map(|word| (number + 1, format!("{word} has another name"))));
    }
    found
}

/// A line of Ruby or of a shell: what is before and what is behind a `#` that begins a comment.
fn hashed(line: &str) -> (String, String) {
    let begins =
        |(at, _): &(usize, &str)| (*at == 0 || line[..*at].ends_with([' ', '\t'])) && !line[*at..].starts_with("#{");
    match line.match_indices('#').find(begins) {
        Some((at, _)) => (line[..at].to_string(), line[at + 1..].to_string()),
        None => (line.to_string(), String::new()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_for_persons_and_names_that_say_nothing_are_seen() {
        #[track_caller]
        fn check(kind: &str, text: &str, want: &[usize]) {
            let found: Vec<usize> = offences(kind, text).into_iter().map(|(line, _)| line).collect();
            assert_eq!(found, want, "{text}");
        }
        check("rs", "// Nobody waits.\nlet a = 1; // for whoever comes\n", &[1, 2]);
        check(
            "rs",
            "// Who waits.\n// A client\n// Who waits. Who sleeps.\n// The worker, which waits. Who?\n",
            &[1, 3],
        );
        check("rs", "fn who_waits() {}\n    fn what_waits() {}\nfn waits_for_who() {}\n", &[1, 2]);
        check("rs", "let door = Door::open();\nlet text = \"nobody\"; // \u{e9}\n", &[1]);
        check("rb", "x = \"#{nobody}\" # somebody\ndef test_who_waits\nend\n", &[1, 2]);
        check("sh", "# The worker that waits.\necho nobody\n", &[]);
    }
}
