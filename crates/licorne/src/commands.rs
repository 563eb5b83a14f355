//! The subcommands: which there are, what each is for, and `licorne help`.

use std::path::Path;

use crate::guise::Guise;
use crate::options::show;
use crate::{admin, init, reload, status, stop, switch};

/// A subcommand.
struct Command {
    name: &'static str,
    /// What it does, for `licorne help`.
    does: &'static str,
    run: fn(&[String]) -> Result<u8, String>,
}

const fn command(name: &'static str, does: &'static str, run: fn(&[String]) -> Result<u8, String>) -> Command {
    Command { name, does, run }
}

const COMMANDS: [Command; 9] = [
    command("reload", "new code and configuration, worker by worker (--wait: say how it went)", reload::reload),
    command("upgrade", "a new program: another Licorne, Ruby or environment", reload::upgrade),
    command("stop", "finish what has begun, and leave (--quick: do not finish)", stop::run),
    command("status", "what master and workers do (--json)", status::run),
    command("switch", "from one of two masters behind the same systemd sockets to the other", switch::run),
    command("admin", "answer health checks and monitors for a master", admin::run),
    command("herd", "be the stable parent of a Unicorn or Gunicorn", herd),
    command("init", "print the files for a supervisor, proxy or deploy tool", init::run),
    command("help", "show this, or the help of a command", help),
];

/// Words that other servers and service managers have for what is done otherwise here, and how.
const OTHERS: [(&str, &str); 9] = [
    ("start", "a server is started by `licorne -c config/licorne.rb`, in the background with -D"),
    ("server", "a server is started by `licorne -c config/licorne.rb`, in the background with -D"),
    ("serve", "a server is started by `licorne -c config/licorne.rb`, in the background with -D"),
    ("run", "a server is started by `licorne -c config/licorne.rb`, in the background with -D"),
    ("restart", "`licorne reload` brings new code without a gap, `licorne upgrade` a new program too"),
    ("phased-restart", "`licorne reload` brings new code without a gap, `licorne upgrade` a new program too"),
    ("halt", "`licorne stop` finishes what has begun, `licorne stop --quick` does not"),
    ("stats", "`licorne status` tells what master and workers do"),
    ("log", "where the log is, the configuration says: `stderr_path`"),
];

/// Runs the subcommand that the first argument names; `None` when it names none.
///
/// # Errors
/// Those of the subcommand; a word that is nearly a subcommand's name, and no file.
pub(crate) fn run(arguments: &[String]) -> Result<Option<u8>, String> {
    let Some((word, rest)) = arguments.split_first() else { return Ok(None) };
    if let Some(command) = find(word) {
        return (command.run)(rest).map(Some);
    }
    // Else it is a rackup file.
    let plain = !word.starts_with('-') && !word.contains(['.', '/']) && !Path::new(word).exists();
    if let Some((_, how)) = OTHERS.iter().find(|(other, _)| plain && other == word) {
        return Err(format!("licorne: there is no command `{word}`, and no such file: {how}"));
    }
    match directives::closest(word, COMMANDS.iter().map(|command| command.name)).filter(|_| plain) {
        Some(meant) => Err(format!("licorne: there is no command `{word}`, and no such file: did you mean `{meant}`?")),
        None => Ok(None),
    }
}

/// The names of all, between bars.
pub(crate) fn names() -> String {
    COMMANDS.map(|command| command.name).join("|")
}

fn find(name: &str) -> Option<&'static Command> {
    COMMANDS.iter().find(|command| command.name == name)
}

fn help(arguments: &[String]) -> Result<u8, String> {
    match arguments {
        [] => {
            let lines = COMMANDS.map(|command| format!("  {:<8} {}\n", command.name, command.does)).concat();
            show(&format!("{}Commands (each has a --help):\n{lines}", Guise::Licorne.usage()))?;
            Ok(0)
        }
        [name, ..] if name != "help" && find(name).is_some() => {
            run(&[name.clone(), "--help".to_string()]).map(|status| status.unwrap_or(0))
        }
        [name, ..] => Err(format!("licorne help: there is no command `{name}` ({})", names())),
    }
}

/// Reached by `licorne help herd` alone: `main` gives the herder its arguments before they are taken for text.
fn herd(arguments: &[String]) -> Result<u8, String> {
    let arguments: Vec<std::ffi::OsString> = arguments.iter().map(Into::into).collect();
    Ok(::herd::run(::herd::Guise::Herd, &arguments))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn help_of_the_commands_fits_a_terminal() {
        assert!(COMMANDS.iter().all(|command| command.does.len() <= 71), "{}", names());
    }

    #[test]
    fn a_word_that_is_nearly_a_command_is_no_rackup_file() {
        let meant = |word: &str| run(&[word.to_string()]).err().unwrap_or_default();
        for (word, command) in [("relaod", "reload"), ("stauts", "status"), ("upgrad", "upgrade")] {
            assert!(meant(word).ends_with(&format!("did you mean `{command}`?")), "{word}: {}", meant(word));
        }
        assert!(meant("start").ends_with("in the background with -D"), "{}", meant("start"));
        for word in ["word", "config.ru", "./reloa", "-x", "src"] {
            assert_eq!(run(&[word.to_string()]), Ok(None), "{word}");
        }
    }
}
