//! Unicorn's command line, then the master.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use master::{Options, RubyOption, Runtime};
use options::{Given, port};
use sys::stdio::complain;

use crate::error::Error;
use crate::guise::Guise;
use crate::usage::Usage;

/// What supervisord sets for its programs: a login shell that it starts cannot know the name of the directory either.
const SUPERVISORD: &str = "SUPERVISOR_ENABLED";
/// More of a rackup file than this is not looked at for its line of options, in bytes.
const RACKUP_BYTES: u64 = 1 << 20;

/// Runs a master with this command line, as the program that it was called as.
///
/// # Errors
/// The command line is wrong, or the gem's files are missing.
pub(crate) fn run(guise: Guise, arguments: &[String]) -> Result<u8, Error> {
    let (text, before, ruby) = match read(guise, arguments)? {
        Asked::Help(before, ruby) => (guise.usage(), before, ruby),
        Asked::Version(before, ruby) => (format!("{}\n", guise.version()), before, ruby),
        Asked::Server(options, ruby) => {
            return Ok(master::run(*options, Runtime::find(ruby).map_err(Error::Said)?));
        }
    };
    let status = if before.is_empty() { 0 } else { evaluate(&before, ruby)? };
    if status == 0 {
        sys::stdio::print(&text)?;
    }
    Ok(status)
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
pub(crate) fn preflight(guise: Guise, arguments: &[String]) -> u8 {
    let trouble = match read(guise, arguments) {
        Ok(Asked::Server(_, ruby)) => Runtime::find(ruby).err(),
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

fn read(guise: Guise, arguments: &[String]) -> Result<Asked, Error> {
    let program_path = std::env::args_os().next().unwrap_or_else(|| "licorne".into());
    let mut options = Options {
        program_path: rooted(program_path),
        arguments: arguments.to_vec(),
        directory: PathBuf::new(),
        rackup: "config.ru".to_string(),
        rails: guise == Guise::UnicornRails,
        ..Options::default()
    };
    let mut ruby: Option<OsString> = None;
    let (mut words, mut script) = (Vec::new(), None);
    for given in guise.parse(arguments)? {
        match given {
            Given::Argument(word) => words.push(word),
            Given::Option("help", _) => return Ok(Asked::Help(options.ruby_options, ruby)),
            Given::Option("version", _) => return Ok(Asked::Version(options.ruby_options, ruby)),
            Given::Option("ruby", value) => ruby = Some(value.into()),
            Given::Option("script", value) => script = Some(value),
            Given::Option(name, value) => apply(&mut options, name, value)?,
        }
    }
    if let Some(script) = script {
        options.rackup.clone_from(&script);
        options.script = Some((script, words));
    } else if let Some(rackup) = words.into_iter().next() {
        options.rackup = rackup;
    }
    let program = options.program_path.to_str();
    let paths = [options.config_file.as_deref(), Some(options.rackup.as_str()), program];
    options.directory = start_directory(&paths.into_iter().flatten().collect::<Vec<_>>())?;
    if is_count(&options.rackup) && arguments.iter().any(|word| word == "-w") {
        return Err(Usage::Count(options.rackup).into());
    }
    if options.daemonize || asks_for_background(&options.rackup, guise) {
        options.daemonize().map_err(Error::Said)?;
    }
    Ok(Asked::Server(Box::new(options), ruby))
}

fn apply(options: &mut Options, name: &str, value: String) -> Result<(), Error> {
    match name {
        "eval" => options.ruby_options.push(RubyOption::Eval(value)),
        "require" => options.ruby_options.push(RubyOption::Require(value)),
        "include" => options.ruby_options.push(RubyOption::Include(value)),
        "debug" => options.ruby_options.push(RubyOption::Debug),
        "warn" => options.ruby_options.push(RubyOption::Warn),
        "host" => options.host = Some(value),
        "port" => options.port = port(&value),
        "env" => options.environment = Some(value),
        "no-default-middleware" => options.no_default_middleware = true,
        "daemonize" => options.daemonize = true,
        "pid" => {
            complain("Use of --pid/-P is strongly discouraged");
            complain("Use the 'pid' directive in the configuration file instead");
            options.pid = Some(value);
        }
        "pid-file" => options.pid = Some(value),
        "path" => {
            complain("The -P/--path option is deprecated: set RAILS_RELATIVE_URL_ROOT in the environment instead");
            options.url_root = Some(value);
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
fn asks_for_background(rackup: &str, guise: Guise) -> bool {
    let text = sys::safe_open::read(Path::new(rackup), RACKUP_BYTES).unwrap_or_default();
    let lines = || String::from_utf8_lossy(&text).lines().find_map(|line| line.strip_prefix("#\\").map(str::to_string));
    let Some(line) = rackup.ends_with(".ru").then(lines).flatten() else { return false };
    let words: Vec<String> = line.split_whitespace().map(str::to_string).collect();
    let daemonize = |given: &Given<String>| matches!(given, Given::Option("daemonize", _));
    guise.parse(&words).is_ok_and(|given| given.iter().any(daemonize))
}

/// The current directory as the user sees it: `PWD`, when that is the same place, keeps symbolic links (`current`). A
/// supervisor that enters the link itself sets no `PWD`; then `OLDPWD`, `BUNDLE_GEMFILE` or one of these paths of the
/// command line may lead through the link. And where nothing names the directory, but the link to the current release leads
/// to just this one, that link is what was meant: releases have new names all the time, and nothing is set up with those.
pub(crate) fn start_directory(paths: &[&str]) -> Result<PathBuf, Error> {
    let real = std::env::current_dir().map_err(Error::CurrentDirectory)?;
    let variable = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let logical = variable("PWD").filter(|path| std::fs::canonicalize(path).is_ok_and(|there| there == real));
    // A shell that was started in the target of a link sets `PWD` to that target as well. `OLDPWD` counts only without a
    // valid `PWD`: a person who has left the link means the release.
    let unnamed = logical.is_none() || std::env::var_os(SUPERVISORD).is_some();
    let before = logical.is_none().then(|| variable("OLDPWD")).flatten();
    if let Some(logical) = logical.filter(|logical| *logical != real) {
        return Ok(logical);
    }
    let of_environment = before.into_iter().chain(variable("BUNDLE_GEMFILE"));
    let mut candidates = of_environment.chain(paths.iter().map(PathBuf::from));
    let named = candidates.find_map(|path| linked_name(&real, &path));
    Ok(named.or_else(|| unnamed.then(|| master::revision::current_name(&real)).flatten()).unwrap_or(real))
}

/// The name of the directory `real`, which has no symbolic links, by the links on the way of `path`: one of the
/// directories that `path` leads through is `real`, or is above it, under another name.
fn linked_name(real: &Path, path: &Path) -> Option<PathBuf> {
    path.is_absolute().then_some(())?;
    path.ancestors().find_map(|place| {
        let there = std::fs::canonicalize(place).ok().filter(|there| there != place)?;
        let rest = real.strip_prefix(&there).ok()?;
        Some(if rest.as_os_str().is_empty() { place.to_path_buf() } else { place.join(rest) })
    })
}

/// A program called by a relative path is found again from any directory; one called by name is looked up in `PATH`.
fn rooted(program: OsString) -> OsString {
    if program.to_string_lossy().contains('/') { absolute(program).into_os_string() } else { program }
}

fn absolute(path: impl Into<PathBuf>) -> PathBuf {
    let path = path.into();
    std::path::absolute(&path).unwrap_or(path)
}
