//! How urgent this thread is to the kernel.

use rustix::process::{Resource, Rlimit, getpriority_process, getrlimit, setpriority_process, setrlimit};
use rustix::thread::{CapabilitySet, capabilities};

/// Beside a thread of the usual niceness, 0, it gets a tenth of a processor that both want. See sched(7).
const NICE: i32 = 10;

/// While this lives, others that want the processor go before this thread.
#[derive(Debug)]
pub struct SteppedBack {
    nice: i32,
}

impl SteppedBack {
    /// Steps back, where it may come back. See setpriority(2): on Linux it is this thread's alone.
    pub fn new() -> Option<Self> {
        let nice = getpriority_process(None).ok().filter(|nice| *nice < NICE)?;
        (is_allowed(nice) && setpriority_process(None, NICE).is_ok()).then_some(Self { nice })
    }
}

impl Drop for SteppedBack {
    fn drop(&mut self) {
        let _ = setpriority_process(None, self.nice);
    }
}

/// Allows this process to come back, and its children, of whichever user, if it may allow that. See getrlimit(2),
/// `RLIMIT_NICE`.
pub fn allow_stepping_back() {
    let Ok(nice) = getpriority_process(None) else { return };
    let (limit, needed) = (getrlimit(Resource::Nice), needed(nice));
    if limit.current.is_some_and(|limit| limit < needed) {
        let maximum = limit.maximum.map(|maximum| maximum.max(needed));
        let _ = setrlimit(Resource::Nice, Rlimit { current: Some(needed), maximum });
    }
}

/// Whether this thread may come back to this niceness.
fn is_allowed(nice: i32) -> bool {
    let by_limit = || getrlimit(Resource::Nice).current.is_none_or(|limit| limit >= needed(nice));
    capabilities(None).is_ok_and(|able| able.effective.contains(CapabilitySet::SYS_NICE)) || by_limit()
}

/// The limit that allows this niceness.
fn needed(nice: i32) -> u64 {
    u64::try_from(20 - i64::from(nice)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_steps_back_comes_back() {
        allow_stepping_back();
        let nice = || getpriority_process(None).unwrap();
        let before = nice();
        let may = before < NICE && is_allowed(before);
        let stepped_back = SteppedBack::new();
        assert_eq!(stepped_back.is_some(), may);
        assert_eq!(nice(), if may { NICE } else { before });
        drop(stepped_back);
        assert_eq!(nice(), before);
    }
}
