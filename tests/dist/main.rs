//! What a release consists of, as `make dist` has built it, installed where nothing else is: `make test-dist`.

mod bare;
mod chosen;
mod container;
mod contents;
mod sbom;
mod source;
mod version;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;
use testkit::process::{Finished, run};
use testkit::program::repository;

/// The gem for this platform.
fn platform_gem() -> PathBuf {
    built("-x86_64-linux.gem")
}

/// The gem for arm64.
fn arm64_gem() -> PathBuf {
    built("-aarch64-linux.gem")
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

/// A directory that RubyGems can install from, with all gems of the release, and these.
#[track_caller]
fn registry(more: &[PathBuf]) -> TempDir {
    let place = TempDir::with_prefix("licorne-registry-").expect("a directory");
    let gems = place.path().join("gems");
    fs::create_dir(&gems).expect("it can be written");
    for gem in [source_gem(), platform_gem(), built("-x86_64-linux-musl.gem")].iter().chain(more) {
        fs::copy(gem, gems.join(gem.file_name().expect("a name"))).expect("it can be copied");
    }
    let indexed =
        run(Command::new("gem").args(["generate_index", "--directory"]).arg(place.path()), testkit::patience());
    assert!(indexed.status.success(), "{indexed:#?}");
    place
}

/// Runs a script in a Debian without a compiler.
#[track_caller]
fn bare(suite: &str, directory: &Path, script: &str) -> Finished {
    let mut command = Command::new(repository().join("bin/bare-debian"));
    command.args([suite, "sh", "-euc", script]).current_dir(directory);
    let finished = run(&mut command, testkit::patience());
    assert!(finished.status.success(), "{suite}: {finished:#?}");
    finished
}

#[track_caller]
fn output(command: &mut Command) -> String {
    let finished = run(command, testkit::patience());
    assert!(finished.status.success(), "{command:?}: {finished:#?}");
    finished.stdout
}

/// The files of a gem, as they are installed.
fn unpacked(gem: &Path, place: &TempDir) -> PathBuf {
    output(Command::new("gem").arg("unpack").arg(gem).arg("--target").arg(place.path()));
    place.path().join(gem.file_stem().expect("a name"))
}
