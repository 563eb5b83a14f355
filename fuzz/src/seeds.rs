//! Writes what the targets begin with: the cases of the corpus of `http1`, and headers and beginnings of messages. The
//! folder that gets a folder for each target is the argument, `fuzz/corpus` without one.

use std::fs;
use std::path::{Path, PathBuf};

#[path = "../../crates/http1/tests/support/corpus.rs"]
#[allow(dead_code, missing_docs)]
mod corpus;

fn main() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let place = std::env::args_os().nth(1).map_or_else(|| root.join("corpus"), PathBuf::from);
    let cases = corpus::load_from(&root.join("../crates/http1/corpus"));
    for case in &cases {
        let end_of_head = case.send.windows(4).position(|window| window == b"\r\n\r\n").map(|end| end + 4);
        let body = end_of_head.map(|end| &case.send[end..]).unwrap_or_default();
        let last_chunk = body.windows(3).position(|window| window == b"0\r\n").map(|at| &body[at + 3..]);
        write(&place, "connection", &case.send);
        write(&place, "head", &case.send);
        write(&place, "chunked", body);
        write(&place, "trailer", last_chunk.unwrap_or_default());
    }
    for header in PROXY {
        write(&place, "proxy", header);
    }
    // Each kind of message with room for what it may hold: what that is the fuzzer finds out, and this need not know.
    for kind in 1..=32 {
        for zeros in [0, 8, 32] {
            write(&place, "wire", &[&[1, kind], &[0; 32][..zeros]].concat());
        }
    }
}

const PROXY: &[&[u8]] = &[
    b"PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\r\n",
    b"PROXY TCP6 2001:db8::1 ::1 1 65535\r\nGET / HTTP/1.1\r\n",
    b"PROXY UNKNOWN\r\n",
    b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x01\xc6\x33\x64\x02\xdc\x04\x01\xbb",
    b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0",
    b"\r\n\r\n\0\r\nQUIT\n\x21\x21\0\x240000000000000000111111111111111100112233",
];

fn write(place: &Path, target: &str, bytes: &[u8]) {
    let folder = place.join(target);
    fs::create_dir_all(&folder).expect("the corpus folder can be made");
    if !bytes.is_empty() && bytes.len() < 4_096 {
        // The name is the content's, so that a second run writes nothing twice.
        let sum = bytes
            .iter()
            .fold(0xcbf2_9ce4_8422_2325_u64, |sum, byte| (sum ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3));
        fs::write(folder.join(format!("seed-{sum:016x}")), bytes).expect("a seed can be written");
    }
}
