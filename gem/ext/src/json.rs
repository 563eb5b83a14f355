//! JSON to Ruby objects and back. Ruby's own json library is not loaded for this: the application may want another
//! version of it, and a mold without one is smaller.

use magnus::{Error, Float, Integer, RArray, RHash, RString, Ruby, Symbol, TryConvert, Value, prelude::*};
use serde_json::{Map, Number, Value as Json};

/// Nesting beyond this is refused: an object may contain itself.
const DEEPEST: usize = 32;

/// Parses a text. Objects become Hashes with String keys.
///
/// # Errors
/// `ArgumentError`: it is no JSON.
pub(crate) fn parse(ruby: &Ruby, text: &str) -> Result<Value, Error> {
    let json: Json = serde_json::from_str(text).map_err(|error| refuse(ruby, &format!("not JSON: {error}")))?;
    to_ruby(ruby, &json)
}

/// Writes an object as JSON. Symbols become Strings.
///
/// # Errors
/// `ArgumentError`: it holds something that JSON has no word for.
pub(crate) fn generate(ruby: &Ruby, object: Value) -> Result<String, Error> {
    let json = from_ruby(ruby, object, 0)?;
    serde_json::to_string(&json).map_err(|error| refuse(ruby, &error.to_string()))
}

fn refuse(ruby: &Ruby, text: &str) -> Error {
    Error::new(ruby.exception_arg_error(), text.to_owned())
}

fn to_ruby(ruby: &Ruby, json: &Json) -> Result<Value, Error> {
    Ok(match json {
        Json::Null => ruby.qnil().as_value(),
        Json::Bool(true) => ruby.qtrue().as_value(),
        Json::Bool(false) => ruby.qfalse().as_value(),
        Json::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(n), _) => ruby.integer_from_i64(n).as_value(),
            (None, Some(n)) => ruby.integer_from_u64(n).as_value(),
            (None, None) => ruby.float_from_f64(number.as_f64().unwrap_or(f64::NAN)).as_value(),
        },
        Json::String(text) => ruby.str_new(text).as_value(),
        Json::Array(items) => {
            let array = ruby.ary_new_capa(items.len());
            for item in items {
                array.push(to_ruby(ruby, item)?)?;
            }
            array.as_value()
        }
        Json::Object(entries) => {
            let hash = ruby.hash_new();
            for (key, item) in entries {
                hash.aset(ruby.str_new(key), to_ruby(ruby, item)?)?;
            }
            hash.as_value()
        }
    })
}

/// Turns an object into JSON, `depth` levels below the outermost. Symbols become Strings.
///
/// # Errors
/// `ArgumentError`: it holds something that JSON has no word for.
pub(crate) fn from_ruby(ruby: &Ruby, object: Value, depth: usize) -> Result<Json, Error> {
    if depth > DEEPEST {
        return Err(refuse(ruby, "nested too deeply for JSON"));
    }
    if object.is_nil() {
        return Ok(Json::Null);
    }
    if object.is_kind_of(ruby.class_true_class()) {
        return Ok(Json::Bool(true));
    }
    if object.is_kind_of(ruby.class_false_class()) {
        return Ok(Json::Bool(false));
    }
    if let Some(number) = Integer::from_value(object) {
        return Ok(Json::Number(number.to_i64()?.into()));
    }
    if let Some(number) = Float::from_value(object) {
        let number = Number::from_f64(number.to_f64());
        return number.map(Json::Number).ok_or_else(|| refuse(ruby, "JSON has no such number"));
    }
    if let Some(text) = RString::from_value(object) {
        return Ok(Json::String(text.to_string()?));
    }
    if let Some(symbol) = Symbol::from_value(object) {
        return Ok(Json::String(symbol.name()?.into_owned()));
    }
    if let Some(array) = RArray::from_value(object) {
        let items: Result<Vec<Json>, Error> = array.into_iter().map(|item| from_ruby(ruby, item, depth + 1)).collect();
        return Ok(Json::Array(items?));
    }
    if let Some(hash) = RHash::from_value(object) {
        let mut entries = Map::new();
        hash.foreach(|key: Value, item: Value| {
            let key: String = TryConvert::try_convert(key.funcall::<_, _, Value>("to_s", ())?)?;
            entries.insert(key, from_ruby(ruby, item, depth + 1)?);
            Ok(magnus::r_hash::ForEach::Continue)
        })?;
        return Ok(Json::Object(entries));
    }
    Err(refuse(ruby, &format!("JSON has no word for a {}", object.class())))
}
