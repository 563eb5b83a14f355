//! Children that the application forks: they come with everything that the worker has, and none of it is theirs.

use std::os::raw::c_int;
use std::sync::atomic::{AtomicBool, Ordering};

unsafe extern "C" {
    fn pthread_atfork(
        prepare: Option<extern "C" fn()>,
        parent: Option<extern "C" fn()>,
        child: Option<extern "C" fn()>,
    ) -> c_int;
}

static WATCHED: AtomicBool = AtomicBool::new(false);
static FORKED: AtomicBool = AtomicBool::new(false);

extern "C" fn in_child() {
    FORKED.store(true, Ordering::Relaxed);
}

/// Tells apart, from now on, this process and the children that it forks. See pthread_atfork(3).
///
/// # Errors
/// No memory left.
pub(crate) fn watch_forks() -> std::io::Result<()> {
    FORKED.store(false, Ordering::Relaxed);
    if WATCHED.swap(true, Ordering::Relaxed) {
        return Ok(());
    }
    // SAFETY: the handler lives as long as this library, which Ruby never unloads, and only stores to a static.
    match unsafe { pthread_atfork(None, None, Some(in_child)) } {
        0 => Ok(()),
        errno => Err(std::io::Error::from_raw_os_error(errno)),
    }
}

/// Whether this process was forked since then. One load: it is asked in each request.
pub(crate) fn is_forked() -> bool {
    FORKED.load(Ordering::Relaxed)
}
