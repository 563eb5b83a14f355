//! Signals to processes that have no handle of their own, and the wait that a signal ends.

use std::os::fd::AsFd;
use std::time::Duration;

use sys::signals::{Delivered, Signal, Signals};

use crate::log::lines::Log;

/// Sends a signal to a child that has not been reaped.
pub(crate) fn send(pid: u32, signal: Signal, log: &Log) {
    if let Err(error) = sys::process::kill(pid, signal) {
        log.error(format_args!("cannot signal PID:{pid}: {}", error.chain()));
    }
}

/// Waits for so many seconds. Returns whether that went by without a signal to stop; what was delivered is in `heard`.
pub(crate) fn wait_unless_stopped(signals: &mut Signals, seconds: f64, heard: &mut Vec<Delivered>) -> bool {
    let until = Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or(Duration::MAX).as_nanos();
    let until = sys::clock::monotonic_ns().saturating_add(u64::try_from(until).unwrap_or(u64::MAX));
    let stops = |delivered: &Delivered| matches!(delivered.signal, Signal::Quit | Signal::Term | Signal::Int);
    loop {
        heard.extend(signals.take());
        let left = until.saturating_sub(sys::clock::monotonic_ns());
        if left == 0 || heard.iter().any(stops) {
            return !heard.iter().any(stops);
        }
        if sys::poll::wait(&[signals.as_fd()], &[], Some(left)).is_err() {
            return false;
        }
    }
}
