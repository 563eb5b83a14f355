//! Writes the cases of the corpus of `http1` as seeds into `fuzz/corpus/`.

use std::fs;
use std::path::Path;

#[path = "../../crates/http1/tests/support/corpus.rs"]
#[allow(dead_code, missing_docs)]
mod corpus;

fn main() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let cases = corpus::load_from(&root.join("../crates/http1/corpus"));
    for target in ["connection", "head", "chunked"] {
        let folder = root.join("corpus").join(target);
        fs::create_dir_all(&folder).expect("the corpus folder can be made");
        for (index, case) in cases.iter().enumerate() {
            let end_of_head = case.send.windows(4).position(|window| window == b"\r\n\r\n");
            let seed = match (target, end_of_head) {
                ("chunked", Some(end)) => &case.send[end + 4..],
                ("chunked", None) => continue,
                _ => &case.send[..],
            };
            if seed.len() < 4_096 {
                fs::write(folder.join(format!("seed-{index}")), seed).expect("a seed can be written");
            }
        }
    }
}
