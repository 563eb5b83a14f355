//! What the tests of this crate share.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used)]

pub mod announced;
pub mod compare;
pub mod corpus;
pub mod naive;
pub mod serve;
