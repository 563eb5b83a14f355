//! The probe of a worker: a request that it answers before it serves, on a connection between two threads of its own.

use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::Duration;

use magnus::{Error, Ruby};
use reactor::probe::{Answer, ask};
use sys::channel::Channel;
use sys::signals::Signal;
use wire::{FromWorker, Message};

use crate::core::Core;
use crate::error::system_error;

/// How long the interpreter may take to tell where it hangs.
const BACKTRACE_PATIENCE: Duration = Duration::from_secs(1);

/// A probe that is under way, as the worker sees it.
pub(crate) struct Probe {
    answer: Receiver<Answer>,
    /// Its end tells the thread that this probe has ended.
    _lives: Sender<()>,
}

/// Whether a probe is late, and that was not told yet.
pub(crate) type Late = Arc<AtomicBool>;

impl Probe {
    /// Sends the request. When there is no response in time the interpreter gets SIGURG, so that it tells where it hangs; if
    /// it does not, in a library that keeps its lock, the master is told so from here, on this channel.
    pub(crate) fn start(
        ruby: &Ruby,
        core: &Core,
        channel: Channel,
        request: Vec<u8>,
        patience: Duration,
        late: &Late,
    ) -> Result<Self, Error> {
        let (ours, theirs) = UnixStream::pair().map_err(|error| system_error(ruby, "socketpair", &error))?;
        core.reactor().add_connection(theirs.into()).map_err(|error| system_error(ruby, "ioctl", &error))?;
        let (tell, answer) = mpsc::channel();
        let (lives, ended) = mpsc::channel();
        let (waker, late) = (core.waker.clone(), Arc::clone(late));
        let client = move || {
            let answer = ask(ours, &request, patience);
            if answer == Answer::Late {
                late.store(true, Ordering::SeqCst);
                let _ = sys::process::kill(std::process::id(), Signal::Urg);
                let _ = ended.recv_timeout(BACKTRACE_PATIENCE);
                if late.swap(false, Ordering::SeqCst) {
                    let line = request.split(|byte| *byte == b'\r').next().unwrap_or_default();
                    let line = String::from_utf8_lossy(line);
                    let line = line.trim_end_matches(" HTTP/1.1");
                    let text = format!(
                        "probe {line}: no response within {patience:?}, and the interpreter does not tell where it hangs"
                    );
                    let _ = channel.send(&FromWorker::Failed { text }.encode(), &[]);
                }
            }
            // Without a listener the worker has ended its probe.
            let _ = tell.send(answer);
            waker.wake();
        };
        let thread = || thread::Builder::new().name("probe".to_owned()).spawn(client);
        // Signals are for the threads of the application.
        sys::signals::without_signals(thread).map_err(|error| system_error(ruby, "pthread_create", &error))?;
        Ok(Self { answer, _lives: lives })
    }

    /// What came back, once that is known.
    pub(crate) fn answer(&self) -> Option<Answer> {
        self.answer.try_recv().ok()
    }
}
