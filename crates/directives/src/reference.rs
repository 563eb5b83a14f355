//! The reference page, printed from the table. `docs/reference.md` is this text, checked in.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use crate::listener::{OPTIONS, OptionKind, Transport};
use crate::{Directive, Kind, Origin, TABLE};

const HEAD: &str = "<!-- Printed from crates/directives; edit the table there. -->\n# Configuration reference\n\n\
    The configuration file is Ruby, named with `-c`.\n\
    Every directive below is a method; an unknown one is an error.\n\
    What the environment gives holds where the file is silent.\n";

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
            values = values(directive),
            default = default(directive),
            environment = directive.environment.map_or_else(String::new, |name| format!("`{name}`")),
            reload = if directive.reloadable { "yes" } else { "no" },
            since = directive.since,
        ));
    }
    for directive in &group {
        out.push_str(&format!("\n### {}\n\n{}\n", directive.name, directive.doc));
    }
}

fn default(directive: &Directive) -> String {
    match directive.default {
        crate::Default::Described(words) => words.into(),
        other => format!("`{}`", other.text()),
    }
}

fn values(directive: &Directive) -> String {
    let unit = directive.unit.map_or_else(String::new, |unit| format!(" ({unit})"));
    match directive.kind {
        Kind::Integer { min, auto, .. } => {
            format!("integer ≥ {min}{unit}{}", if auto { " or `:auto`" } else { "" })
        }
        Kind::Number { min } => format!("number ≥ {min}{unit}"),
        Kind::Boolean => "`true` or `false`".into(),
        Kind::Path { optional: true } => "path or `nil`".into(),
        Kind::Path { optional: false } => "path".into(),
        Kind::Choice(words) => format!("`:{}`", words.join("`, `:")),
        Kind::Hook { arity } => format!("block of {arity} argument{}", if arity == 1 { "" } else { "s" }),
        Kind::Logger => "object that answers debug, info, warn, error, fatal".into(),
        Kind::Listen => "address, options".into(),
        Kind::Address => "address or port".into(),
        Kind::Networks => "addresses and networks, `:unix`".into(),
        Kind::Hosts => "names".into(),
        Kind::User => "name, optional group".into(),
    }
}

fn options(out: &mut String) {
    out.push_str("| option | values | default | for | meaning |\n|---|---|---|---|---|\n");
    for option in OPTIONS {
        let values = match option.kind {
            OptionKind::Integer => "integer".into(),
            OptionKind::Boolean => "`true` or `false`".into(),
            OptionKind::Numeric => "number".into(),
            OptionKind::Choice(words) => format!("`true`, `false`, `:{}`", words.join("`, `:")),
            OptionKind::Any => String::from("any"),
        };
        let transport = match option.transport {
            Transport::Tcp => "TCP",
            Transport::Unix => "UNIX",
            Transport::Both => "TCP, UNIX",
            Transport::Neither => "ignored",
        };
        out.push_str(&format!(
            "| `{}` | {values} | {} | {transport} | {} |\n",
            option.name, option.default, option.doc
        ));
    }
}
