//! The command line, parsed as Python's argparse does for unicornherder: long options may be cut to any prefix that only
//! one of them has, and everything from the first argument on that is no option belongs to the server.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::time::Duration;

use crate::flavour::{Flavour, TYPES};

/// As which program the herder was called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guise {
    /// `licorne herd`, or `licorne-herd`: the server stays in the foreground, and its output with it.
    Herd,
    /// `unicornherder`: the server daemonizes.
    Unicornherder,
}

impl Guise {
    /// The guise that this name, or path, of the program asks for.
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

struct Switch {
    short: Option<char>,
    long: &'static str,
    value: Option<&'static str>,
    help: &'static str,
}

const fn switch(short: Option<char>, long: &'static str, value: Option<&'static str>, help: &'static str) -> Switch {
    Switch { short, long, value, help }
}

// No name here may begin as one of unicornherder's does: scripts may use prefixes of those.
const SWITCHES: [Switch; 12] = [
    switch(Some('u'), "unicorn", Some("TYPE"), "unicorn, unicorn_rails, gunicorn, gunicorn_django or licorne"),
    switch(Some('b'), "unicorn-bin", Some("PATH"), "a program that takes unicorn's options"),
    switch(Some('g'), "gunicorn-bin", Some("PATH"), "a program that takes gunicorn's options"),
    switch(Some('p'), "pidfile", Some("PATH"), "the server's pid file (default: TYPE.pid)"),
    switch(Some('t'), "timeout", Some("SECONDS"), "how long a boot may take (default: 30)"),
    switch(Some('o'), "overlap", Some("SECONDS"), "both serve at most this long (default: 30)"),
    switch(None, "foreground", None, "the server stays, its output is kept"),
    switch(None, "daemonize", None, "the server gets -D"),
    switch(None, "control", Some("PATH"), "where to put the control socket"),
    switch(None, "write-pid", Some("PATH"), "write the herder's own process id there"),
    switch(Some('v'), "version", None, "show the version"),
    switch(Some('h'), "help", None, "show this message"),
];

/// Parses the arguments of the herder.
///
/// # Errors
/// What is wrong with them, as argparse says it.
pub(crate) fn parse(guise: Guise, arguments: &[OsString]) -> Result<Asked, String> {
    let (given, arguments) = split(arguments)?;
    let mut last = std::collections::BTreeMap::new();
    for (name, value) in given {
        match name {
            "help" => return Ok(Asked::Print(usage(guise))),
            "version" => return Ok(Asked::Print(format!("{} {}", guise.name(), env!("CARGO_PKG_VERSION")))),
            "foreground" | "daemonize" => last.insert("daemonize", OsString::from(name)),
            _ => last.insert(name, value),
        };
    }
    let default = if guise == Guise::Herd { "licorne" } else { "gunicorn" };
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
        daemonize: last.get("daemonize").map_or(guise == Guise::Unicornherder, |word| word == "daemonize"),
        pass_pid_file: pid_file.is_some() || guise == Guise::Unicornherder,
        pid_file: pid_file.unwrap_or_else(|| PathBuf::from(format!("{kind}.pid"))),
        timeout: seconds("-t/--timeout", last.get("timeout"))?,
        overlap: seconds("-o/--overlap", last.get("overlap"))?,
        control: last.get("control").map(PathBuf::from),
        own_pid_file: last.get("write-pid").map(PathBuf::from),
        arguments,
    };
    Ok(Asked::Herd(Box::new(options)))
}

/// The text that goes with an error.
pub(crate) fn complaint(guise: Guise, error: &str) -> String {
    format!("usage: {} [options] [--] [ARGUMENT ...]\n{}: error: {error}", guise.name(), guise.name())
}

fn usage(guise: Guise) -> String {
    let name = guise.name();
    let mut text = format!("usage: {name} [options] [--] [ARGUMENT ...]\n");
    if guise == Guise::Herd {
        text.push_str("       licorne herd reload [--wait] [--help]\n");
    }
    text.push_str("\nStarts a server with these arguments, upgrades it on SIGHUP, leaves when it is gone.\n\n");
    for switch in &SWITCHES {
        let short = switch.short.map_or_else(|| "    ".into(), |letter| format!("-{letter}, "));
        let value = switch.value.map_or_else(String::new, |value| format!(" {value}"));
        text.push_str(&format!("  {:<26} {}\n", format!("{short}--{}{value}", switch.long), switch.help));
    }
    text.push_str("\nUNICORNHERDER_LOGLEVEL: DEBUG, INFO (default), WARN, ERROR.");
    text
}

type Given = Vec<(&'static str, OsString)>;

fn split(arguments: &[OsString]) -> Result<(Given, Vec<OsString>), String> {
    let mut given = Vec::new();
    let mut rest = arguments.iter();
    while let Some(argument) = rest.clone().next() {
        let Some(word) = argument.to_str().filter(|word| word.len() > 1 && word.starts_with('-') && *word != "--")
        else {
            break;
        };
        rest.next();
        if let Some(long) = word.strip_prefix("--") {
            let (name, glued) = long.split_once('=').map_or((long, None), |(name, value)| (name, Some(value)));
            let switch = find(name)?;
            let value = match (switch.value, glued) {
                (None, Some(_)) => return Err(format!("argument {}: ignored explicit argument", shown(switch))),
                (None, None) => OsString::new(),
                (Some(_), Some(value)) => value.into(),
                (Some(_), None) => rest.next().cloned().ok_or_else(|| missing(switch))?,
            };
            given.push((switch.long, value));
            continue;
        }
        let mut letters = word[1..].chars();
        while let Some(letter) = letters.next() {
            let switch = SWITCHES.iter().find(|switch| switch.short == Some(letter));
            let switch = switch.ok_or_else(|| format!("unrecognized arguments: {word}"))?;
            let value = match (switch.value, letters.as_str()) {
                (None, _) => OsString::new(),
                (Some(_), "") => rest.next().cloned().ok_or_else(|| missing(switch))?,
                // `-o5` and `-o=5` are both a 5 to argparse.
                (Some(_), glued) => glued.strip_prefix('=').unwrap_or(glued).into(),
            };
            given.push((switch.long, value));
            if switch.value.is_some() {
                break;
            }
        }
    }
    let mut arguments: Vec<OsString> = rest.cloned().collect();
    if arguments.first().is_some_and(|word| word == "--") {
        arguments.remove(0);
    }
    Ok((given, arguments))
}

fn find(name: &str) -> Result<&'static Switch, String> {
    if let Some(exact) = SWITCHES.iter().find(|switch| switch.long == name) {
        return Ok(exact);
    }
    let matching: Vec<&Switch> =
        SWITCHES.iter().filter(|switch| !name.is_empty() && switch.long.starts_with(name)).collect();
    match matching.as_slice() {
        [one] => Ok(one),
        [] => Err(format!("unrecognized arguments: --{name}")),
        several => {
            let names: Vec<String> = several.iter().map(|switch| format!("--{}", switch.long)).collect();
            Err(format!("ambiguous option: --{name} could match {}", names.join(", ")))
        }
    }
}

fn shown(switch: &Switch) -> String {
    switch.short.map_or_else(|| format!("--{}", switch.long), |letter| format!("-{letter}/--{}", switch.long))
}

fn missing(switch: &Switch) -> String {
    format!("argument {}: expected one argument", shown(switch))
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

    fn parsed(guise: Guise, line: &str) -> Result<Asked, String> {
        let words: Vec<OsString> = line.split_whitespace().map(OsString::from).collect();
        parse(guise, &words)
    }

    fn options(line: &str) -> Options {
        match parsed(Guise::Unicornherder, line) {
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
        let Ok(Asked::Herd(own)) = parsed(Guise::Herd, "-u unicorn") else { panic!() };
        assert!(!own.daemonize && !own.pass_pid_file);
        let Ok(Asked::Herd(own)) = parsed(Guise::Herd, "--daemonize -p x") else { panic!() };
        assert!(own.daemonize && own.pass_pid_file);
        assert!(!options("--foreground").daemonize);
    }

    #[test]
    fn mistakes_are_named() {
        #[track_caller]
        fn check(line: &str, want: &str) {
            assert_eq!(parsed(Guise::Unicornherder, line).unwrap_err(), want);
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
