//! The house rules that a test can check: arrows between crates and modules, sizes, words, where unsafe may be, what tests
//! may not do.

mod drawing;
mod links;
mod log_lines;
mod modules;
mod source;
mod words;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use testkit::process::run;
use testkit::program::repository;

use drawing::Uses;

/// Crates that do no I/O.
const CORES: &[&str] = &["http1", "wire", "scoreboard", "facts", "access_log", "directives", "supervisor", "herder"];

/// Crates whose modules ARCHITECTURE.md draws.
const DRAWN: &[&str] = &["licorne", "herd", "admin", "master", "supervisor", "reactor", "http1", "licorne_ext"];

/// A struct with more fields is several things.
const MOST_FIELDS: usize = 14;

/// Records of what lies outside, with a field for each part of that: the head of a request, the state file, which programs
/// before this one read, and the status, which users' programs read.
const RECORDS: &[&str] = &[
    "crates/facts/src/process.rs: Worker",
    "crates/facts/src/status.rs: Status",
    "crates/http1/src/request/head.rs: Head",
    "crates/wire/src/state.rs: State",
];

/// Files longer than this are split.
const MOST_LINES: usize = 600;

/// Tracked files, and new ones that no rule ignores.
fn tracked() -> Vec<PathBuf> {
    let mut command = Command::new("git");
    command.args(["ls-files", "--cached", "--others", "--exclude-standard"]).current_dir(repository());
    let listed = run(&mut command, testkit::patience()).stdout;
    let paths = listed.lines().map(|line| repository().join(line));
    paths.filter(|path| path.is_file()).collect()
}

/// Those with this extension.
fn files(extension: &str) -> Vec<PathBuf> {
    tracked().into_iter().filter(|path| path.extension().is_some_and(|found| found == extension)).collect()
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

/// What the members of the workspace use of each other. A test may use what its crate may not.
fn crates() -> Uses {
    let mut command = Command::new(env!("CARGO"));
    command.args(["metadata", "--format-version=1", "--no-deps", "--offline"]).current_dir(repository());
    let metadata: serde_json::Value =
        serde_json::from_str(&run(&mut command, testkit::patience()).stdout).expect("JSON");
    let packages = metadata["packages"].as_array().expect("packages");
    let name = |value: &serde_json::Value| value["name"].as_str().unwrap_or("").to_owned();
    let members: BTreeSet<String> = packages.iter().map(name).collect();
    let used = |package: &serde_json::Value| {
        let all = package["dependencies"].as_array().expect("dependencies").iter();
        let used = all.filter(|dependency| dependency["kind"] != "dev").map(name);
        used.filter(|used| members.contains(used)).collect()
    };
    packages.iter().map(|package| (name(package), used(package))).collect()
}

#[test]
fn cores_use_cores_alone_and_the_system_knows_no_policy() {
    let crates = crates();
    let allowed = |user: &str, used: &String| CORES.contains(&user) && CORES.contains(&used.as_str());
    let pure = CORES.iter().copied().chain(["sys", "options"]);
    let arrows = pure.flat_map(|user| crates[user].iter().map(move |used| (user, used)));
    let offenders =
        arrows.filter(|(user, used)| !allowed(user, used)).map(|(user, used)| format!("{user} uses {used}"));
    check("cores use cores, and sys and options nothing of ours", offenders);
}

/// The directory of a crate's files.
fn source_of(member: &Path) -> PathBuf {
    // That of the benches has only its manifest where the other crates are.
    let directory = if member.ends_with("bench") { Path::new("bench") } else { member };
    repository().join(directory).join("src")
}

/// The directories of all crates.
fn members() -> Vec<PathBuf> {
    let manifests = files("toml").into_iter().filter(|path| path.ends_with("Cargo.toml"));
    manifests.filter_map(|path| Some(PathBuf::from(shown(path.parent()?)))).collect()
}

#[test]
fn no_module_is_in_a_circle() {
    let all = files("rs");
    let mut offenders = Vec::new();
    for member in members() {
        let arrows = modules::arrows(&source_of(&member), &all);
        for circle in modules::circles(&arrows) {
            let names = circle
                .iter()
                .map(|name| ["crate".to_string()].iter().chain(name).cloned().collect::<Vec<_>>().join("::"));
            offenders.push(format!("{}: {}", member.display(), names.collect::<Vec<_>>().join(", ")));
        }
    }
    check("the modules of a crate are in no circle", offenders);
}

#[test]
fn the_architecture_draws_what_is_there() {
    let all = files("rs");
    let mut offenders: Vec<String> = drawing::check("crates", &crates()).err().into_iter().collect();
    for name in DRAWN {
        let member = if *name == "licorne_ext" { PathBuf::from("gem/ext") } else { Path::new("crates").join(name) };
        let directory = source_of(&member);
        let root = if directory.join("main.rs").exists() { "main" } else { "lib" };
        let top = |module: &modules::Name| module.first().map_or(root, String::as_str).to_string();
        let mut rooms = Uses::new();
        for (user, used) in modules::arrows(&directory, &all) {
            let user = top(&user);
            let used = used.iter().map(top).filter(|used| *used != user);
            rooms.entry(user.clone()).or_default().extend(used);
        }
        offenders.extend(drawing::check(name, &rooms).err());
    }
    check("ARCHITECTURE.md tells the truth", offenders);
}

#[test]
fn no_struct_has_too_many_fields() {
    let all = files("rs");
    let mut offenders = Vec::new();
    for member in members() {
        for path in all.iter().filter(|path| path.starts_with(source_of(&member))) {
            for (name, fields) in source::structs(&source::tokens(&text(path))) {
                let place = format!("{}: {name}", shown(path));
                if fields > MOST_FIELDS && !RECORDS.contains(&place.as_str()) {
                    offenders.push(format!("{place} has {fields}"));
                }
            }
        }
    }
    check(&format!("no struct has more than {MOST_FIELDS} fields"), offenders);
}

#[test]
fn comments_and_names_are_in_plain_english() {
    let scripts = ["bin", ".ci"].map(|directory| repository().join(directory));
    let in_scripts = |path: &PathBuf| scripts.iter().any(|directory| path.starts_with(directory));
    let mut all: Vec<PathBuf> = ["rs", "rb", "ru", "sh"].into_iter().flat_map(files).collect();
    all.extend(tracked().into_iter().filter(in_scripts));
    let mut offenders = Vec::new();
    for path in all {
        let name = shown(&path);
        // That file names what it looks for.
        if name == "tests/tidy/words.rs" {
            continue;
        }
        let kind = path.extension().unwrap_or_default().to_string_lossy();
        let found = words::offences(&kind, &text(&path));
        offenders.extend(found.into_iter().map(|(line, what)| format!("{name}:{line}: {what}")));
    }
    check("comments and names are in plain English (design: the words)", offenders);
}

#[test]
fn lines_of_the_log_are_explained() {
    let mut written = BTreeSet::new();
    for (extension, place) in [("rs", "crates/master/src"), ("rb", "gem/lib/licorne")] {
        let place = repository().join(place);
        // What stands in for other gems writes their lines.
        let ours =
            files(extension).into_iter().filter(|path| path.starts_with(&place) && !shown(path).contains("/compat/"));
        ours.for_each(|path| written.extend(log_lines::of_code(extension, &text(&path))));
    }
    let explained = log_lines::of_document(&text(&repository().join("docs/logs.md")));
    let shown = |(level, line): &(String, String)| format!("{level} {line}");
    check("docs/logs.md explains each line of the log", written.difference(&explained).map(shown));
    check("docs/logs.md explains no line that is not written", explained.difference(&written).map(shown));
}

/// `a/b/../c` as `a/c`, without asking the file system.
fn lexical(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        if part == std::path::Component::ParentDir {
            plain.pop();
        } else {
            plain.push(part);
        }
    }
    plain
}

#[test]
fn links_lead_somewhere() {
    let known: BTreeSet<PathBuf> = tracked().into_iter().collect();
    let mut offenders = Vec::new();
    for page in files("md") {
        for (line, link) in links::links(&text(&page)) {
            let (path, place) = link.split_once('#').unwrap_or((&link, ""));
            let beside = page.parent().expect("a file is in a directory");
            let target = if path.is_empty() { page.clone() } else { lexical(&beside.join(path)) };
            let page_has_place = || place.is_empty() || links::anchors(&text(&target)).contains(place);
            // A directory is shown by what shows the repository, but is no page of the site.
            let fine = match known.contains(&target) {
                true => target.extension().is_none_or(|kind| kind != "md") || page_has_place(),
                false => !is_in_the_book(&page) && target.is_dir(),
            };
            if !fine {
                offenders.push(format!("{}:{line}: {link}", shown(&page)));
            }
        }
    }
    check("a link leads to a file of the repository, and to a heading there", offenders);
}

/// The pages that docs/SUMMARY.md names.
fn book() -> BTreeSet<PathBuf> {
    let docs = repository().join("docs");
    let links = links::links(&text(&docs.join("SUMMARY.md")));
    links.into_iter().map(|(_, link)| lexical(&docs.join(link))).collect()
}

fn is_in_the_book(page: &Path) -> bool {
    page.starts_with(repository().join("docs")) || book().contains(page)
}

#[test]
fn every_page_is_in_the_book() {
    let book = book();
    let docs = repository().join("docs");
    let pages = files("md").into_iter().filter(|page| page.starts_with(&docs) && !page.ends_with("SUMMARY.md"));
    check(
        "docs/SUMMARY.md names each page of docs",
        pages.filter(|page| !book.contains(page)).map(|page| shown(&page)),
    );
    let mut offenders = Vec::new();
    for page in &book {
        let beside = page.parent().expect("a file is in a directory");
        for (line, link) in links::links(&text(page)) {
            let target = lexical(&beside.join(link.split('#').next().unwrap_or_default()));
            let is_page = target.extension().is_some_and(|kind| kind == "md");
            if is_page && !book.contains(&target) {
                offenders.push(format!("{}:{line}: {link}", shown(page)));
            }
        }
    }
    check("a page of the book links to pages of the book", offenders);
}

/// Whether each line behind the first is a piece of output, with a time that does not go back.
fn is_recording(text: &str) -> Option<bool> {
    let mut lines = text.lines().map(serde_json::from_str::<serde_json::Value>);
    let head = lines.next()?.ok()?;
    let mut before = 0.0;
    for line in lines {
        let line = line.ok()?;
        let time = line[0].as_f64().filter(|time| *time >= before)?;
        (line[1] == "o" && line[2].is_string()).then_some(())?;
        before = time;
    }
    Some(head["version"] == 2 && head["title"].is_string() && before > 0.0)
}

#[test]
fn recorded_sessions_can_be_played() {
    let casts = files("cast");
    assert!(!casts.is_empty(), "there is no recording");
    let broken = casts.into_iter().filter(|path| is_recording(&text(path)) != Some(true));
    check("a recording is in version 2 of asciinema's format", broken.map(|path| shown(&path)));
}

/// `1.85.0` as numbers, the last of which may be missing.
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
fn conditions_are_those_of_the_oldest_rust() {
    // rustc has them with a newer Rust whatever rust-version says, and clippy knows of library calls alone.
    let mut offenders = Vec::new();
    for path in files("rs") {
        offenders.extend(source::let_chains(&text(&path)).iter().map(|chain| format!("{}: {chain}", shown(&path))));
    }
    check("no condition has a `let` and something else, which takes Rust 1.88", offenders);
}

/// What is packed into the gem builds by its own lock, which names nothing that only tests and benches need.
#[test]
fn the_gem_has_the_lock_of_its_crates() {
    let place = tempfile::TempDir::with_prefix("licorne-lock-").expect("a directory");
    let mut ask = Command::new("ruby");
    ask.args(["-rrubygems", "-e", "puts Gem::Specification.load('licorne.gemspec').files"]);
    let files = run(ask.current_dir(repository()), testkit::patience()).stdout;
    for file in files.lines().chain(["Cargo.lock"]) {
        let copy = place.path().join(file);
        std::fs::create_dir_all(copy.parent().expect("it is in the directory")).expect("it can be written");
        std::fs::copy(repository().join(file), copy).expect("it can be copied");
    }
    let mut prune = Command::new(env!("CARGO"));
    prune.args(["update", "--workspace", "--offline", "--quiet"]).current_dir(place.path());
    let pruned = run(&mut prune, testkit::patience());
    assert!(pruned.status.success(), "{pruned:#?}");
    let (wanted, lock) = (text(&place.path().join("Cargo.lock")), repository().join("gem/Cargo.lock"));
    if std::env::var_os("LICORNE_BLESS").is_some() {
        std::fs::write(&lock, &wanted).expect("it can be written");
    }
    assert!(text(&lock) == wanted, "gem/Cargo.lock is not what the gem's crates need: LICORNE_BLESS=1 make tidy");
}

#[test]
fn cores_are_pure() {
    let roots = CORES.iter().map(|name| repository().join("crates").join(name).join("src/lib.rs"));
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
        if allowed(&name) || name == "tests/tidy/main.rs" {
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
        if name == "tests/tidy/main.rs" {
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
