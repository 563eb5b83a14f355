//! Unicorn's command line, then the master.

use std::ffi::OsString;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use master::{Options, RubyOption, Runtime};

use crate::guise::Guise;
use crate::options::{Given, parse};

/// Where `unicorn_rails -D` has its pid file when nothing else is said.
const RAILS_PID: &str = "tmp/pids/unicorn.pid";

/// Runs a master with this command line, as the program that it was called as.
///
/// # Errors
/// The command line is wrong, or the gem's files are missing.
pub(crate) fn run(guise: Guise, arguments: &[String]) -> Result<u8, String> {
    match read(guise, arguments)? {
        Asked::Help => print!("{}", guise.usage()),
        Asked::Version => println!("{}", guise.version()),
        Asked::Server(options, ruby) => return Ok(master::run(*options, Runtime::find(ruby)?)),
    }
    Ok(0)
}

/// Says to the master that runs whether this program could take its place with this command line.
pub(crate) fn preflight(guise: Guise, arguments: &[String]) -> u8 {
    let trouble = match read(guise, arguments) {
        Ok(Asked::Server(_, ruby)) => Runtime::find(ruby).err(),
        Ok(Asked::Help | Asked::Version) => Some("the command line asks for no server".to_string()),
        Err(text) => Some(text),
    };
    master::preflight(trouble)
}

/// What a command line asks for.
enum Asked {
    Help,
    Version,
    /// And the Ruby to run, when it is named.
    Server(Box<Options>, Option<OsString>),
}

fn read(guise: Guise, arguments: &[String]) -> Result<Asked, String> {
    let program_path = std::env::args_os().next().unwrap_or_else(|| "licorne".into());
    let mut options = Options {
        program_path: rooted(program_path),
        arguments: arguments.to_vec(),
        directory: start_directory()?,
        rackup: "config.ru".to_string(),
        rails: guise == Guise::UnicornRails,
        ..Options::default()
    };
    let mut ruby: Option<OsString> = None;
    let mut rackup = None;
    for given in parse(arguments, &guise.switches())? {
        match given {
            Given::Argument(word) => rackup = rackup.or(Some(word)),
            Given::Option("help", _) => return Ok(Asked::Help),
            Given::Option("version", _) => return Ok(Asked::Version),
            Given::Option("ruby", value) => ruby = Some(value.into()),
            Given::Option(name, value) => apply(&mut options, name, value)?,
        }
    }
    if let Some(rackup) = rackup {
        options.rackup = rackup;
    }
    options.daemonize |= asks_for_background(&options.rackup, guise);
    if options.rails && options.daemonize {
        options.pid = Some(RAILS_PID.to_string());
    }
    Ok(Asked::Server(Box::new(options), ruby))
}

fn apply(options: &mut Options, name: &str, value: String) -> Result<(), String> {
    match name {
        "eval" => options.ruby_options.push(RubyOption::Eval(value)),
        "require" => options.ruby_options.push(RubyOption::Require(value)),
        "include" => options.ruby_options.push(RubyOption::Include(value)),
        "debug" => options.ruby_options.push(RubyOption::Debug),
        "warn" => options.ruby_options.push(RubyOption::Warn),
        "host" => options.host = Some(value),
        "port" => options.port = Some(port(&value)?),
        "env" => options.environment = Some(value),
        "no-default-middleware" => options.no_default_middleware = true,
        "daemonize" => options.daemonize = true,
        "pid" => {
            eprintln!("Use of --pid/-P is strongly discouraged");
            eprintln!("Use the 'pid' directive in the configuration file instead");
            options.pid = Some(value);
        }
        "pid-file" => options.pid = Some(value),
        "path" => {
            eprintln!("The -P/--path option is deprecated: set RAILS_RELATIVE_URL_ROOT in the environment instead");
            options.url_root = Some(value);
        }
        "server" => eprintln!("-s/--server only exists for compatibility with rackup"),
        "listen" => options.listeners.push(value),
        "config-file" => options.config_file = Some(value),
        "control" => options.control = Some(absolute(value)),
        other => return Err(format!("--{other} is not handled")),
    }
    Ok(())
}

/// Whether the rackup file has `-D` in its line of options. All other options in it are the mold's to read; this one acts
/// before there is a mold. What is wrong with the file or the line the mold will tell.
fn asks_for_background(rackup: &str, guise: Guise) -> bool {
    let text = std::fs::read(rackup).unwrap_or_default();
    let lines = || String::from_utf8_lossy(&text).lines().find_map(|line| line.strip_prefix("#\\").map(str::to_string));
    let Some(line) = rackup.ends_with(".ru").then(lines).flatten() else { return false };
    let words: Vec<String> = line.split_whitespace().map(str::to_string).collect();
    let daemonize = |given: &Given| matches!(given, Given::Option("daemonize", _));
    parse(&words, &guise.switches()).is_ok_and(|given| given.iter().any(daemonize))
}

/// Ruby's idea of an Integer argument: decimal, `0x…`, `0…` for octal, `_` between digits.
fn port(text: &str) -> Result<u16, String> {
    let invalid = || format!("invalid argument: -p {text} (OptionParser::InvalidArgument)");
    let digits = text.replace('_', "");
    let number = match digits.strip_prefix("0x") {
        Some(hex) => u16::from_str_radix(hex, 16),
        None if digits.len() > 1 && digits.starts_with('0') => u16::from_str_radix(&digits[1..], 8),
        None => digits.parse(),
    };
    number.map_err(|_| invalid())
}

/// The current directory as the user sees it: `PWD`, when that is the same place, keeps symbolic links (`current`).
fn start_directory() -> Result<PathBuf, String> {
    let real = std::env::current_dir().map_err(|error| format!("the current directory is gone: {error}"))?;
    let Some(logical) = std::env::var_os("PWD").map(PathBuf::from).filter(|path| path.is_absolute()) else {
        return Ok(real);
    };
    let place = |path: &PathBuf| std::fs::metadata(path).ok().map(|meta| (meta.dev(), meta.ino()));
    Ok(if place(&logical).is_some() && place(&logical) == place(&real) { logical } else { real })
}

/// A program called by a relative path is found again from any directory; one called by name is looked up in `PATH`.
fn rooted(program: OsString) -> OsString {
    if program.to_string_lossy().contains('/') { absolute(program).into_os_string() } else { program }
}

fn absolute(path: impl Into<PathBuf>) -> PathBuf {
    let path = path.into();
    std::path::absolute(&path).unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_read_as_ruby_integers() {
        for (text, want) in [("9000", Some(9000)), ("0x10", Some(16)), ("010", Some(8)), ("9_000", Some(9000))] {
            assert_eq!(port(text).ok(), want, "{text}");
        }
        for text in ["abc", "=9000", "70000", ""] {
            assert_eq!(port(text), Err(format!("invalid argument: -p {text} (OptionParser::InvalidArgument)")));
        }
    }
}
