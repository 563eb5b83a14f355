//! The helper: a thread that drives the connections while the application works. It knows nothing of the application.
//!
//! The reactor is the worker's own. When a request goes to the application while other connections are open, the worker
//! lends it: lays it where the helper finds it. A call that is short ends before the helper has looked twice, and has
//! cost the worker an uncontended lock or two. During a long one the helper reads, writes and keeps time limits in the
//! worker's stead, and gives connections with complete requests to other workers. It never accepts and never takes from
//! the queue: a busy worker takes no new work.
//!
//! The helper is made when it is first needed. While the worker works it looks every 2 ms; when the worker has been
//! idle for some looks, the helper sleeps until it is needed again: no timer runs in an idle server.
//!
//! A child that the application forks has no helper, and the lock may be held for ever there: see
//! [`SharedReactor::abandon`].

use std::cell::{OnceCell, RefCell, RefMut};
use std::fmt;
use std::io;
use std::ops::{Deref, DerefMut};
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, Thread};
use std::time::Duration;

use rustix::event::EventfdFlags;

use crate::reactor::Reactor;
use crate::settings::Settings;
use crate::table::{Events, Poller};

/// How often the helper looks while the worker works: a call that it sees twice is long.
const LOOK: Duration = Duration::from_millis(2);
/// After so many looks at an idle worker the helper sleeps.
const IDLE_LOOKS: u32 = 5;
/// It parses heads and copies bytes; nothing recurses.
const STACK_BYTES: usize = 256 * 1024;

/// A worker's reactor, which it lends to a helper while the application works.
#[derive(Debug)]
pub struct SharedReactor {
    /// The reactor while it is not lent.
    own: RefCell<Option<Box<Reactor>>>,
    lent: Arc<Lent>,
    /// The helper; `None` inside if it could not be made.
    helper: OnceCell<Option<Thread>>,
}

/// What worker and helper share.
#[derive(Debug)]
struct Lent {
    /// The reactor while it is lent.
    reactor: Mutex<Option<Box<Reactor>>>,
    /// Counts beginnings and ends of calls: odd during one.
    serial: AtomicU64,
    /// The helper sleeps until it is woken.
    asleep: AtomicBool,
    /// The call that lasts is known to be long.
    long: AtomicBool,
    poller: Poller,
    /// Ends the helper's wait for events when the worker is back.
    relief: OwnedFd,
}

/// The reactor, as long as this is held.
pub struct Access<'a>(Held<'a>);

enum Held<'a> {
    Own(RefMut<'a, Option<Box<Reactor>>>),
    Lent(MutexGuard<'a, Option<Box<Reactor>>>),
}

const SOMEWHERE: &str = "the reactor is either lent or not";

impl Deref for Access<'_> {
    type Target = Reactor;

    fn deref(&self) -> &Reactor {
        match &self.0 {
            Held::Own(own) => own.as_ref().expect(SOMEWHERE),
            Held::Lent(lent) => lent.as_ref().expect(SOMEWHERE),
        }
    }
}

impl DerefMut for Access<'_> {
    fn deref_mut(&mut self) -> &mut Reactor {
        match &mut self.0 {
            Held::Own(own) => own.as_mut().expect(SOMEWHERE),
            Held::Lent(lent) => lent.as_mut().expect(SOMEWHERE),
        }
    }
}

impl fmt::Debug for Access<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl SharedReactor {
    /// Takes over a reactor.
    ///
    /// # Errors
    /// No descriptors left.
    pub fn new(reactor: Reactor) -> io::Result<Self> {
        let lent = Lent {
            reactor: Mutex::new(None),
            serial: AtomicU64::new(0),
            asleep: AtomicBool::new(false),
            long: AtomicBool::new(false),
            poller: reactor.poller(),
            relief: rustix::event::eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?,
        };
        Ok(Self { own: RefCell::new(Some(Box::new(reactor))), lent: Arc::new(lent), helper: OnceCell::new() })
    }

    /// Gives access to the reactor, lent or not. Hold it for a moment only: the helper may be waiting.
    pub fn access(&self) -> Access<'_> {
        let own = self.own.borrow_mut();
        if own.is_some() { Access(Held::Own(own)) } else { Access(Held::Lent(self.lent.lock())) }
    }

    /// Gives access to the reactor if no other code has it at this moment.
    pub fn try_access(&self) -> Option<Access<'_>> {
        let own = self.own.try_borrow_mut().ok()?;
        if own.is_some() {
            return Some(Access(Held::Own(own)));
        }
        self.lent.reactor.try_lock().ok().filter(|lent| lent.is_some()).map(|lent| Access(Held::Lent(lent)))
    }

    /// The application begins to work. Without other connections, and lines to be written, there is nothing to do meanwhile.
    pub fn lend(&self) {
        self.lend_with(2);
    }

    /// Something begins that is known to last long, in no request: the helper drives at once.
    pub fn lend_for_long(&self) {
        self.lent.long.store(true, Ordering::SeqCst);
        self.lend_with(1);
        if let Some(helper) = self.helper.get().and_then(Option::as_ref) {
            helper.unpark();
        }
    }

    /// Lends it if it has at least so many connections, or something to write.
    fn lend_with(&self, connections: usize) {
        let mut own = self.own.borrow_mut();
        if own.as_ref().is_none_or(|reactor| reactor.connections() < connections && !reactor.has_log_lines()) {
            return;
        }
        let Some(helper) = self.helper.get_or_init(|| start(&self.lent)) else { return };
        *self.lent.lock() = own.take();
        // Either the helper sees the new serial before it falls asleep, or we see that it sleeps.
        self.lent.next_serial();
        if self.lent.asleep.load(Ordering::SeqCst) {
            self.lent.asleep.store(false, Ordering::SeqCst);
            helper.unpark();
        }
    }

    /// The application is done.
    pub fn take_back(&self) {
        self.lent.long.store(false, Ordering::SeqCst);
        let mut own = self.own.borrow_mut();
        if own.is_some() {
            return;
        }
        self.lent.next_serial();
        let mut reactor = self.lent.lock().take();
        if reactor.as_mut().is_some_and(|reactor| reactor.resume()) {
            let _ = rustix::io::write(&self.lent.relief, &1_u64.to_ne_bytes());
        }
        *own = reactor;
    }

    /// For a mold that this worker has forked, between two requests: all that the reactor has is the worker's, and closed here.
    /// What is still open is returned; it belongs to what may never be dropped here, since the helper has part of it.
    ///
    /// # Panics
    /// The reactor is lent, which it is not between two requests.
    pub fn leave_to_parent(&self) -> [RawFd; 3] {
        // The registrations with epoll are those of the worker's files, and stay.
        drop(self.own.take().expect("between two requests nothing is lent"));
        let [epoll, wake] = self.lent.poller.descriptors();
        [epoll, wake, self.lent.relief.as_fd()].map(|fd| fd.as_raw_fd())
    }

    /// For a child that the application forked: from now on there are no connections here. Those that there were are
    /// the parent's, which goes on with them, and so are epoll and the lock, which may never be released here.
    pub fn abandon(&self) {
        let Ok(empty) = Reactor::new(Settings::default()) else {
            // Without descriptors there is no way on.
            std::process::abort()
        };
        // Dropping it would touch the parent's epoll.
        std::mem::forget(self.own.replace(Some(Box::new(empty))));
    }
}

impl Lent {
    fn lock(&self) -> MutexGuard<'_, Option<Box<Reactor>>> {
        self.reactor.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Only the worker calls this.
    fn next_serial(&self) {
        self.serial.store(self.serial.load(Ordering::Relaxed).wrapping_add(1), Ordering::SeqCst);
    }

    fn is_at(&self, serial: u64) -> bool {
        self.serial.load(Ordering::Acquire) == serial
    }
}

fn start(lent: &Arc<Lent>) -> Option<Thread> {
    let lent = Arc::clone(lent);
    let start = || {
        let thread = thread::Builder::new().name("connections".to_owned()).stack_size(STACK_BYTES);
        thread.spawn(move || help(&lent))
    };
    // Signals are for the threads of the application.
    sys::signals::without_signals(start).ok().map(|handle| handle.thread().clone())
}

fn help(lent: &Lent) -> ! {
    let mut events = Events::default();
    let mut seen = lent.serial.load(Ordering::Acquire);
    let mut idle_looks = 0;
    loop {
        thread::park_timeout(LOOK);
        let is_new = !lent.is_at(seen);
        seen = lent.serial.load(Ordering::Acquire);
        if seen % 2 == 1 && (!is_new || lent.long.load(Ordering::SeqCst)) {
            drive(lent, seen, &mut events);
            idle_looks = 0;
        } else if is_new {
            idle_looks = 0;
        } else {
            idle_looks += 1;
            if idle_looks == IDLE_LOOKS {
                idle_looks = 0;
                sleep(lent, seen);
            }
        }
    }
}

/// Sleeps until the worker begins something.
fn sleep(lent: &Lent, seen: u64) {
    lent.asleep.store(true, Ordering::SeqCst);
    if lent.serial.load(Ordering::SeqCst) == seen {
        while lent.asleep.load(Ordering::SeqCst) {
            thread::park();
        }
    }
    lent.asleep.store(false, Ordering::SeqCst);
}

/// Drives the connections for as long as the call with this serial lasts.
fn drive(lent: &Lent, serial: u64, events: &mut Events) {
    let mut began = false;
    let mut timeout_ms = Some(0);
    loop {
        {
            let mut held = lent.lock();
            let Some(reactor) = held.as_mut().filter(|_| lent.is_at(serial)) else { return };
            if began {
                reactor.absorb(events);
                timeout_ms = reactor.drive(|| lent.is_at(serial));
            } else {
                reactor.give_way();
                began = true;
            }
        }
        lent.poller.wait_or(lent.relief.as_fd(), events, timeout_ms);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conn::After;
    use crate::reactor::Turn;
    use std::io::Write;
    use std::net::{TcpListener, TcpStream};

    #[test]
    fn a_reactor_is_accessible_lent_or_not_and_a_forked_child_gets_an_empty_one() {
        let shared = SharedReactor::new(Reactor::new(Settings::default()).unwrap()).unwrap();
        assert_eq!(shared.access().connections(), 0);
        shared.lend();
        assert!(shared.own.borrow().is_some(), "without connections nothing is lent");
        *shared.lent.lock() = shared.own.take();
        assert_eq!(shared.access().connections(), 0);
        assert!(shared.try_access().is_some(), "nothing else has it");
        shared.take_back();
        assert!(shared.own.borrow().is_some() && shared.try_access().is_some());
        let held = shared.access();
        assert!(shared.try_access().is_none(), "it would be had twice");
        drop(held);
        *shared.lent.lock() = shared.own.take();
        let _held = shared.lent.lock();
        shared.abandon();
        assert_eq!(shared.access().connections(), 0);
    }

    #[test]
    fn the_master_is_heard_after_each_long_request_however_full_the_backlog_is() {
        for with_helper in [false, true] {
            let mut reactor = Reactor::new(Settings::default()).unwrap();
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let address = listener.local_addr().unwrap();
            reactor.add_listener(listener.into(), None).unwrap();
            let (control, master) = std::os::unix::net::UnixStream::pair().unwrap();
            reactor.watch_control(control.as_fd()).unwrap();
            let idle = with_helper.then(|| TcpStream::connect(address).unwrap());
            let connect = |_| {
                let mut client = TcpStream::connect(address).unwrap();
                client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
                client
            };
            let _backlog: Vec<_> = (0..40).map(connect).collect();
            let (shared, mut events, mut now_ns) = (SharedReactor::new(reactor).unwrap(), Events::default(), 1);
            let mut served = 0;
            while served < 20 {
                let turn = shared.access().turn();
                match turn {
                    Turn::Request(token) => {
                        served += 1;
                        shared.access().note_time(now_ns);
                        shared.lend();
                        while with_helper && !shared.lent.lock().as_ref().unwrap().is_driven_by_helper() {
                            thread::yield_now();
                        }
                        now_ns += 60_000_000;
                        (&master).write_all(b"x").unwrap();
                        shared.take_back();
                        shared.access().active(token).finish(After::Close);
                        shared.access().note_time(now_ns);
                        let turn = shared.access().turn();
                        assert_eq!(turn, Turn::Control, "after request {served}");
                        assert_eq!(rustix::io::read(&control, &mut [0; 8]).unwrap(), 1);
                    }
                    Turn::Wait(timeout_ms) => {
                        shared.lent.poller.wait(&mut events, timeout_ms);
                        shared.access().absorb(&mut events);
                    }
                    turn => panic!("{turn:?}"),
                }
            }
            drop(idle);
        }
    }

    #[test]
    fn a_body_that_the_application_has_not_asked_for_does_not_keep_the_helper_awake() {
        let mut settings = Settings::default();
        settings.requests.stream_bodies = true;
        let mut reactor = Reactor::new(settings).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        reactor.add_listener(listener.into(), None).unwrap();
        let (mut client, mut events) = (TcpStream::connect(address).unwrap(), Events::default());
        let mut request = |reactor: &mut Reactor, text: &str| {
            client.write_all(text.as_bytes()).unwrap();
            loop {
                match reactor.turn() {
                    Turn::Request(token) => return token,
                    Turn::Wait(timeout_ms) => {
                        reactor.poller().wait(&mut events, timeout_ms);
                        reactor.absorb(&mut events);
                    }
                    turn => panic!("{turn:?}"),
                }
            }
        };
        let token = request(&mut reactor, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        reactor.active(token).finish(After::KeepAlive);
        request(&mut reactor, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n");
        reactor.give_way();
        client.write_all(b"body").unwrap();
        let poller = reactor.poller();
        poller.wait(&mut events, None);
        reactor.absorb(&mut events);
        assert_eq!(reactor.drive(|| true), None);
        poller.wait(&mut events, Some(0));
        assert_eq!(events.sources().count(), 0, "epoll tells of it again and again");
    }
}
