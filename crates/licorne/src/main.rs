//! The program. Called with a subcommand it talks to a running master; else it is the master. Called as `unicorn` or
//! `unicorn_rails` it is always the master, called as `unicornherder` or `licorne-herd` the herder.
//!
//! | module | what it does |
//! |---|---|
//! | `persona` | as which program it was called, and what that one's options are |
//! | `serve` | Unicorn's command line, then the master |
//! | `start_directory` | where it was started, by the name that the user knows |
//! | `commands` | the subcommands, and `help` |
//! | `usage`, `error` | why a command line, or what it asks for, cannot be |
//! | `pages` | man pages and completions, printed by a test |
//! | `find`, `client` | finds a master's control socket and talks to it |
//! | `reload`, `stop`, `status`, `deaths`, `check`, `admin`, `herd_reload` | one subcommand each |
//! | `top` | the status, live on a terminal |
//! | `asked`, `interval` | what a master told, and what happened between two statuses |
//! | `columns`, `words` | the table of workers; times, sizes and rates in few characters |
//! | `init` | the files of `deploy/`, filled in |
//! | `switch` | from one of two masters behind the same systemd sockets to the other |
//!
//! `licorne herd` is the crate of that name. The options of Unicorn and unicornherder are parsed as those do, by the crate
//! `options`; those of the subcommands by clap.
//!
//! Exit statuses: 0 done; 1 it failed, and standard error says why.

mod admin;
mod asked;
mod backtrace;
mod check;
mod client;
mod columns;
mod commands;
mod config;
mod deaths;
mod error;
mod find;
mod herd_reload;
mod init;
mod interval;
#[cfg(test)]
mod pages;
mod persona;
mod reload;
mod serve;
mod start_directory;
mod status;
mod stop;
mod switch;
mod top;
mod usage;
mod words;

use std::ffi::OsString;
use std::process::ExitCode;

use error::Error;
use persona::Persona;
use sys::stdio::complain;

fn main() -> ExitCode {
    // The herder's arguments are its server's: they need not be text.
    if let Some(status) = herder(&std::env::args_os().collect::<Vec<_>>()) {
        return ExitCode::from(status);
    }
    let arguments: Vec<String> =
        std::env::args_os().skip(1).map(|argument| argument.to_string_lossy().into_owned()).collect();
    let persona = std::env::args_os().next().map_or(Persona::Licorne, |program| Persona::of(&program));
    match master::guard(|| dispatch(persona, &arguments)) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            complain(error.chain());
            ExitCode::FAILURE
        }
    }
}

/// Runs the herder, if that is what was called: `licorne herd`, or by a name of its own.
fn herder(arguments: &[OsString]) -> Option<u8> {
    let program = arguments.first()?;
    let (persona, rest) = match herd::Persona::of(program) {
        Some(persona) => (persona, &arguments[1..]),
        None if Persona::of(program) == Persona::Licorne && arguments.get(1)? == "herd" => {
            (herd::Persona::Herd, &arguments[2..])
        }
        None => return None,
    };
    match rest.split_first() {
        Some((word, rest)) if persona == herd::Persona::Herd && word == "reload" => {
            let rest = rest.iter().map(|word| word.to_string_lossy().into_owned());
            let words: Vec<String> = ["herd".into(), "reload".into()].into_iter().chain(rest).collect();
            Some(commands::run_known(&words).unwrap_or_else(|error| {
                complain(error.chain());
                1
            }))
        }
        _ => Some(herd::run(persona, rest)),
    }
}

fn dispatch(persona: Persona, arguments: &[String]) -> Result<u8, Error> {
    if let Some(done) = admin::run_with_parent(arguments) {
        return done;
    }
    match arguments.split_first() {
        Some((word, rest)) if word == master::PREFLIGHT => Ok(serve::preflight(persona, rest)),
        _ if persona == Persona::Licorne => match commands::run(arguments)? {
            Some(status) => Ok(status),
            None => serve::run(persona, arguments),
        },
        _ => serve::run(persona, arguments),
    }
}
