//! Unicorn's command line, then the master.

use std::ffi::OsString;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use master::{Options, RubyOption, Runtime};

use crate::options::{Given, Switch, help, parse};

const fn switch(short: char, long: &'static str, value: Option<&'static str>, help: &'static str) -> Switch {
    Switch { short: Some(short), long, value, help }
}

const RUBY_SWITCHES: [Switch; 5] = [
    switch('e', "eval", Some("LINE"), "evaluate a LINE of code"),
    switch('d', "debug", None, "set debugging flags (set $DEBUG to true)"),
    switch('w', "warn", None, "turn warnings on for your script"),
    switch('I', "include", Some("PATH"), "specify $LOAD_PATH (may be used more than once)"),
    switch('r', "require", Some("LIBRARY"), "require the library, before executing your script"),
];

const SERVER_SWITCHES: [Switch; 11] = [
    switch('o', "host", Some("HOST"), "listen on HOST (default: 0.0.0.0)"),
    switch('p', "port", Some("PORT"), "use PORT (default: 8080)"),
    switch('E', "env", Some("RACK_ENV"), "use RACK_ENV for defaults (default: development)"),
    switch('N', "no-default-middleware", None, "do not load middleware implied by RACK_ENV"),
    switch('D', "daemonize", None, "run daemonized in the background"),
    // Understood and, as in Unicorn, better said in the configuration file.
    switch('P', "pid", Some("FILE"), ""),
    switch('s', "server", Some("SERVER"), "this flag only exists for compatibility"),
    switch('l', "listen", Some("{HOST:PORT|PATH}"), "listen on HOST:PORT or PATH; may be given more than once"),
    switch('c', "config-file", Some("FILE"), "the configuration file"),
    Switch { short: None, long: "control", value: Some("PATH"), help: "where to put the control socket" },
    Switch { short: None, long: "ruby", value: Some("PROGRAM"), help: "the Ruby to run (default: ruby in PATH)" },
];

const COMMON_SWITCHES: [Switch; 2] =
    [switch('h', "help", None, "Show this message"), switch('v', "version", None, "Show version")];

/// Runs a master with this command line.
///
/// # Errors
/// The command line is wrong, or the gem's files are missing.
pub(crate) fn run(arguments: &[String]) -> Result<u8, String> {
    let all: Vec<Switch> = RUBY_SWITCHES.iter().chain(&SERVER_SWITCHES).chain(&COMMON_SWITCHES).copied().collect();
    let program_path = std::env::args_os().next().unwrap_or_else(|| "licorne".into());
    let mut options = Options {
        program_path: rooted(program_path),
        arguments: arguments.to_vec(),
        directory: start_directory()?,
        rackup: "config.ru".to_string(),
        ..Options::default()
    };
    let mut ruby: Option<OsString> = None;
    let mut rackup = None;
    for given in parse(arguments, &all)? {
        match given {
            Given::Argument(word) => rackup = rackup.or(Some(word)),
            Given::Option("help", _) => {
                println!("{}", usage());
                return Ok(0);
            }
            Given::Option("version", _) => {
                println!("licorne v{}", env!("CARGO_PKG_VERSION"));
                return Ok(0);
            }
            Given::Option("ruby", value) => ruby = Some(value.into()),
            Given::Option(name, value) => apply(&mut options, name, value)?,
        }
    }
    if let Some(rackup) = rackup {
        options.rackup = rackup;
    }
    Ok(master::run(options, Runtime::find(ruby)?))
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
        "server" => eprintln!("-s/--server only exists for compatibility with rackup"),
        "listen" => options.listeners.push(value),
        "config-file" => options.config_file = Some(value),
        "control" => options.control = Some(absolute(value)),
        other => return Err(format!("--{other} is not handled")),
    }
    Ok(())
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

fn usage() -> String {
    format!(
        "Usage: licorne [ruby options] [licorne options] [rackup config file]\n       \
         licorne reload|upgrade|stop|status [--help]\nRuby options:\n{}licorne options:\n{}Common options:\n{}",
        help(&RUBY_SWITCHES),
        help(&SERVER_SWITCHES),
        help(&COMMON_SWITCHES)
    )
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
