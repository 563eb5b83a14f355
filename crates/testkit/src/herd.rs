//! Servers under the herder: real Unicorn and Gunicorn masters, and Licorne itself.

use std::path::PathBuf;

use crate::apps::App;
use crate::program;
use crate::server::{Builder, Server};

const RUBY_APP: &str = r#"
place = File.join(ENV.fetch("TEST_DIR"), "generation")
generation = File.exist?(place) ? File.read(place).chomp : "g1"
raise "it does not boot" if generation == "broken"
sleep Float(ENV.fetch("BOOT_SECONDS", "0"))
$stderr.puts("application loaded")
run lambda { |env|
  if env["PATH_INFO"] == "/wait"
    File.open(File.join(ENV.fetch("TEST_DIR"), "told"), "w") { |told| told.puts("waiting #{Process.pid}") }
    File.open(File.join(ENV.fetch("TEST_DIR"), "gate"), &:gets)
  end
  [200, { "Content-Type" => "text/plain", "Content-Length" => "3", "X-Generation" => generation }, ["ok\n"]]
}
"#;

const PYTHON_APP: &str = r#"
import os, sys, time
here = os.environ["TEST_DIR"]
place = os.path.join(here, "generation")
generation = open(place).read().strip() if os.path.exists(place) else "g1"
if generation == "broken":
    raise RuntimeError("it does not boot")
time.sleep(float(os.environ.get("BOOT_SECONDS", "0")))

print("application loaded", file=sys.stderr, flush=True)

def app(environ, start_response):
    if environ["PATH_INFO"] == "/wait":
        with open(os.path.join(here, "told"), "w") as told:
            told.write("waiting %d\n" % os.getpid())
        with open(os.path.join(here, "gate")) as gate:
            gate.readline()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "3"), ("X-Generation", generation)])
    return [b"ok\n"]
"#;

/// A server that the herder can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Herded {
    /// Debian's.
    Unicorn,
    /// Debian's.
    Gunicorn,
    /// Today's, from PyPI.
    GunicornOfToday,
    /// Ours.
    Licorne,
}

impl Herded {
    /// The application and its surroundings alone, for a test that has a command line of its own.
    #[must_use]
    pub fn application(self) -> Builder {
        let app = match self {
            Herded::Unicorn | Herded::Licorne => App::rackup(RUBY_APP),
            Herded::Gunicorn | Herded::GunicornOfToday => App::file("app.py", PYTHON_APP),
        };
        // `-u licorne` starts the `licorne` of PATH.
        let directory = program::path().parent().expect("a file is in a directory").display().to_string();
        let path = format!("{directory}:{}", std::env::var("PATH").unwrap_or_default());
        Server::builder().app(app).workers(2).env("PATH", &path)
    }

    /// A herder with this server, with `options` of the herder's before `--`.
    ///
    /// The application's `X-Generation` is what the file `generation` says, `g1` without one; it does not boot when that
    /// is `broken`, and takes `BOOT_SECONDS` to boot.
    #[must_use]
    pub fn builder(self, options: &[&str]) -> Builder {
        let gunicorn = gunicorn_of_today().display().to_string();
        let (which, arguments): (&[&str], &[&str]) = match self {
            Herded::Unicorn => (&["-u", "unicorn"], &["-c", "{dir}/config.rb", "-E", "none", "-l", "{dir}/web.sock"]),
            // A program that takes unicorn's flags would do as well, but then it would be herded as a Unicorn.
            Herded::Licorne => (&["-u", "licorne"], &["-c", "{dir}/config.rb", "-E", "none", "-l", "{dir}/web.sock"]),
            Herded::Gunicorn => (&["-u", "gunicorn"], &["-w", "2", "-b", "unix:{dir}/web.sock", "app:app"]),
            Herded::GunicornOfToday => (&["-g", &gunicorn], &["-w", "2", "-b", "unix:{dir}/web.sock", "app:app"]),
        };
        let all = [&["herd"], which, options, &["--"], arguments].concat();
        self.application().exactly(&all)
    }
}

/// `bin/setup` puts it there.
#[must_use]
pub fn gunicorn_of_today() -> PathBuf {
    program::cache().join("gunicorn/bin/gunicorn")
}

impl Server {
    /// Waits until the herder says that its server has booted, and returns the master's process id.
    #[track_caller]
    pub fn wait_for_herd(&self) -> u32 {
        let line = self.wait_for(crate::output::Mark::default(), "booted (PID ");
        pid_of(&line)
    }

    /// The process ids of those whose title contains this.
    #[must_use]
    pub fn titled_with(&self, text: &str) -> Vec<u32> {
        let family = self.family();
        let found = family.iter().filter(|process| process.title.contains(text) && !process.title.contains("unshare"));
        found.map(|process| process.pid).collect()
    }

    /// How many workers there are whose titles begin with this program's name.
    #[must_use]
    pub fn workers_by_title(&self, name: &str) -> usize {
        self.titled_with(&format!("{name} worker[")).len()
    }

    /// Runs `licorne herd reload` on this herder.
    #[track_caller]
    pub fn herd_reload<const N: usize>(&self, arguments: [&str; N]) -> crate::process::Finished {
        let pid = self.pid().to_string();
        crate::process::licorne(["herd", "reload", "--pid", &pid].into_iter().chain(arguments))
    }
}

/// The last process id of a line such as `unicorn changed PID (was 1, now 2)`.
#[must_use]
#[track_caller]
pub fn pid_of(line: &str) -> u32 {
    let digits = line.trim_end().trim_end_matches(')').rsplit(|c: char| !c.is_ascii_digit()).next();
    digits.and_then(|text| text.parse().ok()).unwrap_or_else(|| panic!("no process id in {line:?}"))
}
