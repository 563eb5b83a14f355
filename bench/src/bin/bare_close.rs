//! The limit without keep-alive: accept, read, write, close, and nothing else. `bare_close ADDRESS`

use std::io::{Read, Write};
use std::net::TcpListener;

const RESPONSE: &[u8] =
    b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 12\r\nConnection: close\r\n\r\nHello World\n";

fn main() -> std::io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:0".into());
    let listener = TcpListener::bind(address)?;
    let mut buffer = [0; 16384];
    loop {
        let Ok((mut client, _)) = listener.accept() else { continue };
        if client.read(&mut buffer).is_ok_and(|count| count > 0) {
            let _ = client.write_all(RESPONSE);
        }
    }
}
