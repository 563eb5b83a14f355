//! How many workers: a number, or two between which it follows the load.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use serde::de::{Deserialize, Deserializer, Error};

use crate::Value;
use crate::record::Setting;

/// The value of `worker_processes`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Workers {
    /// How many there are at least.
    pub least: u32,
    /// How many there are at most: as many, or the number follows the load.
    pub most: u32,
}

/// Checks a number, `:auto`, or a list of two of these.
///
/// # Errors
/// The text to raise.
pub(crate) fn check(name: &str, value: &Value) -> Result<Value, String> {
    let Value::List(items) = value else { return check_one(name, value) };
    let [least, most] = items.as_slice() else {
        return Err(format!("not two numbers, as in `{name} 2..16`: {name}={}", value.inspect()));
    };
    match (check_one(name, least)?, check_one(name, most)?) {
        (Value::Int(least), Value::Int(most)) if most < least => {
            Err(format!("the second number is less than the first: {name}={}", value.inspect()))
        }
        (least, most) => Ok(Value::List(Vec::from([least, most]))),
    }
}

fn check_one(name: &str, value: &Value) -> Result<Value, String> {
    match value {
        Value::Symbol(word) | Value::Text(word) if word == "auto" => Ok(Value::Symbol("auto".into())),
        Value::Int(count) if *count < 1 => Err(format!("too low (< 1): {name}={}", value.inspect())),
        Value::Int(_) => Ok(value.clone()),
        _ => Err(format!("not an integer: {name}={}", value.inspect())),
    }
}

/// What a mold tells: `:auto` has become a number.
#[derive(serde::Deserialize)]
#[serde(untagged)]
enum Told {
    Number(u64),
    Two(u64, u64),
}

impl Setting for Workers {
    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = |number: u64| {
            u32::try_from(number).map_err(|_| D::Error::custom(format!("no whole number in range: {number}")))
        };
        let (least, most) = match Told::deserialize(deserializer)? {
            Told::Number(count) => (count, count),
            Told::Two(least, most) => (least, most),
        };
        Ok(Self { least: number(least)?, most: number(most)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    fn two(least: Value, most: Value) -> Value {
        Value::List(vec![least, most])
    }

    #[test]
    fn number_may_follow_the_load_between_two() {
        let auto = || Value::Symbol("auto".into());
        for value in [Value::Int(4), two(Value::Int(2), Value::Int(16)), two(Value::Int(2), auto()), auto()] {
            assert_eq!(check("worker_processes", &value), Ok(value));
        }
        assert_eq!(check("worker_processes", &Value::Text("auto".into())), Ok(auto()));
    }

    #[test]
    fn wrong_numbers_are_told() {
        for (value, told) in [
            (two(Value::Int(4), Value::Int(2)), "the second number is less than the first: worker_processes=[4, 2]"),
            (two(Value::Int(0), Value::Int(2)), "too low (< 1): worker_processes=0"),
            (two(Value::Int(1), Value::Nil), "not an integer: worker_processes=nil"),
            (Value::List(vec![Value::Int(1)]), "not two numbers, as in `worker_processes 2..16`: worker_processes=[1]"),
        ] {
            assert_eq!(check("worker_processes", &value), Err(told.into()));
        }
    }

    #[test]
    fn both_forms_are_read_as_they_are_told() {
        let read = |told: serde_json::Value| Workers::read(told).map_err(|error| format!("{error}"));
        assert_eq!(read(serde_json::json!(4)), Ok(Workers { least: 4, most: 4 }));
        assert_eq!(read(serde_json::json!([2, 16])), Ok(Workers { least: 2, most: 16 }));
        assert!(read(serde_json::json!([2])).is_err() && read(serde_json::json!("x")).is_err());
    }
}
