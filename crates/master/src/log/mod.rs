//! Log lines as Ruby's Logger writes them, and the files behind the standard streams.

pub(crate) mod files;
pub(crate) mod lines;
