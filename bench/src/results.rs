//! What one run of the bench has measured.

use crate::{engine, fleet, hurt, idle, memory, paced, startup, throughput};

/// Everything that was measured.
#[derive(Debug, Default)]
pub(crate) struct Results {
    pub(crate) throughput: Vec<throughput::Table>,
    pub(crate) paced: Vec<paced::Table>,
    pub(crate) memory: Vec<memory::Table>,
    pub(crate) fleet: Vec<fleet::Row>,
    pub(crate) idle: Vec<idle::Row>,
    pub(crate) startup: Vec<startup::Row>,
    pub(crate) hurt: Vec<hurt::Row>,
    pub(crate) engine: Vec<engine::Row>,
}
