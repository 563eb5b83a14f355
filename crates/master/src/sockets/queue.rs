//! The queue through which workers give connections to each other. The master only keeps it: so connections outlive
//! the worker that gave them away, and the one that was to take them.
//!
//! The two masters of an upgrade share one queue, if both speak the same version: the new one finds the ends in
//! `LICORNE_QUEUE_FD` (`version:receive,send`), and says whether it took them when it says that it serves.

use std::mem::ManuallyDrop;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use sys::channel::Channel;
use sys::image::adopt;
use wire::HANDOFF_VERSION;

use crate::carried::Number;
use crate::environment;

/// How much the queue holds: some thousands of idle connections, where the kernel allows it.
const BYTES: usize = 4 << 20;

/// Both ends. They are not closed before the process ends: what lies in the queue would end with them, and closing a
/// connection may wait for its client (socket(7), `SO_LINGER`). The end of a process does not.
#[derive(Debug)]
pub(crate) struct Queue {
    receive: ManuallyDrop<OwnedFd>,
    send: ManuallyDrop<OwnedFd>,
    /// Whether it is the queue of the master before this one, too.
    pub(crate) inherited: bool,
}

impl Queue {
    /// Takes the queue of the master before this one, or makes one.
    ///
    /// # Errors
    /// No descriptors or memory left.
    pub(crate) fn open() -> sys::Result<Self> {
        let named = std::env::var(environment::QUEUE).ok();
        if let Some((receive, send)) = named.as_deref().and_then(numbers) {
            // Taken in either case: what is not used is closed here.
            let ends = (sys::spawn::inherited(receive), sys::spawn::inherited(send));
            if let ((Some(receive), Some(send)), true) = (ends, named.is_some_and(|text| speaks(&text))) {
                return Ok(Self { inherited: true, ..Self::of_ends(receive, send) });
            }
        }
        let (receive, send) = Channel::pair()?;
        send.enlarge(BYTES);
        Ok(Self::of_ends(receive.into_fd(), send.into_fd()))
    }

    fn of_ends(receive: OwnedFd, send: OwnedFd) -> Self {
        Self { receive: ManuallyDrop::new(receive), send: ManuallyDrop::new(send), inherited: false }
    }

    /// The end to receive from, and the end to send to.
    pub(crate) fn ends(&self) -> [BorrowedFd<'_>; 2] {
        [self.receive.as_fd(), self.send.as_fd()]
    }

    /// What the next program of an upgrade in place is told.
    ///
    /// # Errors
    /// No descriptors left.
    pub(crate) fn save(&self, number: &mut Number<'_>) -> sys::Result<[i32; 2]> {
        let [receive, send] = self.ends();
        Ok([number(receive)?, number(send)?])
    }

    /// Takes the queue of the program before this one. One of an early version had none.
    ///
    /// # Errors
    /// It is not there.
    pub(crate) fn load(ends: Option<[i32; 2]>) -> sys::Result<Self> {
        match ends {
            Some([receive, send]) => Ok(Self::of_ends(adopt(receive)?, adopt(send)?)),
            None => Self::open(),
        }
    }

    /// What the variable says when the ends have these numbers.
    pub(crate) fn variable(receive: i32, send: i32) -> String {
        format!("{HANDOFF_VERSION}:{receive},{send}")
    }
}

fn speaks(text: &str) -> bool {
    text.split_once(':').is_some_and(|(version, _)| version.parse() == Ok(HANDOFF_VERSION))
}

fn numbers(text: &str) -> Option<(i32, i32)> {
    let (receive, send) = text.split_once(':')?.1.split_once(',')?;
    Some((receive.parse().ok()?, send.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_variable_names_version_and_ends() {
        let text = Queue::variable(7, 8);
        assert_eq!(text, "1:7,8");
        assert_eq!(numbers(&text), Some((7, 8)));
        assert!(speaks(&text));
        for other in ["2:7,8", "", "7,8", "x:1,2"] {
            assert!(!speaks(other), "{other:?}");
        }
        for broken in ["", "1", "1:7", "1:7,x", "7,8"] {
            assert_eq!(numbers(broken), None, "{broken:?}");
        }
    }
}
