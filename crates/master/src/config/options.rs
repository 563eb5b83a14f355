//! What the command line asks for, and what a mold is told of it.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::config::asked::Asked;
use crate::config::error::Error;

/// Where `unicorn_rails -D` has its pid file when nothing else is said.
const RAILS_PID: &str = "tmp/pids/unicorn.pid";

/// An option of Ruby itself on the command line. They act in the order in which they were given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RubyOption {
    /// `-e LINE`
    Eval(String),
    /// `-r LIBRARY`
    Require(String),
    /// `-I PATH`
    Include(String),
    /// `-d`
    Debug,
    /// `-w`
    Warn,
}

/// What the command line says of the application.
#[derive(Clone, Debug, Default)]
pub struct Application {
    /// The rackup file.
    pub rackup: String,
    /// A program that starts the server by itself, and its arguments: what each mold runs instead of a rackup file.
    pub script: Option<(String, Vec<String>)>,
    /// `-E`
    pub environment: Option<String>,
    /// `-e`, `-r`, `-I`, `-d`, `-w`
    pub ruby_options: Vec<RubyOption>,
    /// `-N`
    pub no_default_middleware: bool,
    /// `--path` of `unicorn_rails`
    pub url_root: Option<String>,
}

/// What the command line asked for.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The program as it was called, for upgrades: a path, or a name in `PATH`.
    pub program_path: OsString,
    /// The arguments as they were given.
    pub arguments: Vec<String>,
    /// The directory it was started in, symbolic links kept (`PWD`).
    pub directory: PathBuf,
    /// `-c`
    pub config_file: Option<String>,
    /// What is served.
    pub application: Application,
    /// `-l`, in order.
    pub listeners: Vec<String>,
    /// `-o`
    pub host: Option<String>,
    /// `-p`
    pub port: Option<u16>,
    /// `-P`
    pub pid: Option<String>,
    /// `-D`
    pub daemonize: bool,
    /// Whether this is `unicorn_rails`: its environment is `RAILS_ENV`.
    pub rails: bool,
    /// `--control`
    pub control: Option<PathBuf>,
}

impl Options {
    /// Has the server go to the background.
    ///
    /// # Errors
    /// That would end the container.
    pub fn daemonize(&mut self) -> Result<(), Error> {
        if sys::process::own_pid() == 1 {
            return Err(Error::ContainerEnds);
        }
        self.daemonize = true;
        if self.rails {
            self.pid = Some(RAILS_PID.to_string());
        }
        Ok(())
    }

    /// What the supervisor must know before there are settings.
    pub(crate) fn of_supervisor(&self, seed: u64) -> supervisor::Config {
        supervisor::Config { has_config_file: self.config_file.is_some(), seed, ..supervisor::Config::default() }
    }

    /// The environment of the application, unless the configuration says another.
    pub(crate) fn environment(&self) -> String {
        let is_rails = self.rails || self.application.script.is_some();
        let names = if is_rails { ["RAILS_ENV", "RACK_ENV"] } else { ["RACK_ENV", "APP_ENV"] };
        let of_variables = || names.into_iter().find_map(|name| std::env::var(name).ok());
        self.application.environment.clone().or_else(of_variables).unwrap_or_else(|| "development".to_string())
    }

    /// The program's name in titles.
    pub(crate) fn program_name(&self) -> String {
        Path::new(&self.program_path)
            .file_name()
            .map_or_else(|| "licorne".to_string(), |name| name.to_string_lossy().into_owned())
    }

    /// The title of a process of this server: `licorne master -c x.rb`.
    pub(crate) fn title(&self, tag: &str) -> String {
        let mut title = format!("{} {tag}", self.program_name());
        for argument in &self.arguments {
            title.push(' ');
            title.push_str(argument);
        }
        title
    }

    /// The `Boot` message of one generation, which starts in `directory`.
    pub(crate) fn boot_json(&self, generation: u32, directory: &Path, inherited: &[String], asked: &Asked) -> String {
        let application = &self.application;
        let ruby_options: Vec<serde_json::Value> = application
            .ruby_options
            .iter()
            .map(|option| match option {
                RubyOption::Eval(code) => json!(["eval", code]),
                RubyOption::Require(library) => json!(["require", library]),
                RubyOption::Include(path) => json!(["include", path]),
                RubyOption::Debug => json!(["debug"]),
                RubyOption::Warn => json!(["warn"]),
            })
            .collect();
        json!({
            "generation": generation,
            "program": self.program_name(),
            "program_path": self.program_path.to_string_lossy(),
            "argv": self.arguments,
            "cwd": directory.to_string_lossy(),
            "config_file": self.config_file,
            "rackup": application.rackup,
            "script": application.script.as_ref().map(|(script, _)| script),
            "script_arguments": application.script.as_ref().map(|(_, arguments)| arguments),
            "env": application.environment,
            "options": ruby_options,
            "no_default_middleware": application.no_default_middleware,
            "listeners": self.listeners,
            "host": self.host,
            "port": self.port,
            "pid": self.pid,
            "rails": self.rails,
            "url_root": application.url_root,
            "daemonized": self.daemonize,
            "inherited": inherited,
            "probe": asked.probe,
            "canary": { "workers": asked.canary.workers, "watch": asked.canary.watch_s },
            "worker_processes": null,
        })
        .to_string()
    }
}
