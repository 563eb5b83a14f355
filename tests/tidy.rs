//! The house rules that a test can check: dependency edges, file sizes, where unsafe may be, what tests may not do.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use testkit::process::run;
use testkit::program::repository;

/// Crates that do no I/O, and what each may use of ours.
const CORES: &[(&str, &[&str])] = &[
    ("http1", &[]),
    ("wire", &[]),
    ("scoreboard", &[]),
    ("directives", &[]),
    ("supervisor", &["wire", "scoreboard"]),
    ("herder", &[]),
];

/// What the other members may use. `sys` knows no policy, so it uses nothing of ours.
const SHELLS: &[(&str, &[&str])] = &[
    ("options", &[]),
    ("sys", &[]),
    ("master", &["supervisor", "wire", "scoreboard", "directives", "sys"]),
    ("reactor", &["http1", "sys", "wire", "scoreboard", "directives"]),
    ("admin", &["http1", "sys"]),
    ("herd", &["herder", "options", "sys"]),
    ("licorne", &["admin", "herd", "master", "wire", "options", "sys", "directives"]),
    ("licorne_ext", &["reactor", "http1", "wire", "scoreboard", "directives", "sys"]),
    ("testkit", &["sys"]),
    ("bench", &["testkit"]),
];

/// Files longer than this are split.
const MOST_LINES: usize = 600;

/// Tracked files, and new ones that no rule ignores, by extension.
fn files(extension: &str) -> Vec<PathBuf> {
    let mut command = Command::new("git");
    command.args(["ls-files", "--cached", "--others", "--exclude-standard"]).current_dir(repository());
    let listed = run(&mut command, testkit::patience()).stdout;
    let paths = listed.lines().map(|line| repository().join(line));
    paths.filter(|path| path.extension().is_some_and(|found| found == extension) && path.exists()).collect()
}

fn text(path: &Path) -> String {
    std::fs::read_to_string(path).expect("a file of the repository can be read")
}

/// Asserts that `offenders` is empty, and lists them.
#[track_caller]
fn check(rule: &str, offenders: impl IntoIterator<Item = String>) {
    let offenders: Vec<String> = offenders.into_iter().collect();
    assert!(offenders.is_empty(), "{rule}:\n  {}", offenders.join("\n  "));
}

fn shown(path: &Path) -> String {
    path.strip_prefix(repository()).unwrap_or(path).display().to_string()
}

#[test]
fn dependencies_point_down() {
    let mut command = Command::new(env!("CARGO"));
    command.args(["metadata", "--format-version=1", "--no-deps", "--offline"]).current_dir(repository());
    let metadata: serde_json::Value =
        serde_json::from_str(&run(&mut command, testkit::patience()).stdout).expect("JSON");
    let packages = metadata["packages"].as_array().expect("packages");
    let name = |value: &serde_json::Value| value["name"].as_str().unwrap_or("").to_owned();
    let members: BTreeSet<String> = packages.iter().map(name).collect();
    let rules: BTreeMap<&str, &[&str]> = CORES.iter().chain(SHELLS).copied().collect();
    let mut offenders = Vec::new();
    for package in packages {
        let member = name(package);
        let Some(allowed) = rules.get(member.as_str()) else {
            offenders.push(format!("{member} has no rule yet: add one to tests/tidy.rs"));
            continue;
        };
        for dependency in package["dependencies"].as_array().expect("dependencies") {
            let used = name(dependency);
            // A test may use what its crate may not.
            if members.contains(&used) && dependency["kind"] != "dev" && !allowed.contains(&used.as_str()) {
                offenders.push(format!("{member} uses {used}"));
            }
        }
    }
    check("dependencies point down, and cores do no I/O", offenders);
}

/// `1.88.0` as numbers, the last of which may be missing.
fn version(text: &str) -> Vec<u64> {
    text.split('.').take(2).map(|part| part.parse().expect("a number in a version")).collect()
}

#[test]
fn dependencies_build_with_the_oldest_rust() {
    let mut command = Command::new(env!("CARGO"));
    command.args(["metadata", "--format-version=1", "--locked", "--offline"]).current_dir(repository());
    // Crates for other systems are in no cache.
    command.args(["--filter-platform", &format!("{}-unknown-linux-gnu", std::env::consts::ARCH)]);
    let metadata: serde_json::Value =
        serde_json::from_str(&run(&mut command, testkit::patience()).stdout).expect("JSON");
    let packages = metadata["packages"].as_array().expect("packages");
    let oldest = |package: &serde_json::Value| package["rust_version"].as_str().map(version);
    let ours = packages.iter().find(|package| package["name"] == "licorne").and_then(oldest);
    let newer = packages.iter().filter(|package| oldest(package) > ours);
    check("no dependency asks for a newer Rust than rust-version", newer.map(|package| package["id"].to_string()));
}

#[test]
fn cores_are_pure() {
    let roots = CORES.iter().map(|(name, _)| repository().join("crates").join(name).join("src/lib.rs"));
    let pure = |path: &PathBuf| {
        let text = text(path);
        text.contains("no_std") && text.contains("#![forbid(unsafe_code)]")
    };
    check("a core is no_std and forbids unsafe code", roots.filter(|path| !pure(path)).map(|path| shown(&path)));
}

#[test]
fn no_file_is_too_long() {
    let long = |path: &PathBuf| text(path).lines().count() > MOST_LINES;
    let all = files("rs").into_iter().chain(files("rb"));
    check(&format!("no file is longer than {MOST_LINES} lines"), all.filter(long).map(|path| shown(&path)));
}

#[test]
fn every_rust_file_says_what_it_is_for() {
    let silent = |path: &PathBuf| !text(path).starts_with("//!");
    check("each .rs file opens with //!", files("rs").into_iter().filter(silent).map(|path| shown(&path)));
}

#[test]
fn every_ruby_file_freezes_its_literals() {
    // A rackup file's magic comments have no effect; a generated or one-line file is not ours to judge.
    let thawed = |path: &PathBuf| !text(path).contains("# frozen_string_literal: true");
    check("each .rb file freezes its literals", files("rb").into_iter().filter(thawed).map(|path| shown(&path)));
}

#[test]
fn unsafe_code_is_where_it_may_be() {
    let allowed = |path: &str| path.starts_with("crates/sys/") || path.starts_with("gem/ext/src/ffi");
    let mut offenders = Vec::new();
    for path in files("rs") {
        let name = shown(&path);
        // This file names what it looks for.
        if allowed(&name) || name == "tests/tidy.rs" {
            continue;
        }
        for (number, line) in text(&path).lines().enumerate() {
            let code = line.split("//").next().unwrap_or("");
            let block =
                ["unsafe {", "unsafe fn", "unsafe impl", "unsafe extern"].iter().any(|word| code.contains(word));
            if block || code.contains("allow(unsafe_code)") {
                offenders.push(format!("{name}:{}: {}", number + 1, line.trim()));
            }
        }
    }
    check("unsafe code is in crates/sys and gem/ext/src/ffi only", offenders);
}

#[test]
fn tests_do_not_sleep_and_are_not_ignored() {
    let mut offenders = Vec::new();
    for path in files("rs") {
        let name = shown(&path);
        if name == "tests/tidy.rs" {
            continue;
        }
        for (number, line) in text(&path).lines().enumerate() {
            let code = line.split("//").next().unwrap_or("");
            if code.contains("thread::sleep") || code.trim_start().starts_with("#[ignore") {
                offenders.push(format!("{name}:{}: {}", number + 1, line.trim()));
            }
        }
    }
    check("no test sleeps, and none is ignored", offenders);
}
