//! Promise: `licorne` in the place of `unicorn` differs only in what `docs/differences.md` lists.
//!
//! Each test starts Debian's Unicorn and Licorne with the same configuration and application, in the same way, does the
//! same to both and compares what came of it. A difference is in a table next to the cases, with its heading in
//! `docs/differences.md` and with what either server does, or the test fails; a listed difference that is none any more
//! fails the test too.

mod apps;
mod changes;
mod changes_known;
mod command_line;
mod command_line_known;
mod compare;
mod daemon;
mod directives;
mod directives_known;
mod env;
mod env_known;
mod libraries;
mod listed;
mod malformed;
mod malformed_known;
mod pair;
mod requests;
mod responses;
mod responses_known;
mod signals;
mod signals_known;
mod sockets;
mod story;
