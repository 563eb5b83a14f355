//! The headings of `docs/differences.md`: each difference that a table names is described there, and the other way round.

use std::collections::BTreeSet;

use crate::compare::Listed;

const TABLES: &[&[Listed]] =
    &[crate::env_known::KNOWN, crate::libraries::KNOWN, crate::malformed_known::KNOWN, crate::responses_known::KNOWN];

#[test]
fn each_difference_is_described_and_each_description_is_tested() {
    let text =
        std::fs::read_to_string(testkit::program::repository().join("docs/differences.md")).expect("it is there");
    let described: BTreeSet<&str> = text.lines().filter_map(|line| line.strip_prefix("### ")).collect();
    let tested: BTreeSet<&str> = TABLES.iter().flat_map(|table| table.iter()).map(|listed| listed.heading).collect();
    assert_eq!(described, tested);
    for listed in TABLES.iter().flat_map(|table| table.iter()) {
        assert!(!listed.rows.is_empty(), "{} has no row", listed.heading);
    }
}
