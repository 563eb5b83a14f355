//! Numbers of bytes: Integers, or texts such as `"300M"`.

use alloc::format;
use alloc::string::String;

use crate::Value;

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
    fn other_texts_are_no_sizes() {
        for text in ["", "M", "3.5G", "300X", "-1M", "99999999999G", "1 2", "300MM"] {
            let told = format!("not a size, as in \"300M\": max_memory={text:?}");
            assert_eq!(check("max_memory", &Value::Text(text.into())), Err(told));
        }
        assert_eq!(check("max_memory", &Value::Int(-1)), Err("too low (< 0): max_memory=-1".into()));
        assert_eq!(check("max_memory", &Value::Nil), Err("not a size, as in \"300M\": max_memory=nil".into()));
    }
}
