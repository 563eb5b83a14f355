//! The process title that ps(1) shows: written over the memory that held the arguments and the environment.
//!
//! See proc_pid_cmdline(5): when the byte at the end of the arguments is no NUL, the kernel reads on into the
//! environment, which makes room for titles longer than the original command line.

use std::ffi::OsString;
use std::sync::OnceLock;

/// What this process has claimed.
static CLAIMED: OnceLock<Title> = OnceLock::new();

/// The memory that the kernel shows as the command line.
#[derive(Clone, Copy, Debug)]
pub struct Title {
    start: usize,
    length: usize,
}

impl Title {
    /// Finds the memory, and moves the environment out of it.
    ///
    /// Call once, early, while the process has one thread. Returns `None` where `/proc` does not tell.
    pub fn claim() -> Option<Self> {
        let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
        // The second field holds the program's name in parentheses and may contain blanks: count after it.
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_ascii_whitespace().collect();
        let address = |number: usize| fields.get(number - 3)?.parse::<usize>().ok();
        let (start, env_start, end) = (address(48)?, address(50)?, address(51)?);
        if start == 0 || end <= start || env_start < start {
            return None;
        }
        for (name, value) in std::env::vars_os().collect::<Vec<(OsString, OsString)>>() {
            // SAFETY: the caller promises a single thread. setenv(3) copies each variable to the heap, after which
            // nothing points into the original memory any more.
            unsafe { std::env::set_var(name, value) };
        }
        Some(*CLAIMED.get_or_init(|| Self { start, length: end - start }))
    }

    /// Shows `text`, cut to the memory there is.
    pub fn set(&self, text: &str) {
        let shown = &text.as_bytes()[..text.len().min(self.length - 1)];
        // SAFETY: proc_pid_stat(5) names these addresses as the arguments and environment of this process: its own
        // stack, writable for as long as it lives. After `claim` there is no reference into them. A later call of
        // std::env::args_os reads what is written here, up to the NUL that is always its last byte.
        let memory = unsafe { std::slice::from_raw_parts_mut(self.start as *mut u8, self.length) };
        memory[..shown.len()].copy_from_slice(shown);
        memory[shown.len()..].fill(0);
    }
}

/// Shows `text` where this process, or the one that it was forked from, has claimed the memory. It makes no system call.
pub(crate) fn show(text: &str) {
    if let Some(title) = CLAIMED.get() {
        title.set(text);
    }
}
