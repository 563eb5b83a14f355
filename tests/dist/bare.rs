//! Promise: where there is Ruby and no compiler, the gem for the platform installs in seconds and serves, reloads and is
//! upgraded.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::process::Signal;
use testkit::process::Watch;
use testkit::program::repository;
use testkit::{App, Server};

use crate::{arm64_gem, platform_gem};

const APP: &str = r##"
generation = File.read(File.join(ENV.fetch("TEST_DIR"), "generation")) rescue "first"
run lambda { |_env|
  extension = $LOADED_FEATURES.grep(/licorne_ext/).join(" ")
  [200, { "content-type" => "text/plain" }, ["#{generation} #{RUBY_VERSION} #{extension}\n"]]
}
"##;

/// Installs the gem in the other Debian, whose command for it is `gem`, and becomes the server there.
fn start_script(suite: &str, gem: &str) -> String {
    let package = if suite.ends_with("+arm64") { arm64_gem() } else { platform_gem() };
    format!(
        "#!/bin/sh
exec '{repository}/bin/bare-debian' {suite} sh -euc '
    for tool in cc make cargo; do if command -v $tool; then exit 1; fi; done
    date +%s.%N >\"$TEST_DIR/began\"
    {gem} install --local --no-document {package} >\"$TEST_DIR/installing\" 2>&1
    date +%s.%N >\"$TEST_DIR/installed\"
    exec licorne \"$@\"' licorne \"$@\"
",
        repository = repository().display(),
        package = package.display(),
    )
}

#[track_caller]
fn moment(server: &Server, name: &str) -> f64 {
    let text = fs::read_to_string(server.file(name)).expect("the script writes it");
    text.trim().parse().expect("seconds")
}

/// As [`serves`], as soon as is promised.
#[track_caller]
fn check(suite: &str, gem: &str, ruby: &str) {
    let (installed, answered) = serves(suite, gem, ruby);
    assert!(installed <= 10.0 && answered <= 12.0, "that is too slow");
}

/// `ruby` is the release that serves there. Returns the seconds until the gem was installed, and until the first response.
#[track_caller]
fn serves(suite: &str, gem: &str, ruby: &str) -> (f64, f64) {
    let place = tempfile::TempDir::with_prefix("licorne-bare-").expect("a directory");
    let start = place.path().join("licorne");
    fs::write(&start, start_script(suite, gem)).expect("it can be written");
    fs::set_permissions(&start, fs::Permissions::from_mode(0o755)).expect("it is ours");

    let mut server = Server::builder().program(&start).app(App::rackup(APP)).workers(2).launch();
    let text = server.get("/").text();
    let answered = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock").as_secs_f64();
    let began = moment(&server, "began");
    let (installed, answered) = (moment(&server, "installed") - began, answered - began);
    println!("{suite}, Ruby {ruby}: installed after {installed:.1} s, the first response after {answered:.1} s");
    assert!(text.starts_with(&format!("first {ruby}.")), "{text}");
    assert!(text.ends_with(&format!("/gem/lib/licorne/{ruby}/licorne_ext.so\n")), "{text}");

    server.write("generation", "second");
    let mark = server.mark();
    server.signal(Signal::HUP);
    server.wait_for(mark, "done reloading*");
    assert!(server.get("/").text().starts_with("second "));

    server.write("generation", "third");
    let mark = server.mark();
    server.signal(Signal::USR2);
    server.wait_for(mark, "the new master serves");
    let new = server.pid_in_file("server.pid").expect("a pid file");
    server.signal(Signal::QUIT);
    assert!(server.wait_for_exit().success());
    assert!(server.get("/").text().starts_with("third "));
    let watch = Watch::on(new).expect("the new master is there");
    watch.signal(Signal::QUIT);
    assert!(watch.wait(testkit::patience()), "the new master did not stop");
    server.assert_nothing_is_left();
    (installed, answered)
}

#[test]
fn debian_12_serves_with_ruby_3_1() {
    check("bookworm", "gem", "3.1");
}

#[test]
fn debian_13_serves_with_ruby_3_3() {
    check("trixie", "gem", "3.3");
}

#[test]
fn debian_forky_serves_with_ruby_3_3() {
    check("forky", "gem3.3", "3.3");
}

#[test]
fn debian_forky_serves_with_ruby_3_4() {
    check("forky", "gem3.4", "3.4");
}

/// Those for arm64 are run by qemu, which takes longer than a processor of that kind: none is held to a time.
mod emulated {
    use super::serves;

    #[test]
    fn debian_12_for_arm64_serves_with_ruby_3_1() {
        serves("bookworm+arm64", "gem", "3.1");
    }

    #[test]
    fn debian_13_for_arm64_serves_with_ruby_3_3() {
        serves("trixie+arm64", "gem", "3.3");
    }
}
