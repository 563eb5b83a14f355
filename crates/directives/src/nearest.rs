//! Which known name did a misspelled one mean?

use alloc::vec::Vec;
use core::cmp::min;
use core::mem::swap;

use crate::TABLE;

/// The directive that a misspelled name most likely means, if one is close.
pub fn nearest(name: &str) -> Option<&'static str> {
    closest(name, TABLE.iter().map(|directive| directive.name))
}

/// The candidate with the fewest edits, if they are at most a third of the name (one is always allowed), else one that
/// begins with the name (`preload`).
pub fn closest<'a>(name: &str, candidates: impl Iterator<Item = &'a str> + Clone) -> Option<&'a str> {
    candidates
        .clone()
        .map(|candidate| (distance(name, candidate), candidate))
        .filter(|(edits, candidate)| *edits <= (candidate.len().max(name.len()) / 3).max(1))
        .min_by_key(|(edits, _)| *edits)
        .map(|(_, candidate)| candidate)
        .or_else(|| (name.len() >= LEAST_PREFIX).then(|| candidates.into_iter().find(|c| c.starts_with(name)))?)
}

/// Insertions, deletions, substitutions and swaps of neighbours that lead from one name to the other.
fn distance(from: &str, to: &str) -> usize {
    let from: Vec<char> = from.chars().collect();
    let to: Vec<char> = to.chars().collect();
    let mut before_last: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=to.len()).collect();
    for i in 1..=from.len() {
        let mut row = Vec::with_capacity(to.len() + 1);
        row.push(i);
        for j in 1..=to.len() {
            let same = usize::from(from[i - 1] != to[j - 1]);
            let mut edits = min(min(last[j] + 1, row[j - 1] + 1), last[j - 1] + same);
            if i > 1 && j > 1 && from[i - 1] == to[j - 2] && from[i - 2] == to[j - 1] {
                edits = min(edits, before_last[j - 2] + 1);
            }
            row.push(edits);
        }
        swap(&mut before_last, &mut last);
        last = row;
    }
    last[to.len()]
}

/// A shorter beginning of a name says too little to guess from it.
const LEAST_PREFIX: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_finds_the_directive_and_a_stranger_finds_none() {
        let cases = [
            ("worker_proceses", Some("worker_processes")),
            ("workers_processes", Some("worker_processes")),
            ("timeuot", Some("timeout")),
            ("preload", Some("preload_app")),
            ("stderrpath", Some("stderr_path")),
            ("Listen", Some("listen")),
            ("pids", Some("pid")),
            ("x", None),
            ("", None),
            ("bundle_exec_everything", None),
            ("threads", None),
        ];
        for (name, want) in cases {
            assert_eq!(nearest(name), want, "{name}");
        }
        assert_eq!(crate::nearest_option("backlgo"), Some("backlog"));
    }
}
