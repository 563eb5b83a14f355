//! Promise: whoever swaps `unicorn` for `licorne` notices only what `docs/differences.md` tells.
//!
//! Each test starts Debian's Unicorn and Licorne with the same configuration and application, in the same way, does the
//! same to both and compares what came of it. A difference is in a table next to the cases, with its heading in
//! `docs/differences.md` and with what either server does, or the test fails; a listed difference that is none any more
//! fails the test too.

#[path = "differential/apps.rs"]
mod apps;
#[path = "differential/compare.rs"]
mod compare;
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
