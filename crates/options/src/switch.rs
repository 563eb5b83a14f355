//! An option, and how `--help` shows it.

/// One option that a program understands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Switch {
    /// The letter.
    pub short: Option<char>,
    /// The name.
    pub long: &'static str,
    /// What its value is called, if it takes one. A `PORT` is a number.
    pub value: Option<&'static str>,
    /// What it does, for `--help`, which shows no option without it.
    pub help: &'static str,
}

impl Switch {
    /// An option with a letter.
    pub const fn new(short: char, long: &'static str, value: Option<&'static str>, help: &'static str) -> Self {
        Self { short: Some(short), long, value, help }
    }

    /// An option without a letter.
    pub const fn long(long: &'static str, value: Option<&'static str>, help: &'static str) -> Self {
        Self { short: None, long, value, help }
    }

    /// All its forms, as argparse shows them: `-o/--overlap`.
    pub(crate) fn names(&self) -> String {
        self.short.map_or_else(|| format!("--{}", self.long), |letter| format!("-{letter}/--{}", self.long))
    }

    /// Whether this is one of its values.
    pub(crate) fn takes(&self, value: Option<&str>) -> bool {
        self.value != Some("PORT") || value.is_some_and(|value| port(value).is_some())
    }
}

/// Prints the options as `--help` shows them.
pub fn help(switches: &[Switch]) -> String {
    let mut text = String::new();
    for switch in switches.iter().filter(|switch| !switch.help.is_empty()) {
        let short = switch.short.map_or_else(|| "    ".to_string(), |letter| format!("-{letter}, "));
        let value = switch.value.map_or_else(String::new, |value| format!(" {value}"));
        let left = format!("{short}--{}{value}", switch.long);
        text.push_str(&format!("  {left:<27} {}\n", switch.help));
    }
    text
}

/// Ruby's idea of an Integer argument: decimal, `0x…`, `0…` for octal, `_` between digits.
pub fn port(text: &str) -> Option<u16> {
    let digits = text.replace('_', "");
    match digits.strip_prefix("0x") {
        Some(hex) => u16::from_str_radix(hex, 16).ok(),
        None if digits.len() > 1 && digits.starts_with('0') => u16::from_str_radix(&digits[1..], 8).ok(),
        None => digits.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_read_as_ruby_integers() {
        for (text, want) in [("9000", Some(9000)), ("0x10", Some(16)), ("010", Some(8)), ("9_000", Some(9000))] {
            assert_eq!(port(text), want, "{text}");
        }
        for text in ["abc", "=9000", "70000", ""] {
            assert_eq!(port(text), None, "{text}");
        }
    }

    #[test]
    fn help_shows_the_options_that_have_one() {
        let switches = [
            Switch::new('l', "listen", Some("ADDRESS"), "where to listen"),
            Switch::long("control", Some("PATH"), ""),
            Switch::long("quick", None, "at once"),
        ];
        let lines = ["-l, --listen ADDRESS        where to listen", "    --quick                 at once"];
        assert_eq!(help(&switches), lines.map(|line| format!("  {line}\n")).concat());
    }
}
