//! Comparing what two servers did, against a table of the differences that are known.

use std::collections::{BTreeMap, BTreeSet};

/// Differences that have a heading in `docs/differences.md`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Listed {
    /// The heading.
    pub(crate) heading: &'static str,
    /// Where it shows.
    pub(crate) rows: &'static [Row],
}

/// Case (`*` for any, one at least); what of it (a key of env, a step of a scenario); what Unicorn does; what Licorne
/// does.
pub(crate) type Row = (&'static str, &'static str, &'static str, &'static str);

/// What differed so far.
#[derive(Debug)]
pub(crate) struct Comparison {
    listed: &'static [Listed],
    used: BTreeSet<Row>,
    unlisted: BTreeMap<[String; 3], BTreeSet<String>>,
    compared: usize,
}

impl Comparison {
    /// Starts one that knows these differences.
    pub(crate) fn new(listed: &'static [Listed]) -> Comparison {
        Comparison { listed, used: BTreeSet::new(), unlisted: BTreeMap::new(), compared: 0 }
    }

    /// Compares one thing.
    pub(crate) fn compare(&mut self, case: &str, what: &str, unicorn: &str, licorne: &str) {
        self.compared += 1;
        if unicorn == licorne {
            return;
        }
        let mut rows = self.listed.iter().flat_map(|listed| listed.rows);
        let found =
            rows.find(|row| (row.0 == "*" || row.0 == case) && (row.1, row.2, row.3) == (what, unicorn, licorne));
        match found {
            Some(row) => {
                self.used.insert(*row);
            }
            None => {
                let difference = [what, unicorn, licorne].map(str::to_owned);
                self.unlisted.entry(difference).or_default().insert(case.to_owned());
            }
        }
    }

    /// Ends the comparison: panics with the differences that are not listed, and with listed ones that did not show.
    #[track_caller]
    pub(crate) fn settle(self, at_least: usize) {
        let unlisted: Vec<String> =
            self.unlisted.iter().flat_map(|(difference, cases)| rows(difference, cases)).collect();
        let all = self.listed.iter().flat_map(|listed| listed.rows);
        let idle: Vec<&Row> = all.filter(|row| !self.used.contains(row)).collect();
        assert!(unlisted.is_empty(), "{} differences are not listed:\n{}\n", unlisted.len(), unlisted.join("\n"));
        assert!(idle.is_empty(), "these are listed, but there is no such difference: {idle:#?}");
        assert!(self.compared >= at_least, "only {} things were compared", self.compared);
    }
}

/// A difference as rows of the table, to be copied there if it is to be listed.
fn rows([what, unicorn, licorne]: &[String; 3], cases: &BTreeSet<String>) -> Vec<String> {
    let row = |case: &str| format!("            ({case:?}, {what:?}, {unicorn:?}, {licorne:?}),");
    if cases.len() > 12 && what != "(status)" && what != "status" {
        vec![row("*")]
    } else {
        cases.iter().map(|case| row(case)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LISTED: &[Listed] = &[Listed { heading: "a", rows: &[("1", "x", "u", "l"), ("*", "y", "u", "l")] }];

    #[track_caller]
    fn check(pairs: &[(&str, &str, &str, &str)], passes: bool) {
        let mut comparison = Comparison::new(LISTED);
        for (case, what, unicorn, licorne) in pairs {
            comparison.compare(case, what, unicorn, licorne);
        }
        let settled = std::panic::catch_unwind(|| comparison.settle(pairs.len()));
        assert_eq!(settled.is_ok(), passes, "{pairs:?}");
    }

    #[test]
    fn only_listed_differences_pass_and_each_of_them_must_show() {
        let both = [("1", "x", "u", "l"), ("2", "y", "u", "l"), ("3", "y", "same", "same")];
        check(&both, true);
        check(&both[..1], false);
        check(&both[1..], false);
        check(&[both[0], both[1], ("2", "x", "u", "l")], false);
        check(&[both[0], both[1], ("1", "x", "u", "other")], false);
    }
}
