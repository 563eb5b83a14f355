//! What a server has, which must not grow.

use super::Server;
use crate::procfs;

/// Processes and descriptors of a server.
#[derive(Clone, Debug)]
pub struct Holdings {
    processes: usize,
    master_descriptors: usize,
    mold_descriptors: usize,
    worker_descriptors: Vec<usize>,
    shared_memory: usize,
}

impl Holdings {
    /// What it has now.
    #[must_use]
    pub fn of(server: &Server) -> Holdings {
        let count = |pid: u32| procfs::descriptors(pid).len();
        let shared = |pid: u32| procfs::descriptors(pid).values().filter(|what| what.contains("memfd:")).count();
        Holdings {
            processes: server.family().len(),
            master_descriptors: count(server.pid()),
            mold_descriptors: server.titled("mold").into_iter().map(count).sum(),
            worker_descriptors: server.workers().iter().map(|worker| count(worker.pid)).collect(),
            shared_memory: shared(server.pid()),
        }
    }

    /// Whether nothing of it is more than in the other.
    #[must_use]
    pub fn is_within(&self, other: &Holdings) -> bool {
        self.processes <= other.processes
            && self.master_descriptors <= other.master_descriptors
            && self.mold_descriptors <= other.mold_descriptors
            && self.shared_memory <= other.shared_memory
            && self.worker_descriptors.len() == other.worker_descriptors.len()
            && self.worker_descriptors.iter().zip(&other.worker_descriptors).all(|(own, other)| own <= other)
    }
}
