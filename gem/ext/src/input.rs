//! `rack.input`: a complete request body, in memory or in an unlinked file. Reading it never waits for the client.

use std::cell::RefCell;
use std::fs::File;
use std::os::unix::fs::FileExt;

use magnus::{
    Error, Integer, IntoValue, RModule, RString, Ruby, TryConvert, Value, block::Proc, method, prelude::*,
    typed_data::Obj,
};
use reactor::{Body, Memory};

use crate::ffi::Locked;
use crate::{ffi, system_error};

/// What a line of a file is searched in at a time.
const LINE_READ_BYTES: usize = 16 * 1024;

enum Source {
    Memory(Memory),
    File { file: File, bytes: u64 },
}

struct State {
    source: Source,
    position: u64,
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
            Source::Memory(_) | Source::File { .. } => 0,
        };
        if weight > 0 {
            // Otherwise it would not see a reason to run while request bodies pile up.
            ffi::ruby().gc_adjust_memory_usage(weight);
        }
        Self { state: Locked::new(RefCell::new(State { source, position: 0 })), weight }
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
        let length = {
            let state = self.state(ruby).borrow();
            match separator {
                _ if state.left() == 0 => return Ok(ruby.qnil().as_value()),
                None => Ok(state.left()),
                // An empty separator means paragraphs.
                Some(b"") => state.find(b"\n\n"),
                Some(separator) => state.find(separator),
            }
        };
        let length = length.map_err(|error| system_error(ruby, "rack.input", &error))?;
        let string = ruby.str_from_slice(&[]);
        self.append(ruby, string, length)?;
        Ok(string.as_value())
    }

    fn rewind(ruby: &Ruby, this: &Self) -> i32 {
        this.state(ruby).borrow_mut().position = 0;
        0
    }

    fn size(ruby: &Ruby, this: &Self) -> u64 {
        this.state(ruby).borrow().bytes()
    }

    fn position(ruby: &Ruby, this: &Self) -> u64 {
        this.state(ruby).borrow().position
    }

    fn is_at_end(ruby: &Ruby, this: &Self) -> bool {
        this.state(ruby).borrow().left() == 0
    }

    /// Frees what is held. Reading afterwards finds the end, and no other request is concerned.
    pub(crate) fn close(ruby: &Ruby, this: &Self) {
        *this.state(ruby).borrow_mut() = State { source: Source::Memory(Memory::default()), position: 0 };
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
            Source::File { bytes, .. } => *bytes,
        }
    }

    fn left(&self) -> u64 {
        self.bytes().saturating_sub(self.position)
    }

    /// Copies the bytes at `place`, of which there must be enough.
    fn read_at(&self, room: &mut [u8], place: u64) -> std::io::Result<()> {
        match &self.source {
            Source::Memory(bytes) => {
                let start = place as usize;
                let bytes = bytes.get(start..start + room.len()).ok_or(std::io::ErrorKind::UnexpectedEof)?;
                room.copy_from_slice(bytes);
                Ok(())
            }
            Source::File { file, .. } => file.read_exact_at(room, place),
        }
    }

    /// Returns how many bytes there are up to and with `separator`, or to the end.
    fn find(&self, separator: &[u8]) -> std::io::Result<u64> {
        let position_in = |bytes: &[u8]| bytes.windows(separator.len()).position(|window| window == separator);
        match &self.source {
            Source::Memory(bytes) => {
                let rest = &bytes[self.position as usize..];
                Ok(position_in(rest).map_or(rest.len(), |at| at + separator.len()) as u64)
            }
            Source::File { file, .. } => {
                let mut piece = vec![0; LINE_READ_BYTES];
                let mut searched = 0;
                while searched < self.left() {
                    let got = file.read_at(&mut piece, self.position + searched)?;
                    if let Some(at) = position_in(&piece[..got]) {
                        return Ok((searched + (at + separator.len()) as u64).min(self.left()));
                    }
                    if got < separator.len() {
                        break;
                    }
                    // The separator may lie across two pieces.
                    searched += (got - separator.len() + 1) as u64;
                }
                Ok(self.left())
            }
        }
    }
}
