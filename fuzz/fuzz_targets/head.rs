//! Our head parser against a plain reference and `httparse`.
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
    compare::head_with_naive(bytes, &Limits::default());
    compare::head_with_httparse(bytes, &Limits::default());
});
