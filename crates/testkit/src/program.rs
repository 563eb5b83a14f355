//! Which program the tests start, and where the repository is.

use std::path::{Path, PathBuf};

/// The root of the repository.
#[must_use]
pub fn repository() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).expect("crates/testkit lies two levels below the root").to_path_buf()
}

/// The program under test: `LICORNE_BIN`, else `target/release/licorne` of this checkout (`make build` leaves it there).
///
/// `LICORNE_BIN=/usr/bin/unicorn` holds the harness itself, and every promise that Unicorn keeps too, against Unicorn.
#[must_use]
pub fn path() -> PathBuf {
    match std::env::var_os("LICORNE_BIN") {
        Some(path) if !path.is_empty() => PathBuf::from(path),
        _ => repository().join("target/release/licorne"),
    }
}

/// The name that process titles begin with.
#[must_use]
pub fn name() -> String {
    path().file_name().expect("the program has a name").to_string_lossy().into_owned()
}

/// Whether the program is Licorne: what only Licorne promises is tested on nothing else.
#[must_use]
pub fn is_licorne() -> bool {
    name().starts_with("licorne")
}

/// Puts the gem at `place`, which does not exist yet, as an installation leaves it: Ruby's files, with the program under
/// test and its extension among them.
#[track_caller]
pub fn install_gem(place: &Path) {
    let checkout = repository().join("gem");
    std::fs::create_dir_all(place.join("libexec")).expect("the test's directory can be written");
    for part in ["lib", "exe"] {
        crate::spawn::copy_tree(&checkout.join(part), &place.join(part));
    }
    let program = path();
    let extension = program.with_file_name("rubylib").join("licorne/licorne_ext.so");
    std::fs::copy(&program, place.join("libexec/licorne")).expect("the program is built");
    std::fs::copy(extension, place.join("lib/licorne/licorne_ext.so")).expect("the extension is built");
}

/// A directory for files that are costly to make and may be kept between runs (a generated application).
#[must_use]
pub fn cache() -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| repository().join("target"), PathBuf::from);
    target.join("test-cache")
}
