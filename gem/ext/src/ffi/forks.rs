//! Children that the application forks: they come with everything that the worker or mold has, and none of it is
//! theirs.

use std::cell::Cell;
use std::mem::ManuallyDrop;
use std::os::fd::{BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::raw::c_int;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, AtomicUsize, Ordering};

use rustix::fs::{Mode, OFlags};
use rustix::io::DupFlags;

unsafe extern "C" {
    fn pthread_atfork(
        prepare: Option<extern "C" fn()>,
        parent: Option<extern "C" fn()>,
        child: Option<extern "C" fn()>,
    ) -> c_int;
}

static WATCHED: AtomicBool = AtomicBool::new(false);
static FORKED: AtomicBool = AtomicBool::new(false);

/// The most descriptors that are kept from children: far more listeners than servers have.
const MOST: usize = 256;

/// A descriptor of the worker's, and what it leads to: its number may be another's by the time of a fork.
struct Own {
    number: AtomicI32,
    device: AtomicU64,
    inode: AtomicU64,
}

static OWN: [Own; MOST] =
    [const { Own { number: AtomicI32::new(-1), device: AtomicU64::new(0), inode: AtomicU64::new(0) } }; MOST];
static OWN_COUNT: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    /// Whether what this thread forks now is no child of the application's.
    static IS_OURS: Cell<bool> = const { Cell::new(false) };
}

/// Forks, by `fork`, a child that has everything that this process has. Runs in both.
pub(crate) fn forking_ours<T>(fork: impl FnOnce() -> T) -> T {
    IS_OURS.set(true);
    let outcome = fork();
    IS_OURS.set(false);
    outcome
}

/// Runs between fork(2) and whatever the child does: stores to statics and async-signal-safe calls only.
extern "C" fn in_child() {
    if IS_OURS.get() {
        return;
    }
    FORKED.store(true, Ordering::Relaxed);
    let nothing = rustix::fs::open(c"/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty());
    let count = OWN_COUNT.load(Ordering::Relaxed).min(MOST);
    for own in &OWN[..count] {
        let number = own.number.load(Ordering::Relaxed);
        if leads_to(number) != Some((own.device.load(Ordering::Relaxed), own.inode.load(Ordering::Relaxed))) {
            continue;
        }
        // SAFETY: it is open, as was just seen. The number stays in use, since an owner in this process may close it,
        // so that no file of the child's is taken for it; only what it leads to is let go of.
        let mut place = ManuallyDrop::new(unsafe { OwnedFd::from_raw_fd(number) });
        match &nothing {
            Ok(nothing) => {
                let _ = rustix::io::dup3(nothing, &mut place, DupFlags::CLOEXEC);
            }
            // No descriptors are left.
            Err(_) => drop(ManuallyDrop::into_inner(place)),
        }
    }
}

/// Returns device and inode of what a descriptor leads to.
fn leads_to(number: RawFd) -> Option<(u64, u64)> {
    if number < 0 {
        return None;
    }
    // SAFETY: borrowed for one call, which fails harmlessly on a number that is not open.
    let stat = rustix::fs::fstat(unsafe { BorrowedFd::borrow_raw(number) }).ok()?;
    Some((stat.st_dev, stat.st_ino))
}

/// Has children that the application forks lose what this descriptor leads to: while they live, a listener would stay
/// bound, and the master would not learn that its worker is gone. What the number led to before is forgotten.
pub(crate) fn keep_from_children(number: RawFd) {
    let Some((device, inode)) = leads_to(number) else { return };
    let count = OWN_COUNT.load(Ordering::Relaxed);
    let known = OWN.iter().take(count).position(|own| own.number.load(Ordering::Relaxed) == number);
    let Some(own) = OWN.get(known.unwrap_or(count)) else { return };
    own.number.store(number, Ordering::Relaxed);
    own.device.store(device, Ordering::Relaxed);
    own.inode.store(inode, Ordering::Relaxed);
    if known.is_none() {
        OWN_COUNT.store(count + 1, Ordering::Relaxed);
    }
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
