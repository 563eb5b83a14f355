//! What starts the server in another way than by its name: `rackup`, `rails server`.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use tempfile::TempDir;
use testkit::output::Mark;
use testkit::{App, Builder, Server};

/// The only database that there is, in each environment.
pub(crate) const DATABASE: &str = "sqlite3:db/production.sqlite3";

/// A launcher beside an installed gem.
pub(crate) struct Launcher(TempDir);

impl Launcher {
    /// Begins on the port of the listener that is inherited as descriptor 3, so that no test chooses one.
    pub(crate) fn new(words: &str) -> Launcher {
        Launcher::of(&format!(
            "require \"socket\"\n\
             port = Socket.for_fd(3).tap {{ |socket| socket.autoclose = false }}.local_address.ip_port.to_s\n\
             exec(*%w[{words}], \"-p\", port, *ARGV.drop(2), close_others: false)\n"
        ))
    }

    /// Begins where it begins by itself.
    pub(crate) fn without_port(words: &str) -> Launcher {
        Launcher::of(&format!("exec(*%w[{words}], *ARGV.drop(2), close_others: false)\n"))
    }

    fn of(script: &str) -> Launcher {
        let place = TempDir::with_prefix("licorne-launcher-").expect("a temporary directory");
        let path = place.path().join("licorne");
        fs::write(&path, format!("#!/usr/bin/env ruby\n{script}")).expect("it can be written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("it is there");
        testkit::program::install_gem(&place.path().join("gem"));
        Launcher(place)
    }

    /// A file of its directory.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Where Ruby finds the gem.
    pub(crate) fn library(&self) -> String {
        self.path("gem/lib").display().to_string()
    }

    /// The Gemfile of a Rails application that has the gem, and these.
    pub(crate) fn gemfile(&self, others: &[&str]) -> String {
        let specification = "Gem::Specification.new do |spec|\n\
             \x20 spec.name, spec.version, spec.summary, spec.authors = \"licorne\", \"0\", \"a server\", [\"us\"]\n\
             \x20 spec.require_paths = [\"lib\"]\n\
             end\n";
        fs::write(self.path("gem/licorne.gemspec"), specification).expect("the directory can be written");
        let others: String = others.iter().map(|name| format!("gem \"{name}\"\n")).collect();
        let gem = self.path("gem");
        format!(
            "source \"https://rubygems.org\"\ngem \"rails\"\ngem \"sqlite3\"\ngem \"licorne\", path: {gem:?}\n{others}"
        )
    }

    /// A server that it starts.
    pub(crate) fn builder(&self, app: App) -> Builder {
        let server = Server::builder().program(self.path("licorne")).app(app).no_config().unnamed_listeners();
        server.env("DATABASE_URL", DATABASE)
    }

    /// Starts the server, with Ruby told where the gem is.
    #[track_caller]
    pub(crate) fn start(&self, app: App) -> Server {
        let server = self.builder(app).env("RUBYLIB", &self.library()).launch();
        server.wait_for(Mark::default(), "master process ready");
        server
    }
}
