//! `rack.input`: a complete request body, in memory or in an unlinked file, so that reading it never waits for the
//! client; or one that is still arriving (see [`super::feed`]).

use std::cell::RefCell;
use std::fs::File;
use std::os::unix::fs::FileExt;

use magnus::{
    Error, Integer, IntoValue, RModule, RString, Ruby, TryConvert, Value, block::Proc, method, prelude::*,
    typed_data::Obj,
};
use reactor::{Body, Memory};

use crate::error::system_error;
use crate::ffi::{self, Locked};
use crate::request::streaming::{Feed, Streaming};

use super::feed;

/// What a line of a file is searched in at a time.
const LINE_READ_BYTES: usize = 16 * 1024;

enum Source {
    Memory(Memory),
    Growing(Vec<u8>),
    File { file: File, bytes: u64 },
}

struct State {
    source: Source,
    position: u64,
    /// Where the rest comes from, until it is there.
    feed: Option<Feed>,
}

/// The Ruby object.
#[magnus::wrap(class = "Licorne::Native::Input", free_immediately)]
pub(crate) struct Input {
    state: Locked<RefCell<State>>,
    /// Bytes of memory that the garbage collector was told about.
    weight: isize,
}

impl Drop for Input {
    fn drop(&mut self) {
        if self.weight > 0 {
            ffi::ruby().gc_adjust_memory_usage(-self.weight);
        }
    }
}

pub(crate) fn define(ruby: &Ruby, native: RModule) -> Result<(), Error> {
    let class = native.define_class("Input", ruby.class_object())?;
    class.undef_default_alloc_func();
    class.define_method("read", method!(Input::read, -1))?;
    class.define_method("gets", method!(Input::gets, -1))?;
    class.define_method("each", method!(Input::each, 0))?;
    class.define_method("rewind", method!(Input::rewind, 0))?;
    class.define_method("size", method!(Input::size, 0))?;
    class.define_method("complete", method!(Input::complete, 0))?;
    class.define_method("close", method!(Input::close, 0))?;
    class.define_method("close!", method!(Input::close, 0))?;
    class.define_method("eof?", method!(Input::is_at_end, 0))?;
    class.define_method("pos", method!(Input::position, 0))?;
    class.define_method("external_encoding", method!(Input::external_encoding, 0))?;
    class.define_method("binmode", method!(Input::binmode, 0))?;
    class.define_method("closed?", method!(Input::is_closed, 0))
}

impl Input {
    /// Makes the input of one request.
    pub(crate) fn new(body: Body) -> Self {
        // What is large ends with its request, and needs no garbage collector.
        let is_large = body.is_large();
        let source = match body {
            Body::Empty => Source::Memory(Memory::default()),
            Body::Memory(bytes) => Source::Memory(bytes),
            Body::File { file, bytes } => Source::File { file, bytes },
        };
        let weight = match &source {
            Source::Memory(bytes) if !is_large => isize::try_from(bytes.capacity()).unwrap_or(0),
            Source::Memory(_) | Source::Growing(_) | Source::File { .. } => 0,
        };
        if weight > 0 {
            // Otherwise it would not see a reason to run while request bodies pile up.
            ffi::ruby().gc_adjust_memory_usage(weight);
        }
        Self { state: Locked::new(RefCell::new(State { source, position: 0, feed: None })), weight }
    }

    /// Makes the input of a request whose body came with its head.
    pub(crate) fn of_whole(ruby: &Ruby, streaming: &Streaming, body: Body) -> Obj<Self> {
        ruby.obj_wrap_as(Self::new(body), streaming.class())
    }

    /// Makes the input of a request whose body has so many bytes, or is chunked, and is still to come.
    pub(crate) fn of_arriving(ruby: &Ruby, streaming: &Streaming, serial: u64, bytes: Option<u64>) -> Obj<Self> {
        ruby.obj_wrap_as(Self::fed(streaming.feed(serial, bytes)), streaming.class())
    }

    fn fed(feed: Feed) -> Self {
        let state = State { source: Source::Growing(Vec::new()), position: 0, feed: Some(feed) };
        Self { state: Locked::new(RefCell::new(state)), weight: 0 }
    }

    /// Waits for the client until there is enough, or all.
    fn want(&self, ruby: &Ruby, mut enough: impl FnMut(&State) -> std::io::Result<bool>) -> Result<(), Error> {
        let failed = |error: std::io::Error| system_error(ruby, "rack.input", &error);
        loop {
            let feed = {
                let state = self.state(ruby).borrow();
                let Some(feed) = state.feed else { return Ok(()) };
                if enough(&state).map_err(failed)? {
                    return Ok(());
                }
                feed
            };
            // No guard is held: this waits, and other threads may read from this input.
            let more = feed::more(ruby, feed.serial)?;
            let mut state = self.state(ruby).borrow_mut();
            match more {
                Some(bytes) => state.push(bytes, &feed).map_err(failed)?,
                None => state.feed = None,
            }
        }
    }

    /// `read`, `read(length)`, `read(length, buffer)` as Rack's specification has it.
    fn read(ruby: &Ruby, this: &Self, arguments: &[Value]) -> Result<Value, Error> {
        let (length, buffer) = match arguments {
            [] => (None, None),
            [length] => (Some(*length), None),
            [length, buffer] => (Some(*length), Some(*buffer)),
            more => {
                let text = format!("wrong number of arguments (given {}, expected 0..2)", more.len());
                return Err(Error::new(ruby.exception_arg_error(), text));
            }
        };
        let length = match length.filter(|length| !length.is_nil()) {
            None => None,
            Some(length) => {
                let length: Integer = TryConvert::try_convert(length)?;
                let length = length.to_i64()?;
                let refuse = || Error::new(ruby.exception_arg_error(), format!("negative length {length} given"));
                Some(u64::try_from(length).map_err(|_| refuse())?)
            }
        };
        let buffer = buffer.filter(|buffer| !buffer.is_nil()).map(RString::try_convert).transpose()?;
        this.want(ruby, |state| {
            // Of a chunked body what is there is enough, as in Unicorn.
            let sized = state.feed.is_some_and(|feed| feed.bytes.is_some());
            Ok(length.is_some_and(|length| state.left() >= if sized { length } else { length.min(1) }))
        })?;
        let left = this.state(ruby).borrow().left();
        let wanted = length.unwrap_or(left).min(left);
        if let Some(buffer) = buffer {
            ffi::protect(|rb| rb.empty_binary(buffer.as_value())).map_err(ffi::Escape::into_error)?;
        }
        if wanted == 0 && length.is_some_and(|length| length > 0) {
            return Ok(ruby.qnil().as_value());
        }
        let string = buffer.unwrap_or_else(|| ruby.str_from_slice(&[]));
        this.append(ruby, string, wanted)?;
        Ok(string.as_value())
    }

    /// Moves the next `count` bytes, which must be left, to a string.
    fn append(&self, ruby: &Ruby, string: RString, count: u64) -> Result<(), Error> {
        let state = self.state(ruby);
        let place = state.borrow().position;
        let outcome = ffi::protect(|rb| {
            let count = usize::try_from(count).unwrap_or(usize::MAX);
            // No guard is held while the string grows, which may raise.
            rb.append_with(string.as_value(), count, |room| state.borrow().read_at(room, place))
        });
        outcome.map_err(ffi::Escape::into_error)?.map_err(|error| system_error(ruby, "rack.input", &error))?;
        state.borrow_mut().position = place + count;
        Ok(())
    }

    /// The next line with its end, by `$/` unless a separator is given; nil at the end.
    fn gets(ruby: &Ruby, this: &Self, arguments: &[Value]) -> Result<Value, Error> {
        let separator = match arguments.first() {
            Some(given) => *given,
            None => ruby.eval("$/")?,
        };
        let separator: Option<RString> = TryConvert::try_convert(separator)?;
        let separator = separator.map(|text| ffi::with_bytes(text.as_value(), <[u8]>::to_vec));
        this.line(ruby, separator.as_deref())
    }

    /// Yields each line.
    fn each(ruby: &Ruby, this: Obj<Self>) -> Result<Value, Error> {
        let block: Proc = ruby.block_proc()?;
        loop {
            let line = this.line(ruby, Some(b"\n"))?;
            if line.is_nil() {
                return Ok(this.as_value());
            }
            block.call::<_, Value>((line,))?;
        }
    }

    fn line(&self, ruby: &Ruby, separator: Option<&[u8]>) -> Result<Value, Error> {
        // An empty separator means paragraphs.
        let separator = separator.map(|text| if text.is_empty() { b"\n\n" } else { text });
        let (mut length, mut searched) = (None, 0);
        let look = |state: &State| {
            let Some(separator) = separator else { return Ok(false) };
            length = state.find(separator, searched)?;
            // It may lie across what is there and what comes.
            searched = state.left().saturating_sub(separator.len() as u64 - 1);
            Ok(length.is_some())
        };
        self.want(ruby, look)?;
        let left = {
            let state = self.state(ruby).borrow();
            if let (Some(separator), None) = (separator, length) {
                let found = state.find(separator, searched);
                length = found.map_err(|error| system_error(ruby, "rack.input", &error))?;
            }
            state.left()
        };
        let length = length.unwrap_or(left);
        if length == 0 {
            return Ok(ruby.qnil().as_value());
        }
        let string = ruby.str_from_slice(&[]);
        self.append(ruby, string, length)?;
        Ok(string.as_value())
    }

    fn rewind(ruby: &Ruby, this: &Self) -> i32 {
        this.state(ruby).borrow_mut().position = 0;
        0
    }

    fn size(ruby: &Ruby, this: &Self) -> Result<u64, Error> {
        if let Some(bytes) = this.state(ruby).borrow().feed.and_then(|feed| feed.bytes) {
            return Ok(bytes);
        }
        this.want(ruby, |_| Ok(false))?;
        Ok(this.state(ruby).borrow().bytes())
    }

    /// Waits until all of it is there.
    fn complete(ruby: &Ruby, this: &Self) -> Result<(), Error> {
        this.want(ruby, |_| Ok(false))
    }

    fn position(ruby: &Ruby, this: &Self) -> u64 {
        this.state(ruby).borrow().position
    }

    fn is_at_end(ruby: &Ruby, this: &Self) -> Result<bool, Error> {
        this.want(ruby, |state| Ok(state.left() > 0))?;
        Ok(this.state(ruby).borrow().left() == 0)
    }

    /// Frees what is held. Reading afterwards finds the end, and no other request is concerned.
    pub(crate) fn close(ruby: &Ruby, this: &Self) {
        *this.state(ruby).borrow_mut() = State { source: Source::Memory(Memory::default()), position: 0, feed: None };
    }

    /// The server closes it; an application that asks whether it still may read may.
    fn is_closed(_: &Ruby, _: &Self) -> bool {
        false
    }

    fn external_encoding(ruby: &Ruby, _: &Self) -> Value {
        ruby.ascii8bit_encoding().into_value_with(ruby)
    }

    fn binmode(this: Obj<Self>) -> Obj<Self> {
        this
    }

    fn state(&self, ruby: &Ruby) -> &RefCell<State> {
        self.state.get(ruby)
    }
}

impl State {
    fn bytes(&self) -> u64 {
        match &self.source {
            Source::Memory(bytes) => bytes.len() as u64,
            Source::Growing(bytes) => bytes.len() as u64,
            Source::File { bytes, .. } => *bytes,
        }
    }

    fn left(&self) -> u64 {
        self.bytes().saturating_sub(self.position)
    }

    /// Adds what came of the body.
    fn push(&mut self, bytes: Vec<u8>, feed: &Feed) -> std::io::Result<()> {
        match &mut self.source {
            Source::Memory(_) => self.source = Source::Growing(bytes),
            Source::Growing(memory) if !feed.rewindable => {
                memory.drain(..self.position as usize);
                self.position = 0;
                memory.extend_from_slice(&bytes);
            }
            Source::Growing(memory) if memory.len() + bytes.len() <= feed.memory_bytes => {
                memory.extend_from_slice(&bytes);
            }
            Source::Growing(memory) => {
                let file = reactor::unnamed_file()?;
                file.write_all_at(memory, 0)?;
                file.write_all_at(&bytes, memory.len() as u64)?;
                self.source = Source::File { file, bytes: (memory.len() + bytes.len()) as u64 };
            }
            Source::File { file, bytes: end } => {
                file.write_all_at(&bytes, *end)?;
                *end += bytes.len() as u64;
            }
        }
        Ok(())
    }

    /// Copies the bytes at `place`, of which there must be enough.
    fn read_at(&self, room: &mut [u8], place: u64) -> std::io::Result<()> {
        let bytes: &[u8] = match &self.source {
            Source::Memory(bytes) => bytes,
            Source::Growing(bytes) => bytes,
            Source::File { file, .. } => return file.read_exact_at(room, place),
        };
        let start = place as usize;
        let bytes = bytes.get(start..start + room.len()).ok_or(std::io::ErrorKind::UnexpectedEof)?;
        room.copy_from_slice(bytes);
        Ok(())
    }

    /// Returns how many bytes there are up to and with `separator`, of which the first `from` have none.
    fn find(&self, separator: &[u8], from: u64) -> std::io::Result<Option<u64>> {
        let position_in = |bytes: &[u8]| bytes.windows(separator.len()).position(|window| window == separator);
        let bytes: &[u8] = match &self.source {
            Source::Memory(bytes) => bytes,
            Source::Growing(bytes) => bytes,
            Source::File { file, .. } => return self.find_in_file(file, position_in, separator.len(), from),
        };
        // Another thread may have closed the input, or read on, since `from` was counted.
        let Some(rest) = bytes.get((self.position + from) as usize..) else { return Ok(None) };
        Ok(position_in(rest).map(|at| from + (at + separator.len()) as u64))
    }

    fn find_in_file(
        &self,
        file: &File,
        position_in: impl Fn(&[u8]) -> Option<usize>,
        separator_len: usize,
        from: u64,
    ) -> std::io::Result<Option<u64>> {
        let mut piece = vec![0; LINE_READ_BYTES];
        let mut searched = from;
        while searched < self.left() {
            let got = file.read_at(&mut piece, self.position + searched)?;
            if let Some(at) = position_in(&piece[..got]) {
                return Ok(Some((searched + (at + separator_len) as u64).min(self.left())));
            }
            if got < separator_len {
                break;
            }
            // The separator may lie across two pieces.
            searched += (got - separator_len + 1) as u64;
        }
        Ok(None)
    }
}
