//! Promise: the image of `deploy/docker/Dockerfile` is at most 10 MB larger than one with Ruby alone, serves as a user that is
//! not root, tells its health, and ends as `docker stop` asks it.
//!
//! The image is built from that very file by `bin/image`, and run in name spaces of its own, as a container is.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;
use testkit::fifo::Fifo;
use testkit::output::Mark;
use testkit::process::{Finished, run, signal};
use testkit::program::repository;
use testkit::{App, Server, patience, procfs};

use crate::{bare, registry};

/// Tells who it is and what code it has; a request for `/wait` ends when the test opens the gate.
const APP: &str = r##"
generation = File.exist?("tmp/generation") ? File.read("tmp/generation") : "first"
run(lambda do |env|
  if env["PATH_INFO"] == "/wait"
    File.write("tmp/told", "it has begun\n")
    File.open("tmp/gate", &:gets)
  end
  [200, { "content-type" => "text/plain" }, ["#{generation} #{RUBY_VERSION} #{Process.uid}\n"]]
end)
"##;

/// Debian's Rack as a gem, since the registry is this machine.
const RACK: &str = r##"
require "rubygems/package"
rack = Gem::Specification.find_by_name("rack")
library = rack.full_require_paths.find { |path| File.exist?("#{path}/rack.rb") } || "/usr/lib/ruby/vendor_ruby"
Dir.chdir(ARGV[0])
FileUtils.mkdir("lib")
FileUtils.cp_r(["#{library}/rack", "#{library}/rack.rb"], "lib")
gem = Gem::Specification.new("rack", rack.version) { |spec| spec.summary, spec.authors = rack.summary, rack.authors }
gem.files = Dir["lib/**/*.rb"]
puts File.expand_path(Gem::Package.build(gem, true))
"##;

/// What a container is: processes, mounts and a network of its own; a device or two; a user without privileges.
const CONTAINER: &str = r##"#!/bin/sh
exec 3<&-
exec unshare --mount --pid --net --ipc --uts --propagation private --fork --kill-child=KILL sh -euc '
    ip link set lo up
    mount --bind "$ROOT" "$ROOT"
    for each in $WRITABLE; do mount --bind "$ROOT$each" "$ROOT$each"; done
    [ -z "$WRITABLE" ] || { mount -o remount,bind,ro "$ROOT"; mount -t tmpfs tmpfs "$ROOT/tmp"; }
    mount -t proc proc "$ROOT/proc"
    mount -t tmpfs -o mode=755 tmpfs "$ROOT/dev"
    for each in null zero random urandom; do touch "$ROOT/dev/$each"; mount --bind "/dev/$each" "$ROOT/dev/$each"; done
    ln -s /proc/self/fd "$ROOT/dev/fd"
    exec chroot "$ROOT" setpriv --reuid=1000 --regid=1000 --clear-groups --no-new-privs --bounding-set=-all \
        env -i -C "$DIRECTORY" "$@"
' sh "$@"
"##;

/// An image, and what it says of its process.
struct Image {
    place: TempDir,
    config: Value,
}

impl Image {
    /// Of an application whose Gemfile names Licorne and Rack.
    #[track_caller]
    fn build() -> Image {
        let made = TempDir::with_prefix("licorne-rack-").expect("a directory");
        let built = run(Command::new("ruby").args(["-rfileutils", "-e", RACK]).arg(made.path()), patience());
        assert!(built.status.success(), "{built:#?}");
        let rack = PathBuf::from(built.stdout.lines().last().expect("the gem"));
        let version = rack.file_stem().and_then(|name| name.to_str()?.strip_prefix("rack-")).expect("a version");
        let registry = registry(std::slice::from_ref(&rack));
        let serving = App::rackup(format!("run Rack::Files.new({:?})", registry.path()));
        let mut served = Server::builder().app(serving).start();

        let place = TempDir::with_prefix("licorne-image-").expect("a directory");
        let app = place.path().join("app");
        App::rackup(APP).install(&app);
        let address = served.endpoint().to_string();
        for (name, text) in [
            ("Gemfile", format!("source 'http://{address}'\ngem 'licorne'\ngem 'rack', '{version}'\n")),
            ("config/unicorn.rb", "worker_processes 2\npreload_app true\n".to_owned()),
            ("tmp/.keep", String::new()),
        ] {
            let path = app.join(name);
            fs::create_dir_all(path.parent().expect("it is in the application")).expect("it can be written");
            fs::write(path, text).expect("it can be written");
        }
        bare("trixie", &app, "bundle lock");

        let mut build = Command::new(repository().join("bin/image"));
        build.arg(repository().join("deploy/docker/Dockerfile")).arg(&app).arg(place.path());
        let built = run(&mut build, Duration::from_secs(500));
        assert!(built.status.success(), "{built:#?}");
        served.stop();
        let config = read(&place, "config.json");
        Image { place, config }
    }

    /// The words of a list in the image's configuration.
    fn words(&self, name: &str) -> Vec<String> {
        let words = self.config[name].as_array().unwrap_or_else(|| panic!("no {name}: {:#}", self.config));
        words.iter().filter_map(Value::as_str).map(ToOwned::to_owned).collect()
    }

    /// The command that the image names, in a container; only these directories can be written to, where there are any.
    #[track_caller]
    fn start(&self, writable: &str) -> Server {
        let script = self.place.path().join("licorne");
        fs::write(&script, CONTAINER).expect("it can be written");
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).expect("it is ours");
        let words = [self.words("Env"), self.words("Cmd")].concat();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let root = self.place.path().join("rootfs");
        let server = Server::builder().program(&script).exactly(&words).env("WRITABLE", writable);
        let server = server.env("ROOT", root.to_str().expect("plain letters"));
        let server = server.env("DIRECTORY", self.config["WorkingDir"].as_str().expect("a directory"));
        let server = server.launch();
        server.wait_for(Mark::default(), "*worker=1*ready*");
        server
    }

    /// Docker's question after the health, which is run inside as the image's user.
    #[track_caller]
    fn health(&self, server: &Server) -> Finished {
        let question = &self.config["Healthcheck"]["Test"];
        assert_eq!(question[0], "CMD-SHELL");
        let mut asked = inside(server);
        asked.args(["--pid", "--mount", "--root", "--setuid=1000", "--setgid=1000", "env", "-i", "-C", "/srv/app"]);
        asked.args(self.words("Env")).args(["/bin/sh", "-c", question[1].as_str().expect("a line")]);
        run(&mut asked, patience())
    }
}

#[track_caller]
fn read(place: &TempDir, name: &str) -> Value {
    serde_json::from_slice(&fs::read(place.path().join(name)).expect("it is there")).expect("JSON")
}

/// A command in the container's network.
fn inside(server: &Server) -> Command {
    let mut command = Command::new("nsenter");
    command.arg(format!("--target={}", server.master())).arg("--net");
    command
}

fn request(server: &Server, path: &str) -> Command {
    let mut command = inside(server);
    command.args(["curl", "--silent", "--show-error", "--fail", &format!("http://127.0.0.1:8080{path}")]);
    command
}

#[track_caller]
fn get(server: &Server, path: &str) -> String {
    let finished = run(&mut request(server, path), patience());
    assert_eq!(finished.code(), 0, "{finished:#?}");
    finished.stdout
}

#[test]
fn the_image_serves_without_root_and_stops_as_docker_asks() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let image = Image::build();
    let history = read(&image.place, "history.json");
    let steps = history.as_array().expect("steps");
    let bytes = |step: &Value| step["size"].as_i64().expect("bytes");
    let is_run = |step: &&Value| step["created_by"].as_str().is_some_and(|line| line.starts_with("RUN"));
    let ruby = steps.iter().rfind(is_run).map(bytes).expect("Ruby is installed");
    let whole = steps.last().map(bytes).expect("steps");
    println!("an image of {whole} bytes, {} more than with Ruby alone", whole - ruby);
    assert!(whole - ruby <= 10_000_000, "{history:#}");

    // On a disk that can be written to, and on one that cannot, but for what the application writes.
    for (stop, writable) in [("SIGTERM", ""), ("SIGQUIT", "/srv/app/tmp")] {
        let tmp = image.place.path().join("rootfs/srv/app/tmp");
        let (mut told, mut gate) = (Fifo::create(tmp.join("told")), Fifo::create(tmp.join("gate")));
        for fifo in [told.path(), gate.path()] {
            fs::set_permissions(fifo, fs::Permissions::from_mode(0o666)).expect("it is ours");
        }
        let mut server = image.start(writable);
        let master = server.master();
        for (name, value) in [("Uid", "1000\t1000\t1000\t1000"), ("NoNewPrivs", "1"), ("CapEff", "0000000000000000")] {
            assert_eq!(procfs::status(master, name).as_deref(), Some(value), "{name}");
        }
        assert!(procfs::status(master, "NSpid").is_some_and(|pids| pids.ends_with("\t1")), "it is process 1");
        let first = get(&server, "/");
        assert!(first.starts_with("first 3.3.") && first.ends_with(" 1000\n"), "{first}");
        assert_eq!(image.health(&server).code(), 0);

        fs::write(tmp.join("generation"), "second").expect("it can be written");
        let mark = server.mark();
        signal(master, Signal::HUP).expect("the master is there");
        server.wait_for(mark, "done reloading*");
        assert!(get(&server, "/").starts_with("second "));

        let waiting = request(&server, "/wait").stdout(Stdio::piped()).spawn().expect("curl runs");
        assert_eq!(told.line(patience()).as_deref(), Some("it has begun"));
        assert_eq!(image.config["StopSignal"], "SIGTERM");
        let mark = server.mark();
        signal(master, if stop == "SIGTERM" { Signal::TERM } else { Signal::QUIT }).expect("the master is there");
        server.wait_for(mark, "reaped*exit 0*worker=");
        let ill = image.health(&server);
        assert_eq!(ill.code(), 1, "it is stopping: {ill:#?}");
        gate.tell("on");
        let response = waiting.wait_with_output().expect("curl ends");
        assert!(response.status.success() && response.stdout.starts_with(b"second "), "{response:?}");
        assert_eq!(server.wait_for_exit().code(), Some(0), "{stop}");
        server.assert_nothing_is_left();
        for name in ["told", "gate", "generation"] {
            fs::remove_file(tmp.join(name)).expect("it is there");
        }
    }
}
