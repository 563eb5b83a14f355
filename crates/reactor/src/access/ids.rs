//! Ids for requests that came without: 128 random bits each, without a system call each.

use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::{Rng, SeedableRng};
use rustix::rand::{GetRandomFlags, getrandom};

use crate::conn::RequestId;

const HEX: &[u8; 16] = b"0123456789abcdef";

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

    /// Makes the next one: 32 digits, as nginx's `$request_id`.
    pub(crate) fn next(&mut self) -> RequestId {
        let bits = u128::from(self.0.next_u64()) << 64 | u128::from(self.0.next_u64());
        let digits: [u8; 32] = std::array::from_fn(|at| HEX[(bits >> (124 - at * 4) & 15) as usize]);
        RequestId::new(&digits).expect("an id has room for 32 digits")
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
        assert!(ids.iter().all(|id| id.len() == 32 && id.iter().all(u8::is_ascii_hexdigit)));
    }
}
