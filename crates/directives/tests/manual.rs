//! The man page licorne(5), printed from the table. `man/licorne.5` is this text, checked in.
//!
//! After a change of the table: `LICORNE_BLESS=1 cargo test -p directives` writes it anew.
#![allow(clippy::unwrap_used)]

use std::path::Path;

use directives::{Directive, OPTIONS, Origin, TABLE};
use roff::{Inline, Roff, bold, roman};

#[test]
fn checked_in_manual_is_what_the_table_prints() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../man/licorne.5");
    let printed = manual();
    if std::env::var_os("LICORNE_BLESS").is_some() {
        std::fs::write(&path, &printed).unwrap();
    }
    let checked_in = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(checked_in == printed, "man/licorne.5 differs: run LICORNE_BLESS=1 cargo test -p directives");
}

fn manual() -> String {
    let mut page = Roff::new();
    // roff writes an empty argument as none.
    page.control("TH", ["licorne", "5", r#""""#, concat!("Licorne ", env!("CARGO_PKG_VERSION")), "Licorne"]);
    page.control("SH", ["NAME"]).text([roman("licorne - configuration of the HTTP server licorne(1)")]);
    page.control("SH", ["DESCRIPTION"]).text(text(
        "The configuration file is Ruby, and named with `-c`. Every directive below is a method; an unknown one is an error. \
         Environment variables apply only where the file sets nothing. `licorne reload`, or SIGHUP, applies a change, unless \
         its entry says that it takes `licorne upgrade`.",
    ));
    page.control("SH", ["DIRECTIVES OF UNICORN"]);
    directives(&mut page, Origin::Unicorn);
    page.control("SH", ["OPTIONS OF LISTEN"]);
    for option in OPTIONS {
        page.control("TP", []).text([vec![bold(option.name), roman(": ")], text(&option.shown_values())].concat());
        page.text(text(option.doc));
        page.text(text(&format!("Default: {}. For: {}.", option.default.text(), option.shown_transport())));
    }
    page.control("SH", ["DIRECTIVES OF LICORNE"]);
    directives(&mut page, Origin::Licorne);
    page.control("SH", ["EXAMPLE"]).control("nf", []);
    for line in ["worker_processes :auto", "timeout 30", "listen '/run/app.sock', backlog: 2048", "preload_app true"] {
        page.text([roman(line)]);
    }
    page.control("fi", [])
        .control("SH", ["SEE ALSO"])
        .text([roman("licorne(1), licorne-reload(1), licorne-upgrade(1)")]);
    page.to_roff()
}

fn directives(page: &mut Roff, origin: Origin) {
    for directive in TABLE.iter().filter(|directive| directive.origin == origin) {
        let values = [vec![bold(directive.name), roman(": ")], text(&directive.shown_values())].concat();
        page.control("TP", []).text(values).text(text(directive.doc)).text(text(&facts(directive)));
    }
}

fn facts(directive: &Directive) -> String {
    let environment = directive.environment.map(|name| format!(" Environment: `{name}`.")).unwrap_or_default();
    let upgrade = if directive.reloadable { "" } else { " A change takes an upgrade." };
    format!("Default: {}.{environment}{upgrade}", directive.shown_default())
}

/// Markdown's code in bold.
fn text(markdown: &str) -> Vec<Inline> {
    let parts = markdown.split('`').enumerate();
    parts.map(|(index, part)| if index % 2 == 1 { bold(part) } else { roman(part) }).collect()
}
