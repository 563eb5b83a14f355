//! The names by which clients may ask this process.
//!
//! A page on the web can have a browser ask this process, by a name of the attacker's own that suddenly leads here (DNS
//! rebinding), and read the answer. The browser tells that name in `Host`. Addresses and names without a dot belong to no
//! attacker: they stay, as do the names that the operator has given.

use std::net::IpAddr;

/// The names by which this process may be asked.
#[derive(Clone, Debug, Default)]
pub struct Hosts {
    /// In lower case; one that begins with a dot means all that end so.
    names: Vec<String>,
    /// Whether every name will do: no browser connects to a UNIX socket.
    all: bool,
}

impl Hosts {
    /// These names, that of the machine, and the one in the address to listen on.
    pub fn new(listen: &str, machine: Option<String>, given: &[String]) -> Self {
        let own = listen.rsplit_once(':').map(|(name, _)| name.to_string());
        let names = given.iter().cloned().chain(machine).chain(own).map(|name| plain(&name)).collect();
        Self { names, all: false }
    }

    /// Every name.
    pub fn all() -> Self {
        Self { names: Vec::new(), all: true }
    }

    /// Whether clients may ask by this name, which may have a port.
    pub fn knows(&self, host: &str) -> bool {
        let name = plain(without_port(host));
        let known = |own: &String| if own.starts_with('.') { name.ends_with(own.as_str()) } else { name == *own };
        self.all || !name.contains('.') && !name.contains(':') || is_address(&name) || self.names.iter().any(known)
    }
}

fn plain(name: &str) -> String {
    name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase()
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        // The colons of a bare IPv6 address are its own.
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) && !name.contains(':') => name,
        Some((name, _)) if name.ends_with(']') => name,
        _ => host,
    }
}

fn is_address(name: &str) -> bool {
    let bare = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    bare.parse::<IpAddr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_an_attacker_can_have_are_strangers() {
        let given = ["Metrics.example.com".to_string(), ".internal".to_string()];
        let hosts = Hosts::new("web.example.net:9293", Some("app1.example.org".into()), &given);
        for known in [
            "",
            "localhost",
            "localhost:9293",
            "health",
            "127.0.0.1",
            "10.0.0.7:9293",
            "[::1]",
            "[fe80::1]:9293",
            "::1",
            "metrics.example.com",
            "METRICS.example.com.:80",
            "a.b.internal:9293",
            "app1.example.org",
            "web.example.net:9293",
        ] {
            assert!(hosts.knows(known), "{known}");
        }
        for stranger in [
            "evil.example",
            "evil.example:9293",
            "127.0.0.1.evil.example",
            "example.com",
            "internal.evil.example",
            "a:b:c",
        ] {
            assert!(!hosts.knows(stranger) && Hosts::all().knows(stranger), "{stranger}");
        }
    }
}
