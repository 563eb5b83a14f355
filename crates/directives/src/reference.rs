//! The reference page, printed from the table. `docs/reference.md` is this text, checked in.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use crate::listener::{ListenerOption, OPTIONS, OptionKind, Transport};
use crate::{Directive, Kind, Origin, TABLE};

const HEAD: &str = "<!-- Printed from crates/directives; edit the table there. -->\n# Configuration reference\n\n\
    The configuration file is Ruby, named with `-c`.\n\
    Every directive below is a method; an unknown one is an error.\n\
    Environment variables apply only where the file sets nothing.\n";

/// Prints the reference of all directives and listener options, in Markdown.
pub fn reference() -> String {
    let mut out = String::from(HEAD);
    out.push_str("\n## Directives of Unicorn\n\n");
    directives(&mut out, Origin::Unicorn);
    out.push_str("\n## Options of `listen`\n\n");
    options(&mut out);
    out.push_str("\n## Licorne's own directives\n\n");
    directives(&mut out, Origin::Licorne);
    out
}

fn directives(out: &mut String, origin: Origin) {
    out.push_str("| directive | values | default | environment | reload | since |\n|---|---|---|---|---|---|\n");
    let group: Vec<&Directive> = TABLE.iter().filter(|directive| directive.origin == origin).collect();
    for directive in &group {
        out.push_str(&format!(
            "| [`{name}`](#{name}) | {values} | {default} | {environment} | {reload} | {since} |\n",
            name = directive.name,
            values = directive.shown_values(),
            default = directive.shown_default(),
            environment = directive.environment.map_or_else(String::new, |name| format!("`{name}`")),
            reload = if directive.reloadable { "yes" } else { "no" },
            since = directive.since,
        ));
    }
    for directive in &group {
        out.push_str(&format!("\n### {}\n\n{}\n", directive.name, directive.doc));
    }
}

impl Directive {
    /// The default, in Markdown.
    pub fn shown_default(&self) -> String {
        match self.default {
            crate::Default::Described(words) => words.into(),
            other => format!("`{}`", other.text()),
        }
    }

    /// The values that it takes, in Markdown.
    pub fn shown_values(&self) -> String {
        let unit = self.unit.map_or_else(String::new, |unit| format!(" ({unit})"));
        match self.kind {
            Kind::Integer { min, .. } => format!("integer ≥ {min}{unit}"),
            Kind::Workers => "integer ≥ 1, `:auto`, or a range of them".into(),
            Kind::Number { min } => format!("number ≥ {min}{unit}"),
            Kind::Bytes => "bytes, or a text such as `\"300M\"`".into(),
            Kind::MemoryBudget => "bytes, a text such as `\"2G\"`, or a share such as `0.8`".into(),
            Kind::Boolean => "`true` or `false`".into(),
            Kind::Path { optional: true } => "path or `nil`".into(),
            Kind::Path { optional: false } => "path".into(),
            Kind::Choice(words) => format!("`:{}`", words.join("`, `:")),
            Kind::Hook { arity } => format!("block of {arity} argument{}", if arity == 1 { "" } else { "s" }),
            Kind::Logger => "object that answers debug, info, warn, error, fatal".into(),
            Kind::Listen => "address, options".into(),
            Kind::AccessLog => "path, `:stdout` or `nil`, options".into(),
            Kind::Canary => "options, or `nil`".into(),
            Kind::Probe => "paths or `nil`, options".into(),
            Kind::Service => "name, `command:` or a block, options".into(),
            Kind::WarmUp => "paths, options, a block".into(),
            Kind::Address => "address or port".into(),
            Kind::Networks => "addresses and networks, `:unix`".into(),
            Kind::Hosts => "names".into(),
            Kind::Reforks => "integers ≥ 1, `false` at the end; `nil`".into(),
            Kind::User => "name, optional group".into(),
        }
    }
}

impl ListenerOption {
    /// The values that it takes, in Markdown.
    pub fn shown_values(&self) -> String {
        match self.kind {
            OptionKind::Integer => "integer".into(),
            OptionKind::Boolean => "`true` or `false`".into(),
            OptionKind::Numeric => "number".into(),
            OptionKind::Choice(words) => format!("`true`, `false`, `:{}`", words.join("`, `:")),
            OptionKind::Any | OptionKind::Seconds => "any".into(),
        }
    }

    /// The listeners that it acts on.
    pub fn shown_transport(&self) -> &'static str {
        match self.transport {
            Transport::Tcp => "TCP",
            Transport::Unix => "UNIX",
            Transport::Both => "TCP, UNIX",
            Transport::Neither => "ignored",
        }
    }
}

fn options(out: &mut String) {
    out.push_str("| option | values | default | for | meaning |\n|---|---|---|---|---|\n");
    for option in OPTIONS {
        out.push_str(&format!(
            "| `{}` | {} | {} | {} | {} |\n",
            option.name,
            option.shown_values(),
            option.default.text(),
            option.shown_transport(),
            option.doc
        ));
    }
}
