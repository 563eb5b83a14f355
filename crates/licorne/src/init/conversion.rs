//! `licorne init --from FILE`: what another server was configured or started with, as `gem/lib/licorne/conversion` reads
//! it. Configurations are Ruby, so Ruby's own parser takes them apart, in a process of its own; nothing of them runs.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use master::Runtime;
use serde::Deserialize;

use crate::error::Error;

/// What has become of a file.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Conversion {
    /// The file.
    #[serde(skip)]
    file: PathBuf,
    /// The file cannot be read as what it seems to be.
    error: Option<String>,
    /// The server that it was for.
    server: Option<String>,
    /// `config/licorne.rb`.
    config: Option<String>,
    /// Why there is none.
    problem: Option<String>,
    /// How many statements have no equivalent.
    lost: usize,
    /// The same Procfile with Licorne in it.
    procfile: Option<String>,
    /// How the server is started, where the file is about that.
    pub(super) start: Option<Start>,
}

/// How a server is started.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(super) struct Start {
    /// The file and its line.
    pub(super) place: String,
    /// What the service is called there, where that says more than `web`.
    pub(super) name: Option<String>,
    /// The command line for Licorne.
    pub(super) command: String,
    /// The same for a shell that it takes the place of.
    pub(super) executed: String,
    pub(super) directory: Option<String>,
    pub(super) user: Option<String>,
    pub(super) environment: Vec<(String, String)>,
    /// How many seconds a stop may take.
    pub(super) stop_seconds: Option<u32>,
}

impl Conversion {
    /// Converts the file.
    ///
    /// # Errors
    /// Ruby cannot be run, or the file is none that can be converted: the text names it and the line.
    pub(super) fn of(file: &Path) -> Result<Self, Error> {
        let runtime = Runtime::find(None).map_err(master::Error::from)?;
        let mut command = Command::new(&runtime.ruby);
        for directory in &runtime.load_path {
            command.arg("-I").arg(directory);
        }
        // Neither the application's gems nor its options for Ruby are needed.
        command.args([
            "--disable=gems,rubyopt",
            "-r",
            "licorne/conversion",
            "-e",
            "Licorne::Conversion.main(ARGV.first)",
        ]);
        let finished = command.arg("--").arg(file).stderr(Stdio::inherit()).output().map_err(Error::Ruby)?;
        let conversion: Self = serde_json::from_slice(&finished.stdout)
            .map_err(|source| Error::NotUnderstood { path: file.to_path_buf(), source })?;
        match conversion.error {
            Some(why) => Err(Error::Said(format!("licorne init: {why}"))),
            None => Ok(Self { file: file.to_path_buf(), ..conversion }),
        }
    }

    /// The configuration.
    ///
    /// # Errors
    /// The command names one that is not there.
    pub(super) fn config(&self) -> Result<&str, Error> {
        let why = || Error::Said(format!("licorne init: {}", self.problem.as_deref().unwrap_or_default()));
        self.config.as_deref().ok_or_else(why)
    }

    /// The Procfile.
    ///
    /// # Errors
    /// The file is another.
    pub(super) fn procfile(&self) -> Result<&str, Error> {
        let other = || Error::Said(format!("licorne init: {} is no Procfile", self.file.display()));
        self.procfile.as_deref().ok_or_else(other)
    }

    /// What to tell of it.
    pub(super) fn summary(&self) -> String {
        let (file, server) = (self.file.display(), self.server.as_deref().unwrap_or("another server"));
        let lost = match self.lost {
            0 => "everything in it has an equivalent".to_string(),
            1 => "one statement has no equivalent, and says why (^)".to_string(),
            lost => format!("{lost} statements have no equivalent, and say why (^)"),
        };
        let start = |start: &Start| {
            let Start { place, command, .. } = start;
            format!("\n# {place} becomes: {command}\n# as a unit: licorne init systemd --from {file}")
        };
        format!("# {file}, of {server}: {lost}{}", self.start.as_ref().map(start).unwrap_or_default())
    }
}

impl Start {
    /// A unit's `ExecStart`: systemd starts programs by their paths, without a shell, and reads `$` and `%` itself.
    pub(super) fn for_systemd(&self) -> String {
        let escaped = |text: &str| text.replace('\\', "\\\\").replace('$', "$$").replace('%', "%%");
        match self.executed.strip_prefix("bash ") {
            Some(words) => format!("/bin/bash {}", escaped(words)),
            None => format!("/bin/bash -lc '{}'", escaped(&self.executed).replace('\'', "\\'")),
        }
    }

    /// The `Environment` of a unit.
    pub(super) fn environment_for_systemd(&self) -> String {
        let escaped = |text: &str| text.replace('\\', "\\\\").replace('"', "\\\"").replace('%', "%%");
        let line = |(name, value): (&str, &str)| format!("Environment=\"{name}={}\"", escaped(value));
        self.variables().map(line).collect::<Vec<_>>().join("\n")
    }

    /// A section's `command`. What supervisord started without a shell needs none.
    pub(super) fn for_supervisord(&self) -> String {
        let from_supervisord = self.name.is_some();
        match from_supervisord || self.executed.starts_with("bash ") {
            true => self.executed.strip_prefix("exec ").unwrap_or(&self.executed).to_string(),
            false => format!("bash -lc '{}'", self.executed.replace('%', "%%").replace('\'', "'\"'\"'")),
        }
    }

    /// The variables of a section, behind `PWD`.
    pub(super) fn environment_for_supervisord(&self) -> String {
        self.variables().map(|(name, value)| format!("{name}=\"{value}\"")).collect::<Vec<_>>().join(",")
    }

    /// Those of the file, and the environment of the application where nothing says it.
    fn variables(&self) -> impl Iterator<Item = (&str, &str)> {
        let names = ["RACK_ENV", "RAILS_ENV"];
        let said = self.environment.iter().any(|(name, _)| names.contains(&name.as_str()));
        let own = (!said && !self.executed.contains("-E ")).then_some(("RACK_ENV", "production"));
        let given = self.environment.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        given.filter(|(name, _)| *name != "PWD").chain(own)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start(executed: &str) -> Start {
        Start { executed: executed.into(), ..Start::default() }
    }

    #[test]
    fn commands_are_quoted_as_each_supervisor_reads_them() {
        let plain = start("exec bundle exec licorne -p $PORT -l '/run/%n.sock'");
        assert_eq!(plain.for_systemd(), r"/bin/bash -lc 'exec bundle exec licorne -p $$PORT -l \'/run/%%n.sock\''");
        assert_eq!(
            plain.for_supervisord(),
            r#"bash -lc 'exec bundle exec licorne -p $PORT -l '"'"'/run/%%n.sock'"'"''"#
        );
        let shell = start("bash -lc 'exec bundle exec licorne'");
        assert_eq!(shell.for_systemd(), "/bin/bash -lc 'exec bundle exec licorne'");
        assert_eq!(shell.for_supervisord(), "bash -lc 'exec bundle exec licorne'");
        let section = Start { name: Some("web".into()), ..plain };
        assert_eq!(section.for_supervisord(), "bundle exec licorne -p $PORT -l '/run/%n.sock'");
    }

    #[test]
    fn an_environment_is_named_where_nothing_else_names_one() {
        let mut start = start("exec licorne");
        assert_eq!(start.environment_for_systemd(), "Environment=\"RACK_ENV=production\"");
        start.environment = vec![("HOME".into(), "/home/\"git\"".into()), ("PWD".into(), "/srv".into())];
        assert_eq!(start.environment_for_supervisord(), "HOME=\"/home/\"git\"\",RACK_ENV=\"production\"");
        start.executed = "exec licorne -E staging".into();
        assert_eq!(start.environment_for_systemd(), "Environment=\"HOME=/home/\\\"git\\\"\"");
    }
}
