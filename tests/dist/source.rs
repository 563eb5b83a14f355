//! Promise: the gem that is compiled when it is installed says what is missing, and needs no network where it has the crates.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use testkit::process::run;
use testkit::program::repository;
use testkit::{App, Server};

use crate::{built, source_gem};

const APP: &str = r##"
run ->(_env) { [200, { "content-type" => "text/plain" }, ["#{$LOADED_FEATURES.grep(/licorne_ext/).join(" ")}\n"]] }
"##;

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

/// A script for a Debian 13 that has what compiling takes, all of it Debian's: it finds the gems in this directory.
fn script(place: &Path, name: &str, commands: &str) -> PathBuf {
    let path = place.join(name);
    let text = format!(
        "#!/bin/sh\nexec '{}/bin/bare-debian' trixie+rust env GEM_HOME='{gems}' PATH='/usr/bin:/bin:{gems}/bin' {commands}\n",
        repository().display(),
        gems = place.join("gems").display(),
    );
    fs::write(&path, text).expect("it can be written");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("it is ours");
    path
}

#[test]
fn debian_13_compiles_it_with_its_own_rust_and_without_a_network() {
    let place = TempDir::with_prefix("licorne-crates-").expect("a directory");
    let unpack = run(
        Command::new("tar").arg("-xzf").arg(built("-crates.tar.gz")).arg("-C").arg(place.path()),
        testkit::patience(),
    );
    assert!(unpack.status.success(), "{unpack:#?}");
    let rust = run(&mut Command::new(script(place.path(), "rust", "rustc --version")), testkit::patience());
    assert!(rust.stdout.starts_with("rustc 1.85."), "{rust:#?}");

    let install = "unshare --net gem install --local --no-document \"$@\"";
    let mut install = Command::new(script(place.path(), "install", install));
    install.arg(source_gem()).env_remove("CARGO_TARGET_DIR");
    install.env("LICORNE_CRATES", place.path().join(concat!("licorne-", env!("CARGO_PKG_VERSION"), "-crates")));
    // What is tested is that it compiles from these files alone, not how fast the result is.
    for (name, value) in [("LTO", "off"), ("CODEGEN_UNITS", "16"), ("OPT_LEVEL", "0"), ("DEBUG", "0")] {
        install.env(format!("CARGO_PROFILE_RELEASE_{name}"), value);
    }
    let installed = run(&mut install, Duration::from_secs(500));
    assert!(installed.status.success(), "{installed:#?}");

    let licorne = script(place.path(), "licorne", "licorne \"$@\"");
    let mut server = Server::builder().program(&licorne).app(App::rackup(APP)).start();
    let text = server.get("/").text();
    let extension = place.path().join("gems/gems").join(concat!("licorne-", env!("CARGO_PKG_VERSION")));
    assert_eq!(text, format!("{}\n", extension.join("gem/lib/licorne/licorne_ext.so").display()));
    server.stop();
}
