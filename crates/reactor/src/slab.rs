//! The connections by number. A token names one connection and never another that took its place.

use crate::connection::Connection;

/// A connection's name: place and generation of the place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token {
    pub(crate) index: u32,
    generation: u32,
}

impl Token {
    /// Packs the token for epoll. The top bit is never set: that is for descriptors of other kinds.
    pub(crate) fn to_u64(self) -> u64 {
        u64::from(self.generation) << 32 | u64::from(self.index)
    }

    pub(crate) fn from_u64(word: u64) -> Self {
        Self { index: word as u32, generation: (word >> 32) as u32 }
    }
}

#[derive(Debug, Default)]
struct Slot {
    generation: u32,
    connection: Option<Connection>,
}

/// The connections of a worker.
#[derive(Debug, Default)]
pub(crate) struct Slab {
    slots: Vec<Slot>,
    free: Vec<u32>,
}

impl Slab {
    pub(crate) fn insert(&mut self, connection: Connection) -> Token {
        let index = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot::default());
            (self.slots.len() - 1) as u32
        });
        let slot = &mut self.slots[index as usize];
        slot.connection = Some(connection);
        Token { index, generation: slot.generation }
    }

    pub(crate) fn get(&self, token: Token) -> Option<&Connection> {
        let slot = self.slots.get(token.index as usize)?;
        if slot.generation == token.generation { slot.connection.as_ref() } else { None }
    }

    pub(crate) fn get_mut(&mut self, token: Token) -> Option<&mut Connection> {
        let slot = self.slots.get_mut(token.index as usize)?;
        if slot.generation == token.generation { slot.connection.as_mut() } else { None }
    }

    pub(crate) fn remove(&mut self, token: Token) -> Option<Connection> {
        let slot = self.slots.get_mut(token.index as usize)?;
        if slot.generation != token.generation {
            return None;
        }
        let connection = slot.connection.take()?;
        slot.generation = (slot.generation + 1) & (u32::MAX >> 1);
        self.free.push(token.index);
        Some(connection)
    }

    /// Returns the token of the connection that is at `index` now.
    pub(crate) fn token_at(&self, index: u32) -> Option<Token> {
        let slot = self.slots.get(index as usize)?;
        slot.connection.as_ref().map(|_| Token { index, generation: slot.generation })
    }

    /// Returns how many places there are, taken or free: all indexes are below.
    pub(crate) fn places(&self) -> u32 {
        self.slots.len() as u32
    }

    pub(crate) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }
}
