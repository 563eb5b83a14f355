//! The PROXY protocol against a plain reference.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../crates/http1/tests/support/announced.rs"]
#[allow(dead_code, missing_docs)]
mod announced;

fuzz_target!(|bytes: &[u8]| announced::check(bytes));
