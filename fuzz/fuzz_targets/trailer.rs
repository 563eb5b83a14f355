//! What is behind the last chunk, against a plain reference, and however it arrives.
#![no_main]

use http1::Limits;
use http1::chunked::Decoder;
use libfuzzer_sys::fuzz_target;

#[path = "../../crates/http1/tests/support/compare.rs"]
#[allow(dead_code, missing_docs)]
mod compare;
#[path = "../../crates/http1/tests/support/naive.rs"]
#[allow(dead_code, missing_docs)]
mod naive;

fuzz_target!(|bytes: &[u8]| {
    let limits = Limits::default();
    let body = [b"0\r\n", bytes].concat();
    compare::chunked_with_naive(&body, &limits);
    // No piece of it is ever content, and the end is where it is when all comes at once.
    let whole = compare::decode(&body, &limits).ok().flatten().map(|(_, len)| len);
    let mut decoder = Decoder::new();
    let end = body.iter().position(|byte| match decoder.decode(&[*byte], &limits) {
        Ok(http1::chunked::Step::Data { .. }) => panic!("content in a trailer section"),
        Ok(http1::chunked::Step::Done { .. }) => true,
        Ok(http1::chunked::Step::Need) | Err(_) => false,
    });
    assert_eq!(end.map(|end| end + 1), whole);
});
