//! Strings, arrays and hashes.

use std::os::raw::c_int;

use magnus::Value;
use magnus::rb_sys::AsRawValue;
use rb_sys::{VALUE, ruby_value_type, st_data_t, st_retval};

use super::protect::{Rb, value};

/// Tells whether an object is a String.
pub(crate) fn is_string(object: Value) -> bool {
    // SAFETY: reads the type of a live object.
    unsafe { rb_sys::RB_TYPE_P(object.as_raw(), ruby_value_type::RUBY_T_STRING) }
}

/// Tells whether an object is an Array.
pub(crate) fn is_array(object: Value) -> bool {
    // SAFETY: reads the type of a live object.
    unsafe { rb_sys::RB_TYPE_P(object.as_raw(), ruby_value_type::RUBY_T_ARRAY) }
}

/// Tells whether an object is an Array without methods of its own.
pub(crate) fn is_plain_array(object: Value) -> bool {
    // SAFETY: an Array begins with an RBasic, whose class is that of the object itself if it has one.
    is_array(object) && unsafe { (*(object.as_raw() as *const rb_sys::RBasic)).klass == rb_sys::rb_cArray }
}

/// Tells whether an object is a Hash.
pub(crate) fn is_hash(object: Value) -> bool {
    // SAFETY: reads the type of a live object.
    unsafe { rb_sys::RB_TYPE_P(object.as_raw(), ruby_value_type::RUBY_T_HASH) }
}

/// Returns the small Integer that an object is.
pub(crate) fn fixnum(object: Value) -> Option<i64> {
    if !rb_sys::FIXNUM_P(object.as_raw()) {
        return None;
    }
    // SAFETY: it is a fixnum.
    Some(unsafe { rb_sys::FIX2LONG(object.as_raw()) })
}

/// Lends the bytes of a String; none of another object. `look` must not call Ruby, which could change them.
pub(crate) fn with_bytes<T>(string: Value, look: impl FnOnce(&[u8]) -> T) -> T {
    if !is_string(string) {
        return look(&[]);
    }
    let outcome = look(bytes_of(&string));
    // The compiler must not forget the object while its bytes are in use: Ruby finds it on the stack only.
    std::hint::black_box(string);
    outcome
}

/// Lends the bytes of all Strings of an array at once, other elements left out. `look` must not call Ruby.
pub(crate) fn with_all_bytes<T>(array: Value, head: &[u8], look: impl FnOnce(&[&[u8]]) -> T) -> T {
    let count = length(array);
    let mut strings = Vec::with_capacity(count);
    strings.extend((0..count).map(|index| element(array, index)).filter(|object| is_string(*object)));
    let mut parts: Vec<&[u8]> = Vec::with_capacity(strings.len() + 1);
    parts.push(head);
    parts.extend(strings.iter().map(bytes_of));
    let outcome = look(&parts);
    std::hint::black_box(array);
    outcome
}

/// The address of bytes for Ruby, which looks at memory near it even when there are none: then it must be a real one.
fn start_of(bytes: &[u8]) -> *const std::os::raw::c_char {
    static NOTHING: [u64; 2] = [0; 2];
    if bytes.is_empty() { NOTHING.as_ptr().cast() } else { bytes.as_ptr().cast() }
}

fn bytes_of(string: &Value) -> &[u8] {
    // SAFETY: it is a live String, and no code calls Ruby while the slice lives.
    unsafe {
        let start = rb_sys::RSTRING_PTR(string.as_raw()).cast::<u8>();
        let bytes = rb_sys::RSTRING_LEN(string.as_raw()) as usize;
        if start.is_null() { &[] } else { std::slice::from_raw_parts(start, bytes) }
    }
}

/// Returns the number of elements of an Array, 0 of another object.
pub(crate) fn length(array: Value) -> usize {
    if !is_array(array) {
        return 0;
    }
    // SAFETY: it is a live Array.
    let length = unsafe { rb_sys::RARRAY_LEN(array.as_raw()) };
    length as usize
}

/// Returns an element of an Array, nil beyond its end.
pub(crate) fn element(array: Value, index: usize) -> Value {
    if index >= length(array) {
        return value(rb_sys::Qnil as VALUE);
    }
    // SAFETY: it is a live Array, and rb_ary_entry checks the index itself.
    value(unsafe { rb_sys::rb_ary_entry(array.as_raw(), index as i64) })
}

unsafe extern "C" fn next_entry(_key: st_data_t, _object: st_data_t, rest: st_data_t, _error: c_int) -> c_int {
    // SAFETY: it is the address of the slice in `set_first`.
    let rest = unsafe { &*(rest as *const &[Value]) };
    (if rest.is_empty() { st_retval::ST_STOP } else { st_retval::ST_REPLACE }) as c_int
}

unsafe extern "C" fn set_entry(
    _key: *mut st_data_t,
    object: *mut st_data_t,
    rest: st_data_t,
    _existing: c_int,
) -> c_int {
    // SAFETY: it is the address of the slice in `set_first`.
    let rest = unsafe { &mut *(rest as *mut &[Value]) };
    if let Some((first, others)) = rest.split_first() {
        // SAFETY: it is the place of the entry's value.
        unsafe { *object = first.as_raw() };
        *rest = others;
    }
    st_retval::ST_CONTINUE as c_int
}

impl Rb<'_> {
    /// Makes a binary String.
    pub(crate) fn string(self, bytes: &[u8]) -> Value {
        // SAFETY: the pointer and length are of one slice; Ruby copies.
        value(unsafe { rb_sys::rb_str_new(start_of(bytes), bytes.len() as i64) })
    }

    /// Makes or finds the one frozen String with these bytes, of US-ASCII encoding as Ruby's own literals of keys have.
    pub(crate) fn key(self, bytes: &[u8]) -> Value {
        // SAFETY: the pointer and length are of one slice; Ruby copies.
        value(unsafe { rb_sys::rb_interned_str(start_of(bytes), bytes.len() as i64) })
    }

    /// Makes an empty Array.
    pub(crate) fn array(self) -> Value {
        // SAFETY: within `protect`.
        value(unsafe { rb_sys::rb_ary_new_capa(0) })
    }

    /// Adds to an Array.
    pub(crate) fn push(self, array: Value, object: Value) {
        // SAFETY: within `protect`; raises if it is frozen.
        unsafe { rb_sys::rb_ary_push(array.as_raw(), object.as_raw()) };
    }

    /// Appends bytes to a String.
    pub(crate) fn append(self, string: Value, bytes: &[u8]) {
        // SAFETY: the pointer and length are of one slice; Ruby copies. Raises if the String is frozen.
        unsafe { rb_sys::rb_str_cat(string.as_raw(), start_of(bytes), bytes.len() as i64) };
    }

    /// Appends `count` bytes to a String, written straight into its memory by `fill`, which must not call Ruby.
    ///
    /// # Errors
    /// Those of `fill`; the String is as long as before then.
    pub(crate) fn append_with(
        self,
        string: Value,
        count: usize,
        fill: impl FnOnce(&mut [u8]) -> std::io::Result<()>,
    ) -> std::io::Result<()> {
        // SAFETY: it is a String; raises if it is frozen. Afterwards there is room for `count` more bytes.
        unsafe { rb_sys::rb_str_modify_expand(string.as_raw(), count as i64) };
        // SAFETY: it is a live String.
        let before = unsafe { rb_sys::RSTRING_LEN(string.as_raw()) };
        // SAFETY: the room behind its end is ours, and no code calls Ruby while the slice lives. It is set to zero
        // first, since a slice of what was never written is no slice.
        let room = unsafe {
            let start = rb_sys::RSTRING_PTR(string.as_raw()).cast::<u8>().cast_mut().add(before as usize);
            std::ptr::write_bytes(start, 0, count);
            std::slice::from_raw_parts_mut(start, count)
        };
        fill(room)?;
        // SAFETY: so many bytes were written.
        unsafe { rb_sys::rb_str_set_len(string.as_raw(), before + count as i64) };
        Ok(())
    }

    /// Empties a String and makes it binary.
    pub(crate) fn empty_binary(self, string: Value) {
        // SAFETY: it is a String; raises if it is frozen.
        unsafe { rb_sys::rb_str_modify(string.as_raw()) };
        // SAFETY: it may be written to, and every String has room for no bytes.
        unsafe { rb_sys::rb_str_set_len(string.as_raw(), 0) };
        // SAFETY: the index is one of Ruby's own.
        unsafe { rb_sys::rb_enc_associate_index(string.as_raw(), rb_sys::rb_ascii8bit_encindex()) };
    }

    /// Copies a Hash.
    pub(crate) fn copy_hash(self, hash: Value) -> Value {
        // SAFETY: within `protect`.
        value(unsafe { rb_sys::rb_hash_dup(hash.as_raw()) })
    }

    /// Sets an entry of a Hash. `key` should be frozen, or Ruby copies it.
    pub(crate) fn set(self, hash: Value, key: Value, object: Value) {
        // SAFETY: within `protect`; raises if it is frozen or being iterated over.
        unsafe { rb_sys::rb_hash_aset(hash.as_raw(), key.as_raw(), object.as_raw()) };
    }

    /// Replaces the values of the first entries of a Hash of more than eight, in their order, without a look at their
    /// keys: to find an entry costs more than the object that is set.
    pub(crate) fn set_first(self, hash: Value, values: &[Value]) {
        let mut rest = values;
        // SAFETY: it is a Hash (the caller made it).
        let table = unsafe { rb_sys::rb_hash_tbl(hash.as_raw(), c"".as_ptr(), 0) };
        // SAFETY: the table is that Hash's own, which is not iterated over and lives on the stack, as do the values;
        // Ruby has taken it off the objects whose references it is told of. The callbacks take the address of `rest`,
        // which outlives the call.
        unsafe {
            let rest = (&raw mut rest) as rb_sys::st_data_t;
            rb_sys::rb_st_foreach_with_replace(table, Some(next_entry), Some(set_entry), rest);
        }
    }

    /// Returns an entry of a Hash; nil when there is none.
    pub(crate) fn fetch(self, hash: Value, key: Value) -> Value {
        // SAFETY: within `protect`; the key's own methods may raise.
        value(unsafe { rb_sys::rb_hash_lookup(hash.as_raw(), key.as_raw()) })
    }

    /// Removes an entry of a Hash.
    pub(crate) fn delete(self, hash: Value, key: Value) {
        // SAFETY: within `protect`.
        unsafe { rb_sys::rb_hash_delete(hash.as_raw(), key.as_raw()) };
    }

    /// Returns the object if it is a String, else what its `to_s` returns.
    pub(crate) fn to_string(self, object: Value) -> Value {
        if is_string(object) {
            return object;
        }
        // SAFETY: within `protect`; calls Ruby code.
        value(unsafe { rb_sys::rb_obj_as_string(object.as_raw()) })
    }

    /// Returns the object if it is an Array, what its `to_ary` returns, or nil.
    pub(crate) fn to_array(self, object: Value) -> Value {
        if is_array(object) {
            return object;
        }
        // SAFETY: within `protect`; calls Ruby code.
        value(unsafe { rb_sys::rb_check_array_type(object.as_raw()) })
    }
}
