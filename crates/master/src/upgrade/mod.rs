//! Upgrades: a second master beside this one, and the program that is executed in this one's place.

pub(crate) mod environment;
pub(crate) mod error;
pub(crate) mod execution;
pub(crate) mod owner;
pub(crate) mod preflight;
pub(crate) mod replacement;
pub(crate) mod succession;
pub(crate) mod successor;
pub(crate) mod way_back;

pub(crate) use error::Error;
