//! The drawing of the house in ARCHITECTURE.md: blocks of lines `user -> used used`, from the top down.

use std::collections::{BTreeMap, BTreeSet};

use testkit::program::repository;

/// What uses what.
pub(crate) type Uses = BTreeMap<String, BTreeSet<String>>;

/// Holds the block of ARCHITECTURE.md that is marked `arrows WHAT` against what is true. With `LICORNE_BLESS` set it is
/// written anew.
pub(crate) fn check(what: &str, truth: &Uses) -> Result<(), String> {
    let path = repository().join("ARCHITECTURE.md");
    let text = std::fs::read_to_string(&path).map_err(|error| error.to_string())?;
    let block = block(&text, what).ok_or(format!("ARCHITECTURE.md has no block ```arrows {what}"))?;
    let found = compare(block, truth);
    if found.is_err() && std::env::var_os("LICORNE_BLESS").is_some() {
        let (before, after) = text.split_at(block.as_ptr() as usize - text.as_ptr() as usize);
        let new = [before, &draw(truth), &after[block.len()..]].concat();
        return std::fs::write(&path, new).map_err(|error| error.to_string());
    }
    found.map_err(|wrong| format!("the arrows of {what} in ARCHITECTURE.md: {wrong}\nThis is true:\n{}", draw(truth)))
}

/// The inside of a block.
fn block<'a>(text: &'a str, what: &str) -> Option<&'a str> {
    let start = format!("```arrows {what}\n");
    let inside = &text[text.find(&start)? + start.len()..];
    Some(&inside[..inside.find("```")?])
}

/// Holds a drawing against what is true.
fn compare(drawing: &str, truth: &Uses) -> Result<(), String> {
    let mut drawn = Uses::new();
    for line in drawing.lines() {
        let (user, used) = line.split_once(" -> ").ok_or(format!("{line:?} is no arrow"))?;
        let used: BTreeSet<String> = used.split_whitespace().map(str::to_string).collect();
        let up = used.iter().find(|name| *name == user.trim() || drawn.contains_key(*name));
        if let Some(up) = up {
            return Err(format!("{} -> {up} points up", user.trim()));
        }
        drawn.insert(user.trim().to_string(), used);
    }
    let arrows = |uses: &Uses| -> BTreeSet<String> {
        uses.iter().flat_map(|(user, used)| used.iter().map(move |used| format!("{user} -> {used}"))).collect()
    };
    let (drawn, truth) = (arrows(&drawn), arrows(truth));
    let wrong = drawn.difference(&truth).map(|arrow| format!("{arrow} is drawn and is not there"));
    let missing = truth.difference(&drawn).map(|arrow| format!("{arrow} is there and is not drawn"));
    let all: Vec<String> = wrong.chain(missing).collect();
    if all.is_empty() { Ok(()) } else { Err(all.join("\n")) }
}

/// Draws it: a line stands above those of what it uses, as far as there is no circle.
fn draw(truth: &Uses) -> String {
    let mut left: Uses =
        truth.iter().filter(|(_, used)| !used.is_empty()).map(|(a, b)| (a.clone(), b.clone())).collect();
    let width = left.keys().map(String::len).max().unwrap_or(0);
    let mut text = String::new();
    while let Some(first) = left.keys().next() {
        let top = left.keys().find(|name| !left.values().any(|used| used.contains(*name))).unwrap_or(first).clone();
        let used: Vec<String> = left.remove(&top).unwrap_or_default().into_iter().collect();
        text.push_str(&format!("{top:width$} -> {}\n", used.join(" ")));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_arrow_has_to_be_true_and_to_point_down() {
        let uses = |of: &[(&str, &[&str])]| -> Uses {
            of.iter()
                .map(|(user, used)| (user.to_string(), used.iter().map(|used| used.to_string()).collect()))
                .collect()
        };
        let truth = uses(&[("shell", &["core", "sys"]), ("core", &["words"]), ("words", &[])]);
        let drawing = "shell -> core sys\ncore  -> words\n";
        assert_eq!(draw(&truth), drawing);
        assert_eq!(compare(drawing, &truth), Ok(()));
        #[track_caller]
        fn check(drawing: &str, truth: &Uses, want: &str) {
            assert_eq!(compare(drawing, truth), Err(want.to_string()));
        }
        check("shell -> core\ncore -> words\n", &truth, "shell -> sys is there and is not drawn");
        check("shell -> core sys words\ncore -> words\n", &truth, "shell -> words is drawn and is not there");
        check("core -> words\nshell -> core sys\n", &truth, "shell -> core points up");
        check("core\n", &truth, "\"core\" is no arrow");
        assert_eq!(block("a\n```arrows x\nb -> c\n```\n", "x"), Some("b -> c\n"));
    }
}
