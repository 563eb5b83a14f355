//! Promise: the gem for a platform holds what each Ruby there takes and nothing that only a newer system has, in 8 MB.
//! That for arm64, which was compiled on x86_64, is arm64's throughout.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;
use testkit::program::repository;

use crate::{arm64_gem, built, output, platform_gem, source_gem, unpacked};

/// Rubies that it has the extension for.
const RUBIES: [&str; 3] = ["3.1", "3.3", "3.4"];
/// Debian 12's.
const NEWEST_GLIBC: (u32, u32) = (2, 36);
/// What every Debian has, however little else it has.
const LIBRARIES: [&str; 3] = ["libc.so.6", "libm.so.6", "libgcc_s.so.1"];

fn glibc_versions(path: &Path) -> Vec<(u32, u32)> {
    let told = output(Command::new("readelf").args(["--wide", "--version-info"]).arg(path));
    let words = told.split_whitespace().filter_map(|word| word.strip_prefix("GLIBC_"));
    let numbers = words.filter_map(|word| word.split_once('.'));
    let parse = |text: &str| text.split('.').next().and_then(|text| text.parse().ok());
    numbers.filter_map(|(major, minor)| Some((parse(major)?, parse(minor)?))).collect()
}

/// `machine` and `linker` are the processor's, as readelf(1) and glibc call them.
#[track_caller]
fn check(gem: &Path, machine: &str, linker: &str) {
    let place = TempDir::with_prefix("licorne-gem-").expect("a directory");
    let gem = unpacked(gem, &place);
    let extensions = RUBIES.map(|release| gem.join(format!("gem/lib/licorne/{release}/licorne_ext.so")));
    for path in [gem.join("gem/libexec/licorne")].iter().chain(&extensions) {
        let header = output(Command::new("readelf").args(["--wide", "--file-header"]).arg(path));
        let of = header.lines().find_map(|line| line.trim().strip_prefix("Machine:")).map(str::trim);
        assert_eq!(of, Some(machine), "{}", path.display());
        let newest = glibc_versions(path).into_iter().max().expect("it is linked with glibc");
        assert!(newest <= NEWEST_GLIBC, "{} asks for glibc {newest:?}", path.display());
        let told = output(Command::new("readelf").args(["--wide", "--dynamic"]).arg(path));
        for library in told.lines().filter_map(|line| line.split_once("Shared library: [")) {
            let library = library.1.trim_end_matches(']');
            assert!(library == linker || LIBRARIES.contains(&library), "{}: {told}", path.display());
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
fn it_runs_with_the_glibc_of_debian_12_and_with_each_ruby() {
    check(&platform_gem(), "Advanced Micro Devices X86-64", "ld-linux-x86-64.so.2");
    check(&arm64_gem(), "AArch64", "ld-linux-aarch64.so.1");
}

#[test]
fn memory_pages_of_64_kib_will_do_on_arm64() {
    let place = TempDir::with_prefix("licorne-gem-").expect("a directory");
    let program = unpacked(&arm64_gem(), &place).join("gem/libexec/licorne");
    let told = output(Command::new("readelf").args(["--wide", "--segments"]).arg(program));
    let alignments: Vec<&str> = told
        .lines()
        .filter(|line| line.trim().starts_with("LOAD"))
        .filter_map(|line| line.split_whitespace().last())
        .collect();
    assert!(alignments.len() >= 2 && alignments.iter().all(|alignment| *alignment == "0x10000"), "{told}");
}

#[test]
fn it_is_at_most_8_megabytes() {
    for gem in [platform_gem(), arm64_gem()] {
        let bytes = gem.metadata().expect("it is there").len();
        println!("{}: {bytes} bytes", gem.display());
        assert!(bytes <= 8_000_000, "{bytes} bytes");
    }
}

/// What a script tells of a gem's specification, `spec`.
#[track_caller]
fn specification(gem: PathBuf, script: &str) -> String {
    let script = format!("spec = Gem::Package.new(ARGV[0]).spec; puts({script})");
    output(Command::new("ruby").args(["-rrubygems/package", "-e", &script]).arg(gem)).trim_end().to_owned()
}

#[test]
fn musl_gets_the_source_by_its_own_name_on_each_processor() {
    for processor in ["x86_64", "aarch64"] {
        let gem = || built(&format!("-{processor}-linux-musl.gem"));
        assert_eq!(specification(gem(), "spec.platform"), format!("{processor}-linux-musl"));
        assert_eq!(specification(gem(), "spec.extensions"), "gem/ext/extconf.rb");
        assert_eq!(specification(gem(), "spec.required_rubygems_version"), ">= 3.3.22");
    }
}

#[test]
fn the_two_platforms_have_the_same_files() {
    let files = "spec.files.sort, spec.required_ruby_version, spec.executables";
    assert_eq!(specification(platform_gem(), files), specification(arm64_gem(), files));
    assert_eq!(specification(arm64_gem(), "spec.platform"), "aarch64-linux");
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
