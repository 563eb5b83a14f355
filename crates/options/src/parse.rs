//! The parser. What a dialect decides, it asks [`Dialect`].

use std::ffi::{OsStr, OsString};

use crate::{Dialect, Error, Mistake, Switch};

/// One thing that was found on the command line, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Given<W> {
    /// An option, by its long name, and its value (empty for one without).
    Option(&'static str, W),
    /// Anything else.
    Argument(W),
}

/// A word of a command line: text, or what the system allows.
pub trait Word: Clone + Default + AsRef<OsStr> + for<'a> From<&'a str> {}
impl Word for String {}
impl Word for OsString {}

/// Parses `words`.
///
/// # Errors
/// What is wrong with them.
pub fn parse<W: Word>(dialect: Dialect, words: &[W], switches: &[Switch]) -> Result<Vec<Given<W>>, Error> {
    let mut line = Line { dialect, switches, rest: words.iter(), given: Vec::new() };
    match line.read() {
        Ok(()) => Ok(line.given),
        Err(mistake) => Err(Error { dialect, mistake }),
    }
}

/// A command line that is being read.
struct Line<'a, W> {
    dialect: Dialect,
    switches: &'a [Switch],
    rest: std::slice::Iter<'a, W>,
    given: Vec<Given<W>>,
}

impl<W: Word> Line<'_, W> {
    fn read(&mut self) -> Result<(), Mistake> {
        while let Some(word) = self.rest.next() {
            match word.as_ref().to_str() {
                Some("--") => {
                    self.arguments();
                }
                Some(text) if text.starts_with("--") => self.long(text)?,
                Some(text) if text.len() > 1 && text.starts_with('-') => self.cluster(text)?,
                _ => {
                    self.given.push(Given::Argument(word.clone()));
                    if self.dialect.argument_ends_options() {
                        self.arguments();
                    }
                }
            }
        }
        Ok(())
    }

    /// All that is left is no option.
    fn arguments(&mut self) {
        self.given.extend(self.rest.by_ref().cloned().map(Given::Argument));
    }

    fn long(&mut self, word: &str) -> Result<(), Mistake> {
        let (option, glued) = word.split_once('=').map_or((word, None), |(option, value)| (option, Some(value)));
        let switch = self.find(&option[2..])?;
        let value = match (switch.value, glued) {
            (None, None) => W::default(),
            (None, Some(_)) => return Err(Mistake::Needless { word: word.into(), names: switch.names() }),
            (Some(_), Some(value)) => checked(switch, value.into(), "=", option)?,
            (Some(_), None) => self.next(switch, option)?,
        };
        self.given.push(Given::Option(switch.long, value));
        Ok(())
    }

    fn cluster(&mut self, word: &str) -> Result<(), Mistake> {
        let mut letters = word[1..].chars();
        while let Some(letter) = letters.next() {
            let option = format!("-{letter}");
            let switch = self.switches.iter().find(|switch| switch.short == Some(letter)).copied();
            let switch = switch.ok_or_else(|| Mistake::Unknown { option: option.clone(), word: word.into() })?;
            let glued = letters.as_str();
            let value = match switch.value {
                None => {
                    self.given.push(Given::Option(switch.long, W::default()));
                    continue;
                }
                Some(_) if glued.is_empty() => self.next(switch, &option)?,
                Some(_) => checked(switch, self.dialect.glued(glued).into(), "", &option)?,
            };
            self.given.push(Given::Option(switch.long, value));
            break;
        }
        Ok(())
    }

    /// The value of this option, in a word of its own.
    fn next(&mut self, switch: Switch, option: &str) -> Result<W, Mistake> {
        let missing = || Mistake::Missing { option: option.into(), names: switch.names() };
        checked(switch, self.rest.next().cloned().ok_or_else(missing)?, " ", option)
    }

    fn find(&self, name: &str) -> Result<Switch, Mistake> {
        if let Some(exact) = self.switches.iter().find(|switch| switch.long == name) {
            return Ok(*exact);
        }
        let begin = |switch: &&Switch| !name.is_empty() && switch.long.starts_with(name);
        let matching: Vec<Switch> = self.switches.iter().filter(begin).copied().collect();
        let option = format!("--{name}");
        match matching.as_slice() {
            [one] => Ok(*one),
            [] => Err(Mistake::Unknown { word: option.clone(), option }),
            several => {
                Err(Mistake::Ambiguous { option, candidates: several.iter().map(|it| it.long.to_string()).collect() })
            }
        }
    }
}

impl Dialect {
    fn argument_ends_options(self) -> bool {
        match self {
            Self::OptionParser { posix } => posix,
            Self::Argparse => true,
        }
    }

    /// The value that is written at once after a letter.
    fn glued(self, value: &str) -> &str {
        match self {
            Self::OptionParser { .. } => value,
            // `-o5` and `-o=5` are both a 5.
            Self::Argparse => value.strip_prefix('=').unwrap_or(value),
        }
    }
}

/// Refuses a value that this option does not take, which were written with `between` them.
fn checked<W: Word>(switch: Switch, value: W, between: &str, option: &str) -> Result<W, Mistake> {
    if switch.takes(value.as_ref().to_str()) {
        return Ok(value);
    }
    let value = value.as_ref().to_string_lossy().into_owned();
    Err(Mistake::Invalid { words: format!("{option}{between}{value}"), names: switch.names(), value })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SWITCHES: [Switch; 6] = [
        Switch::new('l', "listen", Some("ADDR"), ""),
        Switch::new('D', "daemonize", None, ""),
        Switch::new('d', "debug", None, ""),
        Switch::new('N', "no-default-middleware", None, ""),
        Switch::new('p', "port", Some("PORT"), ""),
        Switch::long("control", Some("PATH"), ""),
    ];
    const RUBY: Dialect = Dialect::OptionParser { posix: false };
    const POSIX: Dialect = Dialect::OptionParser { posix: true };
    const PYTHON: Dialect = Dialect::Argparse;

    #[track_caller]
    fn check(dialects: &[Dialect], line: &str, want: &str) {
        for dialect in dialects {
            let words: Vec<OsString> = line.split_whitespace().map(OsString::from).collect();
            let shown = |item: Given<OsString>| match item {
                Given::Option(name, value) => format!("{name}={}", value.to_string_lossy()),
                Given::Argument(word) => format!("<{}>", word.to_string_lossy()),
            };
            let got = match parse(*dialect, &words, &SWITCHES) {
                Ok(given) => given.into_iter().map(shown).collect::<Vec<_>>().join(" "),
                Err(error) => error.to_string(),
            };
            assert_eq!(got, want, "{dialect:?}: {line}");
        }
    }

    #[test]
    fn values_follow_glued_or_after_a_blank() {
        let want = "listen=9001 listen=9002 listen=9003 listen=9004";
        check(&[RUBY, POSIX, PYTHON], "-l9001 -l 9002 --listen=9003 --listen 9004", want);
        check(&[RUBY], "-l=1", "listen==1");
        check(&[PYTHON], "-l=1", "listen=1");
        check(&[RUBY, PYTHON], "-l -- --control -D", "listen=-- control=-D");
    }

    #[test]
    fn flags_cluster_and_long_names_may_be_cut() {
        let want = "daemonize= no-default-middleware= listen=9001 listen=1 no-default-middleware=";
        check(&[RUBY, PYTHON], "-DNl9001 --list 1 --no-", want);
        check(&[RUBY], "--d", "ambiguous option: --d (OptionParser::AmbiguousOption)");
        check(&[PYTHON], "--d", "ambiguous option: --d could match --daemonize, --debug");
    }

    #[test]
    fn other_arguments_mix_or_end_options() {
        check(&[RUBY], "a.ru -D - -- -l", "<a.ru> daemonize= <-> <-l>");
        check(&[POSIX, PYTHON], "-D a.ru -D -- -l", "daemonize= <a.ru> <-D> <--> <-l>");
        check(&[RUBY, POSIX, PYTHON], "-D -- -- -l", "daemonize= <--> <-l>");
    }

    #[test]
    fn mistakes_are_named_in_the_words_of_each_program() {
        for (line, ruby, python) in [
            ("-Dx", "invalid option: -x (OptionParser::InvalidOption)", "unrecognized arguments: -Dx"),
            ("--nope=1", "invalid option: --nope (OptionParser::InvalidOption)", "unrecognized arguments: --nope"),
            (
                "-l",
                "missing argument: -l (OptionParser::MissingArgument)",
                "argument -l/--listen: expected one argument",
            ),
            (
                "--cont",
                "missing argument: --cont (OptionParser::MissingArgument)",
                "argument --control: expected one argument",
            ),
            (
                "--daemonize=1",
                "needless argument: --daemonize=1 (OptionParser::NeedlessArgument)",
                "argument -D/--daemonize: ignored explicit argument",
            ),
            (
                "--port soon",
                "invalid argument: --port soon (OptionParser::InvalidArgument)",
                "argument -p/--port: invalid int value: 'soon'",
            ),
        ] {
            check(&[RUBY], line, ruby);
            check(&[PYTHON], line, python);
        }
    }

    #[test]
    fn a_port_that_is_none_is_told_as_it_was_written() {
        for line in ["-p=9000", "-p abc", "--port=abc", "--port abc"] {
            check(&[RUBY], line, &format!("invalid argument: {line} (OptionParser::InvalidArgument)"));
        }
    }

    #[test]
    fn a_word_that_is_no_text_is_an_argument() {
        use std::os::unix::ffi::OsStringExt;
        let words = ["-D".into(), OsString::from_vec(vec![b'-', 0xff])];
        let want = vec![Given::Option("daemonize", OsString::new()), Given::Argument(words[1].clone())];
        assert_eq!(parse(PYTHON, &words, &SWITCHES), Ok(want));
    }
}
