//! A Ruby value as the checks see it, and how Ruby would print it.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt::Write as _;

/// A Ruby value. The crate's page has the table of conversions.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// `nil`
    Nil,
    /// `true` or `false`
    Bool(bool),
    /// An Integer that fits.
    Int(i64),
    /// A Float.
    Float(f64),
    /// A String.
    Text(String),
    /// A Symbol, without its colon.
    Symbol(String),
    /// An Array.
    List(Vec<Value>),
    /// A Hash, its keys as text, in order.
    Map(Vec<(String, Value)>),
    /// A Proc.
    Hook {
        /// What `Proc#arity` answers.
        arity: i32,
        /// What `Proc#inspect` answers.
        inspect: String,
    },
    /// Any other object, as `inspect` prints it.
    Other(String),
}

impl Value {
    /// Prints the value as Ruby's `inspect` does.
    pub fn inspect(&self) -> String {
        match self {
            Self::Nil => "nil".to_string(),
            Self::Bool(b) => b.to_string(),
            Self::Int(n) => n.to_string(),
            Self::Float(f) => format!("{f:?}"),
            Self::Text(text) => quote(text),
            Self::Symbol(name) => format!(":{name}"),
            Self::List(items) => {
                let items: Vec<String> = items.iter().map(Self::inspect).collect();
                format!("[{}]", items.join(", "))
            }
            Self::Map(pairs) => {
                let pairs: Vec<String> = pairs.iter().map(|(k, v)| format!(":{k}=>{}", v.inspect())).collect();
                format!("{{{}}}", pairs.join(", "))
            }
            Self::Hook { inspect, .. } | Self::Other(inspect) => inspect.clone(),
        }
    }
}

/// `String#inspect` for text that a configuration holds.
fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\x1b' => out.push_str("\\e"),
            // Ruby would interpolate here, so it escapes the sign.
            '#' if matches!(chars.peek(), Some('{' | '$' | '@')) => out.push_str("\\#"),
            c if (c as u32) < 0x20 || c == '\x7f' => {
                // Writing to a String cannot fail.
                let _ = write!(out, "\\x{:02X}", c as u32);
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    #[test]
    fn values_print_as_ruby_prints_them() {
        let cases = [
            (Value::Nil, "nil"),
            (Value::Bool(true), "true"),
            (Value::Int(-3), "-3"),
            (Value::Float(3.0), "3.0"),
            (Value::Float(0.25), "0.25"),
            (Value::Text("a\"b\\c\n#{d} #e".to_string()), r##""a\"b\\c\n\#{d} #e""##),
            (Value::Symbol("auto".to_string()), ":auto"),
            (Value::List(vec![Value::Int(1), Value::Nil]), "[1, nil]"),
            (Value::Map(vec![("backlog".to_string(), Value::Int(1))]), "{:backlog=>1}"),
            (Value::Other("#<Foo>".to_string()), "#<Foo>"),
        ];
        for (value, text) in cases {
            assert_eq!(value.inspect(), text);
        }
    }
}
