//! The command line, in the dialect of Python's argparse as unicornherder has it: everything from the first argument on that
//! is no option belongs to the server.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::time::Duration;

use options::{Dialect, Given, Switch, help};

use crate::flavour::{Flavour, TYPES};

/// As which program the herder was called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Persona {
    /// `licorne herd`, or `licorne-herd`: the server stays in the foreground, and its output with it.
    Herd,
    /// `unicornherder`: the server daemonizes.
    Unicornherder,
}

impl Persona {
    /// The persona that this name, or path, of the program asks for.
    pub fn of(program: &OsStr) -> Option<Self> {
        match std::path::Path::new(program).file_name()?.to_str()? {
            "unicornherder" => Some(Self::Unicornherder),
            "licorne-herd" => Some(Self::Herd),
            _ => None,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Herd => "licorne herd",
            Self::Unicornherder => "unicornherder",
        }
    }
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// Herd a server.
    Herd(Box<Options>),
    /// Print this and be content.
    Print(String),
}

/// How to herd.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Options {
    /// What.
    pub(crate) flavour: Flavour,
    /// Whether the server goes to the background by itself.
    pub(crate) daemonize: bool,
    /// Where the server's pid file is; a change there is a reason to look what its processes do.
    pub(crate) pid_file: PathBuf,
    /// Whether the server is told that path.
    pub(crate) pass_pid_file: bool,
    /// How long a boot may take.
    pub(crate) timeout: Duration,
    /// How long both generations serve at most.
    pub(crate) overlap: Duration,
    /// Where the control socket is, if not at its usual place.
    pub(crate) control: Option<PathBuf>,
    /// Where the herder writes its own process id.
    pub(crate) own_pid_file: Option<PathBuf>,
    /// What the server gets.
    pub(crate) arguments: Vec<OsString>,
}

/// The options. No name here may begin as one of unicornherder's does: scripts may use prefixes of those.
pub const SWITCHES: [Switch; 12] = [
    Switch::new('u', "unicorn", Some("TYPE"), "unicorn, unicorn_rails, gunicorn, gunicorn_django or licorne"),
    Switch::new('b', "unicorn-bin", Some("PATH"), "a program that takes unicorn's options"),
    Switch::new('g', "gunicorn-bin", Some("PATH"), "a program that takes gunicorn's options"),
    Switch::new('p', "pidfile", Some("PATH"), "the server's pid file (default: TYPE.pid)"),
    Switch::new('t', "timeout", Some("SECONDS"), "how long a boot may take (default: 30)"),
    Switch::new('o', "overlap", Some("SECONDS"), "how long both may serve (default: 30)"),
    Switch::long("foreground", None, "keep the server and its output here"),
    Switch::long("daemonize", None, "give the server -D"),
    Switch::long("control", Some("PATH"), "where to put the control socket"),
    Switch::long("write-pid", Some("PATH"), "write the herder's own process id there"),
    Switch::new('v', "version", None, "show the version"),
    Switch::new('h', "help", None, "show this message"),
];

/// Parses the arguments of the herder.
///
/// # Errors
/// What is wrong with them, as argparse says it.
pub(crate) fn parse(persona: Persona, arguments: &[OsString]) -> Result<Asked, String> {
    let (mut last, mut rest) = (std::collections::BTreeMap::new(), Vec::new());
    for given in options::parse(Dialect::Argparse, arguments, &SWITCHES).map_err(|error| error.to_string())? {
        let (name, value) = match given {
            Given::Option(name, value) => (name, value),
            Given::Argument(word) => {
                rest.push(word);
                continue;
            }
        };
        match name {
            "help" => return Ok(Asked::Print(usage(persona))),
            "version" => return Ok(Asked::Print(format!("{} {}", persona.name(), env!("CARGO_PKG_VERSION")))),
            "foreground" | "daemonize" => last.insert("daemonize", OsString::from(name)),
            _ => last.insert(name, value),
        };
    }
    let default = if persona == Persona::Herd { "licorne" } else { "gunicorn" };
    let kind = last.get("unicorn").map_or(default.into(), |value| value.to_string_lossy());
    if !TYPES.contains(&&*kind) {
        return Err(format!("argument -u/--unicorn: invalid choice: '{kind}' (choose from '{}')", TYPES.join("', '")));
    }
    let flavour = match (last.get("unicorn-bin"), last.get("gunicorn-bin")) {
        (Some(path), _) => Flavour::unicorn_program(path.clone()),
        (None, Some(path)) => Flavour::gunicorn_program(path.clone()),
        (None, None) => Flavour::of_type(&kind),
    };
    let pid_file = last.get("pidfile").map(PathBuf::from);
    let options = Options {
        flavour,
        daemonize: last.get("daemonize").map_or(persona == Persona::Unicornherder, |word| word == "daemonize"),
        pass_pid_file: pid_file.is_some() || persona == Persona::Unicornherder,
        pid_file: pid_file.unwrap_or_else(|| PathBuf::from(format!("{kind}.pid"))),
        timeout: seconds("-t/--timeout", last.get("timeout"))?,
        overlap: seconds("-o/--overlap", last.get("overlap"))?,
        control: last.get("control").map(PathBuf::from),
        own_pid_file: last.get("write-pid").map(PathBuf::from),
        arguments: rest,
    };
    Ok(Asked::Herd(Box::new(options)))
}

/// The text that goes with an error.
pub(crate) fn complaint(persona: Persona, error: &str) -> String {
    format!("usage: {} [options] [--] [ARGUMENT ...]\n{}: error: {error}", persona.name(), persona.name())
}

fn usage(persona: Persona) -> String {
    let name = persona.name();
    let mut text = format!("usage: {name} [options] [--] [ARGUMENT ...]\n");
    if persona == Persona::Herd {
        text.push_str("       licorne herd reload [--wait] [--help]\n");
    }
    text.push_str("\nStarts a server with these arguments, replaces it on SIGHUP, exits when it is gone.\n\n");
    text.push_str(&help(&SWITCHES));
    text.push_str("\nUNICORNHERDER_LOGLEVEL: DEBUG, INFO (default), WARN, ERROR.");
    text
}

fn seconds(option: &str, value: Option<&OsString>) -> Result<Duration, String> {
    let Some(value) = value else { return Ok(Duration::from_secs(30)) };
    let text = value.to_string_lossy();
    let number = text.parse().map_err(|_| format!("argument {option}: invalid int value: '{text}'"))?;
    Ok(Duration::from_secs(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(persona: Persona, line: &str) -> Result<Asked, String> {
        let words: Vec<OsString> = line.split_whitespace().map(OsString::from).collect();
        parse(persona, &words)
    }

    fn options(line: &str) -> Options {
        match parsed(Persona::Unicornherder, line) {
            Ok(Asked::Herd(options)) => *options,
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn the_recipe_of_the_seed_is_understood() {
        let options = options("-u unicorn_rails -p tmp/pids/unicorn.pid -- -c config/unicorn.rb -E production");
        assert_eq!(options.flavour, Flavour::of_type("unicorn_rails"));
        assert_eq!(options.pid_file, PathBuf::from("tmp/pids/unicorn.pid"));
        assert_eq!(options.arguments, ["-c", "config/unicorn.rb", "-E", "production"]);
        assert!(options.daemonize);
        assert_eq!((options.timeout.as_secs(), options.overlap.as_secs()), (30, 30));
    }

    #[test]
    fn everything_from_the_first_word_on_is_the_servers() {
        assert_eq!(options("app:app -b 1 --help").arguments, ["app:app", "-b", "1", "--help"]);
        assert_eq!(options("-- -- x").arguments, ["--", "x"]);
        assert_eq!(options("-ugunicorn -o5 --ti=7 x").arguments, ["x"]);
    }

    #[test]
    fn values_may_be_glued_and_names_cut() {
        let cut = options("--pid x --ov 1 --tim 2");
        assert_eq!((cut.overlap.as_secs(), cut.timeout.as_secs()), (1, 2));
        assert_eq!(options("-o5 -t=6 --unicorn=unicorn").flavour.name, "unicorn");
    }

    #[test]
    fn a_program_wins_over_the_type() {
        let both = options("-u unicorn -g venv/bin/gunicorn");
        assert_eq!((both.flavour.name.as_str(), both.pid_file.to_str()), ("venv/bin/gunicorn", Some("unicorn.pid")));
        assert_eq!(options("-b bin/u -g bin/g").flavour.name, "bin/u");
        assert_eq!(options("").flavour.name, "gunicorn");
    }

    #[test]
    fn as_licorne_herd_the_server_stays_and_no_pid_file_is_forced_on_it() {
        let Ok(Asked::Herd(own)) = parsed(Persona::Herd, "-u unicorn") else { panic!() };
        assert!(!own.daemonize && !own.pass_pid_file);
        let Ok(Asked::Herd(own)) = parsed(Persona::Herd, "--daemonize -p x") else { panic!() };
        assert!(own.daemonize && own.pass_pid_file);
        assert!(!options("--foreground").daemonize);
    }

    #[test]
    fn mistakes_are_named() {
        #[track_caller]
        fn check(line: &str, want: &str) {
            assert_eq!(parsed(Persona::Unicornherder, line).unwrap_err(), want);
        }
        check(
            "-u puma",
            "argument -u/--unicorn: invalid choice: 'puma' (choose from 'unicorn', 'unicorn_rails', 'gunicorn', 'gunicorn_django', 'licorne')",
        );
        check("-t soon", "argument -t/--timeout: invalid int value: 'soon'");
        check("-o", "argument -o/--overlap: expected one argument");
        check("--un x", "ambiguous option: --un could match --unicorn, --unicorn-bin");
        check("--nope", "unrecognized arguments: --nope");
        check("-x", "unrecognized arguments: -x");
        check("--version=1", "argument -v/--version: ignored explicit argument");
    }
}
