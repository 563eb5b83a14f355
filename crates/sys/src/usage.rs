//! What a process uses: memory and processor time. See proc_pid_statm(5), proc_pid_smaps(5), proc_pid_stat(5).

use std::fs::read_to_string;

use nix::libc;

/// Memory that is resident, by whether others share it, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shares {
    /// Shared memory divided among those that share it.
    pub pss_bytes: u64,
    /// What no other process shares.
    pub private_bytes: u64,
    /// What others share.
    pub shared_bytes: u64,
    /// What lies in swap.
    pub swap_bytes: u64,
}

/// How much memory a process has, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extent {
    /// What is resident.
    pub resident_bytes: u64,
    /// Its address space.
    pub virtual_bytes: u64,
}

/// How much memory it has. It costs some microseconds.
pub fn extent(pid: u32) -> Option<Extent> {
    let [all, resident] = pages(&read_to_string(format!("/proc/{pid}/statm")).ok()?)?;
    let bytes = |pages: u64| pages.saturating_mul(constant(libc::_SC_PAGESIZE, 4096));
    Some(Extent { resident_bytes: bytes(resident), virtual_bytes: bytes(all) })
}

/// All pages, and those that are resident.
fn pages(statm: &str) -> Option<[u64; 2]> {
    let mut fields = statm.split(' ');
    Some([fields.next()?.parse().ok()?, fields.next()?.parse().ok()?])
}

/// The most that ever was resident, in bytes.
pub fn peak_bytes(pid: u32) -> Option<u64> {
    parse_peak(&read_to_string(format!("/proc/{pid}/status")).ok()?)
}

fn parse_peak(status: &str) -> Option<u64> {
    status.lines().find_map(|line| kilobytes(line.strip_prefix("VmHWM:")?)).map(|kilobytes| kilobytes * 1024)
}

/// `  36480 kB`
fn kilobytes(value: &str) -> Option<u64> {
    value.trim().strip_suffix(" kB")?.parse().ok()
}

/// How resident memory is shared. The kernel looks at each page of the process: it costs milliseconds where that is large.
pub fn shares(pid: u32) -> Option<Shares> {
    parse_shares(&read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?)
}

fn parse_shares(rollup: &str) -> Option<Shares> {
    let mut found = Shares::default();
    let mut is_one = false;
    for line in rollup.lines() {
        let Some((name, value)) = line.split_once(':') else { continue };
        let Some(kilobytes) = kilobytes(value) else { continue };
        let bytes = kilobytes.saturating_mul(1024);
        match name {
            "Pss" => (is_one, found.pss_bytes) = (true, bytes),
            "Private_Clean" | "Private_Dirty" | "Private_Hugetlb" => found.private_bytes += bytes,
            "Swap" => found.swap_bytes = bytes,
            "Shared_Clean" | "Shared_Dirty" | "Shared_Hugetlb" => found.shared_bytes += bytes,
            _ => {}
        }
    }
    is_one.then_some(found)
}

/// Processor time of all its threads, user and system, in milliseconds.
pub fn cpu_ms(pid: u32) -> Option<u64> {
    let ticks = cpu_ticks(&read_to_string(format!("/proc/{pid}/stat")).ok()?)?;
    Some(ticks.saturating_mul(1000) / constant(libc::_SC_CLK_TCK, 100))
}

fn cpu_ticks(stat: &str) -> Option<u64> {
    // The name of the program may hold blanks and brackets; what follows it does not.
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace().skip(11);
    let (user, system) = (fields.next()?, fields.next()?);
    Some(user.parse::<u64>().ok()?.saturating_add(system.parse().ok()?))
}

/// A constant of this system. See sysconf(3).
fn constant(name: libc::c_int, usual: u64) -> u64 {
    // SAFETY: the call reads a number and touches no memory of ours.
    u64::try_from(unsafe { libc::sysconf(name) }).ok().filter(|value| *value > 0).unwrap_or(usual)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_proc_are_read_as_the_kernel_writes_them() {
        assert_eq!(pages("25643 9120 3270 712 0 7240 0\n"), Some([25_643, 9_120]));
        assert_eq!(
            parse_peak("Name:\tb\nVmPeak:\t  90000 kB\nVmHWM:\t   36480 kB\nVmRSS:\t 3 kB\n"),
            Some(36_480 << 10)
        );
        let rollup = "55d0c3b7d000-7ffd6f1e4000 ---p 00000000 00:00 0    [rollup]\nRss:  36480 kB\nPss:  15020 kB\n\
                      Pss_Dirty:  11040 kB\nShared_Clean:  12000 kB\nShared_Dirty:  14080 kB\nPrivate_Clean:  400 kB\n\
                      Private_Dirty:  10000 kB\nSwap:  8 kB\nPrivate_Hugetlb:  0 kB\n";
        let (pss_bytes, private_bytes, shared_bytes) = (15_020 << 10, 10_400 << 10, 26_080 << 10);
        let want = Shares { pss_bytes, private_bytes, shared_bytes, swap_bytes: 8 << 10 };
        assert_eq!(parse_shares(rollup), Some(want));
        let stat = "7 (a ) b) S 1 7 7 0 -1 4194560 9 0 0 0 120 30 0 0 20 0 2 0 100 0 0\n";
        assert_eq!(cpu_ticks(stat), Some(150));
    }

    #[test]
    fn other_texts_tell_nothing() {
        for text in ["", "\n", "a", "1", ") S", "Pss: many kB\n", "(a) S 1 2 3"] {
            assert_eq!((parse_shares(text), cpu_ticks(text), pages(text)), (None, None, None), "{text:?}");
        }
    }

    #[test]
    fn this_process_uses_something() {
        let pid = std::process::id();
        let extent = extent(pid).unwrap();
        assert!(extent.resident_bytes > 100_000 && extent.virtual_bytes > extent.resident_bytes, "{extent:?}");
        assert!(shares(pid).unwrap().pss_bytes > 100_000 && peak_bytes(pid) > Some(100_000));
        assert!(cpu_ms(pid).is_some() && cpu_ms(u32::MAX).is_none());
    }
}
