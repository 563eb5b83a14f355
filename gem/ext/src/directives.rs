//! The table of directives as the DSL reads it.

use std::net::IpAddr;

use ::directives::Value as Plain;
use magnus::{
    Error, Float, Integer, RArray, RHash, RModule, RString, Ruby, Symbol, Value, block::Proc, function, prelude::*,
};
use sys::listener::Address;

pub(crate) fn define(native: RModule) -> Result<(), Error> {
    native.define_module_function("directives", function!(list, 0))?;
    native.define_module_function("check_directive", function!(check, 2))?;
    native.define_module_function("check_listener_option", function!(check_option, 2))?;
    native.define_module_function("complete_listener_options", function!(complete_options, 1))?;
    native.const_set("BACKLOG", ::directives::BACKLOG)?;
    native.define_module_function("foreign_directive", function!(foreign, 1))?;
    native.define_module_function("nearest_directive", function!(nearest, 1))?;
    native.define_module_function("resolve_listener", function!(resolve, 1))
}

fn list(ruby: &Ruby) -> Result<RArray, Error> {
    let array = ruby.ary_new();
    for directive in ::directives::TABLE {
        let hash = ruby.hash_new();
        hash.aset(ruby.to_symbol("name"), directive.name)?;
        hash.aset(ruby.to_symbol("type"), directive.kind.name())?;
        hash.aset(ruby.to_symbol("default"), to_ruby(ruby, &directive.default.value(), ruby.qnil().as_value())?)?;
        hash.aset(ruby.to_symbol("unit"), directive.unit)?;
        hash.aset(ruby.to_symbol("since"), directive.since)?;
        hash.aset(ruby.to_symbol("origin"), directive.origin.name())?;
        hash.aset(ruby.to_symbol("doc"), directive.doc)?;
        hash.aset(ruby.to_symbol("environment"), directive.environment)?;
        hash.aset(ruby.to_symbol("reloadable"), directive.reloadable)?;
        array.push(hash)?;
    }
    Ok(array)
}

fn check(ruby: &Ruby, name: String, object: Value) -> Result<Value, Error> {
    let refuse = |text: String| Error::new(ruby.exception_arg_error(), text);
    let directive = ::directives::find(&name).ok_or_else(|| refuse(format!("unknown directive: {name}")))?;
    let checked = ::directives::check(directive, &from_ruby(ruby, object)?).map_err(refuse)?;
    to_ruby(ruby, &checked, object)
}

fn check_option(ruby: &Ruby, name: String, object: Value) -> Result<Value, Error> {
    let refuse = |text: String| Error::new(ruby.exception_arg_error(), text);
    let checked = ::directives::check_option(&name, &from_ruby(ruby, object)?).map_err(refuse)?;
    to_ruby(ruby, &checked, object)
}

/// Every option of a listener with its value, of which these were given by their names.
fn complete_options(ruby: &Ruby, given: RHash) -> Result<RHash, Error> {
    let Plain::Map(entries) = from_ruby(ruby, given.as_value())? else { return Ok(given) };
    let options = ruby.hash_new();
    for (name, value) in ::directives::complete_options(&entries) {
        options.aset(ruby.to_symbol(name), to_ruby(ruby, &value, ruby.qnil().as_value())?)?;
    }
    Ok(options)
}

fn foreign(name: String) -> Option<(&'static str, &'static str)> {
    ::directives::foreign(&name)
}

fn nearest(name: String) -> Option<&'static str> {
    ::directives::nearest(&name)
}

/// Where a listener is that names a host, or why that is not known; neither for one that needs no question.
fn resolve(text: String) -> (Option<String>, Option<String>) {
    let host = text.rsplit_once(':').map_or("", |(host, _)| host.trim_matches(['[', ']']));
    if host.is_empty() || host.parse::<IpAddr>().is_ok() {
        return (None, None);
    }
    match Address::parse(&text) {
        Ok(Address::Tcp(address)) => (Some(address.to_string()), None),
        Err(error @ sys::Error::Path { .. }) => (None, Some(error.as_ruby())),
        Ok(Address::Unix(_)) | Err(_) => (None, None),
    }
}

fn from_ruby(ruby: &Ruby, object: Value) -> Result<Plain, Error> {
    if object.is_nil() {
        return Ok(Plain::Nil);
    }
    if object.is_kind_of(ruby.class_true_class()) {
        return Ok(Plain::Bool(true));
    }
    if object.is_kind_of(ruby.class_false_class()) {
        return Ok(Plain::Bool(false));
    }
    if let Some(number) = Integer::from_value(object) {
        return Ok(number.to_i64().map_or_else(|_| Plain::Other(object.inspect()), Plain::Int));
    }
    if let Some(number) = Float::from_value(object) {
        return Ok(Plain::Float(number.to_f64()));
    }
    if let Some(text) = RString::from_value(object) {
        return Ok(text.to_string().map_or_else(|_| Plain::Other(object.inspect()), Plain::Text));
    }
    if let Some(symbol) = Symbol::from_value(object) {
        return Ok(Plain::Symbol(symbol.name()?.into_owned()));
    }
    if let Some(array) = RArray::from_value(object) {
        let items: Result<Vec<Plain>, Error> = array.into_iter().map(|item| from_ruby(ruby, item)).collect();
        return Ok(Plain::List(items?));
    }
    if let Some(hash) = RHash::from_value(object) {
        let mut entries = Vec::new();
        hash.foreach(|key: Value, item: Value| {
            entries.push((key.to_r_string()?.to_string()?, from_ruby(ruby, item)?));
            Ok(magnus::r_hash::ForEach::Continue)
        })?;
        return Ok(Plain::Map(entries));
    }
    if let Some(hook) = Proc::from_value(object) {
        let arity = i32::try_from(hook.arity()).unwrap_or(i32::MAX);
        return Ok(Plain::Hook { arity, inspect: object.inspect() });
    }
    Ok(Plain::Other(object.inspect()))
}

/// Turns a checked value back; what the table cannot copy is the object that went in.
fn to_ruby(ruby: &Ruby, plain: &Plain, object: Value) -> Result<Value, Error> {
    Ok(match plain {
        Plain::Nil => ruby.qnil().as_value(),
        Plain::Bool(true) => ruby.qtrue().as_value(),
        Plain::Bool(false) => ruby.qfalse().as_value(),
        Plain::Int(n) => ruby.integer_from_i64(*n).as_value(),
        Plain::Float(n) => ruby.float_from_f64(*n).as_value(),
        Plain::Text(text) => ruby.str_new(text).as_value(),
        Plain::Symbol(name) => ruby.to_symbol(name).as_value(),
        Plain::List(items) => {
            let given = RArray::from_value(object);
            let array = ruby.ary_new_capa(items.len());
            for (index, item) in items.iter().enumerate() {
                let place = isize::try_from(index).unwrap_or(isize::MAX);
                let inner = given.map_or(Ok(object), |given| given.entry(place))?;
                array.push(to_ruby(ruby, item, inner)?)?;
            }
            array.as_value()
        }
        Plain::Map(entries) => {
            let hash = ruby.hash_new();
            for (key, item) in entries {
                let symbol = ruby.to_symbol(key);
                let inner = RHash::from_value(object).and_then(|given| given.get(symbol)).unwrap_or(object);
                hash.aset(symbol, to_ruby(ruby, item, inner)?)?;
            }
            hash.as_value()
        }
        Plain::Hook { .. } | Plain::Other(_) => object,
    })
}
