//! `licorne init WHAT`: the files of `deploy/`, filled in for the application in the current directory; with `--from`, for
//! what another server was configured or started with.
//!
//! The files hold examples that work as they are; here the examples' names are replaced. What was found, and where, is
//! said on standard error.

mod conversion;
mod output;

use std::path::{Path, PathBuf};

use clap::ValueHint;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use sys::stdio::complain;

use crate::error::Error;
use crate::start_directory::start_directory;
use crate::usage::Usage;

use conversion::{Conversion, Start};
use output::Output;

/// What can be printed: its name, where it goes, and the file.
#[derive(Debug)]
struct Kind {
    name: &'static str,
    place: &'static str,
    text: &'static str,
}

const fn kind(name: &'static str, place: &'static str, text: &'static str) -> Kind {
    Kind { name, place, text }
}

macro_rules! deploy {
    ($path:literal) => {
        include_str!(concat!("../../../deploy/", $path))
    };
}

const KINDS: &[Kind] = &[
    kind("systemd", "/etc/systemd/system/licorne.service", deploy!("systemd/licorne.service")),
    kind("systemd-socket", "/etc/systemd/system/licorne.socket", deploy!("systemd/licorne.socket")),
    kind(
        "systemd-two-masters",
        "/etc/systemd/system/licorne@.service",
        deploy!("systemd/two-masters/licorne@.service"),
    ),
    kind(
        "systemd-two-masters-socket",
        "/etc/systemd/system/licorne.socket",
        deploy!("systemd/two-masters/licorne.socket"),
    ),
    kind("supervisord", "/etc/supervisor/conf.d/licorne.conf", deploy!("supervisord/licorne.conf")),
    kind("runit", "/etc/sv/licorne/run", deploy!("runit/licorne/run")),
    kind("s6", "licorne/run in the scan directory", deploy!("s6/licorne/run")),
    kind("docker", "Dockerfile", deploy!("docker/Dockerfile")),
    kind("kubernetes", "licorne.yaml", deploy!("kubernetes/licorne.yaml")),
    kind("nginx", "/etc/nginx/conf.d/licorne.conf", deploy!("nginx/licorne.conf")),
    kind("haproxy", "/etc/haproxy/haproxy.cfg", deploy!("haproxy/haproxy.cfg")),
    kind("haproxy-agent", "/usr/local/sbin/licorne-agent", deploy!("haproxy/licorne-agent")),
    kind("haproxy-agent-unit", "/etc/systemd/system/licorne-agent.service", deploy!("haproxy/licorne-agent.service")),
    kind("prometheus", "/etc/prometheus/licorne-alerts.yml", deploy!("prometheus/alerts.yml")),
    kind("grafana", "Grafana, to import", deploy!("grafana/licorne.json")),
    kind("capistrano", "config/deploy.rb", deploy!("capistrano/deploy.rb")),
    kind("ssh", "bin/deploy", deploy!("ssh/deploy")),
    kind("ansible", "deploy.yml", deploy!("ansible/deploy.yml")),
    kind("kamal", "config/deploy.yml", deploy!("kamal/deploy.yml")),
    kind("github", ".github/workflows/deploy.yml", deploy!("github/deploy.yml")),
    kind("config", "config/licorne.rb", deploy!("config/licorne.rb")),
    kind("procfile", "Procfile", deploy!("procfile/Procfile")),
    kind("logrotate", "/etc/logrotate.d/licorne", deploy!("logrotate/licorne")),
    kind("init-script", "/etc/init.d/licorne", deploy!("init/licorne")),
];

/// The options of `licorne init`.
#[derive(Debug, clap::Args)]
#[command(override_usage = usage())]
pub(crate) struct Init {
    /// what to print (with --from: config)
    #[arg(value_parser = kinds(), hide_possible_values = true, required_unless_present = "from")]
    what: Option<&'static Kind>,
    /// convert a puma.rb, unicorn.rb, pitchfork.rb, Procfile, supervisord.conf
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    from: Option<PathBuf>,
    /// write it there, where nothing is yet (default: standard output)
    #[arg(long, short, value_name = "PATH", value_hint = ValueHint::FilePath)]
    output: Option<PathBuf>,
    /// overwrite what is there
    #[arg(long, requires = "output")]
    force: bool,
    /// the name of the service (default: licorne)
    #[arg(long)]
    name: Option<String>,
    /// the application's directory (default: here)
    #[arg(long, value_name = "PATH", value_hint = ValueHint::DirPath)]
    directory: Option<PathBuf>,
    /// the user that it runs as (default: you)
    #[arg(long, value_name = "NAME", value_hint = ValueHint::Username)]
    user: Option<String>,
    /// its configuration file
    #[arg(long, short, value_name = "FILE", value_hint = ValueHint::FilePath)]
    config_file: Option<String>,
    /// where it listens (default: as the file says)
    #[arg(long, value_name = "PATH", value_hint = ValueHint::FilePath)]
    socket: Option<String>,
    /// the licorne to run (default: this one)
    #[arg(long, value_name = "PATH", value_hint = ValueHint::ExecutablePath)]
    program: Option<String>,
}

/// The command of the files, and how long a stop may take in them.
const COMMAND: &str = "/usr/local/bin/licorne -c config/unicorn.rb";
const STOP_SECONDS: u32 = 70;
/// More of a configuration than this is not looked at, in bytes.
const CONFIG_BYTES: u64 = 1 << 20;
/// The words that stand for the service's name in the files, where `licorne` does not mean the program.
const NAMED: &[&str] = &[
    "[program:licorne]",
    "signal HUP licorne",
    "signal USR2 licorne",
    "signal USR1 licorne",
    "supervisorctl stop licorne",
    "--now licorne",
    "licorne.socket",
    "licorne.service",
    "licorne@1",
    "licorne@2",
    "licorne@.service",
    "/etc/sv/licorne",
    "sv hup licorne",
    "sv 1 licorne",
    "sv 2 licorne",
    "sv down licorne",
    "s6-svc -h licorne",
    "s6-svc -1 licorne",
    "s6-svc -2 licorne",
    "s6-svc -d licorne",
    "/var/log/licorne",
    "/etc/logrotate.d/licorne",
    "pids/licorne.pid",
    "name: licorne",
    "service: licorne",
    "app: licorne",
    "upstream licorne",
    "http://licorne",
    "@licorne;",
    "@licorne {",
    "backend licorne",
    "Provides:          licorne",
    "update-rc.d licorne",
];

/// What the examples are replaced by.
struct Facts {
    name: String,
    directory: String,
    user: String,
    config: String,
    socket: Option<String>,
    pid: Option<String>,
    program: String,
    /// Whether the application says that it answers `/up`.
    probed: bool,
    /// How another server was started.
    start: Option<Start>,
}

impl Init {
    /// Runs it.
    ///
    /// # Errors
    /// The arguments are wrong; the file to convert is, or the one to write is there already.
    pub(crate) fn run(self) -> Result<u8, Error> {
        let output = Output { path: self.output.clone(), force: self.force };
        let conversion = self.from.as_deref().map(Conversion::of).transpose()?;
        match (conversion, self.what) {
            (Some(conversion), None | Some(Kind { name: "config", .. })) => {
                output.write(conversion.config()?)?;
                complain(conversion.summary());
            }
            (Some(conversion), Some(Kind { name: "procfile", .. })) => output.write(conversion.procfile()?)?,
            (conversion, Some(kind)) => {
                let facts = Facts::find(self, conversion.and_then(|conversion| conversion.start))?;
                let (directory, place) = (&facts.directory, facts.named(kind.place));
                complain(format_args!("# {directory} (-c {}) as {}, for {place}", facts.config, facts.user));
                output.write(&facts.fill(kind.text))?;
            }
            (None, None) => return Err(Usage::NoKind { usage: usage() }.into()),
        }
        Ok(0)
    }
}

fn kinds() -> impl TypedValueParser<Value = &'static Kind> {
    let known = PossibleValuesParser::new(KINDS.iter().map(|kind| kind.name));
    known.try_map(|name| KINDS.iter().find(|kind| kind.name == name).ok_or("not known"))
}

fn usage() -> String {
    let names: Vec<&str> = KINDS.iter().map(|kind| kind.name).collect();
    format!("licorne init {} [options]\n       licorne init [WHAT] --from FILE [options]", names.join("|"))
}

impl Facts {
    fn find(asked: Init, start: Option<Start>) -> Result<Self, Error> {
        let told = start.clone().unwrap_or_default();
        let told_directory = told.directory.filter(|path| path.starts_with('/')).map(PathBuf::from);
        let directory = match asked.directory.or(told_directory) {
            Some(path) => std::path::absolute(&path).unwrap_or(path).display().to_string(),
            None => followed(start_directory(&[])?).display().to_string(),
        };
        let config = asked.config_file.unwrap_or_else(|| {
            let found = ["config/licorne.rb", "config/unicorn.rb"];
            let found = found.iter().find(|file| Path::new(&directory).join(file).exists());
            found.copied().unwrap_or("config/licorne.rb").to_string()
        });
        let text = sys::safe_open::read(&Path::new(&directory).join(&config), CONFIG_BYTES).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let user = asked.user.or(told.user).or_else(|| std::env::var("USER").ok().filter(|user| user != "root"));
        let program = asked.program.or_else(|| Some(std::env::current_exe().ok()?.display().to_string()));
        let facts = Self {
            name: asked.name.or(told.name).unwrap_or_else(|| "licorne".into()),
            // Files are often made by root, who is not meant to run the application.
            user: user.or_else(|| owner(Path::new(&directory))).unwrap_or_else(|| "app".into()),
            socket: asked.socket.or_else(|| literal(&text, "listen")),
            pid: literal(&text, "pid").or_else(|| Some(format!("{directory}/{}", relative(&text, "pid")?))),
            program: program.unwrap_or_else(|| "/usr/local/bin/licorne".into()),
            probed: answers_up(Path::new(&directory)),
            directory,
            config,
            start,
        };
        facts.check()?;
        Ok(facts)
    }

    /// Refuses what would need quotes, which are others in each of these files.
    fn check(&self) -> Result<(), Usage> {
        let plain = |c: char| c.is_alphanumeric() || "_-.@".contains(c);
        for (what, word) in [("name", &self.name), ("user", &self.user)] {
            if word.is_empty() || !word.chars().all(plain) {
                return Err(Usage::Name { what, word: word.clone() });
            }
        }
        let optional = self.socket.iter().chain(&self.pid);
        for path in [&self.directory, &self.config, &self.program].into_iter().chain(optional) {
            if path.is_empty() || !path.chars().all(|c| plain(c) || "/+,~=".contains(c)) {
                return Err(Usage::Path { path: path.clone() });
            }
        }
        Ok(())
    }

    fn fill(&self, text: &str) -> String {
        let mut text = self.started(text);
        if let Some(pid) = &self.pid {
            text = text.replace("/srv/app/current/tmp/pids/licorne.pid", pid);
        }
        if let Some(socket) = &self.socket {
            text = text.replace("/run/licorne.sock", socket);
        }
        if !self.probed {
            text = text.replace("\nprobe \"/up\"", "\n# probe \"/up\"");
        }
        text = self.named(&text);
        for marked in ["User=", "user=", "LOGIN=", "chpst -u ", "s6-setuidgid "] {
            // `app` is an example here, and part of other words elsewhere.
            text = text.replace(&format!("{marked}app\n"), &format!("{marked}{}\n", self.user));
            text = text.replace(&format!("{marked}app "), &format!("{marked}{} ", self.user));
        }
        text = text
            .replace("/usr/local/bin/licorne", &self.program)
            .replace("/srv/app/current", &self.directory)
            .replace("config/unicorn.rb", &self.config);
        // What is about releases needs the directory that they are in.
        match self.directory.strip_suffix("/current") {
            Some(all) => text.replace("/srv/app", all),
            None => text,
        }
    }

    /// With the command, the variables and the patience of how another server was started.
    fn started(&self, text: &str) -> String {
        let Some(start) = &self.start else { return text.to_string() };
        let seconds = start.stop_seconds.unwrap_or(STOP_SECONDS).max(STOP_SECONDS);
        text.replace(&format!("ExecStart={COMMAND}"), &format!("ExecStart={}", start.for_systemd()))
            .replace("Environment=RACK_ENV=production", &start.environment_for_systemd())
            .replace(&format!("TimeoutStopSec={STOP_SECONDS}"), &format!("TimeoutStopSec={seconds}"))
            .replace(&format!("command={COMMAND}"), &format!("command={}", start.for_supervisord()))
            .replace("RACK_ENV=\"production\"", &start.environment_for_supervisord())
            .replace(&format!("stopwaitsecs={STOP_SECONDS}"), &format!("stopwaitsecs={seconds}"))
    }

    fn named(&self, text: &str) -> String {
        let name = |text: String, word: &&str| text.replace(*word, &word.replace("licorne", &self.name));
        if self.name == "licorne" { text.to_string() } else { NAMED.iter().fold(text.to_string(), name) }
    }
}

/// The absolute path that a directive is given as a literal, if it is.
fn literal(config: &str, directive: &str) -> Option<String> {
    value(config, directive, |path| path.starts_with('/'))
}

/// The relative path that it is given.
fn relative(config: &str, directive: &str) -> Option<String> {
    value(config, directive, |path| !path.starts_with('/') && !path.is_empty())
}

fn value(config: &str, directive: &str, wanted: impl Fn(&str) -> bool) -> Option<String> {
    config.lines().find_map(|line| {
        let rest = line.trim_start().strip_prefix(directive)?.trim_start_matches([' ', '(']);
        let quote = rest.chars().next().filter(|quote| "'\"".contains(*quote))?;
        let value = rest[1..].split(quote).next()?;
        let path = value.strip_prefix("unix:").unwrap_or(value);
        (wanted(path) && !path.contains("#{")).then(|| path.to_string())
    })
}

/// Of a release, the link that leads to it: what is written down must not be about this release for ever.
fn followed(directory: PathBuf) -> PathBuf {
    directory.canonicalize().ok().and_then(|real| master::revision::current_name(&real)).unwrap_or(directory)
}

/// Whether a path `/up` is spoken of where the application names its paths: with a probe of another one, no server would
/// start.
fn answers_up(directory: &Path) -> bool {
    let said =
        |text: &str| ["/up\"", "/up'", "\"up\"", "'up'", "rails/health#show"].iter().any(|word| text.contains(word));
    ["config/routes.rb", "config.ru"].iter().any(|file| {
        let text = sys::safe_open::read(&directory.join(file), CONFIG_BYTES).unwrap_or_default();
        said(&String::from_utf8_lossy(&text))
    })
}

/// Whose directory it is, unless it is root's.
fn owner(directory: &Path) -> Option<String> {
    let uid = std::os::unix::fs::MetadataExt::uid(&directory.metadata().ok()?);
    sys::process::user_name(uid).filter(|name| name != "root")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literal_paths_of_a_configuration_are_found() {
        let config = "listen 8080\nlisten 'unix:/run/a.sock', backlog: 5\npid \"/run/a.pid\"\n";
        assert_eq!(literal(config, "listen").as_deref(), Some("/run/a.sock"));
        assert_eq!(literal(config, "pid").as_deref(), Some("/run/a.pid"));
        assert_eq!(literal("listen \"#{root}/x\"", "listen"), None);
        assert_eq!(relative("pid 'tmp/pids/web.pid'", "pid").as_deref(), Some("tmp/pids/web.pid"));
    }

    #[test]
    fn no_example_is_left_in_what_is_printed() {
        let facts = Facts {
            name: "shop".into(),
            directory: "/opt/shop".into(),
            user: "seller".into(),
            config: "config/x.rb".into(),
            socket: Some("/run/shop/web.sock".into()),
            pid: Some("/run/shop/pid".into()),
            program: "/opt/bin/server".into(),
            probed: true,
            start: None,
        };
        for kind in KINDS {
            let text = facts.fill(kind.text);
            for example in ["/srv/app/current", "config/unicorn.rb", "/usr/local/bin/licorne", "User=app", "LOGIN=app"]
            {
                assert!(!text.contains(example), "{}: {example} in\n{text}", kind.name);
            }
        }
        assert_eq!(facts.named("/etc/logrotate.d/licorne"), "/etc/logrotate.d/shop");
    }
}
