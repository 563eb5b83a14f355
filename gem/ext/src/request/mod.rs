//! What a request is to the application: its env.

pub(crate) mod current;
pub(crate) mod env;
pub(crate) mod keys;
pub(crate) mod streaming;
