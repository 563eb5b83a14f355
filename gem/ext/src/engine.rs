//! `Licorne::Native::Engine`: the loop of a worker.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::os::fd::AsRawFd;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http1::proxy::Versions;
use magnus::{
    Error, Exception, RHash, RModule, Ruby, Symbol, Value, function, method, prelude::*, scan_args::scan_args,
    typed_data::Obj,
};
use reactor::{Access, Events, Leave, Notice, Poller, Reactor, SharedReactor, Token, Turn, Waker, milliseconds};
use scoreboard::{Seat, State};
use sys::channel::{Channel, Received};
use sys::clock::monotonic_ns;
use sys::memory::Shared;
use wire::{FromWorker, Message, ToWorker};

use crate::control::Control;
use crate::env::Template;
use crate::ffi::{self, Escape, Locked, protect};
use crate::input::Input;
use crate::serve::serve;
use crate::settings::{reasons, settings, trusted_proxies};
use crate::stream::Streaming;
use crate::system_error;

/// Buffers larger than this are not kept.
const KEPT_BUFFER_BYTES: usize = 64 * 1024;

/// The request that is in the application.
#[derive(Clone, Copy)]
pub(crate) struct Running {
    pub(crate) serial: u64,
    pub(crate) token: Token,
}

/// What the engine's objects share. Only the thread that holds the interpreter's lock uses it.
pub(crate) struct Core {
    pub(crate) shared: SharedReactor,
    pub(crate) poller: Poller,
    pub(crate) waker: Waker,
    pub(crate) template: Template,
    pub(crate) running: Cell<Option<Running>>,
    /// Its env.
    env: ffi::Root,
    /// Its socket, when the application took the connection over.
    pub(crate) hijacked: ffi::Root,
    pub(crate) early_hints: bool,
    pub(crate) check_client: bool,
    pub(crate) write_ms: u64,
    /// The reason phrases that Rack has otherwise than the registry.
    pub(crate) reasons: BTreeMap<u16, Vec<u8>>,
    /// How much of a response may be in memory before the application waits for the client.
    pub(crate) response_buffer_bytes: usize,
    /// What the application's input needs to know when it reads from the connection.
    pub(crate) streaming: Streaming,
    /// For the heads of responses, reused.
    buffer: RefCell<Vec<u8>>,
    page: Arc<Shared>,
    seat: usize,
    /// Whether this is a child that has let go of its parent's connections.
    abandoned: Cell<bool>,
    /// The start of the request that was reported last, on the clock of the scoreboard.
    reported_ns: Cell<u64>,
    retire_asked: Cell<bool>,
    orphaned: Cell<bool>,
    linger_ms: u64,
    /// How long a request may last; bounds the end of a worker that has lost its master.
    timeout_ms: u64,
}

/// The Ruby object. It keeps the control channel open.
#[magnus::wrap(class = "Licorne::Native::Engine", free_immediately)]
pub(crate) struct Engine {
    core: Arc<Locked<Core>>,
    control: Locked<Obj<Control>>,
}

pub(crate) fn define(ruby: &Ruby, native: RModule) -> Result<(), Error> {
    let class = native.define_class("Engine", ruby.class_object())?;
    class.define_singleton_method("new", function!(Engine::new, 1))?;
    class.define_method("add_listener", method!(Engine::add_listener, -1))?;
    class.define_method("join_queue", method!(Engine::join_queue, 2))?;
    class.define_method("run", method!(Engine::run, 2))?;
    class.define_method("retire", method!(Engine::retire, 0))?;
    class.define_method("busy?", method!(Engine::is_busy, 0))?;
    class.define_method("request_to_report", method!(Engine::request_to_report, 0))?;
    class.define_method("seat_requests", method!(Engine::seat_requests, 0))
}

impl Engine {
    fn new(ruby: &Ruby, arguments: RHash) -> Result<Self, Error> {
        let control: Obj<Control> = arguments.fetch(ruby.to_symbol("control"))?;
        let scoreboard: i32 = arguments.fetch(ruby.to_symbol("scoreboard"))?;
        let seat: usize = arguments.fetch(ruby.to_symbol("seat"))?;
        let told: RHash = arguments.fetch(ruby.to_symbol("settings"))?;
        let env: RHash = arguments.fetch(ruby.to_symbol("env"))?;

        let settings = settings(ruby, told)?;
        let ::directives::Settings { processes, application, connections, .. } = &settings;
        let streaming = Streaming::new(ruby, &settings)?;
        let mut reactor =
            Reactor::new((&settings).into()).map_err(|error| system_error(ruby, "epoll_create", &error))?;
        let watched = control.with_channel(ruby, |channel| reactor.watch_control(std::os::fd::AsFd::as_fd(channel)))?;
        watched.map_err(|error| system_error(ruby, "control", &error))?;

        let page = ffi::duplicate_descriptor(scoreboard).map_err(|error| system_error(ruby, "scoreboard", &error))?;
        let page = Shared::map(page).map_err(|error| Error::new(ruby.exception_io_error(), error.chain()))?;
        let page = Arc::new(page);
        if scoreboard::seat(page.words(), seat).is_none() {
            return Err(Error::new(ruby.exception_arg_error(), format!("the scoreboard has no seat {seat}")));
        }
        reactor.watch_peers(Arc::clone(&page), seat);
        if let Some(control) = reactor.control() {
            ffi::keep_from_children(control.as_raw_fd());
        }
        ffi::keep_from_children(std::os::fd::AsFd::as_fd(&*page).as_raw_fd());
        let trusted = trusted_proxies(ruby, application.trusted_proxies.as_deref())?;
        let empty_input = ruby.obj_wrap(Input::new(reactor::Body::Empty)).as_value();
        let poller = reactor.poller();
        let core = Core {
            waker: poller.waker(),
            poller,
            shared: SharedReactor::new(reactor).map_err(|error| system_error(ruby, "eventfd", &error))?,
            template: Template::new(ruby, env, empty_input, !application.drop_underscore_headers, trusted)?,
            running: Cell::new(None),
            env: ffi::Root::new(),
            hijacked: ffi::Root::new(),
            early_hints: application.early_hints,
            reasons: reasons(ruby, arguments)?,
            check_client: application.check_client_connection,
            write_ms: milliseconds(connections.write_timeout),
            response_buffer_bytes: connections.response_buffer_size,
            streaming,
            buffer: RefCell::default(),
            page,
            seat,
            abandoned: Cell::new(false),
            reported_ns: Cell::new(0),
            retire_asked: Cell::new(false),
            orphaned: Cell::new(false),
            linger_ms: milliseconds(processes.keepalive_linger),
            timeout_ms: milliseconds(processes.timeout),
        };
        // The engine lives as long as its worker.
        ffi::keep(control);
        Ok(Self { core: Arc::new(Locked::new(core)), control: Locked::new(control) })
    }

    /// Adopts a listening socket and makes it non-blocking: descriptor, name, and the version of the PROXY protocol.
    fn add_listener(ruby: &Ruby, this: &Self, arguments: &[Value]) -> Result<(), Error> {
        let arguments = scan_args::<(i32, Value), (Option<Option<String>>,), (), (), (), ()>(arguments)?;
        let (number, _name) = arguments.required;
        let proxy = arguments.optional.0.flatten().as_deref().and_then(Versions::named);
        let fd = ffi::adopt_descriptor(number).map_err(|error| system_error(ruby, "add_listener", &error))?;
        let outcome = this.core.get(ruby).reactor().add_listener(fd, proxy);
        outcome.map_err(|error| system_error(ruby, "add_listener", &error))
    }

    /// Adopts the two ends of the queue between workers.
    fn join_queue(ruby: &Ruby, this: &Self, receive: i32, send: i32) -> Result<(), Error> {
        let adopt = |number| ffi::adopt_descriptor(number).map_err(|error| system_error(ruby, "join_queue", &error));
        let outcome = this.core.get(ruby).reactor().join_queue(adopt(send)?, adopt(receive)?);
        outcome.map_err(|error| system_error(ruby, "join_queue", &error))
    }

    /// Has [`Engine::run`] finish what was begun and return. Only sets a flag: it may be called from a trap.
    fn retire(ruby: &Ruby, this: &Self) {
        let core = this.core.get(ruby);
        core.retire_asked.set(true);
        core.waker.wake();
    }

    fn is_busy(ruby: &Ruby, this: &Self) -> bool {
        this.core.get(ruby).running.get().is_some()
    }

    /// Takes the request that the master wants a report of, if it is the one being served and was not taken before:
    /// generation, request line, age in seconds, env. It may be called from a trap.
    fn request_to_report(ruby: &Ruby, this: &Self) -> Option<(u32, String, f64, Option<Value>)> {
        let core = this.core.get(ruby);
        core.seat(|seat| {
            let start = seat.request_start_ns()?;
            if seat.report_asked_ns() != start || core.reported_ns.replace(start) == start || ffi::is_forked() {
                return None;
            }
            let age = Duration::from_nanos(monotonic_ns().saturating_sub(start));
            let line = seat.request_line().escape_ascii().to_string();
            Some((seat.generation(), line, age.as_secs_f64(), core.running_env()))
        })
    }

    fn seat_requests(ruby: &Ruby, this: &Self) -> u64 {
        this.core.get(ruby).seat(|seat| seat.requests())
    }

    /// Serves until told to leave. `:retired`, or `:orphaned` when the master is gone.
    fn run(ruby: &Ruby, this: &Self, app: Value, events: Value) -> Result<Symbol, Error> {
        let core = this.core.get(ruby);
        serving(&this.core);
        ffi::watch_forks().map_err(|error| system_error(ruby, "pthread_atfork", &error))?;
        core.seat(|seat| {
            seat.set_pid(std::process::id());
            seat.set_ready(monotonic_ns());
        });
        let control = this.control.get(ruby);
        control.send(ruby, &FromWorker::Ready)?;
        let mut happened = Events::default();
        loop {
            if core.retire_asked.take() {
                core.retire(Leave { drain: false, transfer: false, linger_ms: core.linger_ms });
                // The master knows whether others take the connections. If it is gone, its end is about to be read.
                let _ = control.send(ruby, &FromWorker::Leaving);
            }
            let turn = core.reactor().turn();
            // Before the wait, which may be long.
            while let Some(notice) = take_notice(core) {
                tell(ruby, events, &notice);
            }
            match turn {
                Turn::Request(token) => serve(ruby, &this.core, app, events, token).map_err(Escape::into_error)?,
                Turn::Wait(timeout_ms) => core.wait(&mut happened, timeout_ms).map_err(Escape::into_error)?,
                Turn::Control => control.with_channel(ruby, |channel| core.obey(ruby, channel, events))??,
                Turn::Retired => break,
            }
        }
        Ok(ruby.to_symbol(if core.orphaned.get() { "orphaned" } else { "retired" }))
    }
}

/// The engine that runs in this process.
static SERVING: Mutex<Option<Arc<Locked<Core>>>> = Mutex::new(None);

fn serving(core: &Arc<Locked<Core>>) {
    *SERVING.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(core));
}

/// Returns the engine that runs in this process.
pub(crate) fn running_engine() -> Option<Arc<Locked<Core>>> {
    SERVING.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

fn take_notice(core: &Core) -> Option<Notice> {
    core.reactor().take_notice()
}

impl Core {
    /// Looks at the worker's seat.
    pub(crate) fn seat<T>(&self, look: impl FnOnce(Seat<'_>) -> T) -> T {
        let seat = scoreboard::seat(self.page.words(), self.seat);
        look(seat.expect("the page has this seat: new() looked"))
    }

    /// Notes that a request goes to the application.
    pub(crate) fn begin_running(&self, running: Running, env: Value) {
        self.env.set(env);
        self.hijacked.clear();
        self.running.set(Some(running));
    }

    /// Notes that it is over. Its objects are the application's alone from now on.
    pub(crate) fn end_running(&self) {
        self.running.set(None);
        self.env.clear();
        self.hijacked.clear();
    }

    /// Returns the env of the request that runs.
    pub(crate) fn running_env(&self) -> Option<Value> {
        self.env.get()
    }

    /// Lends an empty buffer.
    pub(crate) fn lend_buffer(&self) -> Vec<u8> {
        let mut buffer = self.buffer.take();
        buffer.reserve(1_024);
        buffer
    }

    /// Takes a buffer back to lend it again, unless it grew large.
    pub(crate) fn take_back(&self, mut buffer: Vec<u8>) {
        if buffer.capacity() <= KEPT_BUFFER_BYTES {
            buffer.clear();
            self.buffer.replace(buffer);
        }
    }

    /// Runs what may take long in the application; the other connections are looked after meanwhile. A child that was
    /// forked in there, and comes back, is told apart here: [`Escape::Child`].
    pub(crate) fn away<T>(&self, work: impl FnOnce() -> Result<T, Escape>) -> Result<T, Escape> {
        self.shared.lend();
        let outcome = own(work());
        if !matches!(outcome, Err(Escape::Child(_))) {
            self.shared.take_back();
        }
        outcome
    }

    /// Gives access to the connections, for a moment. A child that the application forked has none.
    pub(crate) fn reactor(&self) -> Access<'_> {
        if ffi::is_forked() && !self.abandoned.replace(true) {
            self.shared.abandon();
        }
        self.shared.access()
    }

    fn retire(&self, leave: Leave) {
        self.reactor().retire(leave);
        self.seat(|seat| seat.set_state(State::Retiring));
    }

    /// Waits for events: with the interpreter's lock while there is no need to sleep, without it to sleep.
    fn wait(&self, happened: &mut Events, timeout_ms: Option<u64>) -> Result<(), Escape> {
        let (connections, full) = {
            let reactor = self.reactor();
            (reactor.connections() as u64, reactor.is_full())
        };
        self.seat(|seat| {
            seat.set_connections(connections);
            seat.set_full(full);
        });
        if timeout_ms == Some(0) {
            self.poller.wait(happened, timeout_ms);
        } else {
            self.seat(|seat| seat.set_asleep(true));
            let waited = protect(|rb| rb.without_lock(&self.waker, || self.poller.wait(happened, timeout_ms)));
            self.seat(|seat| seat.set_asleep(false));
            waited?;
        }
        self.reactor().absorb(happened);
        Ok(())
    }

    /// Does what the master says.
    fn obey(&self, ruby: &Ruby, channel: &Channel, events: Value) -> Result<(), Error> {
        loop {
            match channel.try_recv() {
                Ok(Received::Datagram(bytes, _)) => match ToWorker::decode(&bytes) {
                    Ok(ToWorker::Retire { drain, hand_over, linger_ms }) => {
                        self.retire(Leave { drain, transfer: hand_over, linger_ms: linger_ms.into() });
                    }
                    Ok(ToWorker::ReopenLogs) => reopen_logs(events)?,
                    Err(error) => return Err(Error::new(ruby.exception_io_error(), error.to_string())),
                },
                Ok(Received::Empty) => return Ok(()),
                Ok(Received::End) | Err(_) => {
                    self.orphaned.set(true);
                    self.reactor().forget_control();
                    self.retire(Leave { drain: true, transfer: false, linger_ms: self.linger_ms });
                    self.reactor().give_up_after(self.timeout_ms.saturating_add(self.linger_ms));
                    return Ok(());
                }
            }
        }
    }
}

/// Tells apart, behind code of the application's, this process and a child that was forked in there: of the child's outcome
/// nothing may be done but to end.
pub(crate) fn own<T>(outcome: Result<T, Escape>) -> Result<T, Escape> {
    if ffi::is_forked() { Err(Escape::of_child(outcome)) } else { outcome }
}

/// Has the application's side reopen its logs. If that fails the worker serves on.
fn reopen_logs(events: Value) -> Result<(), Error> {
    let outcome = protect(|rb| {
        rb.send(events, "reopen_logs", &[]);
    });
    match outcome.map_err(|escape| (escape.standard_error(), escape)) {
        Ok(()) => Ok(()),
        Err((Some(exception), _)) => {
            report(events, "app_error", exception);
            Ok(())
        }
        Err((None, escape)) => Err(escape.into_error()),
    }
}

/// Calls a method of `events` with an exception. What that raises must not hide what it was about, nor end the worker.
pub(crate) fn report(events: Value, method: &str, exception: Exception) {
    let outcome = protect(|rb| {
        rb.send(events, method, &[exception.as_value()]);
    });
    if outcome.is_err() {
        // Standard error is what remains when the log is broken; if that is gone too, nothing does.
        sys::stdio::complain(format_args!("{method}: {exception}"));
    }
}

/// Reports a fact that is no exception of the application as if it were one.
pub(crate) fn report_text(ruby: &Ruby, events: Value, text: String) {
    if let Ok(exception) = ruby.exception_runtime_error().new_instance((text,)) {
        report(events, "app_error", exception);
    }
}

fn tell(ruby: &Ruby, events: Value, notice: &Notice) {
    let text = match notice {
        Notice::CannotAccept(errno) => format!("cannot accept connections, trying again: {errno}"),
        Notice::CannotStoreBody(error) => format!("cannot store a request body: {error}"),
        Notice::CannotStoreResponse(error) => format!("cannot store a response, waiting for its client: {error}"),
        Notice::NoProxyHeader(reason) => format!("closed a connection that has to come from a proxy: {reason}"),
        Notice::CannotTakeOver(text) => format!("a connection of another worker is lost: {text}"),
    };
    report_text(ruby, events, text);
}
