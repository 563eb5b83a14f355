//! The checked-in reference is what the table prints.
//!
//! After a change of the table: `LICORNE_BLESS=1 cargo test -p directives` writes it anew.
#![allow(clippy::unwrap_used)]

use std::path::Path;

#[test]
fn checked_in_reference_is_what_the_table_prints() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference.md");
    let printed = directives::reference();
    if std::env::var_os("LICORNE_BLESS").is_some() {
        std::fs::write(&path, &printed).unwrap();
    }
    let checked_in = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(checked_in == printed, "docs/reference.md differs: run LICORNE_BLESS=1 cargo test -p directives");
}
