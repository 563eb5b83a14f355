//! What one reload is asked for beside the configuration.

use crate::control::protocol::CanaryAsked;

/// What one reload is asked for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Asked {
    /// What each new worker has to answer before it serves.
    pub(crate) probe: Vec<String>,
    /// How it is tried.
    pub(crate) canary: CanaryAsked,
}
