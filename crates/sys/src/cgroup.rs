//! How much memory this process's control group may have. See cgroups(7): `memory.max` of the unified hierarchy, of which the
//! line `0::/path` of /proc/self/cgroup says the place, and `memory.limit_in_bytes` of the older one (`4:memory:/path`).

use std::fs::read_to_string;
use std::path::{Path, PathBuf};

/// A limit of the older hierarchy that is not lower than this is none: that is how it is written.
const NO_LIMIT: u64 = 1 << 60;

/// The least limit on memory of the control group and of those above it, in bytes; `None` when there is none.
pub fn memory_limit() -> Option<u64> {
    limit_below(Path::new("/sys/fs/cgroup"), &read_to_string("/proc/self/cgroup").ok()?)
}

fn limit_below(root: &Path, groups: &str) -> Option<u64> {
    let limits = groups.lines().filter_map(|line| place(root, line)).flat_map(|(root, file, path)| {
        let read = move |level: PathBuf| read_to_string(level.join(file)).ok()?.trim().parse::<u64>().ok();
        levels(root, path).into_iter().filter_map(read)
    });
    limits.filter(|bytes| *bytes < NO_LIMIT).min()
}

/// Of a line of /proc/self/cgroup the root of the hierarchy, the file that has the limit, and the group's path.
fn place<'a>(root: &Path, line: &'a str) -> Option<(PathBuf, &'static str, &'a str)> {
    let mut parts = line.splitn(3, ':').skip(1);
    let (controllers, path) = (parts.next()?, parts.next()?);
    match controllers {
        "" => Some((root.to_path_buf(), "memory.max", path)),
        names if names.split(',').any(|name| name == "memory") => {
            Some((root.join("memory"), "memory.limit_in_bytes", path))
        }
        _ => None,
    }
}

/// The directories from the root of a hierarchy down to this group. In a container those below may not be there.
fn levels(root: PathBuf, path: &str) -> Vec<PathBuf> {
    let mut levels = vec![root];
    for part in path.split('/').filter(|part| !matches!(*part, "" | "..")) {
        let next = levels[levels.len() - 1].join(part);
        levels.push(next);
    }
    levels
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(groups: &str, files: &[(&str, &str)], limit: Option<u64>) {
        let root = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = root.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        assert_eq!(limit_below(root.path(), groups), limit, "{files:?}");
    }

    #[test]
    fn least_limit_of_the_unified_hierarchy_counts() {
        let groups = "0::/system.slice/web.service\n";
        check(groups, &[], None);
        check(groups, &[("system.slice/web.service/memory.max", "max\n")], None);
        check(groups, &[("system.slice/web.service/memory.max", "1000\n")], Some(1000));
        let both = [("system.slice/memory.max", "500\n"), ("system.slice/web.service/memory.max", "1000\n")];
        check(groups, &both, Some(500));
        check("0::/\n", &[("memory.max", "700\n"), ("other/memory.max", "1\n")], Some(700));
    }

    #[test]
    fn least_limit_of_the_older_hierarchy_counts() {
        let groups = "5:cpu,cpuacct:/a\n4:memory:/a/b\n1:name=systemd:/a\n0::/\n";
        let unlimited = "9223372036854771712\n";
        check(groups, &[("memory/memory.limit_in_bytes", unlimited)], None);
        check(
            groups,
            &[("memory/a/memory.limit_in_bytes", "800\n"), ("memory/a/b/memory.limit_in_bytes", unlimited)],
            Some(800),
        );
        check(groups, &[("memory/a/b/memory.limit_in_bytes", "900\n")], Some(900));
        // A container sees its own group as the root, whatever its name is outside.
        check("4:memory:/docker/17ab\n", &[("memory/memory.limit_in_bytes", "600\n")], Some(600));
        check("nonsense\n4:memory\n", &[("memory/memory.limit_in_bytes", "600\n")], None);
    }
}
