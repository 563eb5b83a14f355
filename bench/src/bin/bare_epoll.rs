//! The limit with keep-alive: one epoll set, read, write, and nothing else. `bare_epoll ADDRESS`

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsRawFd;

use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};

const RESPONSE: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 12\r\n\r\nHello World\n";
const LISTENER: u64 = u64::MAX;

fn main() -> std::io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:0".into());
    let listener = TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    let set = epoll::create(CreateFlags::CLOEXEC)?;
    epoll::add(&set, &listener, EventData::new_u64(LISTENER), EventFlags::IN)?;
    let mut clients: HashMap<u64, TcpStream> = HashMap::new();
    let mut events: Vec<epoll::Event> = Vec::with_capacity(64);
    let mut buffer = [0; 16384];
    loop {
        events.clear();
        epoll::wait(&set, spare_capacity(&mut events), None)?;
        for event in &events {
            let key = event.data.u64();
            if key == LISTENER {
                while let Ok((client, _)) = listener.accept() {
                    client.set_nonblocking(true)?;
                    let key = u64::from(client.as_raw_fd().unsigned_abs());
                    epoll::add(&set, &client, EventData::new_u64(key), EventFlags::IN)?;
                    clients.insert(key, client);
                }
                continue;
            }
            let Some(client) = clients.get_mut(&key) else { continue };
            let served =
                matches!(client.read(&mut buffer), Ok(count) if count > 0) && client.write_all(RESPONSE).is_ok();
            if !served {
                clients.remove(&key);
            }
        }
    }
}
