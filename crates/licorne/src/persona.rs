//! As which program this one was called: by the name of a link, `unicorn` or `unicorn_rails`, it is that program.
//!
//! Each has its own options, help and version. What differs beyond the command line is told to the master by `serve`.

use std::ffi::OsStr;
use std::path::Path;

use options::{Dialect, Given, Switch, help};

/// The release of Unicorn whose command line and configuration are understood.
const UNICORN_VERSION: &str = "6.1.0";

/// A program that this one is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Persona {
    Licorne,
    Unicorn,
    UnicornRails,
}

const RUBY: [Switch; 5] = [
    Switch::new('e', "eval", Some("LINE"), "evaluate a LINE of code"),
    Switch::new('d', "debug", None, "set debugging flags (set $DEBUG to true)"),
    Switch::new('w', "warn", None, "turn warnings on for your script"),
    Switch::new('I', "include", Some("PATH"), "specify $LOAD_PATH (may be used more than once)"),
    Switch::new('r', "require", Some("LIBRARY"), "require the library, before executing your script"),
];

/// What all of them have.
const SERVER: [Switch; 5] = [
    Switch::new('o', "host", Some("HOST"), "listen on HOST (default: 0.0.0.0)"),
    Switch::new('p', "port", Some("PORT"), "use PORT (default: 8080)"),
    Switch::new('l', "listen", Some("ADDRESS"), "listen on HOST:PORT or PATH, may be repeated"),
    Switch::new('c', "config-file", Some("FILE"), "the configuration file"),
    Switch::new('D', "daemonize", None, "run daemonized in the background"),
];

const RACK: [Switch; 4] = [
    Switch::new('E', "env", Some("RACK_ENV"), "use RACK_ENV for defaults (default: development)"),
    Switch::new('N', "no-default-middleware", None, "do not load middleware implied by RACK_ENV"),
    // Understood and, as in Unicorn, better said in the configuration file.
    Switch::new('P', "pid", Some("FILE"), ""),
    Switch::new('s', "server", Some("SERVER"), "this flag only exists for compatibility"),
];

const RAILS: [Switch; 2] = [
    Switch::new('E', "env", Some("RAILS_ENV"), "use RAILS_ENV for defaults (default: development)"),
    Switch::new('P', "path", Some("PATH"), "runs the application mounted at PATH (default: /)"),
];

/// Not Unicorn's: under its name they would make prefixes ambiguous that scripts use.
const OWN: [Switch; 4] = [
    Switch::long("control", Some("PATH"), "where to put the control socket"),
    // For launchers that have written one already.
    Switch::long("pid-file", Some("FILE"), ""),
    Switch::long("script", Some("FILE"), "a program that calls Licorne.run(app)"),
    Switch::long("ruby", Some("PROGRAM"), "the Ruby to run (default: ruby in PATH)"),
];

const COMMON: [Switch; 2] =
    [Switch::new('h', "help", None, "Show this message"), Switch::new('v', "version", None, "Show version")];

impl Persona {
    /// Which program this name, or path, asks for.
    pub(crate) fn of(program: &OsStr) -> Self {
        match Path::new(program).file_name().and_then(OsStr::to_str) {
            Some("unicorn") => Self::Unicorn,
            Some("unicorn_rails") => Self::UnicornRails,
            _ => Self::Licorne,
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Licorne => "licorne",
            Self::Unicorn => "unicorn",
            Self::UnicornRails => "unicorn_rails",
        }
    }

    /// Parses a command line of this program.
    ///
    /// # Errors
    /// OptionParser's messages.
    pub(crate) fn parse(self, arguments: &[String]) -> Result<Vec<Given<String>>, options::Error> {
        let posix = std::env::var_os("POSIXLY_CORRECT").is_some();
        options::parse(Dialect::OptionParser { posix }, arguments, &self.switches())
    }

    /// All options that it understands.
    pub(crate) fn switches(self) -> Vec<Switch> {
        [&RUBY[..], &self.server_switches(), &COMMON].concat()
    }

    fn server_switches(self) -> Vec<Switch> {
        match self {
            Self::Licorne => [&SERVER[..], &RACK, &OWN].concat(),
            Self::Unicorn => [&SERVER[..], &RACK].concat(),
            Self::UnicornRails => [&SERVER[..], &RAILS].concat(),
        }
    }

    pub(crate) fn version(self) -> String {
        let own = concat!("licorne v", env!("CARGO_PKG_VERSION"));
        match self {
            Self::Licorne => own.to_string(),
            Self::Unicorn | Self::UnicornRails => format!("{} v{UNICORN_VERSION} ({own})", self.name()),
        }
    }

    /// Its help.
    pub(crate) fn usage(self) -> String {
        let name = self.name();
        let commands = match self {
            Self::Licorne => "       licorne COMMAND [options]    (licorne help: the commands)\n",
            Self::Unicorn | Self::UnicornRails => "",
        };
        format!(
            "Usage: {name} [ruby options] [{name} options] [rackup config file]\n{commands}\
             Ruby options:\n{}{name} options:\n{}Common options:\n{}",
            help(&RUBY),
            help(&self.server_switches()),
            help(&COMMON)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_part_of_the_path_decides() {
        for (path, want) in [
            ("licorne", Persona::Licorne),
            ("/usr/bin/unicorn", Persona::Unicorn),
            ("bin/unicorn_rails", Persona::UnicornRails),
            ("/opt/unicorn/start", Persona::Licorne),
        ] {
            assert_eq!(Persona::of(OsStr::new(path)), want, "{path}");
        }
    }

    #[test]
    fn help_fits_a_terminal() {
        for persona in [Persona::Licorne, Persona::Unicorn, Persona::UnicornRails] {
            let usage = persona.usage();
            assert!(usage.lines().count() < 24 && usage.lines().all(|line| line.len() <= 80), "{usage}");
        }
    }

    #[test]
    fn no_two_options_of_a_program_have_the_same_letter() {
        for persona in [Persona::Licorne, Persona::Unicorn, Persona::UnicornRails] {
            let mut letters: Vec<char> = persona.switches().iter().filter_map(|switch| switch.short).collect();
            letters.sort_unstable();
            let all = letters.len();
            letters.dedup();
            assert_eq!(letters.len(), all, "{}", persona.name());
        }
    }
}
