//! `Licorne::Native::Engine`: the loop of a worker.

use std::cell::{Cell, RefCell};
use std::os::fd::{AsFd, AsRawFd};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use ::directives::GarbageTime;
use http1::proxy::Versions;
use magnus::{
    Error, IntoValue, RHash, RModule, RString, Ruby, Symbol, Value, function, method, prelude::*, scan_args::scan_args,
    typed_data::Obj,
};
use reactor::probe::Answer;
use reactor::{Events, Leave, Reactor, Records, SharedReactor, Turn, milliseconds};
use scoreboard::{Losses, Lossy, State};
use sys::channel::{Channel, Received};
use sys::clock::monotonic_ns;
use wire::{FromWorker, Message, ToWorker};

use crate::access_log::{Place, records};
use crate::control::Control;
use crate::core::{Core, Responses, engine_runs};
use crate::error::system_error;
use crate::ffi::{self, Escape, Locked, protect};
use crate::gc::Collector;
use crate::probe::{Late, Probe};
use crate::promotion::{self, Promotions};
use crate::rack::{Input, request_class};
use crate::report::{reopen_logs, tell};
use crate::request::current::Current;
use crate::request::env::Template;
use crate::request::streaming::Streaming;
use crate::seat::WorkerSeat;
use crate::serve::serve;
use crate::settings::{Given, reasons, trusted_proxies};
use crate::usage::Usage;

/// The Ruby object. It keeps the control channel open.
#[magnus::wrap(class = "Licorne::Native::Engine", free_immediately)]
pub(crate) struct Engine {
    core: Arc<Locked<Core>>,
    control: Locked<Obj<Control>>,
    leaving: Locked<Leaving>,
    access_log: Locked<Place>,
    /// What is noted of requests, until the engine serves: of a probe nothing is.
    records: Locked<Cell<Option<Records>>>,
    late: Locked<Late>,
    promotions: Locked<Promotions>,
}

/// How long a process that ends at once waits for its connections, to write its log.
const FLUSH_NS: u64 = 100_000_000;

/// So many connections are told one by one.
const SHOWN_CONNECTIONS: usize = 100;

/// How this worker leaves.
struct Leaving {
    /// It was asked to, in this process.
    asked: Cell<bool>,
    /// Its master is gone.
    orphaned: Cell<bool>,
    linger_ms: u64,
    /// How long a request may last; bounds the end of a worker that has lost its master.
    timeout_ms: u64,
}

pub(crate) fn define(ruby: &Ruby, native: RModule) -> Result<(), Error> {
    let class = native.define_class("Engine", ruby.class_object())?;
    class.define_singleton_method("new", function!(Engine::new, 1))?;
    class.define_method("add_listener", method!(Engine::add_listener, -1))?;
    class.define_method("join_queue", method!(Engine::join_queue, 2))?;
    class.define_method("run", method!(Engine::run, 2))?;
    class.define_method("go_on", method!(Engine::serve, 2))?;
    class.define_method("take_promotion", method!(Engine::take_promotion, 0))?;
    class.define_method("sockets", method!(Engine::sockets, 0))?;
    class.define_method("apart", method!(Engine::apart, 0))?;
    class.define_method("let_go", method!(Engine::let_go, 0))?;
    class.define_method("probe", method!(Engine::probe, 4))?;
    class.define_method("probe_late?", method!(Engine::is_probe_late, 0))?;
    class.define_method("retire", method!(Engine::retire, 0))?;
    class.define_method("busy?", method!(Engine::is_busy, 0))?;
    class.define_method("request_to_report", method!(Engine::request_to_report, 1))?;
    class.define_method("running_env", method!(Engine::running_env, 0))?;
    class.define_method("connections", method!(Engine::connections, 0))?;
    class.define_method("reopen_access_log", method!(Engine::reopen_access_log, 0))?;
    class.define_method("flush_access_log", method!(Engine::flush_access_log, 0))?;
    class.define_method("count_lost_line", method!(Engine::count_lost_line, 1))?;
    class.define_method("seat_requests", method!(Engine::seat_requests, 0))
}

impl Engine {
    fn new(ruby: &Ruby, arguments: RHash) -> Result<Self, Error> {
        let control: Obj<Control> = arguments.fetch(ruby.to_symbol("control"))?;
        let board: i32 = arguments.fetch(ruby.to_symbol("board"))?;
        let page: i32 = arguments.fetch(ruby.to_symbol("page"))?;
        let seat: usize = arguments.fetch(ruby.to_symbol("seat"))?;
        let told: Obj<Given> = arguments.fetch(ruby.to_symbol("settings"))?;
        let header_limit: Option<usize> = arguments.lookup(ruby.to_symbol("header_limit"))?;
        let env: RHash = arguments.fetch(ruby.to_symbol("env"))?;
        let access_log: Option<i32> = arguments.lookup(ruby.to_symbol("access_log"))?;

        let settings = told.here(header_limit);
        let ::directives::Settings { processes, application, requests, connections, .. } = &settings;
        let streaming = Streaming::new(ruby, &settings)?;
        let mut reactor =
            Reactor::new((&settings).into()).map_err(|error| system_error(ruby, "epoll_create", &error))?;
        let watched = control.with_channel(ruby, |channel| reactor.watch_control(channel.as_fd()))?;
        watched.map_err(|error| system_error(ruby, "control", &error))?;
        if let Some(control) = reactor.control() {
            ffi::keep_from_children(control.as_raw_fd());
        }
        let seat = WorkerSeat::take(ruby, page, board, seat)?;
        reactor.watch_peers(seat.board(), seat.number());
        let trusted = trusted_proxies(ruby, application.trusted_proxies.as_deref())?;
        let records = records(ruby, &settings, trusted.clone(), access_log, seat.seat())?;
        let empty_input = ruby.obj_wrap(Input::new(reactor::Body::Empty)).as_value();
        let keep_underscores = !application.drop_underscore_headers;
        let poller = reactor.poller();
        let core = Core {
            waker: poller.waker(),
            poller,
            shared: SharedReactor::new(reactor).map_err(|error| system_error(ruby, "eventfd", &error))?,
            template: Template::new(ruby, env, empty_input, request_class(ruby)?, keep_underscores, trusted)?,
            current: Current::new(),
            seat,
            collector: Collector::new(application.gc == GarbageTime::BetweenRequests),
            usage: Usage::new(requests.request_usage),
            responses: Responses {
                write_ms: milliseconds(connections.write_timeout),
                buffer_bytes: connections.response_buffer_size,
                asks_for_arrays: arguments.lookup::<_, Option<bool>>(ruby.to_symbol("asks_for_arrays"))? == Some(true),
                reasons: reasons(ruby, arguments)?,
            },
            streaming,
            early_hints: application.early_hints,
            check_client: application.check_client_connection,
            buffer: RefCell::default(),
            abandoned: Cell::new(false),
        };
        let leaving = Leaving {
            asked: Cell::new(false),
            orphaned: Cell::new(false),
            linger_ms: milliseconds(processes.keepalive_linger),
            timeout_ms: milliseconds(processes.timeout),
        };
        // The engine lives as long as its worker.
        ffi::keep(control);
        Ok(Self {
            core: Arc::new(Locked::new(core)),
            records: Locked::new(Cell::new(records)),
            late: Locked::new(Late::default()),
            promotions: Locked::new(Promotions::default()),
            control: Locked::new(control),
            leaving: Locked::new(leaving),
            access_log: Locked::new(Place::of(&settings)),
        })
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
        this.leaving.get(ruby).asked.set(true);
        this.core.get(ruby).waker.wake();
    }

    fn is_busy(ruby: &Ruby, this: &Self) -> bool {
        this.core.get(ruby).current.running().is_some()
    }

    /// Takes the request that the master wants a report of, if it is the one being served and was not taken before:
    /// generation, request line, age in seconds, env. `slow` tells which report is meant. It may be called from a trap.
    fn request_to_report(ruby: &Ruby, this: &Self, slow: bool) -> Option<(u32, String, f64, Option<Value>)> {
        let core = this.core.get(ruby);
        let start = core.seat.take_report(slow).filter(|_| !ffi::is_forked())?;
        core.seat.look(|seat| {
            let age = Duration::from_nanos(monotonic_ns().saturating_sub(start));
            let line = seat.request_line().escape_ascii().to_string();
            Some((seat.generation(), line, age.as_secs_f64(), core.current.env()))
        })
    }

    /// The env of the request that is in the application. It may be called from a trap.
    fn running_env(ruby: &Ruby, this: &Self) -> Option<Value> {
        this.core.get(ruby).current.env()
    }

    /// What each connection is doing, in words. It may be called from a trap, and tells none when that interrupted one who
    /// has them.
    fn connections(ruby: &Ruby, this: &Self) -> Vec<String> {
        if ffi::is_forked() {
            return Vec::new();
        }
        this.core.get(ruby).shared.try_access().map(|reactor| reactor.describe(SHOWN_CONNECTIONS)).unwrap_or_default()
    }

    /// Opens the access log anew, if there is one. When that fails it goes on in the old file.
    fn reopen_access_log(ruby: &Ruby, this: &Self) -> Result<(), Error> {
        let outcome = this.access_log.get(ruby).reopen(this.core.get(ruby));
        outcome.map_err(|text| Error::new(ruby.exception_io_error(), text))
    }

    /// Writes the lines of the access log that there are, before the process ends at once. It may be called from a trap.
    fn flush_access_log(ruby: &Ruby, this: &Self) {
        if ffi::is_forked() {
            return;
        }
        let until_ns = monotonic_ns() + FLUSH_NS;
        loop {
            if let Some(mut reactor) = this.core.get(ruby).shared.try_access() {
                return reactor.finish_log(false);
            }
            if monotonic_ns() > until_ns {
                return;
            }
            // The helper has it for a moment.
            std::thread::yield_now();
        }
    }

    /// Counts a line of the log that was lost for the error with this number. A child that the application has forked has no
    /// seat to count it on.
    fn count_lost_line(ruby: &Ruby, this: &Self, errno: i32) {
        if !ffi::is_forked() {
            let lost = Losses { lines: 1, errno, at_ns: monotonic_ns() };
            this.core.get(ruby).seat.seat().lose(Lossy::Log, lost);
        }
    }

    fn seat_requests(ruby: &Ruby, this: &Self) -> u64 {
        this.core.get(ruby).seat.look(|seat| seat.requests())
    }

    /// Begins to serve, and does until told to leave, `:retired`, until the master is gone, `:orphaned`, or until the master
    /// wants a mold forked, `:promoted`: then `take_promotion` says which, and `go_on` goes on.
    fn run(ruby: &Ruby, this: &Self, app: Value, events: Value) -> Result<Symbol, Error> {
        let core = this.core.get(ruby);
        Self::begin(ruby, this)?;
        if let Some(records) = this.records.get(ruby).take() {
            core.reactor().observe(records);
        }
        core.seat.look(|seat| {
            seat.forget_requests();
            seat.set_pid(std::process::id());
            seat.set_ready(monotonic_ns());
            core.collector.begin(seat);
        });
        core.seat.place().set_serving(true);
        this.control.get(ruby).send(ruby, &FromWorker::Ready)?;
        Self::serve(ruby, this, app, events)
    }

    fn serve(ruby: &Ruby, this: &Self, app: Value, events: Value) -> Result<Symbol, Error> {
        let (core, promotions) = (this.core.get(ruby), this.promotions.get(ruby));
        let outcome = Self::go_on(ruby, this, app, events, || promotions.has_one().then_some(()));
        if let Ok(Some(())) = outcome {
            return Ok(ruby.to_symbol("promoted"));
        }
        // However it ends, what was served is in the log, and counted.
        let mut reactor = core.reactor();
        reactor.finish_log(true);
        core.seat.count_traffic(reactor.take_traffic());
        drop(reactor);
        outcome?;
        Ok(ruby.to_symbol(if this.leaving.get(ruby).orphaned.get() { "orphaned" } else { "retired" }))
    }

    /// Takes what the master wants: the generation of a mold, and the descriptor of its control socket.
    fn take_promotion(ruby: &Ruby, this: &Self) -> Option<(u32, i32)> {
        this.promotions.get(ruby).take()
    }

    /// The numbers of the sockets that are the server's own.
    fn sockets(ruby: &Ruby, this: &Self) -> Vec<i32> {
        promotion::sockets(this.core.get(ruby))
    }

    /// Yields; what is forked meanwhile has none of the memory that this worker shares with others.
    fn apart(ruby: &Ruby, this: &Self) -> Result<Value, Error> {
        promotion::apart(ruby, this.core.get(ruby))
    }

    /// For a mold that was forked so: closes all that is the worker's. The engine is of no use any more.
    fn let_go(ruby: &Ruby, this: &Self) {
        promotion::let_go(&this.core, ruby);
    }

    /// Has the application answer a request that no client sent, and returns what came back: status, status in words and
    /// first lines of a whole response, `:late` or `:broken`. `nil` when the worker is to leave.
    fn probe(
        ruby: &Ruby,
        this: &Self,
        app: Value,
        events: Value,
        request: RString,
        seconds: f64,
    ) -> Result<Value, Error> {
        let core = this.core.get(ruby);
        Self::begin(ruby, this)?;
        let patience = Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX);
        let channel = this.control.get(ruby).with_channel(ruby, Channel::duplicate)?;
        let channel = channel.map_err(|error| Error::new(ruby.exception_io_error(), error.chain()))?;
        let request = ffi::with_bytes(request.as_value(), <[u8]>::to_vec);
        let probe = Probe::start(ruby, core, channel, request, patience, this.late.get(ruby))?;
        core.template.is_probe.set(true);
        let answer = Self::go_on(ruby, this, app, events, || probe.answer());
        core.template.is_probe.set(false);
        Ok(match answer? {
            None => ruby.qnil().as_value(),
            Some(Answer::Response { status, words, text }) => (status, words, text).into_value_with(ruby),
            Some(Answer::Broken) => ruby.to_symbol("broken").as_value(),
            Some(Answer::Late) => ruby.to_symbol("late").as_value(),
        })
    }

    /// From now on this is the process whose requests the engine serves.
    fn begin(ruby: &Ruby, this: &Self) -> Result<(), Error> {
        engine_runs(&this.core);
        ffi::watch_forks().map_err(|error| system_error(ruby, "pthread_atfork", &error))
    }

    /// Tells, once, that a probe is late. It may be called from a trap.
    fn is_probe_late(ruby: &Ruby, this: &Self) -> bool {
        !ffi::is_forked() && this.late.get(ruby).swap(false, Ordering::SeqCst)
    }

    /// Goes on until there is an end, or until all that was begun is finished when the worker is to leave.
    fn go_on<T>(
        ruby: &Ruby,
        this: &Self,
        app: Value,
        events: Value,
        mut end: impl FnMut() -> Option<T>,
    ) -> Result<Option<T>, Error> {
        let (core, leaving, control) = (this.core.get(ruby), this.leaving.get(ruby), this.control.get(ruby));
        let mut happened = Events::default();
        loop {
            if let Some(end) = end() {
                return Ok(Some(end));
            }
            // One that leaves already goes on as the master told it to: that others take its connections holds.
            if leaving.asked.take() && !core.reactor().is_retiring() {
                retire(core, Leave { drain: false, transfer: false, linger_ms: leaving.linger_ms });
                // The master knows whether others take the connections. If it is gone, its end is about to be read.
                let _ = control.send(ruby, &FromWorker::Leaving);
            }
            let turn = core.reactor().turn();
            // Before the wait, which may be long.
            while let Some(notice) = core.reactor().take_notice() {
                tell(ruby, events, &notice);
            }
            match turn {
                Turn::Request(token) => {
                    serve(ruby, &this.core, app, events, token).map_err(Escape::into_error)?;
                    core.collect_garbage().map_err(Escape::into_error)?;
                }
                Turn::Wait(timeout_ms) => {
                    if timeout_ms == Some(0) || !core.collect_garbage().map_err(Escape::into_error)? {
                        let timeout_ms = core.collector.sleep_ms(timeout_ms);
                        wait(core, &mut happened, timeout_ms).map_err(Escape::into_error)?;
                    }
                }
                Turn::Control => {
                    let promotions = this.promotions.get(ruby);
                    control.with_channel(ruby, |channel| obey(ruby, core, leaving, promotions, channel, events))??;
                }
                Turn::Retired => return Ok(None),
            }
        }
    }
}

fn retire(core: &Core, leave: Leave) {
    core.reactor().retire(leave);
    core.seat.look(|seat| seat.set_state(State::Retiring));
    core.seat.place().set_serving(false);
}

/// Waits for events: with the interpreter's lock while there is no need to sleep, without it to sleep.
fn wait(core: &Core, happened: &mut Events, timeout_ms: Option<u64>) -> Result<(), Escape> {
    let (connections, full, now_ns) = {
        let mut reactor = core.reactor();
        // Clients that left before there was a request are told here.
        core.seat.count_traffic(reactor.take_traffic());
        (reactor.connections() as u64, reactor.is_full(), reactor.noted_ns())
    };
    let place = core.seat.place();
    core.seat.look(|seat| {
        seat.set_connections(connections);
        place.set_movement(seat.requests(), connections);
    });
    place.set_full(full);
    if timeout_ms == Some(0) {
        core.poller.wait(happened, timeout_ms);
    } else {
        core.seat.set_asleep(true, now_ns);
        let waited = protect(|rb| rb.without_lock(&core.waker, || core.poller.wait(happened, timeout_ms)));
        core.seat.set_asleep(false, now_ns);
        waited?;
        core.reactor().wake(monotonic_ns());
    }
    core.reactor().absorb(happened);
    Ok(())
}

/// Does what the master says.
fn obey(
    ruby: &Ruby,
    core: &Core,
    leaving: &Leaving,
    promotions: &Promotions,
    channel: &Channel,
    events: Value,
) -> Result<(), Error> {
    loop {
        match channel.try_recv() {
            Ok(Received::Datagram(bytes, descriptors)) => match ToWorker::decode(&bytes) {
                Ok(ToWorker::Retire { drain, hand_over, linger_ms }) => {
                    retire(core, Leave { drain, transfer: hand_over, linger_ms: linger_ms.into() });
                }
                Ok(ToWorker::ReopenLogs) => reopen_logs(events)?,
                Ok(ToWorker::Promote { generation }) => promotions.ask(generation, descriptors),
                Err(error) => return Err(Error::new(ruby.exception_io_error(), error.to_string())),
            },
            Ok(Received::Empty) => return Ok(()),
            Ok(Received::End) | Err(_) => {
                leaving.orphaned.set(true);
                core.reactor().forget_control();
                retire(core, Leave { drain: true, transfer: false, linger_ms: leaving.linger_ms });
                core.reactor().give_up_after(leaving.timeout_ms.saturating_add(leaving.linger_ms));
                return Ok(());
            }
        }
    }
}
