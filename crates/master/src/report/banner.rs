//! What a person at a terminal is told when the server is up: where it answers, and how to reload and stop it.

use std::fmt::Write;
use std::net::SocketAddr;
use std::path::Path;

use sys::text::printable;

/// Configuration files of this server and of others, which `-c` may be meant to name.
const USUAL: [&str; 10] = [
    "config/licorne.rb",
    "config/unicorn.rb",
    "config/pitchfork.conf.rb",
    "config/pitchfork.rb",
    "config/puma.rb",
    "licorne.rb",
    "unicorn.rb",
    "pitchfork.conf.rb",
    "pitchfork.rb",
    "puma.rb",
];

/// What is told.
pub(crate) struct Banner<'a> {
    pub(crate) program: &'a str,
    pub(crate) environment: &'a str,
    pub(crate) pid: u32,
    /// Names of the listeners.
    pub(crate) listeners: Vec<&'a str>,
    /// A configuration file that is there and was not named.
    pub(crate) unnamed: Option<&'a str>,
}

impl Banner<'_> {
    /// Its lines.
    pub(crate) fn text(&self) -> String {
        let version = env!("CARGO_PKG_VERSION");
        let mut text = format!("\n  licorne {version}, {} environment\n\n", printable(self.environment));
        for listener in &self.listeners {
            let _ = writeln!(text, "    {}", link(listener));
        }
        let (program, pid) = (printable(self.program), self.pid);
        let _ = writeln!(text, "\n  new code:  {program} reload --wait --pid {pid}");
        let _ = writeln!(text, "  live view: {program} top --pid {pid}");
        let _ = writeln!(text, "  stop:      Ctrl-C");
        if let Some(file) = self.unnamed {
            let others = file.contains("puma") || file.contains("pitchfork");
            let how = if others { "convert it with licorne init --from" } else { "name it with -c" };
            let _ = writeln!(text, "\n  {file} is there, and was not read: {how} {file}");
        }
        text.push('\n');
        text
    }
}

/// The first of the usual configuration files that is in this directory.
pub(crate) fn unnamed(directory: &Path) -> Option<&'static str> {
    USUAL.into_iter().find(|name| directory.join(name).is_file())
}

/// An address as one types it into a browser, if it is one.
fn link(listener: &str) -> String {
    match listener.parse::<SocketAddr>() {
        Ok(address) if address.ip().is_unspecified() => {
            let host = if address.is_ipv4() { "127.0.0.1" } else { "[::1]" };
            format!("http://{host}:{}/ (and all other addresses of this machine)", address.port())
        }
        Ok(address) => format!("http://{address}/"),
        Err(_) => format!("unix:{}", printable(listener)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_links() {
        let mut banner = Banner {
            program: "licorne",
            environment: "development",
            pid: 7,
            listeners: vec!["0.0.0.0:8080", "[::]:81", "[::1]:82", "127.0.0.1:83", "/run/app.sock"],
            unnamed: Some("config/puma.rb"),
        };
        let text = banner.text();
        for line in [
            "    http://127.0.0.1:8080/ (and all other addresses of this machine)",
            "    http://[::1]:81/ (and all other addresses of this machine)",
            "    http://[::1]:82/",
            "    http://127.0.0.1:83/",
            "    unix:/run/app.sock",
            "  new code:  licorne reload --wait --pid 7",
            "  config/puma.rb is there, and was not read: convert it with licorne init --from config/puma.rb",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} in\n{text}");
        }
        banner.unnamed = Some("config/unicorn.rb");
        assert!(banner.text().contains("\n  config/unicorn.rb is there, and was not read: name it with -c config/"));
    }

    #[test]
    fn a_configuration_file_that_was_not_named_is_found() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(unnamed(directory.path()), None);
        std::fs::write(directory.path().join("puma.rb"), "").unwrap();
        assert_eq!(unnamed(directory.path()), Some("puma.rb"));
        std::fs::create_dir(directory.path().join("config")).unwrap();
        std::fs::write(directory.path().join("config/unicorn.rb"), "").unwrap();
        assert_eq!(unnamed(directory.path()), Some("config/unicorn.rb"));
    }
}
