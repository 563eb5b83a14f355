//! Promise: the gem builds, installs without anything but Ruby, Rust and the crates, and serves from anywhere.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;
use tempfile::TempDir;
use testkit::load::Plan;
use testkit::output::Mark;
use testkit::process::{Finished, Watch, run, signal};
use testkit::program::{install_gem, repository};
use testkit::supervised::Supervisor;
use testkit::upgrade::RECIPE;
use testkit::{App, Endpoint, Server, procfs};

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

    // Another name is another program, or the same one's as it has always been.
    for (name, told) in [("unicornherder", "unicornherder "), ("licorne-herd", "usage: licorne herd ")] {
        let option = if name == "unicornherder" { "--version" } else { "--help" };
        let said = run(gems.command(gems.home().join("bin").join(name)).arg(option), testkit::patience());
        assert!(said.code() == 0 && said.stdout.starts_with(told), "{said:#?}");
    }

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

    the_line_of_2014_works_under_supervisord(&gems);
}

/// As it went round in 2014, for an application with a Gemfile: a login shell, `bundle exec`, and relative paths.
const LINE_OF_2014: &str = "\
[program:web]
command=bash -lc 'bundle exec unicornherder -u unicorn_rails -p tmp/pids/unicorn.pid -- -c config/unicorn.rb -E production'
numprocs=1
autostart=true
autorestart=true
stopsignal=QUIT
startsecs=1
user=root
redirect_stderr=true
stdout_logfile=/dev/fd/1
stdout_logfile_maxbytes=0
";

/// The gem's `unicornherder` herds the Unicorn of a Rails application's Gemfile. kill -USR2 `cat tmp/pids/unicorn.pid`
/// brings new code, and supervisord sees nothing of it.
fn the_line_of_2014_works_under_supervisord(gems: &Gems) {
    let root = gems.path("2014");
    fs::create_dir(&root).expect("it can be written");
    let app = root.join("app");
    App::rails().install(&app);
    let write = |path: PathBuf, text: &str| fs::write(path, text).expect("it can be written");
    let gemfile = fs::read_to_string(app.join("Gemfile")).expect("Rails made one");
    write(app.join("Gemfile"), &format!("{gemfile}gem 'unicorn'\ngem 'licorne'\n"));
    let socket = root.join("web.sock");
    let pid_file = app.join("tmp/pids/unicorn.pid");
    fs::create_dir_all(app.join("tmp/pids")).expect("it can be written");
    let settings = format!(
        "listen {socket:?}\nworker_processes 2\npreload_app true\n\
         pid File.expand_path('tmp/pids/unicorn.pid')\nstderr_path 'log/unicorn.log'\n{RECIPE}"
    );
    write(app.join("config/unicorn.rb"), &settings);
    // Where a version manager of Ruby puts its own: the login shell has set the PATH anew before.
    write(root.join(".bash_profile"), &format!("PATH={}/bin:$PATH\n", gems.home().display()));
    let environment = format!("HOME=\"{}\",USER=\"root\",GEM_HOME=\"{}\"", root.display(), gems.home().display());
    let section = format!("{LINE_OF_2014}directory={}\nenvironment={environment}\n", app.display());

    let supervisor = Supervisor::supervisord();
    let mut server = supervisor.builder().env("PROGRAM_SECTION", &section).unix_listeners(0).launch();
    let log = || fs::read_to_string(app.join("log/unicorn.log")).unwrap_or_default();
    server.eventually("Unicorn's workers", || log().contains("worker=1 ready").then_some(()));
    server.wait_for(Mark::default(), "booted (PID ");
    let herders = || server.log().since(Mark::default(), "*spawned: 'web' with pid*").len();
    let master = || fs::read_to_string(&pid_file).ok()?.trim().parse::<u32>().ok();
    let load = Plan::new(&Endpoint::Unix(socket)).start();
    for generation in ["second", "third"] {
        write(app.join("config/initializers/generation.rb"), &format!("GENERATION = {generation:?}\n"));
        let old = master().expect("Unicorn serves");
        let left = Watch::on(old).expect("Unicorn serves");
        signal(old, Signal::USR2).expect("Unicorn serves");
        load.wait_until_seen(generation);
        assert!(left.wait(testkit::patience()), "the old master stays");
        server.eventually("the new master's pid file", || master().filter(|pid| *pid != old));
    }
    load.stop().assert_no_failure();
    assert_eq!(herders(), 1, "supervisord has started it again");
    server.signal(Signal::TERM);
    assert!(server.wait_for_exit().success());
    server.assert_nothing_is_left();
}

/// A gem whose extension was built for one release of Ruby, beside others perhaps.
fn prebuilt_for(place: &TempDir, release: &str) -> PathBuf {
    let gem = place.path().join("gem");
    install_gem(&gem);
    let library = gem.join("lib/licorne");
    fs::create_dir(library.join(release)).expect("it is ours");
    fs::rename(library.join("licorne_ext.so"), library.join(release).join("licorne_ext.so")).expect("it is ours");
    gem.join("exe/licorne")
}

#[test]
fn a_gem_that_was_compiled_already_loads_the_extension_of_its_ruby() {
    let release = succeed(Command::new("ruby").args(["-e", "print RUBY_VERSION[/\\d+\\.\\d+/]"])).stdout;
    let place = TempDir::with_prefix("licorne-prebuilt-").expect("a directory");
    let licorne = prebuilt_for(&place, &release);
    let mut server = Server::builder().program(&licorne).app(App::rackup(APP)).start();
    let text = server.get("/").text();
    assert!(text.contains(&format!("/gem/lib/licorne/{release}/licorne_ext.so")), "{text}");
    assert_eq!(server.ctl(["reload", "--wait"]).code(), 0);
    server.stop();
}

#[test]
fn a_ruby_that_it_was_not_built_for_is_told_so_in_a_sentence() {
    let place = TempDir::with_prefix("licorne-prebuilt-").expect("a directory");
    let licorne = prebuilt_for(&place, "2.7");
    let told = run(Command::new(&licorne).arg("-v"), testkit::patience());
    assert_eq!((told.code(), &*told.stdout), (1, ""), "{told:#?}");
    assert!(told.stderr.starts_with("licorne: this gem is built for Ruby 2.7, and this is 3."), "{told:#?}");
    assert_eq!(told.stderr.lines().count(), 1, "{told:#?}");
}

/// What the gem's extconf.rb says, in a directory of its own, with these variables.
fn preflight(variables: &[(&str, &str)]) -> Finished {
    let place = TempDir::with_prefix("licorne-preflight-").expect("a directory");
    let mut command = Command::new("ruby");
    command.arg(repository().join("gem/ext/extconf.rb")).current_dir(place.path());
    command.env("CARGO_HOME", place.path().join("cargo")).envs(variables.iter().copied());
    let finished = run(&mut command, testkit::patience());
    assert_eq!(place.path().join("Makefile").exists(), finished.code() == 0, "{finished:#?}");
    finished
}

#[test]
fn all_that_compiling_takes_and_is_not_there_is_told_at_once() {
    let place = TempDir::with_prefix("licorne-old-rust-").expect("a directory");
    let rustc = place.path().join("rustc");
    fs::write(&rustc, "#!/bin/sh\necho 'rustc 1.63.0 (4b91a6ea7 2022-08-08)'\n").expect("it can be written");
    succeed(Command::new("chmod").arg("+x").arg(&rustc));
    let rustc = rustc.display().to_string();
    let told = preflight(&[("RUSTC", &rustc), ("LIBCLANG_PATH", "/nowhere"), ("RBCONFIG_rubyhdrdir", "/nowhere")]);
    assert_eq!(told.code(), 1);
    for part in [
        "Rust 1.85 or later, with cargo (there is 1.63)\n      apt install cargo (Debian 13, ",
        "libclang, which reads Ruby's headers, in LIBCLANG_PATH (/nowhere)",
        "apt install libclang-dev\n      dnf install clang-devel\n      apk add clang-dev",
        "(there is no /nowhere/ruby.h)\n      apt install ruby-dev\n      dnf install ruby-devel\n      apk add ruby-dev",
        "The gem that is compiled already needs none of it",
    ] {
        assert!(told.stderr.contains(part), "{part}: {told:#?}");
    }
}

#[test]
fn crates_that_cannot_be_downloaded_are_told_before_anything_is_compiled() {
    // Nothing listens there.
    let told = preflight(&[("HTTPS_PROXY", "http://127.0.0.1:1"), ("https_proxy", "http://127.0.0.1:1")]);
    assert!(told.code() == 1 && told.stderr.contains("the crates, which cargo cannot download"), "{told:#?}");
    assert!(told.stderr.contains("set LICORNE_CRATES"), "{told:#?}");
    let told = preflight(&[("LICORNE_CRATES", "/nowhere")]);
    assert!(told.stderr.contains("are not all in LICORNE_CRATES (/nowhere)"), "{told:#?}");
}
