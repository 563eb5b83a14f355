//! Unicorn's command line, then the master.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use master::{Application, Options, RubyOption, Runtime};
use options::{Given, port};
use sys::stdio::complain;

use crate::error::Error;
use crate::persona::Persona;
use crate::start_directory::start_directory;
use crate::usage::Usage;

/// More of a rackup file than this is not looked at for its line of options, in bytes.
const RACKUP_BYTES: u64 = 1 << 20;

/// Runs a master with this command line, as the program that it was called as.
///
/// # Errors
/// The command line is wrong, or the gem's files are missing.
pub(crate) fn run(persona: Persona, arguments: &[String]) -> Result<u8, Error> {
    let (text, before, ruby) = match read(persona, arguments)? {
        Asked::Help(before, ruby) => (persona.usage(), before, ruby),
        Asked::Version(before, ruby) => (format!("{}\n", persona.version()), before, ruby),
        Asked::Server(options, ruby) => {
            return Ok(master::run(*options, Runtime::find(ruby).map_err(master::Error::from)?));
        }
    };
    let status = if before.is_empty() { 0 } else { evaluate(&before, ruby)? };
    if status == 0 {
        sys::stdio::print(&text)?;
    }
    Ok(status)
}

/// What a server with this command line would be started with.
///
/// # Errors
/// The command line is wrong, asks for no server, or the gem's files are missing.
pub(crate) fn would_be(persona: Persona, arguments: &[String]) -> Result<(Options, Runtime), Error> {
    match read(persona, arguments)? {
        Asked::Server(options, ruby) => Ok((*options, Runtime::find(ruby).map_err(master::Error::from)?)),
        Asked::Help(..) | Asked::Version(..) => Err(Usage::NoServer.into()),
    }
}

/// Runs Ruby with these options, as they act before one that only prints; its exit status.
fn evaluate(options: &[RubyOption], ruby: Option<OsString>) -> Result<u8, Error> {
    let mut command = Command::new(ruby.unwrap_or_else(|| "ruby".into()));
    let mut evaluates = false;
    for option in options {
        match option {
            RubyOption::Eval(code) => command.arg("-e").arg(code),
            RubyOption::Require(library) => command.arg("-r").arg(library),
            RubyOption::Include(path) => command.arg("-I").arg(path),
            RubyOption::Debug => command.arg("-d"),
            RubyOption::Warn => command.arg("-w"),
        };
        evaluates |= matches!(option, RubyOption::Eval(_));
    }
    if !evaluates {
        command.args(["-e", ""]);
    }
    let status = command.status().map_err(Error::Ruby)?;
    Ok(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1))
}

/// Says to the master that runs whether this program could take its place with this command line.
pub(crate) fn preflight(persona: Persona, arguments: &[String]) -> u8 {
    let trouble = match read(persona, arguments) {
        Ok(Asked::Server(_, ruby)) => Runtime::find(ruby).err().map(|error| sys::chain(&error)),
        Ok(Asked::Help(..) | Asked::Version(..)) => Some("the command line asks for no server".to_string()),
        Err(error) => Some(error.chain()),
    };
    master::preflight(trouble)
}

/// What a command line asks for.
enum Asked {
    /// After these options, with this Ruby.
    Help(Vec<RubyOption>, Option<OsString>),
    /// Likewise.
    Version(Vec<RubyOption>, Option<OsString>),
    /// And the Ruby to run, when it is named.
    Server(Box<Options>, Option<OsString>),
}

fn read(persona: Persona, arguments: &[String]) -> Result<Asked, Error> {
    let program_path = std::env::args_os().next().unwrap_or_else(|| "licorne".into());
    let mut options = Options {
        program_path: rooted(program_path),
        arguments: arguments.to_vec(),
        directory: PathBuf::new(),
        application: Application { rackup: "config.ru".to_string(), ..Application::default() },
        rails: persona == Persona::UnicornRails,
        ..Options::default()
    };
    let mut ruby: Option<OsString> = None;
    let (mut words, mut script) = (Vec::new(), None);
    for given in persona.parse(arguments)? {
        match given {
            Given::Argument(word) => words.push(word),
            Given::Option("help", _) => return Ok(Asked::Help(options.application.ruby_options, ruby)),
            Given::Option("version", _) => return Ok(Asked::Version(options.application.ruby_options, ruby)),
            Given::Option("ruby", value) => ruby = Some(value.into()),
            Given::Option("script", value) => script = Some(value),
            Given::Option(name, value) => apply(&mut options, name, value)?,
        }
    }
    if let Some(script) = script {
        options.application.rackup.clone_from(&script);
        options.application.script = Some((script, words));
    } else if let Some(rackup) = words.into_iter().next() {
        options.application.rackup = rackup;
    }
    let program = options.program_path.to_str();
    let paths = [options.config_file.as_deref(), Some(options.application.rackup.as_str()), program];
    options.directory = start_directory(&paths.into_iter().flatten().collect::<Vec<_>>())?;
    if is_count(&options.application.rackup) && arguments.iter().any(|word| word == "-w") {
        return Err(Usage::Count(options.application.rackup).into());
    }
    if options.daemonize || asks_for_background(&options.application.rackup, persona) {
        options.daemonize().map_err(master::Error::from)?;
    }
    Ok(Asked::Server(Box::new(options), ruby))
}

fn apply(options: &mut Options, name: &str, value: String) -> Result<(), Error> {
    match name {
        "eval" => options.application.ruby_options.push(RubyOption::Eval(value)),
        "require" => options.application.ruby_options.push(RubyOption::Require(value)),
        "include" => options.application.ruby_options.push(RubyOption::Include(value)),
        "debug" => options.application.ruby_options.push(RubyOption::Debug),
        "warn" => options.application.ruby_options.push(RubyOption::Warn),
        "host" => options.host = Some(value),
        "port" => options.port = port(&value),
        "env" => options.application.environment = Some(value),
        "no-default-middleware" => options.application.no_default_middleware = true,
        "daemonize" => options.daemonize = true,
        "pid" => {
            complain("Use of --pid/-P is strongly discouraged");
            complain("Use the 'pid' directive in the configuration file instead");
            options.pid = Some(value);
        }
        "pid-file" => options.pid = Some(value),
        "path" => {
            complain("The -P/--path option is deprecated: set RAILS_RELATIVE_URL_ROOT in the environment instead");
            options.application.url_root = Some(value);
        }
        "server" => complain("-s/--server only exists for compatibility with rackup"),
        "listen" => options.listeners.push(value),
        "config-file" => options.config_file = Some(value),
        "control" => options.control = Some(absolute(value)),
        other => return Err(Error::Bug(other.to_string())),
    }
    Ok(())
}

/// Whether the word in the place of a rackup file is a number, and no file.
fn is_count(rackup: &str) -> bool {
    !rackup.is_empty() && rackup.bytes().all(|byte| byte.is_ascii_digit()) && !Path::new(rackup).exists()
}

/// Whether the rackup file has `-D` in its line of options. All other options in it are the mold's to read; this one acts
/// before there is a mold. What is wrong with the file or the line the mold will tell. A file that `working_directory` leads
/// to is found when the mold has evaluated the configuration; then the server begins anew, in the background.
fn asks_for_background(rackup: &str, persona: Persona) -> bool {
    let text = sys::safe_open::read(Path::new(rackup), RACKUP_BYTES).unwrap_or_default();
    let lines = || String::from_utf8_lossy(&text).lines().find_map(|line| line.strip_prefix("#\\").map(str::to_string));
    let Some(line) = rackup.ends_with(".ru").then(lines).flatten() else { return false };
    let words: Vec<String> = line.split_whitespace().map(str::to_string).collect();
    let daemonize = |given: &Given<String>| matches!(given, Given::Option("daemonize", _));
    persona.parse(&words).is_ok_and(|given| given.iter().any(daemonize))
}

/// A program called by a relative path is found again from any directory; one called by name is looked up in `PATH`.
fn rooted(program: OsString) -> OsString {
    if program.to_string_lossy().contains('/') { absolute(program).into_os_string() } else { program }
}

fn absolute(path: impl Into<PathBuf>) -> PathBuf {
    let path = path.into();
    std::path::absolute(&path).unwrap_or(path)
}
