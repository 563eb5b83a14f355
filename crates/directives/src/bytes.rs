//! Numbers of bytes: Integers, or texts such as `"300M"`; and the budget of memory, which may be a share.

use alloc::format;
use alloc::string::String;

use crate::Value;
use crate::record::plain;

/// The value of `memory_budget`.
#[derive(Clone, Copy, Debug, PartialEq, serde::Deserialize)]
#[serde(untagged)]
pub enum MemoryBudget {
    /// So many bytes; 0 is no budget.
    Bytes(u64),
    /// A share of the limit of the control group.
    Share(f64),
}

plain!(MemoryBudget);

/// What a number counts that this follows.
const UNITS: [(&str, u32); 4] = [("K", 10), ("M", 20), ("G", 30), ("T", 40)];

/// Checks a number of bytes, and makes an Integer of it.
///
/// # Errors
/// The text to raise.
pub(crate) fn check(name: &str, value: &Value) -> Result<Value, String> {
    let bytes = match value {
        Value::Int(bytes) => Some(*bytes),
        Value::Text(text) => parse(text),
        _ => None,
    };
    match bytes {
        Some(bytes) if bytes >= 0 => Ok(Value::Int(bytes)),
        Some(_) => Err(format!("too low (< 0): {name}={}", value.inspect())),
        None => Err(format!("not a size, as in \"300M\": {name}={}", value.inspect())),
    }
}

/// Checks a budget of memory.
///
/// # Errors
/// The text to raise.
pub(crate) fn check_budget(name: &str, value: &Value) -> Result<Value, String> {
    match value {
        Value::Float(share) if *share > 0.0 && *share <= 1.0 => Ok(value.clone()),
        Value::Float(_) => Err(format!("not a share, which is above 0 and at most 1.0: {name}={}", value.inspect())),
        _ => check(name, value),
    }
}

/// Reads `300M`, `300MB` or `300MiB`; each is 300 times 2 to the power of 20.
fn parse(text: &str) -> Option<i64> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let unit = unit.trim_start().to_ascii_uppercase();
    let unit = unit.strip_suffix("IB").or(unit.strip_suffix('B')).unwrap_or(&unit);
    let power = if unit.is_empty() { Some(0) } else { UNITS.iter().find(|known| known.0 == unit).map(|known| known.1) };
    number.parse::<i64>().ok()?.checked_mul(1 << power?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_people_write_them() {
        for (text, bytes) in [
            ("0", 0),
            ("1024", 1024),
            ("300M", 300 << 20),
            ("300 MB", 300 << 20),
            ("2GiB", 2 << 30),
            ("16k", 16 << 10),
            ("5b", 5),
        ] {
            assert_eq!(check("max_memory", &Value::Text(text.into())), Ok(Value::Int(bytes)), "{text}");
        }
        assert_eq!(check("max_memory", &Value::Int(7)), Ok(Value::Int(7)));
    }

    #[test]
    fn budget_is_a_size_or_a_share() {
        let check = |value: &Value| check_budget("memory_budget", value);
        assert_eq!(check(&Value::Float(0.8)), Ok(Value::Float(0.8)));
        assert_eq!(check(&Value::Text("2G".into())), Ok(Value::Int(2 << 30)));
        let told = "not a share, which is above 0 and at most 1.0: memory_budget=1.5";
        assert_eq!(check(&Value::Float(1.5)), Err(told.into()));
        let read = |told: serde_json::Value| serde_json::from_value::<MemoryBudget>(told).unwrap();
        assert_eq!(read(serde_json::json!(7)), MemoryBudget::Bytes(7));
        assert_eq!(read(serde_json::json!(1.0)), MemoryBudget::Share(1.0));
    }

    #[test]
    fn other_texts_are_no_sizes() {
        for text in ["", "M", "3.5G", "300X", "-1M", "99999999999G", "1 2", "300MM"] {
            let told = format!("not a size, as in \"300M\": max_memory={text:?}");
            assert_eq!(check("max_memory", &Value::Text(text.into())), Err(told));
        }
        assert_eq!(check("max_memory", &Value::Int(-1)), Err("too low (< 0): max_memory=-1".into()));
        assert_eq!(check("max_memory", &Value::Nil), Err("not a size, as in \"300M\": max_memory=nil".into()));
    }
}
