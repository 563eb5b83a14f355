//! The program. Called with a subcommand it talks to a running master; else it is the master. Called as `unicorn` or
//! `unicorn_rails` it is always the master.
//!
//! | module | what it does |
//! |---|---|
//! | `options` | parses a command line the way Ruby's OptionParser does |
//! | `guise` | as which program it was called, and what that one's options are |
//! | `serve` | Unicorn's command line, then the master |
//! | `client` | finds a master's control socket and talks to it |
//! | `reload`, `stop`, `status` | one subcommand each |
//!
//! Exit statuses: 0 done; 1 it failed, and standard error says why.

mod client;
mod guise;
mod options;
mod reload;
mod serve;
mod status;
mod stop;

use std::process::ExitCode;

use guise::Guise;

fn main() -> ExitCode {
    let arguments: Vec<String> =
        std::env::args_os().skip(1).map(|argument| argument.to_string_lossy().into_owned()).collect();
    let guise = std::env::args_os().next().map_or(Guise::Licorne, |program| Guise::of(&program));
    let done = match arguments.split_first() {
        Some((word, rest)) if guise == Guise::Licorne => match word.as_str() {
            "reload" => reload::reload(rest),
            "upgrade" => reload::upgrade(rest),
            "stop" => stop::run(rest),
            "status" => status::run(rest),
            _ => serve::run(guise, &arguments),
        },
        _ => serve::run(guise, &arguments),
    };
    match done {
        Ok(code) => ExitCode::from(code),
        Err(text) => {
            eprintln!("{text}");
            ExitCode::FAILURE
        }
    }
}
