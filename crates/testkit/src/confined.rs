//! Servers that have little of something: a small disk, a control group with a limit on memory.
//!
//! A script stands between the test and the server, enters that place, and becomes the server.

use std::fs;
use std::path::{Path, PathBuf};

use crate::{Builder, program};

impl Builder {
    /// Has the server see a file system of `size` (as tmpfs takes it: `64k`, `2m`) at this place of the test's directory. The
    /// test sees it by way of `/proc/<pid>/root`. See unshare(1), tmpfs(5).
    #[must_use]
    pub fn small_disk(self, name: &str, size: &str) -> Self {
        self.confined("small_disk.sh").env("SMALL_DISK", name).env("SMALL_DISK_SIZE", size)
    }

    /// Has the server run in this control group.
    #[must_use]
    pub fn within(self, group: &MemoryGroup) -> Self {
        self.confined("group.sh").env("CONTROL_GROUP", &group.0.display().to_string())
    }

    fn confined(self, script: &str) -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/confined").join(script);
        self.program(script).env("CONFINED_PROGRAM", &program::path().display().to_string())
    }
}

/// A control group of version 1 with a limit on memory, of which this process may have one. Its end removes it, if nothing
/// is left in it.
#[derive(Debug)]
pub struct MemoryGroup(PathBuf);

impl MemoryGroup {
    /// `None` where none can be made.
    #[must_use]
    pub fn limited(bytes: u64) -> Option<Self> {
        let mine = fs::read_to_string("/proc/self/cgroup").ok()?;
        let mine = mine.lines().find_map(|line| line.split_once(":memory:"))?.1.trim_start_matches('/');
        let path = Path::new("/sys/fs/cgroup/memory").join(mine).join(format!("licorne-{}", std::process::id()));
        fs::create_dir(&path).ok()?;
        let group = Self(path);
        fs::write(group.0.join("memory.limit_in_bytes"), bytes.to_string()).ok()?;
        // Where swap is counted.
        let _ = fs::write(group.0.join("memory.memsw.limit_in_bytes"), bytes.to_string());
        fs::read_to_string(group.0.join("memory.oom_control")).ok()?.contains("oom_kill ").then_some(group)
    }
}

impl Drop for MemoryGroup {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.0);
    }
}
