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

/// A directory for files that are costly to make and may be kept between runs (a generated application).
#[must_use]
pub fn cache() -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| repository().join("target"), PathBuf::from);
    target.join("test-cache")
}
