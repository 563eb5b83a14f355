//! Makes the list of sockets that a configuration asks for: those that are there are used again, others are bound.

use std::fmt::Display;
use std::rc::Rc;

use sys::listener::{Address, Listener, Options, in_use};

use crate::config::settings::{BY_NAME, Settings};
use crate::log::lines::Log;
use crate::sockets::bound::{Bound, Listeners, add};
use crate::sockets::error::Error;
use crate::sockets::inherited::Inherited;
use crate::sockets::orphans;

/// How often an address is tried that workers of a dead master hold, in seconds: it is free when their requests end.
const ORPHANS_DELAY: f64 = 0.1;

/// Waits for so many seconds; false when that has no sense any more.
pub(crate) type Wait<'a> = &'a mut dyn FnMut(f64) -> bool;

/// Makes the list that `settings` ask for: sockets there are already are used again, the others are bound.
///
/// `present` are the lists of living generations. An address in use is tried again as the options say, while `wait`
/// (seconds) returns true; at once given up without it. One that workers of a dead master hold is tried for as long as a
/// request may last.
///
/// # Errors
/// An address that cannot be bound, after it was logged.
pub(crate) fn prepare(
    settings: &Settings,
    inherited: &Inherited,
    present: &[Rc<Bound>],
    log: &Log,
    mut wait: Option<Wait<'_>>,
) -> Result<Listeners, Error> {
    let mut wanted: Listeners = inherited.activated.clone();
    // A configuration that names none means those that there are.
    if settings.listeners.is_empty() {
        wanted.extend(inherited.handed_over.iter().cloned());
    }
    for asked in &settings.listeners {
        let (text, options) = (asked.text(), &asked.options);
        let explain = |error: &dyn Display| Error::Listener(asked.explain(error));
        if let Some(name) = text.strip_prefix(BY_NAME) {
            apply_by_name(name, options, inherited, log).map_err(|error| explain(&error))?;
            continue;
        }
        let address = asked.address().map_err(|error| {
            log.fatal(format_args!("error adding listener addr={text}"));
            explain(&error)
        })?;
        let known = present.iter().chain(&inherited.handed_over).chain(inherited.kept()).chain(&wanted);
        let bound = match known.into_iter().find(|bound| bound.serves(&address)) {
            Some(bound) => Rc::clone(bound),
            None => {
                let bound = bind(address, options, settings, log, &mut wait);
                Rc::new(bound.map_err(|error| explain(&error.as_ruby()))?)
            }
        };
        bound.apply(options, log);
        if options.rcvbuf.is_some() || options.sndbuf.is_some() {
            let (receive, send) = bound.socket.buffers();
            log.info(format_args!(" after: {} rcvbuf={receive} sndbuf={send}", bound.socket.name()));
        }
        add(&mut wanted, &bound);
    }
    Ok(wanted)
}

/// All sockets of the service manager are listened on anyway: what is left to do is to give them their options.
fn apply_by_name(name: &str, options: &Options, inherited: &Inherited, log: &Log) -> Result<(), Error> {
    let named = |bound: &&Rc<Bound>| bound.activated_as.as_deref() == Some(name);
    let mut found = inherited.activated.iter().filter(named).peekable();
    if found.peek().is_none() {
        let names: Vec<&str> = inherited.activated.iter().filter_map(|bound| bound.activated_as.as_deref()).collect();
        let passed = if names.is_empty() { "none".to_string() } else { names.join(", ") };
        log.fatal(format_args!("error adding listener addr={BY_NAME}{name}"));
        return Err(Error::NotPassed { name: name.to_string(), passed });
    }
    found.for_each(|bound| bound.apply(options, log));
    Ok(())
}

fn bind(
    address: Address,
    options: &Options,
    settings: &Settings,
    log: &Log,
    wait: &mut Option<Wait<'_>>,
) -> sys::Result<Bound> {
    let mut left = options.tries;
    let options = &Options { backlog: Some(options.backlog.unwrap_or(directives::BACKLOG)), ..options.clone() };
    let mut patience = settings.processes.timeout.as_secs_f64();
    loop {
        match Listener::bind_as(settings.user.as_ref(), &address, options) {
            Ok(socket) => {
                let number = std::os::fd::AsRawFd::as_raw_fd(&std::os::fd::AsFd::as_fd(&socket));
                log.info(format_args!("listening on addr={} fd={number}", socket.name()));
                return Ok(Bound::new(socket, Some(address), None));
            }
            Err(error) if in_use(&error) => {
                // A reload does not wait, and what it finds in use is in use by another server.
                let orphans = if wait.is_some() && patience > 0.0 { orphans::holding(&address) } else { Vec::new() };
                if let Some(wait) = wait.as_mut().filter(|_| !orphans.is_empty()) {
                    if patience >= settings.processes.timeout.as_secs_f64() {
                        log.warn(format_args!(
                            "addr={address} is held by workers that have lost their master, pid={orphans:?}: waiting for \
                             the end of their requests, at most {patience} s"
                        ));
                    }
                    patience -= ORPHANS_DELAY;
                    if !wait(ORPHANS_DELAY) {
                        return Err(error);
                    }
                    continue;
                }
                log.error(format_args!("adding listener failed addr={address} (in use)"));
                let tries = if left < 0 { "infinite".to_string() } else { (left - 1).max(0).to_string() };
                let Some(wait) = wait.as_mut().filter(|_| left != 0) else { return Err(error) };
                log.error(format_args!("retrying in {} seconds ({tries} tries left)", options.delay));
                if !wait(options.delay) {
                    return Err(error);
                }
                left -= i64::from(left > 0);
            }
            Err(error) => {
                log.fatal(format_args!("error adding listener addr={address}"));
                return Err(error);
            }
        }
    }
}
