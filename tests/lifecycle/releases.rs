//! Promise: a server that was started in one release follows the link to the next, Bundler's variables included, and
//! does not miss a release that was deleted.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rustix::process::Signal;
use tempfile::TempDir;
use testkit::process::Watch;
use testkit::upgrade::RECIPE;
use testkit::{App, Builder, Server};

/// Says which release the code is from, and which Gemfile its gems.
const RACKUP: &str = r##"
require "greeting"
text = "#{Greeting::RELEASE} #{ENV["BUNDLE_GEMFILE"]} #{Dir.pwd}"
run ->(_env) { [200, {}, [text]] }
"##;

const GEMFILE: &str = r#"
source "https://rubygems.org"
gem "rack"
gem "greeting", path: "vendor/greeting"
"#;

const GREETING: &str = r#"
Gem::Specification.new do |spec|
  spec.name = "greeting"
  spec.version = "1.0"
  spec.summary = "Says which release it is from"
  spec.authors = ["test"]
  spec.files = ["lib/greeting.rb"]
end
"#;

/// What a deployment tool makes: releases, a link to the current one, and a directory that they share.
struct Deployment {
    root: TempDir,
}

impl Deployment {
    fn new() -> Deployment {
        let root = TempDir::with_prefix("licorne-releases-").expect("a temporary directory");
        let deployment = Deployment { root };
        fs::create_dir(deployment.path("shared")).expect("it can be written");
        (1..=3).for_each(|number| deployment.release(number));
        deployment.deploy(1);
        deployment
    }

    fn path(&self, name: &str) -> PathBuf {
        // Without links in it, as Bundler will name it.
        fs::canonicalize(self.root.path()).expect("it is there").join(name)
    }

    fn release(&self, number: u32) {
        let release = self.path(&format!("releases/{number}"));
        let write = |name: &str, text: &str| {
            let path = release.join(name);
            fs::create_dir_all(path.parent().expect("it is in the release")).expect("it can be written");
            fs::write(path, text).expect("it can be written");
        };
        write("config.ru", RACKUP);
        write("Gemfile", GEMFILE);
        write("REVISION", &format!("rev{number}\n"));
        write("vendor/greeting/greeting.gemspec", GREETING);
        write("vendor/greeting/lib/greeting.rb", &format!("module Greeting\n  RELEASE = {number}\nend\n"));
    }

    /// Moves the link, in one step.
    fn deploy(&self, number: u32) {
        let new = self.path("current.new");
        std::os::unix::fs::symlink(self.path(&format!("releases/{number}")), &new).expect("a link");
        fs::rename(new, self.path("current")).expect("it can be renamed");
    }

    fn delete(&self, number: u32) {
        fs::remove_dir_all(self.path(&format!("releases/{number}"))).expect("it is there");
    }

    /// A server that is started as deployment tools start it: in `directory`, by `bundle exec`.
    fn server(&self, directory: &str) -> Builder {
        self.server_of(directory, &testkit::program::path())
    }

    fn server_of(&self, directory: &str, program: &Path) -> Builder {
        let start = self.path("start");
        let enter = format!("cd {}/{directory}", self.path("").display());
        let text = format!("#!/bin/bash\nset -e\n{enter}\nexec bundle exec {} \"$@\"\n", program.display());
        fs::write(&start, text).expect("it can be written");
        fs::set_permissions(&start, fs::Permissions::from_mode(0o755)).expect("it is there");
        Server::builder().program(start).app(App::rackup("run nil"))
    }

    /// What the application answers when it is all of this release.
    fn answer(&self, number: u32) -> String {
        let release = self.path(&format!("releases/{number}"));
        format!("{number} {0}/Gemfile {0}", release.display())
    }

    #[track_caller]
    fn assert_serves(&self, server: &Server, number: u32) {
        assert_eq!(server.get("/").text(), self.answer(number));
    }

    #[track_caller]
    fn reload(&self, server: &Server, number: u32) {
        self.deploy(number);
        let finished = server.ctl(["reload", "--wait"]);
        assert_eq!(finished.code(), 0, "{finished:#?}");
        let release = format!("/releases/{number} revision=rev{number}\n");
        assert!(finished.stdout.contains(&release), "{finished:#?}");
        self.assert_serves(server, number);
    }
}

#[test]
fn a_reload_follows_the_link_from_release_to_release() {
    for preload in [true, false] {
        let deployment = Deployment::new();
        let mut server = deployment.server("current").preload(preload).start();
        deployment.assert_serves(&server, 1);
        let mark = server.mark();
        deployment.reload(&server, 2);
        server.wait_for(mark, "/current leads to another release now, and so do *BUNDLE_GEMFILE");
        deployment.delete(1);
        deployment.reload(&server, 3);
        // And back: a roll-back of the deployment.
        deployment.reload(&server, 2);
        server.stop();
    }
}

#[test]
fn status_tells_which_release_serves_and_that_the_link_has_moved_on() {
    let deployment = Deployment::new();
    let mut server = deployment.server("current").start();
    let status = server.ctl(["status"]).stdout;
    assert!(status.contains("/releases/1 revision=rev1\n") && !status.contains("warning"), "{status}");
    deployment.deploy(2);
    let status = server.ctl(["status"]).stdout;
    assert!(status.contains("/current leads to ") && status.contains("/releases/1 serves\n"), "{status}");
    server.stop();
}

#[test]
fn a_server_whose_supervisor_sets_no_pwd_follows_a_link_that_it_can_only_have_been_started_by() {
    let deployment = Deployment::new();
    let gemfile = deployment.path("current/Gemfile");
    let gemfile = gemfile.to_str().expect("it is text");
    // The shell sets PWD anew, to the release without the link.
    let mut server = deployment.server("current").env("PWD", "/").env("BUNDLE_GEMFILE", gemfile).start();
    assert!(server.get("/").text().starts_with("1 "));
    deployment.deploy(2);
    assert_eq!(server.ctl(["reload", "--wait"]).code(), 0);
    assert!(server.get("/").text().starts_with("2 "));
    server.stop();
}

#[test]
fn a_release_beside_the_current_one_is_told_wherever_the_state_is() {
    let deployment = Deployment::new();
    let release = deployment.path("releases/1");
    // In the release by its own name: the link cannot be what was meant.
    let mut server = deployment.server("releases/1").start();
    let mark = server.mark();
    deployment.deploy(2);
    let commit = "0123456789abcdef0123456789abcdef01234567";
    fs::remove_file(release.join("REVISION")).expect("it was written");
    fs::create_dir_all(release.join(".git/refs/heads")).expect("it can be written");
    fs::write(release.join(".git/HEAD"), "ref: refs/heads/main\n").expect("it can be written");
    fs::write(release.join(".git/refs/heads/main"), format!("{commit}\n")).expect("it can be written");

    let name = format!("{} revision={commit}", release.display());
    let (link, current) = (deployment.path("current"), deployment.path("releases/2"));
    let warning = format!("{} leads to {}, but {} serves", link.display(), current.display(), release.display());
    let finished = server.ctl(["reload", "--wait"]);
    assert_eq!(finished.code(), 0, "{finished:#?}");
    assert!(finished.stdout.contains(&format!("release {name}\n")), "{finished:#?}");
    assert!(finished.stderr.contains(&format!("warning: {warning}")), "{finished:#?}");
    server.wait_for(mark, &format!("serving {name}"));
    server.wait_for(mark, &format!(" WARN *{warning}"));
    let text = server.ctl(["status"]).stdout;
    assert!(text.contains(&format!("release {name}\nwarning: {warning}")), "{text}");
    deployment.deploy(1);
    assert!(!server.ctl(["status"]).stdout.contains("warning"), "the link leads here again");
    server.stop();
}

#[test]
fn the_link_is_followed_where_the_start_directory_can_only_be_meant_as_the_link() {
    let bare = |builder: Builder, deployment: &Deployment| {
        // Something else than a shell has changed the directory.
        let start = deployment.path("start");
        let text = fs::read_to_string(&start).expect("it was written");
        fs::write(&start, text.replace("exec bundle", "exec env -u PWD -u OLDPWD bundle")).expect("it can be written");
        builder
    };
    for number in 0..2 {
        let deployment = Deployment::new();
        for number in 1..=3 {
            let text = "pid File.join(ENV['TEST_DIR'], 'server.pid')\n";
            fs::write(deployment.path(&format!("releases/{number}/licorne.rb")), text).expect("it can be written");
        }
        let config = deployment.path("current/licorne.rb").display().to_string();
        let builder = deployment.server("releases/1");
        let builder = if number == 0 { builder.arg("-c").arg(&config) } else { bare(builder, &deployment) };
        let mut server = builder.start();
        deployment.reload(&server, 2);
        deployment.delete(1);
        deployment.reload(&server, 3);
        server.stop();
    }
}

#[test]
fn a_release_served_by_the_first_generation_is_that_of_its_working_directory() {
    let deployment = Deployment::new();
    let directory = format!("working_directory {:?}", deployment.path("current"));
    let mut server = deployment.server("releases/2").config(&directory).start();
    let status = server.ctl(["status"]).stdout;
    assert!(status.contains("/releases/1 revision=rev1\n"), "{status}");
    server.stop();
}

#[test]
fn a_release_that_the_configuration_names_is_followed_too() {
    let deployment = Deployment::new();
    let current = deployment.path("current");
    let directory = format!("working_directory {current:?}");
    let mut server = deployment.server("releases/1").config(&directory).start();
    deployment.assert_serves(&server, 1);
    deployment.reload(&server, 2);
    deployment.delete(1);
    deployment.reload(&server, 3);
    server.stop();
}

#[test]
fn an_upgrade_follows_the_link_when_the_first_release_is_gone() {
    let deployment = Deployment::new();
    let mut server = deployment.server("current").config(RECIPE).start();
    let first = server.pid();
    let load = server.load().clients(2).start();
    deployment.deploy(2);
    deployment.delete(1);
    let mark = server.mark();
    server.signal(Signal::USR2);
    let second = server.new_master(first);
    assert!(server.wait_for_exit().success());
    server.wait_for(mark, "*current leads to another release now, and so do *BUNDLE_GEMFILE");
    deployment.assert_serves(&server, 2);

    // The second master was started in the second release, and goes on from there.
    deployment.reload(&server, 3);
    deployment.delete(2);
    deployment.release(4);
    deployment.deploy(4);
    let watch = Watch::on(second).expect("the second master is there");
    watch.signal(Signal::USR2);
    let third = server.new_master(second);
    assert!(watch.wait(testkit::patience()), "the second master did not leave");
    deployment.assert_serves(&server, 4);
    load.stop().assert_no_failure();
    let watch = Watch::on(third).expect("the third master is there");
    watch.signal(Signal::QUIT);
    assert!(watch.wait(testkit::patience()), "the third master did not stop");
    server.assert_nothing_is_left();
}

#[test]
fn a_server_that_is_part_of_the_release_follows_the_link_too() {
    // As `bundle install --deployment` leaves it: gems, the server's included, are below vendor/.
    let deployment = Deployment::new();
    for number in 1..=3 {
        testkit::program::install_gem(&deployment.path(&format!("releases/{number}/vendor/licorne")));
    }
    let mut server =
        deployment.server_of("current", Path::new("vendor/licorne/libexec/licorne")).config(RECIPE).start();
    let first = server.pid();
    deployment.reload(&server, 2);
    deployment.delete(1);
    deployment.reload(&server, 3);
    let mark = server.mark();
    server.signal(Signal::USR2);
    let second = server.new_master(first);
    server.wait_for(mark, "executing [\"*/releases/3/vendor/licorne/libexec/licorne\"*/current)");
    assert!(server.wait_for_exit().success());
    deployment.assert_serves(&server, 3);
    // A release that has another version of the server than the one that runs: a reload cannot work.
    deployment.release(4);
    deployment.deploy(4);
    deployment.delete(3);
    let finished = server.ctl(["reload", "--wait"]);
    assert_eq!(finished.code(), 1, "{finished:#?}");
    assert!(finished.stderr.contains("the files of this version of the gem are gone"), "{finished:#?}");
    assert_eq!(server.get("/").text(), deployment.answer(3));
    let watch = Watch::on(second).expect("the second master is there");
    watch.signal(Signal::QUIT);
    assert!(watch.wait(testkit::patience()), "the second master did not stop");
    server.assert_nothing_is_left();
}

#[test]
fn an_upgrade_in_place_brings_the_server_of_the_next_release() {
    let deployment = Deployment::new();
    for number in 1..=3 {
        testkit::program::install_gem(&deployment.path(&format!("releases/{number}/vendor/licorne")));
    }
    let server = deployment.server_of("current", Path::new("vendor/licorne/libexec/licorne"));
    let mut server = server.config("upgrade :in_place").start();
    let program = |server: &Server| fs::read_link(format!("/proc/{}/exe", server.pid())).expect("it runs");
    let load = server.load().clients(2).start();
    for number in [2, 3] {
        deployment.deploy(number);
        deployment.delete(number - 1);
        let finished = server.ctl(["upgrade", "--wait"]);
        assert_eq!(finished.code(), 0, "{finished:#?}");
        deployment.assert_serves(&server, number);
        // The program itself is that of the release, and so is what its molds load.
        let release = deployment.path(&format!("releases/{number}"));
        assert_eq!(program(&server), release.join("vendor/licorne/libexec/licorne"));
        let family = server.family();
        let mold = family
            .iter()
            .find(|process| process.title.contains(&format!("(gen {number})")) && process.title.contains(" mold "));
        let mold = mold.expect("a mold").pid;
        let maps = fs::read_to_string(format!("/proc/{mold}/maps")).expect("it runs");
        assert!(maps.contains(&format!("{}/vendor/licorne/lib/licorne/licorne_ext.so", release.display())), "{maps}");
    }
    load.stop().assert_no_failure();
    server.stop();
}

#[test]
fn a_gemfile_outside_of_the_releases_stays() {
    let deployment = Deployment::new();
    let gemfile = deployment.path("shared/Gemfile");
    let greeting = deployment.path("releases/3/vendor/greeting");
    fs::write(&gemfile, GEMFILE.replace("vendor/greeting", &greeting.display().to_string()))
        .expect("it can be written");
    let gemfile = gemfile.display().to_string();
    let mut server = deployment.server("current").env("BUNDLE_GEMFILE", &gemfile).start();
    deployment.deploy(2);
    let finished = server.ctl(["reload", "--wait"]);
    assert_eq!(finished.code(), 0, "{finished:#?}");
    let release = deployment.path("releases/2");
    assert_eq!(server.get("/").text(), format!("3 {gemfile} {}", release.display()));
    server.stop();
}

#[track_caller]
fn check_vanished(deployment: &Deployment, server: &mut Server, told: &[&Path]) {
    let master = server.pid();
    for command in ["reload", "upgrade"] {
        let mark = server.mark();
        let finished = server.ctl([command, "--wait"]);
        assert_eq!(finished.code(), 1, "{command}: {finished:#?}");
        for path in told {
            let name = path.display().to_string();
            assert!(finished.stderr.contains(&name), "{command}: {finished:#?}");
            server.wait_for(mark, &format!("the directory *{name}*"));
        }
        deployment.assert_serves(server, 1);
        assert_eq!(server.pid_in_file("server.pid"), Some(master), "{command}");
        assert!(!server.file("server.pid.oldbin").exists(), "{command}");
    }
    deployment.reload(server, 3);
}

#[test]
fn a_release_that_has_vanished_leaves_the_old_code_serving() {
    let deployment = Deployment::new();
    let mut server = deployment.server("current").preload(true).start();
    deployment.deploy(2);
    deployment.delete(2);
    check_vanished(&deployment, &mut server, &[&deployment.path("releases/2"), &deployment.path("current")]);
    server.stop();
}

#[test]
fn a_link_that_has_vanished_leaves_the_old_code_serving() {
    let deployment = Deployment::new();
    let mut server = deployment.server("current").start();
    fs::remove_file(deployment.path("current")).expect("it is there");
    check_vanished(&deployment, &mut server, &[&deployment.path("current")]);
    server.stop();
}
