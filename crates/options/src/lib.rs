//! Command lines that scripts wrote for other programs: a table of options, and the dialects in which they are written.
//!
//! | dialect | whose it is | source |
//! |---|---|---|
//! | [`Dialect::OptionParser`] | Unicorn's | Ruby's OptionParser, observed from outside |
//! | [`Dialect::Argparse`] | unicornherder's | Python's argparse, observed from outside |
//!
//! In both, long options may be cut to any prefix that only one of them has, values follow after a blank or `=`, or, for
//! short options, at once (`-l9001`), short options cluster (`-DNv`), and `--` ends options.
//! Licorne's own subcommands are no business of this crate: clap parses those.
//! It does no I/O, and reads no environment.
#![forbid(unsafe_code)]

mod mistake;
mod parse;
mod switch;

pub use mistake::{Error, Mistake};
pub use parse::{Given, Word, parse};
pub use switch::{Switch, help, port};

/// How a command line is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// Options and other arguments mix; with `posix`, the first other argument ends options.
    OptionParser {
        /// Whether `POSIXLY_CORRECT` is set.
        posix: bool,
    },
    /// The first other argument ends options, and `-o=5` is a 5.
    Argparse,
}
