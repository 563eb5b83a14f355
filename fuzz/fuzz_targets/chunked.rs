//! Our chunked decoder against a plain reference.
#![no_main]

use http1::Limits;
use libfuzzer_sys::fuzz_target;

#[path = "../../crates/http1/tests/support/compare.rs"]
#[allow(dead_code, missing_docs)]
mod compare;
#[path = "../../crates/http1/tests/support/naive.rs"]
#[allow(dead_code, missing_docs)]
mod naive;

fuzz_target!(|bytes: &[u8]| {
    // The reference does not judge extensions.
    if !bytes.contains(&b';') {
        compare::chunked_with_naive(bytes, &Limits::default());
    } else {
        let _ = compare::decode(bytes, &Limits::default());
    }
});
