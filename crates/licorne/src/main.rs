//! The program. Called with a subcommand it talks to a running master; else it is the master.
//!
//! | module | what it does |
//! |---|---|
//! | `options` | parses a command line the way Ruby's OptionParser does |
//! | `serve` | Unicorn's command line, then the master |
//! | `client` | finds a master's control socket and talks to it |
//! | `reload`, `stop`, `status` | one subcommand each |
//!
//! Exit statuses: 0 done; 1 it failed, and standard error says why.

mod client;
mod options;
mod reload;
mod serve;
mod status;
mod stop;

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> =
        std::env::args_os().skip(1).map(|argument| argument.to_string_lossy().into_owned()).collect();
    let done = match arguments.split_first() {
        Some((word, rest)) => match word.as_str() {
            "reload" => reload::reload(rest),
            "upgrade" => reload::upgrade(rest),
            "stop" => stop::run(rest),
            "status" => status::run(rest),
            _ => serve::run(&arguments),
        },
        None => serve::run(&arguments),
    };
    match done {
        Ok(code) => ExitCode::from(code),
        Err(text) => {
            eprintln!("{text}");
            ExitCode::FAILURE
        }
    }
}
