//! Upgrades: the second master, and the program that takes this one's place.

pub(crate) mod hand_over;
pub(crate) mod preflight;
pub(crate) mod replacement;
pub(crate) mod succession;
pub(crate) mod successor;
pub(crate) mod take_over;
