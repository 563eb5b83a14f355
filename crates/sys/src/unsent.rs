//! What a peer has not taken yet of what it is told, on a connection that does not block.

use std::collections::VecDeque;
use std::io::{ErrorKind, Write};

/// How much may wait for a peer; one that leaves more is given up.
pub const MOST_BYTES: usize = 32 << 20;

/// Bytes that wait for a peer to take them.
#[derive(Debug, Default)]
pub struct Unsent(VecDeque<u8>);

impl Unsent {
    /// Tells whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds bytes behind those that wait.
    pub fn add(&mut self, bytes: &[u8]) {
        self.0.extend(bytes);
    }

    /// Writes what the peer takes at once. False when it is gone, or too much is left: there is nothing more to do with it.
    pub fn send(&mut self, to: &mut impl Write) -> bool {
        while !self.0.is_empty() {
            match to.write(self.0.as_slices().0) {
                Ok(count) => drop(self.0.drain(..count)),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return error.kind() == ErrorKind::WouldBlock && self.0.len() <= MOST_BYTES,
            }
        }
        true
    }
}
