//! New workers on trial, compared with the old ones of the same minutes.

pub(crate) mod compare;
pub(crate) mod watch;
