//! Promise: the gem builds, installs without anything but Ruby, Rust and the crates, and serves from anywhere.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;
use tempfile::TempDir;
use testkit::process::{Finished, Watch, run};
use testkit::program::repository;
use testkit::{App, Server, procfs};

/// Bounds a hang: compiling everything takes half a minute on two cores.
const BUILD_PATIENCE: Duration = Duration::from_secs(500);

/// Gems of our own, with `licorne` among them.
struct Gems(TempDir);

impl Gems {
    /// Builds the gem and installs it.
    fn with_licorne() -> Gems {
        let gems = Gems(TempDir::with_prefix("licorne-gems-").expect("a temporary directory"));
        let package = gems.path("licorne.gem");
        let mut build = Command::new("gem");
        build.args(["build", "licorne.gemspec", "-o"]).arg(&package).current_dir(repository());
        succeed(&mut build);
        let mut install = gems.command("gem");
        install.args(["install", "--local", "--no-document"]).arg(&package).current_dir("/");
        // What is tested is that it compiles from these files, and that the result serves; not how fast.
        // In a directory of its own: cargo takes a file of the gem for unchanged that has changed since another build.
        install.env("CARGO_NET_OFFLINE", "true").env_remove("CARGO_TARGET_DIR");
        for (name, value) in [("LTO", "off"), ("CODEGEN_UNITS", "16"), ("OPT_LEVEL", "0"), ("DEBUG", "0")] {
            install.env(format!("CARGO_PROFILE_RELEASE_{name}"), value);
        }
        succeed(&mut install);
        gems
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn home(&self) -> PathBuf {
        self.path("home")
    }

    fn command(&self, program: impl AsRef<Path>) -> Command {
        let mut command = Command::new(program.as_ref());
        command.env("GEM_HOME", self.home());
        command
    }

    /// Asserts that nothing of the checkout is used by this server: it might as well not be there.
    fn assert_used_alone(&self, server: &Server) {
        let checkout = repository().display().to_string();
        for process in server.family() {
            // One that a reload has replaced may be gone by now, and one that is about to go has no memory any more.
            let maps = fs::read_to_string(format!("/proc/{}/maps", process.pid)).unwrap_or_default();
            if maps.is_empty() {
                continue;
            }
            assert!(!maps.contains(&checkout), "{process:?} uses the checkout:\n{maps}");
            assert!(maps.contains(&self.home().display().to_string()), "{process:?} does not use the gem:\n{maps}");
            for (number, target) in procfs::descriptors(process.pid) {
                assert!(!target.starts_with(&checkout), "{process:?} has {target} open as {number}");
            }
        }
    }
}

#[track_caller]
fn succeed(command: &mut Command) -> Finished {
    let finished = run(command, BUILD_PATIENCE);
    assert!(finished.status.success(), "{command:?}: {finished:#?}");
    finished
}

const APP: &str = r#"
generation = File.read(File.join(ENV.fetch("TEST_DIR"), "generation")) rescue "first"
features = $LOADED_FEATURES.grep(/licorne/)
run lambda { |env|
  lines = [generation, RbConfig.ruby, ENV["LICORNE_RUBY"].inspect, *features]
  [200, {}, [lines.join("\n")]]
}
"#;

#[test]
fn the_installed_gem_serves_reloads_and_is_upgraded() {
    let gems = Gems::with_licorne();
    let home = gems.home().display().to_string();
    let licorne = gems.home().join("bin/licorne");

    let version = run(gems.command(&licorne).arg("-v"), testkit::patience());
    assert_eq!(version.stdout, concat!("licorne v", env!("CARGO_PKG_VERSION"), "\n"), "{version:#?}");
    let files = gems.home().join("gems").join(concat!("licorne-", env!("CARGO_PKG_VERSION")));
    assert!(!files.join("gem/ext/target").exists());
    for name in ["man/licorne.1", "man/licorne.5", "completions/licorne.bash"] {
        assert!(files.join(name).exists(), "{name}");
    }

    let server = Server::builder().program(&licorne).app(App::rackup(APP)).env("GEM_HOME", &home);
    let mut server = server.workers(2).start();
    let text = server.get("/").text();
    let mut lines = text.lines();
    assert_eq!(lines.next(), Some("first"));
    assert!(lines.next().is_some_and(|ruby| ruby.starts_with('/')), "{text}");
    assert_eq!(lines.next(), Some("nil"), "the variable is not the application's business");
    assert!(lines.all(|feature| feature.starts_with(&home)), "{text}");
    gems.assert_used_alone(&server);

    server.write("generation", "second");
    let pid_file = server.file("server.pid");
    let mut reload = gems.command(&licorne);
    reload.args(["reload", "--wait", "--pid-file"]).arg(&pid_file);
    assert_eq!(run(&mut reload, testkit::patience()).code(), 0);
    assert!(server.get("/").text().starts_with("second\n"));

    // The next master is started by the gem's script again, and so by the Ruby and the version that are current then.
    server.write("generation", "third");
    let (mark, old) = (server.mark(), server.pid());
    server.signal(Signal::USR2);
    server.wait_for(mark, &format!("executing [\"{}\"", licorne.display()));
    server.wait_for(mark, "the new master serves");
    let new = server.pid_in_file("server.pid").expect("a pid file");
    assert_ne!(new, old);
    server.signal(Signal::QUIT);
    assert!(server.wait_for_exit().success());
    assert!(server.get("/").text().starts_with("third\n"));
    gems.assert_used_alone(&server);
    let watch = Watch::on(new).expect("the new master is there");
    watch.signal(Signal::QUIT);
    assert!(watch.wait(testkit::patience()), "the new master did not stop");
    server.assert_nothing_is_left();

    // By Bundler, from a Gemfile that names it.
    let gemfile = gems.path("Gemfile");
    fs::write(&gemfile, "source 'https://rubygems.org'\ngem 'rack'\ngem 'licorne'\n").expect("it can be written");
    let start = gems.path("licorne");
    fs::write(&start, "#!/bin/sh\nexec bundle exec licorne \"$@\"\n").expect("it can be written");
    succeed(Command::new("chmod").arg("+x").arg(&start));
    let server = Server::builder().program(&start).app(App::rackup(APP)).env("GEM_HOME", &home);
    let mut server = server.env("BUNDLE_GEMFILE", &gemfile.display().to_string()).preload(true).start();
    assert!(server.get("/").text().starts_with("first\n"));
    assert_eq!(server.ctl(["reload", "--wait"]).code(), 0);
    gems.assert_used_alone(&server);
    server.stop();
}
