//! Promise: one command writes the number of a release wherever it stands, and no version is released that the change log
//! or a lock does not know.

use std::fs;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;
use testkit::patience;
use testkit::process::{Finished, run};
use testkit::program::repository;

/// A repository of its own, with one commit, of the files of this one.
fn repository_of_its_own() -> TempDir {
    let place = TempDir::with_prefix("licorne-version-").expect("a directory");
    let copy = "cd \"$0\" && git ls-files -z --cached --others --exclude-standard | tar -cf - --null --ignore-failed-read -T - \
                | tar -xf - -C \"$1\"";
    let mut command = Command::new("sh");
    succeeds(command.args(["-euc", copy]).arg(repository()).arg(place.path()));
    succeeds(Command::new("git").args(["init", "--quiet"]).current_dir(place.path()));
    commit(place.path());
    place
}

#[track_caller]
fn succeeds(command: &mut Command) -> Finished {
    let finished = run(command, patience());
    assert!(finished.status.success(), "{command:?}: {finished:#?}");
    finished
}

#[track_caller]
fn commit(place: &Path) {
    succeeds(Command::new("git").args(["add", "--all"]).current_dir(place));
    let mut command = Command::new("git");
    command.args([
        "-c",
        "user.name=A person",
        "-c",
        "user.email=person@example.invalid",
        "commit",
        "--quiet",
        "-m",
        "x",
    ]);
    succeeds(command.current_dir(place));
}

/// What `rake release:check` has against it.
#[track_caller]
fn objection(place: &Path) -> String {
    let mut rake = Command::new("rake");
    rake.arg("release:check").env("LICORNE_REPOSITORY", "https://example.invalid/licorne").current_dir(place);
    let finished = run(&mut rake, patience());
    assert_eq!(finished.status.success(), finished.stderr.is_empty(), "{finished:#?}");
    finished.stderr.trim().to_owned()
}

#[test]
fn the_number_is_written_wherever_it_stands_and_the_release_is_checked() {
    let place = repository_of_its_own();
    let place = place.path();
    let bump = |number: &str| run(Command::new("bin/version").arg(number).current_dir(place), patience());
    let old = env!("CARGO_PKG_VERSION");
    assert_eq!(objection(place), format!("CHANGELOG.md has no section ## {old} with a date"));
    for refused in ["0.0.1", "1.2", "v1.2.3"] {
        assert_eq!(bump(refused).code(), 1, "{refused}");
    }
    assert_eq!(bump("987.6.5").code(), 0);
    assert_eq!(objection(place), "there are changes that are not committed");
    commit(place);
    assert_eq!(objection(place), "");

    let mut metadata = Command::new(env!("CARGO"));
    metadata.args(["metadata", "--locked", "--offline", "--format-version=1", "--no-deps"]).current_dir(place);
    let metadata: serde_json::Value = serde_json::from_str(&succeeds(&mut metadata).stdout).expect("JSON");
    let packages = metadata["packages"].as_array().expect("packages");
    assert!(packages.iter().all(|package| package["version"] == "987.6.5"), "{packages:#?}");
    for path in ["Cargo.lock", "gem/Cargo.lock", "fuzz/Cargo.lock"] {
        let text = fs::read_to_string(place.join(path)).expect("a lock");
        let ours = text.split("[[package]]").filter(|package| !package.contains("source =")).skip(1);
        let left: Vec<&str> = ours.filter(|package| package.contains(&format!("version = \"{old}\""))).collect();
        assert!(left.is_empty(), "{path}: {left:#?}");
    }
    let page = fs::read_to_string(place.join("man/licorne.1")).expect("a page");
    assert!(page.contains("\"Licorne 987.6.5\""), "{page}");
    let packaged = succeeds(Command::new("dpkg-parsechangelog").args(["-S", "Version"]).current_dir(place));
    assert_eq!(packaged.stdout, "987.6.5-1\n");

    let changes = fs::read_to_string(place.join("CHANGELOG.md")).expect("text");
    for (what, wrong) in [
        ("has changes that are not in 987.6.5", changes.replacen("## Unreleased\n", "## Unreleased\n\n- More.\n", 1)),
        (
            "says nothing of 987.6.5",
            changes.lines().filter(|line| !line.starts_with("- ")).map(|line| format!("{line}\n")).collect(),
        ),
    ] {
        fs::write(place.join("CHANGELOG.md"), wrong).expect("it can be written");
        assert_eq!(objection(place), format!("CHANGELOG.md {what}"));
    }
}
