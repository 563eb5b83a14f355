//! Memory that several processes share: a sealed memfd, mapped as words.
//!
//! See memfd_create(2), fcntl(2) `F_ADD_SEALS`, mmap(2).

use std::io::{Read, Seek, SeekFrom, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::AtomicU64;

use rustix::fs::{MemfdFlags, SealFlags};
use rustix::mm::{Advice, MapFlags, ProtFlags};

use crate::{Error, Result};

/// A mapping of shared words. Unmapped when dropped.
#[derive(Debug)]
pub struct Shared {
    words: *mut AtomicU64,
    count: usize,
    fd: OwnedFd,
}

impl Shared {
    /// Creates `bytes` (a multiple of 8) of zeroed shared memory that can neither grow nor shrink.
    ///
    /// # Errors
    /// No memory or descriptors left.
    pub fn create(name: &str, bytes: usize) -> Result<Self> {
        let fd = rustix::fs::memfd_create(name, MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)
            .map_err(Error::call("memfd_create"))?;
        rustix::fs::ftruncate(&fd, bytes as u64).map_err(Error::call("ftruncate"))?;
        rustix::fs::fcntl_add_seals(&fd, SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL)
            .map_err(Error::call("fcntl(F_ADD_SEALS)"))?;
        Self::map(fd)
    }

    /// Maps the whole of an inherited memory.
    ///
    /// # Errors
    /// The descriptor is no file, or can be resized by others (which would make reads of it fault).
    pub fn map(fd: OwnedFd) -> Result<Self> {
        let seals = rustix::fs::fcntl_get_seals(&fd).map_err(Error::call("fcntl(F_GET_SEALS)"))?;
        if !seals.contains(SealFlags::SHRINK) {
            return Err(Error::call("mmap")(rustix::io::Errno::PERM));
        }
        let size = rustix::fs::fstat(&fd).map_err(Error::call("fstat"))?.st_size;
        let bytes = usize::try_from(size).unwrap_or(0);
        // SAFETY: a fresh mapping at an address that the kernel picks aliases nothing in this process.
        let address = unsafe {
            rustix::mm::mmap(std::ptr::null_mut(), bytes, ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED, &fd, 0)
        }
        .map_err(Error::call("mmap"))?;
        Ok(Self { words: address.cast(), count: bytes / 8, fd })
    }

    /// The words, which stay where they are as long as the process lives. The descriptor is closed.
    pub fn leak(self) -> &'static [AtomicU64] {
        let this = std::mem::ManuallyDrop::new(self);
        // SAFETY: the descriptor is moved out of what is never dropped.
        drop(unsafe { std::ptr::read(&this.fd) });
        // SAFETY: as in `words`; the mapping is never removed.
        unsafe { std::slice::from_raw_parts(this.words, this.count) }
    }

    /// Has processes that this one forks from now on have this memory too, or not.
    ///
    /// # Errors
    /// None that is known.
    pub fn inherit(&self, inherits: bool) -> Result<()> {
        inherit(self.words(), inherits)
    }

    /// The words.
    pub fn words(&self) -> &[AtomicU64] {
        // SAFETY: the mapping is page-aligned, holds `count` words, lives as long as `self`, cannot shrink (sealed), and
        // every process touches it through atomics only.
        unsafe { std::slice::from_raw_parts(self.words, self.count) }
    }
}

/// Has processes that this one forks from now on have this memory too, or not. See madvise(2), `MADV_DONTFORK`.
///
/// # Errors
/// It is not mapped.
pub fn inherit(words: &[AtomicU64], inherits: bool) -> Result<()> {
    let advice = if inherits { Advice::LinuxDoFork } else { Advice::LinuxDontFork };
    // SAFETY: nothing of the memory changes in this process; a child that touches what it has not faults.
    unsafe { rustix::mm::madvise(words.as_ptr().cast_mut().cast(), size_of_val(words), advice) }
        .map_err(Error::call("madvise"))
}

/// A file in memory with these bytes, which no process can change any more.
///
/// # Errors
/// No memory or descriptors left.
pub fn sealed(name: &str, bytes: &[u8]) -> Result<OwnedFd> {
    let mut file = scratch(name)?;
    file.write_all(bytes).map_err(Error::call("write"))?;
    let all = SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL;
    rustix::fs::fcntl_add_seals(&file, all).map_err(Error::call("fcntl(F_ADD_SEALS)"))?;
    Ok(file.into())
}

/// The bytes of a file in memory, which must be sealed.
///
/// # Errors
/// It is no such file.
pub fn read_sealed(fd: OwnedFd) -> Result<Vec<u8>> {
    let seals = rustix::fs::fcntl_get_seals(&fd).map_err(Error::call("fcntl(F_GET_SEALS)"))?;
    if !seals.contains(SealFlags::WRITE) {
        return Err(Error::call("read")(rustix::io::Errno::PERM));
    }
    read_from_start(fd.into(), u64::MAX)
}

/// An empty file in memory.
///
/// # Errors
/// No memory or descriptors left.
pub fn scratch(name: &str) -> Result<std::fs::File> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    rustix::fs::memfd_create(name, flags).map(Into::into).map_err(Error::call("memfd_create"))
}

/// The first `most` bytes of a file, wherever its position is.
///
/// # Errors
/// It cannot be read.
pub fn read_from_start(mut file: std::fs::File, most: u64) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(0)).and_then(|_| file.take(most).read_to_end(&mut bytes)).map_err(Error::call("read"))?;
    Ok(bytes)
}

impl AsFd for Shared {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // SAFETY: `words` is the mapping made in `map`, of this size, and no reference into it outlives `self`.
        // A failure could only mean that it is not mapped, which leaves nothing to do.
        let _ = unsafe { rustix::mm::munmap(self.words.cast(), self.count * 8) };
    }
}

// SAFETY: the words are atomics; the pointer is never used but through `words`.
unsafe impl Send for Shared {}
// SAFETY: as above.
unsafe impl Sync for Shared {}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::Ordering;

    #[test]
    fn two_mappings_see_the_same_words() {
        let one = Shared::create("licorne-test", 4096).unwrap();
        let two = Shared::map(one.as_fd().try_clone_to_owned().unwrap()).unwrap();
        one.words()[511].store(42, Ordering::Relaxed);
        assert_eq!(two.words()[511].load(Ordering::Relaxed), 42);
        assert_eq!(two.words().len(), 512);
    }

    #[test]
    fn sealed_bytes_are_read_as_often_as_one_likes_and_written_never() {
        let fd = sealed("licorne-test", b"state").unwrap();
        for _ in 0..2 {
            assert_eq!(read_sealed(fd.try_clone().unwrap()).unwrap(), b"state");
        }
        assert!(std::fs::File::from(fd).write_all(b"x").is_err());
        assert!(read_sealed(scratch("licorne-test").unwrap().into()).is_err());
    }

    #[test]
    fn memory_that_others_can_shrink_is_refused() {
        let fd = rustix::fs::memfd_create("loose", MemfdFlags::CLOEXEC).unwrap();
        assert!(Shared::map(fd).is_err());
    }
}
