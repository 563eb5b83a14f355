//! Which known name did a misspelled one mean?

use strsim::osa_distance;

use crate::TABLE;

/// The directive that a misspelled name most likely means, if one is close.
pub fn nearest(name: &str) -> Option<&'static str> {
    closest(name, TABLE.iter().map(|directive| directive.name))
}

/// The candidate with the fewest edits (insertions, deletions, substitutions, swaps of neighbours), if they are at most a
/// third of the name (one is always allowed), else one that begins with the name (`preload`).
pub fn closest<'a>(name: &str, candidates: impl Iterator<Item = &'a str> + Clone) -> Option<&'a str> {
    candidates
        .clone()
        .map(|candidate| (osa_distance(name, candidate), candidate))
        .filter(|(edits, candidate)| *edits <= (candidate.len().max(name.len()) / 3).max(1))
        .min_by_key(|(edits, _)| *edits)
        .map(|(_, candidate)| candidate)
        .or_else(|| (name.len() >= LEAST_PREFIX).then(|| candidates.into_iter().find(|c| c.starts_with(name)))?)
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
