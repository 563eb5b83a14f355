//! Chance that replays: numbers that follow from a seed.

use std::time::{SystemTime, UNIX_EPOCH};

/// A stream of numbers (SplitMix64: Steele, Lea, Flood 2014).
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    /// The stream of one subject of one seed: what one subject asks changes nothing for the others.
    #[must_use]
    pub fn new(seed: u64, subject: u64) -> Dice {
        let mut dice = Dice(seed.wrapping_mul(0xd6e8_feb8_6659_fd93) ^ subject.wrapping_mul(0xa076_1d64_78bd_642f));
        let _ = dice.number();
        dice
    }

    /// Any number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From 0 to `limit`, exclusive.
    pub fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.number() % limit.max(1) as u64).expect("it is below a usize")
    }

    /// True in so many of a hundred cases.
    pub fn percent(&mut self, chance: usize) -> bool {
        self.below(100) < chance
    }

    /// So many bytes.
    #[must_use]
    pub fn bytes(&mut self, count: usize) -> Vec<u8> {
        let mut bytes: Vec<u8> = (0..count.div_ceil(8)).flat_map(|_| self.number().to_le_bytes()).collect();
        bytes.truncate(count);
        bytes
    }
}

/// The seed that this variable holds, or another each time. A test that uses it prints it.
#[must_use]
#[track_caller]
pub fn seed(variable: &str) -> u64 {
    number(variable).unwrap_or_else(|| {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is later than 1970");
        Dice::new(u64::from(now.subsec_nanos()), now.as_secs()).number() % 1_000_000
    })
}

/// The number that this variable holds.
#[must_use]
#[track_caller]
pub fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} is not a number: {text}")))
}
