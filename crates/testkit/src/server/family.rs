//! The processes that belong to a server, by their titles.

use super::Server;
use crate::process;
use crate::procfs::{self, Process};

/// A worker, as its title shows it: `licorne worker[0] -c … (gen 1)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Worker {
    /// The slot.
    pub number: u32,
    /// The generation, where the title tells it.
    pub generation: Option<u32>,
    /// Its process id.
    pub pid: u32,
    /// Its parent's: the master's.
    pub parent: u32,
}

impl Server {
    /// The process that was started (unless it has exited), its descendants, and what they orphaned; no zombies.
    #[must_use]
    pub fn family(&self) -> Vec<Process> {
        let mut family = process::orphans();
        if self.status.is_none() {
            family.extend(procfs::process(self.pid()));
            family.extend(procfs::descendants(self.pid()));
        }
        family.retain(|process| process.state != 'Z');
        family.sort_by_key(|process| process.pid);
        family.dedup_by_key(|process| process.pid);
        family
    }

    /// The workers, by slot; of two masters, both masters' workers.
    #[must_use]
    pub fn workers(&self) -> Vec<Worker> {
        let mut workers: Vec<Worker> =
            self.family().iter().filter_map(|process| worker(&self.name(), process)).collect();
        workers.sort();
        workers
    }

    /// The workers of one master.
    #[must_use]
    pub fn workers_of(&self, master: u32) -> Vec<Worker> {
        self.workers().into_iter().filter(|worker| worker.parent == master).collect()
    }

    /// The name that its process titles begin with.
    fn name(&self) -> String {
        self.program.file_name().expect("the program has a name").to_string_lossy().into_owned()
    }

    /// The process ids of those whose title has this tag: `master`, `master (old)`, `mold`.
    #[must_use]
    pub fn titled(&self, tag: &str) -> Vec<u32> {
        let name = self.name();
        let matching = |process: &&Process| match process.title.split_once(' ') {
            Some((program, rest)) => {
                let rest = rest.strip_prefix(tag).filter(|rest| rest.is_empty() || rest.starts_with(' '));
                // `master` alone must not find `master (old)`.
                is_program(&name, program) && rest.is_some_and(|rest| !rest.starts_with(" (old)"))
            }
            None => false,
        };
        self.family().iter().filter(matching).map(|process| process.pid).collect()
    }

    /// Waits until exactly these slots are served, one worker each.
    #[track_caller]
    pub fn wait_for_slots(&self, slots: &[u32]) -> Vec<Worker> {
        self.eventually(&format!("workers {slots:?}"), || {
            let workers = self.workers();
            let numbers: Vec<u32> = workers.iter().map(|worker| worker.number).collect();
            (numbers == slots).then_some(workers)
        })
    }
}

fn is_program(name: &str, word: &str) -> bool {
    word.rsplit('/').next() == Some(name)
}

fn worker(name: &str, process: &Process) -> Option<Worker> {
    let (program, rest) = process.title.split_once(' ')?;
    let (number, rest) = rest.strip_prefix("worker[")?.split_once(']')?;
    let generation = rest.rsplit_once("(gen ").and_then(|(_, text)| text.split_once(')')?.0.parse().ok());
    let worker = Worker { number: number.parse().ok()?, generation, pid: process.pid, parent: process.parent };
    is_program(name, program).then_some(worker)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_title_tells_slot_and_generation() {
        let titled = |rest: &str| Process {
            pid: 7,
            parent: 1,
            state: 'S',
            cpu: std::time::Duration::ZERO,
            title: format!("licorne {rest}"),
        };
        let expected = Worker { number: 3, generation: Some(12), pid: 7, parent: 1 };
        assert_eq!(worker("licorne", &titled("worker[3] -c x.rb (gen 12)")), Some(expected));
        assert_eq!(worker("licorne", &titled("worker[3] (gen 12) -c x.rb")), Some(expected));
        assert_eq!(worker("licorne", &titled("worker[3] -c x.rb")), Some(Worker { generation: None, ..expected }));
        assert_eq!(worker("licorne", &titled("master -c x.rb")), None);
    }
}
