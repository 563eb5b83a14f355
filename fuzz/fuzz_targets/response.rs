//! Whatever an application says, one well-formed head gets out. Fields are separated by 0xfe, names from values by 0xfd.
#![no_main]

use http1::request::Version;
use http1::response::{Asked, Writer};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((&[bits, high, low], rest)) = data.split_first_chunk() else { return };
    let version = if bits & 1 == 0 { Version::Http10 } else { Version::Http11 };
    let asked = Asked { version, head: bits & 2 != 0, keep_alive: bits & 4 != 0, upgrade: false };
    let known = (bits & 8 != 0).then_some(u64::from(bits));
    let mut out = Vec::new();
    let mut writer = Writer::begin(&mut out, asked, u16::from_be_bytes([high, low]), None, b"D");
    for field in rest.split(|&byte| byte == 0xfe).take(64) {
        let colon = field.iter().position(|&byte| byte == 0xfd).unwrap_or(field.len());
        let (name, value) = field.split_at(colon);
        let _ = writer.field(&mut out, name, value.get(1..).unwrap_or_default());
    }
    writer.finish(&mut out, known);
    assert_eq!(out.windows(4).position(|window| window == b"\r\n\r\n"), Some(out.len() - 4));
    let mut fields = vec![httparse::EMPTY_HEADER; out.len()];
    let parsed = httparse::Response::new(&mut fields).parse(&out);
    assert_eq!(parsed, Ok(httparse::Status::Complete(out.len())));
});
