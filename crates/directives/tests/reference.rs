//! What is printed from the table and checked in is what the table prints.
//!
//! After a change of the table: `LICORNE_BLESS=1 cargo test -p directives` writes it anew.
#![allow(clippy::unwrap_used)]

use std::path::Path;

#[track_caller]
fn check(name: &str, printed: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(name);
    if std::env::var_os("LICORNE_BLESS").is_some() {
        std::fs::write(&path, printed).unwrap();
    }
    let checked_in = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(checked_in == printed, "{name} differs: run LICORNE_BLESS=1 cargo test -p directives");
}

#[test]
fn checked_in_reference_is_what_the_table_prints() {
    check("docs/reference.md", &directives::reference());
}

#[test]
fn checked_in_signatures_are_what_the_table_prints() {
    check("sig/licorne/directives.rbs", &directives::signatures());
}
