//! The links of the pages, as a reader of the repository follows them: to files, and to headings by the names that GitHub
//! and mdBook give them.

use std::collections::BTreeSet;

/// The targets of inline links and pictures that lead to no other site, with the numbers of lines.
pub(crate) fn links(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (number, line) in prose(text) {
        let line = without_code(line);
        for piece in line.split("](").skip(1) {
            let target = piece.split(')').next().unwrap_or_default();
            if !target.contains("://") && !target.starts_with("mailto:") {
                found.push((number, target.to_owned()));
            }
        }
    }
    found
}

/// The names by which links lead to the headings of a page.
pub(crate) fn anchors(text: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (_, line) in prose(text) {
        let heading = line.trim_start_matches('#');
        let depth = line.len() - heading.len();
        if (1..=6).contains(&depth) && heading.starts_with(' ') {
            let name = anchor(heading.trim());
            let mut names = std::iter::once(name.clone()).chain((1..).map(|count| format!("{name}-{count}")));
            let free = names.find(|name| !found.contains(name));
            found.extend(free);
        }
    }
    found
}

/// Lower case, with hyphens for blanks, and without signs. Of a link in the heading its text counts.
fn anchor(heading: &str) -> String {
    let mut text = String::new();
    let mut rest = heading;
    while let Some((before, after)) = rest.split_once("](") {
        text.push_str(before);
        rest = after.split_once(')').map_or("", |(_, after)| after);
    }
    text.push_str(rest);
    let kept = text.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.flat_map(char::to_lowercase).map(|c| if c == ' ' { '-' } else { c }).collect()
}

/// The lines that are not within a fence of code, nor indented as code.
fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut fenced = false;
    text.lines().enumerate().map(|(number, line)| (number + 1, line)).filter(move |(_, line)| {
        let fence = line.trim_start().starts_with("```");
        fenced ^= fence;
        !fenced && !fence && !line.starts_with("    ")
    })
}

/// A line without what stands between backticks.
fn without_code(line: &str) -> String {
    line.split('`').step_by(2).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_found_in_prose_alone() {
        let text =
            "[a](b.md) and ![c](d.png#e) [`f`](g)\n`[h](i)` [j](https://k)\n```\n[l](m)\n```\n    [n](o)\n[p](#q)";
        let want = [(1, "b.md"), (1, "d.png#e"), (1, "g"), (7, "#q")];
        assert_eq!(links(text), want.map(|(line, target)| (line, target.to_owned())));
    }

    #[test]
    fn headings_have_the_names_that_links_use() {
        #[track_caller]
        fn check(text: &str, want: &[&str]) {
            assert_eq!(anchors(text), want.iter().map(|name| (*name).to_owned()).collect(), "{text}");
        }
        check("# Licorne's own directives\n## Options of `listen`", &["licornes-own-directives", "options-of-listen"]);
        check("### worker_processes\n#no\n####### no", &["worker_processes"]);
        check("## HAProxy: fewer\n## A\n## A\n```\n# no\n```", &["haproxy-fewer", "a", "a-1"]);
        check("## [The log](logs.md), here", &["the-log-here"]);
    }
}
