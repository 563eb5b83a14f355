//! The way in: from the command line to a master that serves, in the foreground or in the background.

use sys::daemon::{Reporter, Side};
use sys::stdio::complain;

use crate::config::options::Options;
use crate::config::runtime::Runtime;
use crate::error::Error;
use crate::log::lines::{LAST_WORDS_NS, Log};
use crate::master::Master;
use crate::owners::Owners;
use crate::sockets::inherited::Announced;
use crate::upgrade::way_back;
use supervisor::unit::FAILED;

/// Runs a master until it stops, and returns its exit status.
///
/// Call it once, while the process has a single thread: it may fork, and it overwrites the process's title.
pub fn run(options: Options, runtime: Runtime) -> u8 {
    let status = serve(options, runtime);
    sys::stderr::finish(LAST_WORDS_NS);
    status
}

fn serve(options: Options, runtime: Runtime) -> u8 {
    match way_back::handed_over() {
        Ok(None) => {}
        Ok(Some(handed)) => match Master::load(options, runtime, &handed) {
            Ok(mut master) => {
                master.resume(&handed);
                return master.go_on();
            }
            Err(error) => return give_up(&error),
        },
        Err(error) => return give_up(&error),
    }
    // A second master of an upgrade is in the background already: forking again would lose the first one's sight of it.
    let upgraded = std::env::var("UNICORN_FD").is_ok_and(|fds| !fds.is_empty());
    let announced = Announced::to_this_process();
    let mut reporter = None;
    if options.daemonize && !upgraded {
        match sys::daemon::fork_to_background() {
            Ok(Side::Launcher(answer)) => return launched(answer.wait()),
            Ok(Side::Daemon(side)) => reporter = Some(side),
            Err(error) => return refuse(&error.chain(), None),
        }
    }
    match Master::new(options, runtime, &announced) {
        Ok(mut master) => {
            master.owners.report.launcher = reporter;
            match master.serve() {
                _ if master.owners.config.begins_anew() => begin_anew(master),
                status => status,
            }
        }
        Err(error) => refuse(&sys::chain(&error), reporter),
    }
}

fn launched(answer: Result<u32, String>) -> u8 {
    match answer {
        Ok(_) => 0,
        Err(text) => {
            if !text.is_empty() {
                complain(text.trim_end());
            }
            complain("master failed to start, check stderr log for details");
            FAILED
        }
    }
}

/// What the program before this one held cannot be taken over: that one has to go on.
fn give_up(error: &Error) -> u8 {
    let text = sys::chain(error);
    way_back::go_back(&text);
    refuse(&text, None)
}

fn refuse(text: &str, reporter: Option<Reporter>) -> u8 {
    match reporter {
        Some(reporter) => reporter.failed(text),
        None => Log::last_words(text),
    }
    FAILED
}

/// Begins anew in the background, with the sockets that were passed and nothing else. The mold leaves as soon as its
/// channel is closed.
fn begin_anew(master: Master) -> u8 {
    let Owners { config, sockets, .. } = master.owners;
    let (options, runtime) = config.into_command();
    match sys::daemon::fork_to_background() {
        Ok(Side::Launcher(answer)) => {
            sys::signals::stop_listening();
            launched(answer.wait())
        }
        Ok(Side::Daemon(reporter)) => match Master::begin(options, runtime, sockets.inherited) {
            Ok(mut master) => {
                master.owners.report.launcher = Some(reporter);
                master.serve()
            }
            Err(error) => refuse(&sys::chain(&error), Some(reporter)),
        },
        Err(error) => refuse(&error.chain(), None),
    }
}
