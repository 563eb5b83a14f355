//! `Licorne::Native::Control`: one end of a control channel, as molds and workers use it.

use std::os::fd::{AsRawFd, IntoRawFd, OwnedFd};
use std::sync::Arc;

use magnus::{Error, RHash, RModule, Ruby, Symbol, Value, function, method, prelude::*, scan_args};
use sys::channel::{Channel, Received};
use wire::{FromMold, FromWorker, MAX_TEXT_BYTES, Message, ToMold};

use crate::error::system_error;
use crate::ffi::{self, Locked};
use crate::json;

/// The Ruby object. The engine shares the channel with it.
#[magnus::wrap(class = "Licorne::Native::Control", free_immediately)]
pub(crate) struct Control(Arc<Locked<std::cell::RefCell<Option<Channel>>>>);

pub(crate) fn define(ruby: &Ruby, native: RModule) -> Result<(), Error> {
    let class = native.define_class("Control", ruby.class_object())?;
    class.define_singleton_method("new", function!(Control::new, 1))?;
    // A mold's.
    class.define_method("receive", method!(Control::receive, 0))?;
    class.define_method("send_message", method!(Control::send_message, -1))?;
    // A worker's.
    class.define_method("backtraces", method!(Control::backtraces, 2))?;
    class.define_method("not_promoted", method!(Control::not_promoted, 3))?;
    // A worker's, before its engine runs; the first of a service and of a mold that a worker has forked, too.
    class.define_method("forked", method!(Control::forked, 0))?;
    class.define_method("failed", method!(Control::failed, 1))?;
    class.define_method("fileno", method!(Control::fileno, 0))?;
    class.define_method("close", method!(Control::close, 0))
}

impl Control {
    fn new(ruby: &Ruby, number: i32) -> Result<Self, Error> {
        let fd = ffi::adopt_descriptor(number).map_err(|error| system_error(ruby, "control", &error))?;
        Ok(Self(Arc::new(Locked::new(std::cell::RefCell::new(Some(Channel::from_fd(fd)))))))
    }

    /// Looks at the channel while it is open.
    pub(crate) fn with_channel<T>(&self, ruby: &Ruby, look: impl FnOnce(&Channel) -> T) -> Result<T, Error> {
        match &*self.0.get(ruby).borrow() {
            Some(channel) => Ok(look(channel)),
            None => Err(Error::new(ruby.exception_io_error(), "closed control channel")),
        }
    }

    /// Waits for a message without the interpreter's lock; signals are handled meanwhile.
    fn receive(ruby: &Ruby, this: &Self) -> Result<Value, Error> {
        loop {
            let number = this.fileno_of(ruby)?;
            ffi::protect(|rb| rb.wait_readable(number)).map_err(ffi::Escape::into_error)?;
            match this.with_channel(ruby, Channel::try_recv)? {
                Ok(Received::Datagram(bytes, descriptors)) => return received(ruby, &bytes, descriptors),
                Ok(Received::Empty) => {}
                Ok(Received::End) => return Ok(ruby.qnil().as_value()),
                Err(error) => return Err(Error::new(ruby.exception_io_error(), error.chain())),
            }
        }
    }

    fn send_message(ruby: &Ruby, this: &Self, arguments: &[Value]) -> Result<(), Error> {
        let arguments = scan_args::scan_args::<(Symbol,), (Option<RHash>,), (), (), RHash, ()>(arguments)?;
        let fields = match arguments.optional.0 {
            Some(hash) => hash,
            None => arguments.keywords,
        };
        let kind = arguments.required.0.name()?.into_owned();
        let message = message(ruby, &kind, fields)?;
        this.send(ruby, &message)
    }

    fn forked(ruby: &Ruby, this: &Self) -> Result<(), Error> {
        this.send(ruby, &FromWorker::Forked)
    }

    fn failed(ruby: &Ruby, this: &Self, text: String) -> Result<(), Error> {
        this.send(ruby, &FromWorker::Failed { text: truncated(text) })
    }

    /// Answers the question with this number. It may be called from a trap, and waits for nothing: what the master does not
    /// take is lost.
    fn backtraces(ruby: &Ruby, this: &Self, question: u64, text: String) -> Result<(), Error> {
        this.send(ruby, &FromWorker::Backtraces { question, text: truncated(text) })
    }

    /// Says that this worker forks no mold of this generation, never or not now, and why.
    fn not_promoted(ruby: &Ruby, this: &Self, generation: u32, for_good: bool, text: String) -> Result<(), Error> {
        this.send(ruby, &FromWorker::NotPromoted { generation, for_good, text: truncated(text) })
    }

    /// Sends a message.
    pub(crate) fn send(&self, ruby: &Ruby, message: &impl Message) -> Result<(), Error> {
        self.with_channel(ruby, |channel| channel.send(&message.encode(), &[]))?
            .map_err(|error| Error::new(ruby.exception_io_error(), error.chain()))
    }

    fn fileno_of(&self, ruby: &Ruby) -> Result<i32, Error> {
        self.with_channel(ruby, |channel| std::os::fd::AsFd::as_fd(channel).as_raw_fd())
    }

    fn fileno(ruby: &Ruby, this: &Self) -> Result<i32, Error> {
        this.fileno_of(ruby)
    }

    fn close(ruby: &Ruby, this: &Self) {
        this.0.get(ruby).borrow_mut().take();
    }
}

fn message(ruby: &Ruby, kind: &str, fields: RHash) -> Result<FromMold, Error> {
    let text = |name: &str| -> Result<String, Error> {
        let text: String = fields.fetch::<_, String>(ruby.to_symbol(name))?;
        Ok(truncated(text))
    };
    Ok(match kind {
        "ready" => FromMold::Ready,
        "settings" => FromMold::Settings { json: json::generate(ruby, fields.fetch(ruby.to_symbol("json"))?)? },
        "exec_environment" => {
            let environment: Value = fields.fetch(ruby.to_symbol("json"))?;
            let json = if environment.is_nil() { String::new() } else { json::generate(ruby, environment)? };
            FromMold::ExecEnvironment { json }
        }
        "fork_failed" => FromMold::ForkFailed { slot: fields.fetch(ruby.to_symbol("slot"))?, text: text("text")? },
        "service_fork_failed" => {
            FromMold::ServiceForkFailed { service: fields.fetch(ruby.to_symbol("service"))?, text: text("text")? }
        }
        "failed" => FromMold::Failed { text: text("text")? },
        "reopen_logs" => FromMold::ReopenLogs,
        other => return Err(Error::new(ruby.exception_arg_error(), format!("no message to send: {other}"))),
    })
}

/// Cuts a text to what one message carries, between two characters.
fn truncated(mut text: String) -> String {
    if text.len() > MAX_TEXT_BYTES {
        let end = (0..=MAX_TEXT_BYTES).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
        text.truncate(end);
    }
    text
}

fn received(ruby: &Ruby, bytes: &[u8], descriptors: Vec<OwnedFd>) -> Result<Value, Error> {
    let message = ToMold::decode(bytes).map_err(|error| Error::new(ruby.exception_io_error(), error.to_string()))?;
    let hash = ruby.hash_new();
    let set = |name: &str, object: Value| hash.aset(ruby.to_symbol(name), object);
    let number = |n: i64| ruby.integer_from_i64(n).as_value();
    let text = |text: &str| ruby.str_new(text).as_value();
    let kind = match message {
        ToMold::Boot { json } => {
            set("json", json::parse(ruby, &json)?)?;
            "boot"
        }
        ToMold::Proceed => "proceed",
        ToMold::Fork { slot, generation, seat, names, proxies } => {
            set("slot", number(slot.into()))?;
            set("generation", number(generation.into()))?;
            set("seat", number(seat.into()))?;
            set("names", ruby.ary_from_iter(names.iter().map(|name| ruby.str_new(name))).as_value())?;
            let proxy = |name: &String| if name.is_empty() { ruby.qnil().as_value() } else { text(name) };
            set("proxies", ruby.ary_from_iter(proxies.iter().map(proxy)).as_value())?;
            "fork"
        }
        ToMold::WorkerExited { slot, pid, status } => {
            set("slot", slot.map_or(ruby.qnil().as_value(), |slot| number(slot.into())))?;
            set("pid", number(pid.into()))?;
            set("status", number(status.into()))?;
            "worker_exited"
        }
        ToMold::WorkerProcesses { count } => {
            set("count", number(count.into()))?;
            "worker_processes"
        }
        ToMold::PidPath { path } => {
            set("path", text(&path))?;
            "pid_path"
        }
        ToMold::BeforeExec => "before_exec",
        ToMold::Log { severity, text: line } => {
            set("severity", number(severity as i64))?;
            set("text", text(&line))?;
            "log"
        }
        ToMold::ForkService { service, name, generation } => {
            set("service", number(service.into()))?;
            set("name", text(&name))?;
            set("generation", number(generation.into()))?;
            "fork_service"
        }
        ToMold::ReopenLogs => "reopen_logs",
        ToMold::Retire { .. } => "retire",
    };
    set("kind", ruby.to_symbol(kind).as_value())?;
    let numbers = descriptors.into_iter().map(|fd| number(fd.into_raw_fd().into()));
    set("fds", ruby.ary_from_iter(numbers).as_value())?;
    Ok(hash.as_value())
}
