//! The servers that can be herded: how each is started, and which signal means what to it.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use herder::Stop;
use sys::signals::Signal;

/// Whose protocol a server speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    /// USR2 makes a second master, QUIT is graceful.
    Unicorn,
    /// USR2 makes a second master, TERM is graceful, QUIT is not.
    Gunicorn,
    /// It reloads by itself, and tells how that went.
    Licorne,
}

/// What is herded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Flavour {
    /// Its name in messages.
    pub(crate) name: String,
    /// The program.
    pub(crate) program: OsString,
    /// Whose protocol it speaks.
    pub(crate) family: Family,
    /// The option that takes a pid file.
    pub(crate) pid_option: Option<&'static str>,
}

/// The values of `-u`.
pub(crate) const TYPES: [&str; 5] = ["unicorn", "unicorn_rails", "gunicorn", "gunicorn_django", "licorne"];

impl Flavour {
    /// The server that `-u` names, one of [`TYPES`].
    pub(crate) fn of_type(name: &str) -> Self {
        let (family, pid_option) = match name {
            // Its -P means something else: the path that the application is mounted at.
            "unicorn_rails" => (Family::Unicorn, None),
            "gunicorn" | "gunicorn_django" => (Family::Gunicorn, Some("-p")),
            "licorne" => (Family::Licorne, Some("-P")),
            _ => (Family::Unicorn, Some("-P")),
        };
        let program = if family == Family::Licorne { licorne() } else { name.into() };
        Self { name: name.into(), program, family, pid_option }
    }

    /// A program that takes Unicorn's flags (`-b`).
    pub(crate) fn unicorn_program(path: OsString) -> Self {
        Self { name: path.to_string_lossy().into(), program: path, family: Family::Unicorn, pid_option: Some("-P") }
    }

    /// A program that takes Gunicorn's flags (`-g`).
    pub(crate) fn gunicorn_program(path: OsString) -> Self {
        Self { name: path.to_string_lossy().into(), program: path, family: Family::Gunicorn, pid_option: Some("-p") }
    }

    /// The arguments: ours first, then those of the command line as they are.
    pub(crate) fn arguments(&self, daemonize: bool, pid_file: Option<&Path>, given: &[OsString]) -> Vec<OsString> {
        let mut all: Vec<OsString> = Vec::new();
        if daemonize {
            all.push("-D".into());
        }
        if let (Some(option), Some(path)) = (self.pid_option, pid_file) {
            all.push(option.into());
            all.push(path.into());
        }
        all.extend_from_slice(given);
        all
    }

    /// What a stop signal to the herder becomes. TERM is graceful, whatever the server makes of it.
    pub(crate) fn stop_signal(&self, stop: Stop) -> Signal {
        match (stop, self.family) {
            (Stop::Term, Family::Gunicorn) => Signal::Term,
            (Stop::Term | Stop::Quit, _) => Signal::Quit,
            (Stop::Int, _) => Signal::Int,
        }
    }
}

/// The `licorne` of `PATH`, as its users start it (a gem's needs its Ruby); this program when there is none.
fn licorne() -> OsString {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|directory| directory.join("licorne")).find(|file| file.is_file());
    found.or_else(|| std::env::current_exe().ok()).unwrap_or_else(|| PathBuf::from("licorne")).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_server_gets_the_flags_it_understands() {
        let given = ["-c".into(), "a b'\".rb".into()];
        #[track_caller]
        fn check(flavour: &Flavour, given: &[OsString], want: &str) {
            let arguments = flavour.arguments(true, Some(Path::new("x.pid")), given);
            assert_eq!(arguments.join(OsString::from("|").as_os_str()).to_str(), Some(want), "{flavour:?}");
        }
        check(&Flavour::of_type("unicorn"), &given, "-D|-P|x.pid|-c|a b'\".rb");
        check(&Flavour::of_type("unicorn_rails"), &given, "-D|-c|a b'\".rb");
        check(&Flavour::of_type("gunicorn"), &given, "-D|-p|x.pid|-c|a b'\".rb");
        check(&Flavour::of_type("gunicorn_django"), &given, "-D|-p|x.pid|-c|a b'\".rb");
        check(&Flavour::unicorn_program("bin/x".into()), &given, "-D|-P|x.pid|-c|a b'\".rb");
        check(&Flavour::gunicorn_program("bin/x".into()), &given, "-D|-p|x.pid|-c|a b'\".rb");
        assert_eq!(Flavour::of_type("gunicorn").arguments(false, None, &given), given);
    }

    #[test]
    fn a_stop_by_term_is_graceful_for_every_server() {
        for (name, term, quit) in [
            ("unicorn", Signal::Quit, Signal::Quit),
            ("gunicorn", Signal::Term, Signal::Quit),
            ("licorne", Signal::Quit, Signal::Quit),
        ] {
            let flavour = Flavour::of_type(name);
            assert_eq!(flavour.stop_signal(Stop::Term), term, "{name}");
            assert_eq!(flavour.stop_signal(Stop::Quit), quit, "{name}");
            assert_eq!(flavour.stop_signal(Stop::Int), Signal::Int, "{name}");
        }
    }
}
