//! Descriptors that Ruby code names by their numbers.

use std::os::fd::{FromRawFd, OwnedFd, RawFd};

/// Takes over a descriptor that Ruby code names by its number.
///
/// # Errors
/// It is negative or not open.
pub(crate) fn adopt_descriptor(number: RawFd) -> std::io::Result<OwnedFd> {
    if number < 0 {
        return Err(rustix::io::Errno::BADF.into());
    }
    // SAFETY: borrowed only for the two calls below, which fail harmlessly on a number that is not open.
    let borrowed = unsafe { std::os::fd::BorrowedFd::borrow_raw(number) };
    rustix::io::fcntl_setfd(borrowed, rustix::io::FdFlags::CLOEXEC)?;
    // SAFETY: it is open, as the call above showed, and by the contract of the Ruby interface its caller gives it up.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// Closes a descriptor whose owner is never dropped in this process.
pub(crate) fn close_abandoned(number: RawFd) {
    // SAFETY: it is open, and nothing in this process uses or closes it any more: its owner was forgotten.
    drop(unsafe { OwnedFd::from_raw_fd(number) });
}

/// Makes a descriptor close-on-exec.
///
/// # Errors
/// It is not open.
pub(crate) fn set_cloexec(number: RawFd) -> std::io::Result<()> {
    if number < 0 {
        return Err(rustix::io::Errno::BADF.into());
    }
    // SAFETY: borrowed for one call, which fails harmlessly on a number that is not open.
    let borrowed = unsafe { std::os::fd::BorrowedFd::borrow_raw(number) };
    Ok(rustix::io::fcntl_setfd(borrowed, rustix::io::FdFlags::CLOEXEC)?)
}

/// Duplicates a descriptor that Ruby code names by its number and keeps.
///
/// # Errors
/// It is not open, or no descriptors are left.
pub(crate) fn duplicate_descriptor(number: RawFd) -> std::io::Result<OwnedFd> {
    if number < 0 {
        return Err(rustix::io::Errno::BADF.into());
    }
    // SAFETY: borrowed for one call, which fails harmlessly on a number that is not open.
    let borrowed = unsafe { std::os::fd::BorrowedFd::borrow_raw(number) };
    borrowed.try_clone_to_owned()
}
