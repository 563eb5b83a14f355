//! What the command line asks for, the settings that hold, and the directories that both name.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use directives::UpgradeWay;
use supervisor::{Generation, Plan, Way};
use sys::user::User;

use crate::config::anchor::Anchors;
use crate::config::asked::Asked;
use crate::config::error::Error;
use crate::config::options::Options;
use crate::config::pid_file::PidFile;
use crate::config::release::{self, Move};
use crate::config::runtime::Runtime;
use crate::config::settings::{Place, Settings};
use crate::control::protocol::default_path;
use crate::deadlines::Limits;
use crate::environment;
use crate::log::files::Streams;
use crate::log::lines::Log;

/// The configuration, and what follows from it for this process.
pub(crate) struct Config {
    pub(crate) options: Options,
    runtime: Runtime,
    /// The settings that hold; none before the first mold has answered.
    pub(crate) settings: Option<Settings>,
    /// What a failed roll goes back to.
    before: Option<(Generation, Settings)>,
    /// The directories that may move to another release.
    pub(crate) anchors: Anchors,
    pub(crate) pid_file: PidFile,
    entry: Entry,
    /// What the last reload was asked for, whatever the configuration says.
    pub(crate) asked: Asked,
    /// Whether something watches over this process that would take a new process id for its end.
    is_supervised: bool,
}

/// Whether this process is where the first settings want it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Entry {
    NotYet,
    /// Its directory and its standard streams are theirs.
    Entered,
    /// It has to begin anew in the background, which the rackup file asks for: that is known when a mold has found it.
    BeginsAnew,
}

/// Where molds and new programs start.
#[derive(Debug)]
pub(crate) struct Start {
    pub(crate) directory: PathBuf,
    /// How to get there from where it has led before.
    pub(crate) moves: Vec<Move>,
}

/// What a mold is started with.
#[derive(Debug)]
pub(crate) struct Boot {
    pub(crate) ruby: OsString,
    pub(crate) load_path: Vec<PathBuf>,
    pub(crate) directory: PathBuf,
    /// Variables that it has other values of than this process.
    pub(crate) variables: Vec<(String, String)>,
    /// What it is told.
    pub(crate) json: String,
}

impl Config {
    /// What the command line asks for.
    pub(crate) fn of(options: Options, runtime: Runtime) -> Self {
        Self {
            options,
            runtime,
            settings: None,
            before: None,
            anchors: Anchors::default(),
            pid_file: PidFile::default(),
            entry: Entry::NotYet,
            asked: Asked::default(),
            is_supervised: environment::is_supervised(),
        }
    }

    /// What a program before this one had, whose settings are these.
    pub(crate) fn load(
        options: Options,
        runtime: Runtime,
        settings: Settings,
        anchors: Anchors,
        pid_file: PidFile,
    ) -> Self {
        let entry = Entry::Entered;
        Self { settings: Some(settings), anchors, pid_file, entry, ..Self::of(options, runtime) }
    }

    /// What is left when this process begins anew.
    pub(crate) fn into_command(self) -> (Options, Runtime) {
        (self.options, self.runtime)
    }
}

/// What the settings say.
impl Config {
    /// The user that the application runs as, where the configuration says it: files in places of others are opened with
    /// its rights.
    pub(crate) fn user(&self) -> Option<&User> {
        self.settings.as_ref().and_then(|settings| settings.user.as_ref())
    }

    /// How long a request may last.
    pub(crate) fn limits(&self) -> Limits {
        self.settings.as_ref().map_or(Limits::NONE, Settings::limits)
    }

    /// `timeout`.
    pub(crate) fn timeout(&self) -> Duration {
        self.settings.as_ref().map_or(Duration::ZERO, |settings| settings.processes.timeout)
    }

    /// How long a stop may take: everything that it waits for is bounded by these.
    pub(crate) fn longest_stop(&self) -> Duration {
        self.settings.as_ref().map_or(Duration::ZERO, |settings| {
            let processes = &settings.processes;
            let services = settings.services.iter().map(|service| service.stop_timeout).max().unwrap_or_default();
            (processes.timeout + processes.shutdown_delay).max(services)
        })
    }

    /// Where the admin process is to answer.
    pub(crate) fn admin(&self) -> Option<Place> {
        self.settings.as_ref().and_then(Settings::admin)
    }

    /// The file whose touch asks for a reload.
    pub(crate) fn restart_file(&self) -> Option<PathBuf> {
        let settings = self.settings.as_ref()?;
        let directory = settings.working_directory().unwrap_or(&self.options.directory);
        Some(directory.join(settings.restart_file()?))
    }

    /// Where `settings` send the standard streams.
    pub(crate) fn streams<'a>(&self, settings: &'a Settings) -> Streams<'a> {
        Streams {
            stdout: settings.stdout_path(),
            stderr: settings.stderr_path(),
            in_background: self.options.daemonize,
            user: settings.user.as_ref(),
        }
    }

    /// What the supervisor has to know of `settings`.
    pub(crate) fn plan(&self, settings: &Settings) -> Plan {
        settings.plan(match settings.processes.upgrade {
            UpgradeWay::TwoMasters => Way::TwoMasters,
            UpgradeWay::InPlace => Way::InPlace,
            UpgradeWay::Auto if self.is_supervised && !self.options.daemonize => Way::InPlace,
            UpgradeWay::Auto => Way::TwoMasters,
        })
    }

    /// Where the control socket is to be, and whether the user has not chosen that.
    pub(crate) fn control_path(&self, settings: &Settings) -> (PathBuf, bool) {
        let configured = self.options.control.clone().or_else(|| settings.control().map(Path::to_path_buf));
        let is_default = configured.is_none();
        (configured.unwrap_or_else(|| default_path(sys::process::own_pid())), is_default)
    }

    /// Whether the control socket's path was chosen by the user, so that two masters would share it.
    pub(crate) fn control_is_configured(&self) -> bool {
        self.options.control.is_some() || self.settings.as_ref().is_some_and(|settings| settings.control().is_some())
    }
}

/// Which settings hold.
impl Config {
    /// Whether the standard streams have been sent where the settings want them.
    pub(crate) fn is_entered(&self) -> bool {
        self.entry == Entry::Entered
    }

    /// Whether this process has to begin anew in the background.
    pub(crate) fn begins_anew(&self) -> bool {
        self.entry == Entry::BeginsAnew
    }

    /// The first settings may ask for the background; `is_successor`: another master has put this one there already.
    ///
    /// # Errors
    /// That would end the container.
    pub(crate) fn go_to_background(&mut self, settings: &Settings, is_successor: bool) -> Result<(), Error> {
        if settings.daemonize && !self.options.daemonize {
            self.options.daemonize()?;
            if !is_successor {
                self.entry = Entry::BeginsAnew;
            }
        }
        Ok(())
    }

    /// Enters the directory of the first settings.
    ///
    /// # Errors
    /// There is no way there: the text names it.
    pub(crate) fn enter(&mut self, settings: &Settings) -> Result<(), Error> {
        if let Some(directory) = settings.working_directory() {
            let failed = |source| Error::NotEntered { path: directory.to_path_buf(), source };
            std::env::set_current_dir(directory).map_err(failed)?;
        }
        self.entry = Entry::Entered;
        Ok(())
    }

    /// The settings of this generation hold from now on. Returns whether they are the first ones.
    pub(crate) fn commit(&mut self, generation: Generation, settings: Settings) -> bool {
        match self.settings.replace(settings) {
            None => true,
            Some(before) => {
                self.before = Some((generation, before));
                false
            }
        }
    }

    /// Takes the settings out that held before those of this generation, if these have held since.
    pub(crate) fn take_before(&mut self, generation: Generation) -> Option<Settings> {
        self.before.take_if(|(committed, _)| *committed == generation).map(|(_, settings)| settings)
    }

    /// There is no way back any more.
    pub(crate) fn settle(&mut self) {
        self.before = None;
    }
}

/// Where molds and new programs start, and with what.
impl Config {
    /// Where molds and successors start: `working_directory`, or else the directory of the command line. It is resolved
    /// anew each time, so that a moved symbolic link (`current`) leads to the new release.
    ///
    /// # Errors
    /// It leads nowhere: the text names it.
    pub(crate) fn find_start(&mut self) -> Result<Start, Error> {
        let configured = self.settings.as_ref().and_then(|settings| settings.working_directory());
        let moves = self.anchors.resolve(&self.options.directory, configured)?;
        Ok(Start { directory: configured.unwrap_or(&self.options.directory).to_path_buf(), moves })
    }

    /// What the mold of this generation is started with; `inherited` are the names of the sockets that there are.
    ///
    /// # Errors
    /// The directory or the gem's files are gone.
    pub(crate) fn boot(&mut self, generation: u32, inherited: &[String], log: &Log) -> Result<Boot, Error> {
        let Start { directory, moves } = self.find_start()?;
        let load_path = self.runtime.load_path_after(&moves)?;
        let own =
            std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
        let variables = release::follow_variables(own, &moves);
        log_followed(log, &directory, &variables);
        let json = self.options.boot_json(generation, &directory, inherited, &self.asked);
        Ok(Boot { ruby: self.runtime.ruby.clone(), load_path, directory, variables, json })
    }

    /// The program that an upgrade executes. One in an old release follows to the new one, unless it is missing there: the
    /// configuration, or a user that has named it by a link, may mean just that file.
    pub(crate) fn next_program(&self, moves: &[Move]) -> OsString {
        let configured = self.settings.as_ref().and_then(|settings| settings.program_path.clone());
        let path = configured.unwrap_or_else(|| PathBuf::from(&self.options.program_path));
        let followed = release::follow(&path, moves).filter(|path| path.exists());
        followed.unwrap_or(path).into_os_string()
    }
}

/// Says which variables have followed the directory to another release.
pub(crate) fn log_followed(log: &Log, directory: &Path, variables: &[(String, String)]) {
    if !variables.is_empty() {
        let names: Vec<&str> = variables.iter().map(|(name, _)| name.as_str()).collect();
        let names = names.join(", ");
        log.info(format_args!("{} leads to another release now, and so do {names}", directory.display()));
    }
}
