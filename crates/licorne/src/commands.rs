//! The subcommands: which there are, what each is for, and `licorne help`.
//!
//! One definition of each yields its parser, its help, its man page and its completions.

use std::path::Path;

use clap::error::ErrorKind;
use clap::{Arg, ArgAction, FromArgMatches, Subcommand};

use crate::admin::Admin;
use crate::backtrace::Backtraces;
use crate::check::Check;
use crate::config::Config;
use crate::deaths::Deaths;
use crate::error::Error;
use crate::herd_reload::HerdReload;
use crate::init::Init;
use crate::persona::Persona;
use crate::reload::{Reload, Rollback, Upgrade};
use crate::status::Status;
use crate::stop::Stop;
use crate::switch::Switch;
use crate::top::Top;
use crate::usage::Usage;

/// The subcommands, in the order in which `licorne help` shows them.
#[derive(Debug, Subcommand)]
enum Command {
    /// load new code and settings, worker by worker (--wait for the result)
    Reload(Reload),
    /// go back to the code before, which `keep_previous` has kept
    Rollback(Rollback),
    /// bring in a new program: another Licorne, Ruby or environment
    Upgrade(Upgrade),
    /// finish begun requests, then exit (--quick: do not finish them)
    Stop(Stop),
    /// show what master and workers do (--json, --watch)
    Status(Status),
    /// show the same live, as top(1) does: sort, deaths, backtraces
    Top(Top),
    /// show where the threads of workers are (--json)
    Backtrace(Backtraces),
    /// show which processes died, of what, and in which request (--json)
    Deaths(Deaths),
    /// show the configuration that holds, with its places (--all, --json)
    Config(Config),
    /// tell whether a server would start so, and start none (--json)
    Check(Check),
    /// change to the other of two masters behind the same systemd sockets
    Switch(Switch),
    /// answer health checks and monitors for a master
    Admin(Admin),
    /// be the stable parent of a Unicorn or Gunicorn
    #[command(subcommand)]
    Herd(Herd),
    /// print the files for a supervisor, proxy or deploy tool
    Init(Init),
    /// show this, or the help of a command
    Help {
        /// the command
        command: Option<String>,
    },
}

/// What a herder can be asked for. Its own options are in the dialect of unicornherder, and parsed by the crate `herd`.
#[derive(Debug, Subcommand)]
enum Herd {
    /// replace the running server by a new one, as SIGHUP does
    Reload(HerdReload),
}

/// Commands of other servers and service managers, and what to do here instead.
const OTHERS: [(&str, &str); 9] = [
    ("start", "start a server with `licorne -c config/licorne.rb`, in the background with -D"),
    ("server", "start a server with `licorne -c config/licorne.rb`, in the background with -D"),
    ("serve", "start a server with `licorne -c config/licorne.rb`, in the background with -D"),
    ("run", "start a server with `licorne -c config/licorne.rb`, in the background with -D"),
    ("restart", "`licorne reload` loads new code without a gap, `licorne upgrade` also a new program"),
    ("phased-restart", "`licorne reload` loads new code without a gap, `licorne upgrade` also a new program"),
    ("halt", "`licorne stop` finishes begun requests, `licorne stop --quick` does not"),
    ("stats", "`licorne status` shows what master and workers do"),
    ("log", "the configuration says where the log is: `stderr_path`"),
];

/// Runs the subcommand that the first argument names; `None` when it names none.
///
/// # Errors
/// Those of the subcommand; a word that is nearly a subcommand's name, and no file.
pub(crate) fn run(arguments: &[String]) -> Result<Option<u8>, Error> {
    // A master's command line seldom begins with a word: then it needs no memory for what subcommands there are.
    let is_word = |word: &&String| !word.starts_with('-') && !word.contains(['.', '/']);
    let Some(word) = arguments.first().filter(is_word) else { return Ok(None) };
    let tree = tree();
    if tree.find_subcommand(word).is_some() {
        return run_known(arguments).map(Some);
    }
    // Else it is a rackup file.
    if Path::new(word).exists() {
        return Ok(None);
    }
    let other = OTHERS.iter().find(|(other, _)| other == word).map(|(_, how)| how.to_string());
    let known: Vec<&str> = tree.get_subcommands().map(clap::Command::get_name).collect();
    let meant = || directives::closest(word, known.iter().copied());
    match other.or_else(|| Some(format!("did you mean `{}`?", meant()?))) {
        Some(hint) => Err(Usage::NoCommand { word: word.clone(), hint }.into()),
        None => Ok(None),
    }
}

/// Runs the subcommand that these arguments begin with.
///
/// # Errors
/// Those of the subcommand, and what is wrong with its arguments.
pub(crate) fn run_known(arguments: &[String]) -> Result<u8, Error> {
    let mut tree = tree();
    let parsed = tree.try_get_matches_from_mut(std::iter::once("licorne").chain(arguments.iter().map(String::as_str)));
    match parsed.and_then(|matches| Command::from_arg_matches(&matches)) {
        Ok(command) => command.run(),
        Err(error) if error.kind() == ErrorKind::DisplayHelp => {
            sys::stdio::print(&error.to_string())?;
            Ok(0)
        }
        Err(error) => Err(Usage::of(&error, &mut tree, arguments).into()),
    }
}

impl Command {
    fn run(self) -> Result<u8, Error> {
        match self {
            Self::Reload(reload) => reload.run(),
            Self::Rollback(rollback) => rollback.run(),
            Self::Upgrade(upgrade) => upgrade.run(),
            Self::Stop(stop) => stop.run(),
            Self::Status(status) => status.run(),
            Self::Top(top) => top.run(),
            Self::Backtrace(backtraces) => backtraces.run(),
            Self::Deaths(deaths) => deaths.run(),
            Self::Config(config) => config.run(),
            Self::Check(check) => check.run(),
            Self::Switch(switch) => switch.run(),
            Self::Admin(admin) => admin.run(),
            Self::Herd(Herd::Reload(reload)) => reload.run(),
            Self::Init(init) => init.run(),
            Self::Help { command } => help(command),
        }
    }
}

/// All subcommands, as clap has them.
pub(crate) fn tree() -> clap::Command {
    let tree = clap::Command::new("licorne").disable_help_subcommand(true);
    ours(Command::augment_subcommands(tree))
}

/// Has clap read options as the rest of the program does: cut to any prefix, the last one counts, a value is what follows.
fn ours(command: clap::Command) -> clap::Command {
    let value = |arg: Arg| {
        // Where a value may be left out, what follows is no value.
        let may_lack = arg.get_num_args().is_some_and(|values| values.min_values() == 0);
        let takes = arg.get_action().takes_values() && !arg.is_positional() && !may_lack;
        if takes { arg.allow_hyphen_values(true) } else { arg }
    };
    let help = Arg::new("help").short('h').long("help").action(ArgAction::Help).help("show this message");
    command
        .disable_help_flag(true)
        .infer_long_args(true)
        .args_override_self(true)
        .help_template("{usage-heading} {usage}\n\n{all-args}{after-help}")
        .mut_args(value)
        .mut_subcommands(ours)
        .arg(help)
}

/// The names of all, between bars.
fn names() -> String {
    tree().get_subcommands().map(clap::Command::get_name).collect::<Vec<_>>().join("|")
}

fn help(command: Option<String>) -> Result<u8, Error> {
    match command {
        None => {
            let line = |command: &clap::Command| {
                format!(
                    "  {:<9} {}\n",
                    command.get_name(),
                    command.get_about().map(ToString::to_string).unwrap_or_default()
                )
            };
            let lines: String = tree().get_subcommands().map(line).collect();
            sys::stdio::print(&format!("{}Commands (each has a --help):\n{lines}", Persona::Licorne.usage()))?;
            Ok(0)
        }
        Some(name) if name == "herd" => Ok(::herd::run(::herd::Persona::Herd, &["--help".into()])),
        Some(name) if tree().find_subcommand(&name).is_some() => run_known(&[name, "--help".to_string()]),
        Some(word) => Err(Usage::NoHelp { word, known: names() }.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn help_of_the_commands_fits_a_terminal() {
        let about = |command: &clap::Command| command.get_about().map(ToString::to_string).unwrap_or_default();
        assert!(tree().get_subcommands().all(|command| (1..=71).contains(&about(command).len())), "{}", names());
        tree().debug_assert();
    }

    #[test]
    fn a_word_that_is_nearly_a_command_is_no_rackup_file() {
        let meant = |word: &str| run(&[word.to_string()]).err().map(|error| error.chain()).unwrap_or_default();
        for (word, command) in [("relaod", "reload"), ("stauts", "status"), ("upgrad", "upgrade")] {
            assert!(meant(word).ends_with(&format!("did you mean `{command}`?")), "{word}: {}", meant(word));
        }
        assert!(meant("start").ends_with("in the background with -D"), "{}", meant("start"));
        for word in ["word", "config.ru", "./reloa", "-x", "src"] {
            assert!(matches!(run(&[word.to_string()]), Ok(None)), "{word}");
        }
    }

    #[test]
    fn mistakes_are_told_in_one_sentence() {
        for (line, want) in [
            ("reload word", "licorne reload: unexpected argument `word`"),
            ("reload -x", "invalid option: -x (OptionParser::InvalidOption)"),
            ("reload -wx", "invalid option: -x (OptionParser::InvalidOption)"),
            ("status --nope=1", "invalid option: --nope (OptionParser::InvalidOption)"),
            ("status --pi 1", "ambiguous option: --pi (OptionParser::AmbiguousOption)"),
            ("status --control", "missing argument: --control (OptionParser::MissingArgument)"),
            ("status -P", "missing argument: --pid-file (OptionParser::MissingArgument)"),
            ("status --json=1", "needless argument: --json=1 (OptionParser::NeedlessArgument)"),
            ("stop --pid soon", "invalid argument: --pid soon"),
            ("status --watch=soon", "invalid argument: --watch soon"),
            ("status --watch=0", "invalid argument: --watch 0"),
            ("upgrade --in-place --two-masters", "licorne upgrade: --in-place and --two-masters exclude each other"),
            ("upgrade --two-masters --in-place", "licorne upgrade: --in-place and --two-masters exclude each other"),
            ("admin", "licorne admin: --listen ADDRESS is missing"),
            ("switch --instances 1,1", "--instances 1,1: give two different names, as in 1,2"),
            ("herd reload word", "licorne herd reload: unexpected argument `word`"),
            (
                "help relaod",
                "licorne help: there is no command `relaod` (reload|rollback|upgrade|stop|status|top|backtrace|deaths|config|check|switch|admin|herd|init|help)",
            ),
            ("init", "Usage: licorne init systemd|"),
            ("init upstart", "licorne init: there is no `upstart`\nUsage: licorne init systemd|"),
        ] {
            let words: Vec<String> = line.split(' ').map(str::to_string).collect();
            let told = run(&words).expect_err(line).chain();
            assert!(told == want || (want.ends_with('|') && told.starts_with(want)), "{line}: {told}");
        }
    }

    #[test]
    fn the_last_of_several_values_counts_and_one_may_begin_like_an_option() {
        for (line, want) in [
            ("status --pid 1 --control -x", "control: Some(\"-x\"), pid_file: None, pid: None"),
            ("status --control=x --pid-f y", "control: None, pid_file: Some(\"y\"), pid: None"),
            ("status -jvPy --pid 1 --pid 2", "control: None, pid_file: None, pid: Some(2)"),
            ("admin --listen 1 --host a -l 2 --host b", "listen: \"2\", host: [\"a\", \"b\"]"),
        ] {
            let matches = tree().try_get_matches_from(std::iter::once("licorne").chain(line.split(' '))).expect(line);
            let command = Command::from_arg_matches(&matches).expect(line);
            assert!(format!("{command:?}").contains(want), "{line}: {command:?}");
        }
    }
}
