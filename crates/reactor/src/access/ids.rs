//! Ids for requests that came without: 130 random bits each, without a system call each.

use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::{Rng, SeedableRng};
use rustix::rand::{GetRandomFlags, getrandom};

use crate::conn::RequestId;

/// One character for each six bits. Two letters stand there twice, which costs 22 characters of an id not two of its 132
/// bits: with nothing but letters and digits in it, an id is one word everywhere.
const CHARACTERS: &[u8; 64] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyzxz";
/// A Ruby string of up to 23 bytes needs no memory of its own.
const LENGTH: usize = 22;
/// So many characters are made of one random number.
const CHUNK: usize = 10;

/// The generator of one process. It is made in the worker, after the fork: two processes never share its state.
#[derive(Debug)]
pub(crate) struct Ids(Xoshiro256PlusPlus);

impl Ids {
    /// Takes its seed from the system.
    ///
    /// # Errors
    /// See getrandom(2).
    pub(crate) fn new() -> std::io::Result<Self> {
        let mut seed = [0; 32];
        getrandom(&mut seed, GetRandomFlags::empty())?;
        Ok(Self(Xoshiro256PlusPlus::from_seed(seed)))
    }

    /// Makes the next one: letters and digits.
    pub(crate) fn next(&mut self) -> RequestId {
        let mut id = [0; LENGTH];
        for chunk in id.chunks_mut(CHUNK) {
            let mut bits = self.0.next_u64();
            for character in chunk {
                *character = CHARACTERS[(bits & 63) as usize];
                bits >>= 6;
            }
        }
        RequestId::new(&id).expect("an id has room for them")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn no_two_ids_are_alike() {
        let (mut one, mut other) = (Ids::new().unwrap(), Ids::new().unwrap());
        let ids: BTreeSet<Vec<u8>> =
            (0..1_000).flat_map(|_| [one.next(), other.next()]).map(|id| id.as_bytes().to_vec()).collect();
        assert_eq!(ids.len(), 2_000);
        assert!(ids.iter().all(|id| id.len() == LENGTH && id.iter().all(u8::is_ascii_alphanumeric)));
    }
}
