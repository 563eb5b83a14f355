//! Promise: whoever swaps `unicorn` for `licorne` notices only what `docs/differences.md` tells.
//!
//! Each test starts Debian's Unicorn and Licorne with the same configuration and application, in the same way, does the
//! same to both and compares what came of it. A difference is in a table next to the cases, with its heading in
//! `docs/differences.md` and with what either server does, or the test fails; a listed difference that is none any more
//! fails the test too.

#[path = "differential/apps.rs"]
mod apps;
#[path = "differential/changes.rs"]
mod changes;
#[path = "differential/changes_known.rs"]
mod changes_known;
#[path = "differential/command_line.rs"]
mod command_line;
#[path = "differential/command_line_known.rs"]
mod command_line_known;
#[path = "differential/compare.rs"]
mod compare;
#[path = "differential/daemon.rs"]
mod daemon;
#[path = "differential/directives.rs"]
mod directives;
#[path = "differential/directives_known.rs"]
mod directives_known;
#[path = "differential/env.rs"]
mod env;
#[path = "differential/env_known.rs"]
mod env_known;
#[path = "differential/libraries.rs"]
mod libraries;
#[path = "differential/listed.rs"]
mod listed;
#[path = "differential/malformed.rs"]
mod malformed;
#[path = "differential/malformed_known.rs"]
mod malformed_known;
#[path = "differential/pair.rs"]
mod pair;
#[path = "differential/requests.rs"]
mod requests;
#[path = "differential/responses.rs"]
mod responses;
#[path = "differential/responses_known.rs"]
mod responses_known;
#[path = "differential/signals.rs"]
mod signals;
#[path = "differential/signals_known.rs"]
mod signals_known;
#[path = "differential/sockets.rs"]
mod sockets;
#[path = "differential/story.rs"]
mod story;
