//! What a release consists of, as `make dist` has built it, installed where nothing else is: `make test-dist`.

mod bare;
mod chosen;
mod contents;
mod source;

use std::path::PathBuf;

use testkit::program::repository;

/// The gem for this platform.
fn platform_gem() -> PathBuf {
    built("-x86_64-linux.gem")
}

/// The gem that is compiled when it is installed.
fn source_gem() -> PathBuf {
    built(".gem")
}

/// A file of pkg/.
#[track_caller]
fn built(ending: &str) -> PathBuf {
    let path = repository().join("pkg").join(format!("licorne-{}{ending}", env!("CARGO_PKG_VERSION")));
    assert!(path.exists(), "make dist builds {}", path.display());
    path
}
