//! After how many requests workers are forked anew.

use alloc::vec::Vec;

use serde::Deserialize;
use serde::de::Deserializer;

use crate::record::Setting;

/// The value of `refork_after`: numbers of requests, of which the last holds on; 0 is never. None where it is not given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reforks(pub Vec<u32>);

impl Reforks {
    /// How many there may be.
    pub const MOST: usize = 8;
}

/// One of them, as a configuration writes it.
#[derive(Deserialize)]
#[serde(untagged)]
enum Count {
    Requests(u32),
    End(bool),
}

impl Setting for Reforks {
    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = |count| match count {
            Count::Requests(requests) => requests,
            Count::End(goes_on) => goes_on.into(),
        };
        let counts: Option<Vec<Count>> = Option::deserialize(deserializer)?;
        Ok(Self(counts.into_iter().flatten().map(number).collect()))
    }
}
