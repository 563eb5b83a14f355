//! Promise: the gem for a platform holds what each Ruby there takes and nothing that only a newer system has, in 8 MB.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;
use testkit::program::repository;

use crate::{output, platform_gem, source_gem, unpacked};

/// Rubies that it has the extension for.
const RUBIES: [&str; 3] = ["3.1", "3.3", "3.4"];
/// Debian 12's.
const NEWEST_GLIBC: (u32, u32) = (2, 36);
/// What every Debian has, however little else it has.
const LIBRARIES: [&str; 4] = ["libc.so.6", "libm.so.6", "libgcc_s.so.1", "ld-linux-x86-64.so.2"];

fn glibc_versions(path: &Path) -> Vec<(u32, u32)> {
    let told = output(Command::new("readelf").args(["--wide", "--version-info"]).arg(path));
    let words = told.split_whitespace().filter_map(|word| word.strip_prefix("GLIBC_"));
    let numbers = words.filter_map(|word| word.split_once('.'));
    let parse = |text: &str| text.split('.').next().and_then(|text| text.parse().ok());
    numbers.filter_map(|(major, minor)| Some((parse(major)?, parse(minor)?))).collect()
}

#[test]
fn it_runs_with_the_glibc_of_debian_12_and_with_each_ruby() {
    let place = TempDir::with_prefix("licorne-gem-").expect("a directory");
    let gem = unpacked(&place);
    let extensions = RUBIES.map(|release| gem.join(format!("gem/lib/licorne/{release}/licorne_ext.so")));
    for path in [gem.join("gem/libexec/licorne")].iter().chain(&extensions) {
        let newest = glibc_versions(path).into_iter().max().expect("it is linked with glibc");
        assert!(newest <= NEWEST_GLIBC, "{} asks for glibc {newest:?}", path.display());
        let told = output(Command::new("readelf").args(["--wide", "--dynamic"]).arg(path));
        for library in told.lines().filter_map(|line| line.split_once("Shared library: [")) {
            assert!(LIBRARIES.contains(&library.1.trim_end_matches(']')), "{}: {told}", path.display());
        }
        let sections = output(Command::new("readelf").args(["--wide", "--sections"]).arg(path));
        assert!(!sections.contains(".symtab") && !sections.contains(".debug_"), "{} is not stripped", path.display());
    }
    for absent in ["Cargo.toml", "crates", "gem/ext"] {
        assert!(!gem.join(absent).exists(), "{absent} is of no use there");
    }
    for present in ["gem/exe/unicornherder", "man/licorne.1", "completions/licorne.bash", "LICENSE-MIT"] {
        assert!(gem.join(present).exists(), "{present}");
    }
}

#[test]
fn it_is_at_most_8_megabytes() {
    let bytes = platform_gem().metadata().expect("it is there").len();
    println!("{} bytes", bytes);
    assert!(bytes <= 8_000_000, "{bytes} bytes");
}

#[test]
fn rubies_without_an_extension_are_refused_by_the_gem_and_not_by_the_source() {
    let asks = "ARGV[1..].each { |ruby| p Gem::Package.new(ARGV[0]).spec.required_ruby_version.satisfied_by?(Gem::Version.new(ruby)) }";
    let accepted = |gem: PathBuf, rubies: &[&str]| {
        let told = output(Command::new("ruby").args(["-rrubygems/package", "-e", asks]).arg(gem).args(rubies));
        told.lines().map(|line| line == "true").collect::<Vec<_>>()
    };
    let rubies = ["3.0.7", "3.1.2", "3.2.0", "3.2.9", "3.3.8", "3.4.5", "3.5.0.dev", "4.0.0"];
    assert_eq!(accepted(platform_gem(), &rubies), [false, true, false, false, true, true, false, false]);
    assert_eq!(accepted(source_gem(), &rubies), [false, true, true, true, true, true, true, true]);
}

#[test]
fn the_checksums_are_those_of_the_files() {
    output(Command::new("sha256sum").args(["--check", "--strict", "SHA256SUMS"]).current_dir(repository().join("pkg")));
}
