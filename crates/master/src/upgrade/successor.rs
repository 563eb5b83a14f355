//! The second master of an upgrade: Unicorn's protocol of two masters.
//!
//! The pid file moves to `<pid>.oldbin`, the new program is executed with the listeners' numbers in `UNICORN_FD`, and
//! both serve until one of them is stopped. Beyond Unicorn, the new master tells the old one when it serves, through
//! a channel whose number is in `LICORNE_READY_FD`; see `succession` for what else is said there.

use std::os::fd::{AsFd, BorrowedFd};

use supervisor::CauseId;
use sys::channel::Channel;
use sys::pidfd::Pidfd;
use sys::spawn::Program;

use crate::environment;
use crate::log::lines::Log;
use crate::sockets::bound::Listeners;
use crate::sockets::queue::Queue;
use crate::upgrade::environment::NextProgram;
use crate::upgrade::error::Error;
use crate::upgrade::succession::{self, Said};

/// The first descriptor number of a second master's listeners.
const FIRST_FD: i32 = 3;

/// The new master, as the old one knows it.
#[derive(Debug, Default)]
pub(crate) enum Successor {
    /// There is none.
    #[default]
    None,
    /// `before_exec` runs in a child of the mold.
    Preparing,
    /// It runs.
    Running {
        pid: u32,
        /// Where it tells that it serves, and is told when it is the unit's main process; `None` after its end.
        link: Option<Channel>,
        /// What tells of its end, when it is not this master's child.
        handle: Option<Pidfd>,
        /// Why it could not boot, if it has said that.
        failed: CauseId,
    },
}

/// What was heard of the new master.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SuccessorNews {
    /// It serves.
    Ready {
        /// Whether its workers take connections from ours.
        takes_over: bool,
    },
    /// It does not serve, and this is why.
    Failed(String),
}

impl Successor {
    /// Its process, if it runs.
    pub(crate) fn pid(&self) -> Option<u32> {
        match self {
            Self::Running { pid, .. } => Some(*pid),
            Self::None | Self::Preparing => None,
        }
    }

    /// What to poll.
    pub(crate) fn fds(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let (link, handle) = match self {
            Self::Running { link, handle, .. } => (link.as_ref(), handle.as_ref()),
            Self::None | Self::Preparing => (None, None),
        };
        link.map(AsFd::as_fd).into_iter().chain(handle.map(AsFd::as_fd))
    }

    /// The next news of it in this round.
    pub(crate) fn hear(&mut self) -> Option<SuccessorNews> {
        let Self::Running { link: slot, .. } = self else { return None };
        match succession::hear(slot.as_ref()?) {
            Said::Ready { takes_over } => Some(SuccessorNews::Ready { takes_over }),
            Said::Failed(reason) => Some(SuccessorNews::Failed(reason)),
            Said::Nothing => None,
            // It left, and its exit will be seen; or it is another program and has closed what it does not know.
            Said::End => {
                *slot = None;
                None
            }
        }
    }

    /// It has said why it does not serve.
    pub(crate) fn failed_by(&mut self, cause: CauseId) {
        if let Self::Running { failed, .. } = self {
            *failed = cause;
        }
    }

    /// Returns its process if it is not this master's child, and gone.
    pub(crate) fn is_gone(&self) -> Option<u32> {
        match self {
            Self::Running { pid, handle: Some(handle), .. } if handle.has_exited() => Some(*pid),
            Self::Running { .. } | Self::None | Self::Preparing => None,
        }
    }

    /// It is not started, unless it runs by now.
    pub(crate) fn cancel(&mut self) {
        if matches!(self, Self::Preparing) {
            *self = Self::None;
        }
    }

    /// There is none any more. Returns why it could not boot, if it has said that.
    pub(crate) fn forget(&mut self) -> CauseId {
        match std::mem::take(self) {
            Self::Running { failed, .. } => failed,
            Self::None | Self::Preparing => CauseId::NONE,
        }
    }

    /// Tells it that the unit is given to it. Returns whether that could be told.
    pub(crate) fn give_unit(&self) -> bool {
        match self {
            Self::Running { link: Some(link), .. } => succession::give_unit(link),
            Self::Running { link: None, .. } | Self::None | Self::Preparing => false,
        }
    }

    /// Executes the new program on these sockets. `manager` are the variables of the service manager; `beside`: it is not to
    /// be this master's child.
    ///
    /// # Errors
    /// No process can be made, or it died at once.
    pub(crate) fn start(
        next: NextProgram,
        listeners: &Listeners,
        queue: &Queue,
        manager: Vec<(std::ffi::OsString, std::ffi::OsString)>,
        beside: bool,
        log: &Log,
    ) -> Result<Self, Error> {
        let (ours, theirs) = Channel::pair()?;
        let mut program = Program::new(&next.path);
        program.arguments = next.arguments;
        program.clear = true;
        program.set = next.variables;
        let numbers: Vec<i32> = (FIRST_FD..).take(listeners.len()).collect();
        let listed = numbers.iter().map(i32::to_string).collect::<Vec<_>>().join(",");
        let ready_number = FIRST_FD + i32::try_from(numbers.len()).unwrap_or(0);
        program.set.push(("UNICORN_FD".into(), listed.into()));
        let names: Vec<&str> =
            listeners.iter().map(|bound| bound.activated_as.as_deref().unwrap_or_default()).collect();
        program.set.push((environment::SOCKET_NAMES.into(), names.join(":").into()));
        program.set.push((environment::READY.into(), ready_number.to_string().into()));
        let [receive, send] = [ready_number + 1, ready_number + 2];
        program.set.push((environment::QUEUE.into(), Queue::variable(receive, send).into()));
        program.set.extend(manager);
        program.inherit = listeners.iter().map(|bound| bound.socket.as_fd()).zip(numbers).collect();
        program.inherit.push((theirs.as_fd(), ready_number));
        program.inherit.extend(queue.ends().into_iter().zip([receive, send]));
        log.info(format_args!(
            "executing {:?} (in {})",
            std::iter::once(&next.path)
                .chain(&program.arguments)
                .map(|word| word.to_string_lossy())
                .collect::<Vec<_>>(),
            next.directory.display()
        ));
        program.directory = Some(next.directory);
        let pid = if beside { program.spawn_beside()? } else { program.spawn()? };
        // Of one that is not a child of this master the end is learned from a handle.
        let handle = if beside { Some(Pidfd::open(pid).ok_or(Error::DiedAtOnce)?) } else { None };
        Ok(Self::Running { pid, link: Some(ours), handle, failed: CauseId::NONE })
    }
}
