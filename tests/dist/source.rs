//! Promise: the gem that is compiled when it is installed says what is missing, and needs no network where it has the crates.

use std::process::Command;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use testkit::process::run;
use testkit::program::repository;

use crate::{built, source_gem};

#[test]
fn where_there_is_no_compiler_all_that_is_missing_is_told() {
    let began = Instant::now();
    let mut install = Command::new(repository().join("bin/bare-debian"));
    install.args(["trixie", "gem", "install", "--local", "--no-document"]).arg(source_gem());
    let told = run(&mut install, testkit::patience());
    println!("told after {:.1} s", began.elapsed().as_secs_f64());
    assert_ne!(told.code(), 0);
    for part in ["Rust ", "a C compiler", "libclang", "the headers of Ruby 3.3", "apt install ruby-dev"] {
        assert!(told.stderr.contains(part), "{part}: {told:#?}");
    }
}

#[test]
fn without_a_network_the_crates_of_the_release_will_do() {
    let place = TempDir::with_prefix("licorne-crates-").expect("a directory");
    let unpack = run(
        Command::new("tar").arg("-xzf").arg(built("-crates.tar.gz")).arg("-C").arg(place.path()),
        testkit::patience(),
    );
    assert!(unpack.status.success(), "{unpack:#?}");
    let crates = place.path().join(concat!("licorne-", env!("CARGO_PKG_VERSION"), "-crates"));
    let mut install = Command::new(repository().join("bin/debian-13"));
    install.args(["unshare", "--net", "env", "-u", "CARGO_TARGET_DIR"]);
    install.arg(format!("CARGO_HOME={}", place.path().join("cargo").display()));
    install.arg(format!("LICORNE_CRATES={}", crates.display()));
    install.arg(format!("GEM_HOME={}", place.path().join("gems").display()));
    // What is tested is that it compiles from these files alone, not how fast the result is.
    for (name, value) in [("LTO", "off"), ("CODEGEN_UNITS", "16"), ("OPT_LEVEL", "0"), ("DEBUG", "0")] {
        install.arg(format!("CARGO_PROFILE_RELEASE_{name}={value}"));
    }
    install.args(["gem", "install", "--local", "--no-document"]).arg(source_gem());
    let installed = run(&mut install, Duration::from_secs(500));
    assert!(installed.status.success(), "{installed:#?}");
}
