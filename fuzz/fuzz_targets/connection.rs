//! However the bytes of a connection are split, the same comes out. The first bytes choose the cuts.
#![no_main]

use http1::Limits;
use libfuzzer_sys::fuzz_target;

#[path = "../../crates/http1/tests/support/serve.rs"]
#[allow(dead_code, missing_docs)]
mod serve;

fuzz_target!(|data: &[u8]| {
    let limits = Limits { body: Some(1 << 20), ..Limits::default() };
    let (cuts, bytes) = data.split_at(data.len().min(2));
    let whole = serve::serve([bytes], &limits);
    assert_eq!(serve::serve(bytes.chunks(1), &limits), whole);
    let step = cuts.first().map_or(1, |&step| usize::from(step) + 1);
    assert_eq!(serve::serve(bytes.chunks(step), &limits), whole);
});
