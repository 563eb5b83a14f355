//! A command line, parsed the way Ruby's OptionParser does, which Unicorn's users rely on.
//!
//! Long options may be cut to any prefix that only one of them has; values follow after a blank or `=`, or, for short
//! options, at once (`-l9001`); short options cluster (`-DNv`); options and other arguments mix, unless
//! `POSIXLY_CORRECT` is set; `--` ends options.

/// One option that a command understands.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Switch {
    /// The letter.
    pub(crate) short: Option<char>,
    /// The name.
    pub(crate) long: &'static str,
    /// What its value is called, if it takes one. A `PORT` is a number.
    pub(crate) value: Option<&'static str>,
    /// What it does, for `--help`.
    pub(crate) help: &'static str,
}

/// One thing that was found on the command line, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Given {
    /// An option, by its long name, and its value (empty for one without).
    Option(&'static str, String),
    /// Anything else.
    Argument(String),
}

/// Parses `arguments`.
///
/// # Errors
/// OptionParser's messages.
pub(crate) fn parse(arguments: &[String], switches: &[Switch]) -> Result<Vec<Given>, String> {
    let posix = std::env::var_os("POSIXLY_CORRECT").is_some();
    let mut given = Vec::new();
    let mut rest = arguments.iter().cloned();
    while let Some(word) = rest.next() {
        if word == "--" {
            given.extend(rest.map(Given::Argument));
            break;
        } else if let Some(long) = word.strip_prefix("--") {
            let (name, glued) = match long.split_once('=') {
                Some((name, value)) => (name, Some(value.to_string())),
                None => (long, None),
            };
            let switch = find_long(name, switches)?;
            let value = match (switch.value, glued) {
                (None, None) => String::new(),
                (None, Some(_)) => return Err(format!("needless argument: {word} (OptionParser::NeedlessArgument)")),
                (Some(_), Some(value)) => checked(switch, value, "=", &format!("--{name}"))?,
                (Some(_), None) => checked(switch, rest.next().ok_or_else(|| missing(&word))?, " ", &word)?,
            };
            given.push(Given::Option(switch.long, value));
        } else if word.len() > 1 && word.starts_with('-') {
            cluster(&word[1..], switches, &mut rest, &mut given)?;
        } else {
            given.push(Given::Argument(word));
            if posix {
                given.extend(rest.map(Given::Argument));
                break;
            }
        }
    }
    Ok(given)
}

fn cluster(
    letters: &str,
    switches: &[Switch],
    rest: &mut impl Iterator<Item = String>,
    given: &mut Vec<Given>,
) -> Result<(), String> {
    let mut characters = letters.chars();
    while let Some(letter) = characters.next() {
        let switch = switches
            .iter()
            .find(|switch| switch.short == Some(letter))
            .ok_or_else(|| format!("invalid option: -{letter} (OptionParser::InvalidOption)"))?;
        if switch.value.is_none() {
            given.push(Given::Option(switch.long, String::new()));
            continue;
        }
        let glued = characters.as_str();
        let option = format!("-{letter}");
        let value = match glued.is_empty() {
            false => checked(switch, glued.to_string(), "", &option)?,
            true => checked(switch, rest.next().ok_or_else(|| missing(&option))?, " ", &option)?,
        };
        given.push(Given::Option(switch.long, value));
        break;
    }
    Ok(())
}

fn find_long<'a>(name: &str, switches: &'a [Switch]) -> Result<&'a Switch, String> {
    if let Some(exact) = switches.iter().find(|switch| switch.long == name) {
        return Ok(exact);
    }
    let mut matching = switches.iter().filter(|switch| !name.is_empty() && switch.long.starts_with(name));
    match (matching.next(), matching.next()) {
        (Some(one), None) => Ok(one),
        (Some(_), Some(_)) => Err(format!("ambiguous option: --{name} (OptionParser::AmbiguousOption)")),
        (None, _) => Err(format!("invalid option: --{name} (OptionParser::InvalidOption)")),
    }
}

/// Refuses a value that is none for this option, which were written with `between` them.
fn checked(switch: &Switch, value: String, between: &str, option: &str) -> Result<String, String> {
    if switch.value == Some("PORT") && port(&value).is_none() {
        return Err(format!("invalid argument: {option}{between}{value} (OptionParser::InvalidArgument)"));
    }
    Ok(value)
}

/// Ruby's idea of an Integer argument: decimal, `0x…`, `0…` for octal, `_` between digits.
pub(crate) fn port(text: &str) -> Option<u16> {
    let digits = text.replace('_', "");
    match digits.strip_prefix("0x") {
        Some(hex) => u16::from_str_radix(hex, 16).ok(),
        None if digits.len() > 1 && digits.starts_with('0') => u16::from_str_radix(&digits[1..], 8).ok(),
        None => digits.parse().ok(),
    }
}

fn missing(option: &str) -> String {
    format!("missing argument: {option} (OptionParser::MissingArgument)")
}

/// Prints `text` on standard output, as it is.
///
/// # Errors
/// It cannot be written: the disk is full, for one.
pub(crate) fn show(text: &str) -> Result<(), String> {
    sys::stdio::print(text).map_err(|error| error.chain())
}

/// Prints the options as `--help` shows them.
pub(crate) fn help(switches: &[Switch]) -> String {
    let mut text = String::new();
    for switch in switches.iter().filter(|switch| !switch.help.is_empty()) {
        let short = switch.short.map_or_else(|| "    ".to_string(), |letter| format!("-{letter}, "));
        let value = switch.value.map_or_else(String::new, |value| format!(" {value}"));
        let left = format!("{short}--{}{value}", switch.long);
        text.push_str(&format!("  {left:<27} {}\n", switch.help));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const SWITCHES: [Switch; 5] = [
        Switch { short: Some('l'), long: "listen", value: Some("ADDR"), help: "" },
        Switch { short: Some('D'), long: "daemonize", value: None, help: "" },
        Switch { short: Some('d'), long: "debug", value: None, help: "" },
        Switch { short: Some('N'), long: "no-default-middleware", value: None, help: "" },
        Switch { short: None, long: "control", value: Some("PATH"), help: "" },
    ];

    #[track_caller]
    fn check(line: &str, want: &str) {
        let words: Vec<String> = line.split_whitespace().map(str::to_string).collect();
        let got = match parse(&words, &SWITCHES) {
            Ok(given) => given
                .into_iter()
                .map(|item| match item {
                    Given::Option(name, value) => format!("{name}={value}"),
                    Given::Argument(word) => format!("<{word}>"),
                })
                .collect::<Vec<_>>()
                .join(" "),
            Err(text) => text,
        };
        assert_eq!(got, want, "{line}");
    }

    #[test]
    fn values_follow_glued_or_after_a_blank() {
        check("-l9001 -l 9002 --listen=9003 --listen 9004", "listen=9001 listen=9002 listen=9003 listen=9004");
    }

    #[test]
    fn flags_cluster_and_long_names_may_be_cut() {
        check(
            "-DNl9001 --list 1 --no-",
            "daemonize= no-default-middleware= listen=9001 listen=1 no-default-middleware=",
        );
        check("--d", "ambiguous option: --d (OptionParser::AmbiguousOption)");
    }

    #[test]
    fn other_arguments_mix_until_two_dashes() {
        check("a.ru -D -- -l", "<a.ru> daemonize= <-l>");
    }

    #[test]
    fn mistakes_are_named() {
        check("-x", "invalid option: -x (OptionParser::InvalidOption)");
        check("--nope", "invalid option: --nope (OptionParser::InvalidOption)");
        check("-l", "missing argument: -l (OptionParser::MissingArgument)");
        check("--daemonize=1", "needless argument: --daemonize=1 (OptionParser::NeedlessArgument)");
    }

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
    fn a_port_that_is_none_is_told_as_it_was_written() {
        let switch = [Switch { short: Some('p'), long: "port", value: Some("PORT"), help: "" }];
        for line in ["-p=9000", "-p abc", "--port=abc", "--port abc"] {
            let words: Vec<String> = line.split(' ').map(str::to_string).collect();
            let told = format!("invalid argument: {line} (OptionParser::InvalidArgument)");
            assert_eq!(parse(&words, &switch), Err(told));
        }
    }
}
