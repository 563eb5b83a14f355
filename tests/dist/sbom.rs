//! Promise: the list of components beside the gem for a platform names every crate that is in it, and nothing of the
//! machine that it was built on. That it is valid says `bin/sbom-check`.

use std::collections::BTreeSet;
use std::fs;

use serde_json::Value;
use tempfile::TempDir;
use testkit::program::repository;

use crate::{built, unpacked};

/// Name and version of each crate that the program or an extension speaks of: where a panic was, it says.
fn spoken_of(bytes: &[u8]) -> BTreeSet<(String, String)> {
    let text = String::from_utf8_lossy(bytes);
    let paths = text.split("/cargo/registry/src/").skip(1).filter_map(|rest| rest.split('/').nth(1));
    let crates = paths.filter_map(|name| {
        let start = name.match_indices('-').find(|(at, _)| name[at + 1..].starts_with(|c: char| c.is_ascii_digit()))?;
        Some((name[..start.0].to_owned(), name[start.0 + 1..].to_owned()))
    });
    crates.collect()
}

#[test]
fn it_names_every_crate_that_is_in_the_gem_and_no_path_of_the_machine() {
    check("x86_64-linux");
    check("aarch64-linux");
}

#[track_caller]
fn check(platform: &str) {
    let text = fs::read_to_string(built(&format!("-{platform}.cdx.json"))).expect("text");
    let told: Value = serde_json::from_str(&text).expect("JSON");
    let components = told["components"].as_array().expect("components");
    let word = |component: &Value, name: &str| component[name].as_str().unwrap_or_default().to_owned();
    let named: BTreeSet<_> =
        components.iter().map(|component| (word(component, "name"), word(component, "version"))).collect();

    let place = TempDir::with_prefix("licorne-gem-").expect("a directory");
    let gem = unpacked(&built(&format!("-{platform}.gem")), &place);
    let mut spoken = spoken_of(&fs::read(gem.join("gem/libexec/licorne")).expect("the program"));
    assert!(spoken.len() > 10, "{spoken:?}");
    for ruby in ["3.1", "3.3", "3.4"] {
        spoken.extend(spoken_of(
            &fs::read(gem.join(format!("gem/lib/licorne/{ruby}/licorne_ext.so"))).expect("an extension"),
        ));
    }
    println!("{platform}: {} components; {} crates are spoken of in the gem", named.len(), spoken.len());
    assert_eq!(spoken.difference(&named).collect::<Vec<_>>(), Vec::<&(String, String)>::new());

    for ours in ["licorne", "licorne_ext", "master", "reactor"] {
        assert!(named.contains(&(ours.to_owned(), env!("CARGO_PKG_VERSION").to_owned())), "{ours}");
    }
    for absent in ["testkit", "proptest", "insta", "bindgen", "syn"] {
        assert!(named.iter().all(|(name, _)| name != absent), "{absent} is in no program");
    }
    let home = std::env::var("HOME").expect("a home directory");
    for place in [repository().display().to_string(), home, "/tmp/".to_owned(), "file:///".to_owned()] {
        assert!(!text.contains(&place), "{place}");
    }
    assert!(told["serialNumber"].is_null(), "a number by chance would differ in each build");
    let sums = fs::read_to_string(repository().join("pkg/SHA256SUMS")).expect("text");
    assert!(sums.contains(&format!("-{platform}.cdx.json\n")), "{sums}");
}
