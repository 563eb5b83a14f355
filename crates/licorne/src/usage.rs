//! What is wrong with a command line, in Licorne's own words: clap finds it, for the subcommands.

use clap::error::{ContextKind, ErrorKind};
use options::{Dialect, Mistake};

/// What the user wrote that cannot be done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Usage {
    #[error(transparent)]
    Options(#[from] options::Error),
    #[error("invalid argument: {option} {value}")]
    Value { option: String, value: String },
    #[error("licorne {command}: unexpected argument `{word}`")]
    Word { command: String, word: String },
    #[error("licorne {command}: {option} is missing")]
    Lacks { command: String, option: String },
    #[error("licorne {command}: {one} and {other} exclude each other")]
    Exclude { command: String, one: String, other: String },
    #[error("licorne: there is no command `{word}`, and no such file: {hint}")]
    NoCommand { word: String, hint: String },
    #[error("licorne help: there is no command `{word}` ({known})")]
    NoHelp { word: String, known: String },
    #[error("{usage}")]
    NoKind { usage: String },
    #[error("licorne init: there is no `{kind}`\n{usage}")]
    UnknownKind { kind: String, usage: String },
    #[error("licorne init: --{what} {word:?}: only letters, digits and _ - . @ are possible")]
    Name { what: &'static str, word: String },
    #[error("licorne init: {path:?}: blanks and quotes are not possible in the paths of these files")]
    Path { path: String },
    #[error("licorne init: {path} is there already: --force overwrites it, `--output -` prints")]
    There { path: String },
    #[error("licorne switch {unit}: name the template unit, as in `licorne`, and its two instances by --instances")]
    Template { unit: String },
    #[error("licorne config: there is no directive `{word}`{hint}")]
    NoDirective { word: String, hint: String },
    #[error("licorne check: this asks for no server")]
    NoServer,
    #[error("--instances {0}: give two different names, as in 1,2")]
    Instances(String),
    #[error(
        "-w turns on warnings and takes no number, so `{0}` is the rackup file, which does not exist. Say \
         `worker_processes {0}` in the configuration, or WEB_CONCURRENCY={0} in the environment"
    )]
    Count(String),
    /// Whatever else clap may find.
    #[error("licorne {command}: {what}")]
    Other { command: String, what: String },
}

impl Usage {
    /// What clap found in these arguments, which begin with a subcommand of `tree`.
    pub(crate) fn of(error: &clap::Error, tree: &mut clap::Command, arguments: &[String]) -> Self {
        let (name, command) = subcommand(tree, arguments);
        let context = |kind| error.get(kind).map(ToString::to_string).unwrap_or_default();
        let (argument, value) = (context(ContextKind::InvalidArg), context(ContextKind::InvalidValue));
        // It is written with its value: `--pid <PID>`.
        let option = argument.split([' ', '=', '[']).next().unwrap_or("").to_string();
        let mistake = match error.kind() {
            ErrorKind::UnknownArgument if !argument.starts_with('-') || argument == "-" => {
                return Self::Word { command: name, word: argument };
            }
            ErrorKind::UnknownArgument => unknown(option, command),
            ErrorKind::TooManyValues => Mistake::Needless { word: format!("{option}={value}"), names: option },
            ErrorKind::InvalidValue if value.is_empty() => Mistake::Missing { names: option.clone(), option },
            ErrorKind::InvalidValue => {
                return Self::UnknownKind { kind: value, usage: command.render_help().to_string() };
            }
            ErrorKind::ValueValidation => return Self::Value { option, value },
            ErrorKind::MissingRequiredArgument if argument.starts_with('-') => {
                return Self::Lacks { command: name, option: argument.replace(['<', '>'], "") };
            }
            ErrorKind::MissingRequiredArgument => return Self::NoKind { usage: command.render_help().to_string() },
            ErrorKind::ArgumentConflict => {
                let mut both = [argument, context(ContextKind::PriorArg)];
                both.sort();
                let [one, other] = both;
                return Self::Exclude { command: name, one, other };
            }
            _ => return Self::Other { command: name, what: error.kind().to_string() },
        };
        Self::Options(options::Error { dialect: Dialect::OptionParser { posix: false }, mistake })
    }
}

/// The subcommand that the arguments begin with, and its name: `reload`, or `herd reload`.
fn subcommand<'a>(tree: &'a mut clap::Command, arguments: &[String]) -> (String, &'a mut clap::Command) {
    let (mut command, mut names) = (tree, Vec::new());
    for word in arguments {
        if command.find_subcommand(word).is_none() {
            break;
        }
        command = command.find_subcommand_mut(word).expect("it was just found");
        names.push(word.as_str());
    }
    (names.join(" "), command)
}

/// Tells an option that there is none of from one that is cut too short.
fn unknown(option: String, command: &clap::Command) -> Mistake {
    let cut = option.strip_prefix("--").filter(|cut| !cut.is_empty());
    let begins = |long: &&str| cut.is_some_and(|cut| long.starts_with(cut));
    let candidates: Vec<String> =
        command.get_arguments().filter_map(clap::Arg::get_long).filter(begins).map(str::to_string).collect();
    match candidates.is_empty() {
        true => Mistake::Unknown { word: option.clone(), option },
        false => Mistake::Ambiguous { option, candidates },
    }
}
