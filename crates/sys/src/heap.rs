//! The heap of malloc(3). Without glibc's nothing is done here.

/// Gives memory that is free back to the kernel. See malloc_trim(3).
pub fn trim() {
    #[cfg(target_env = "gnu")]
    // SAFETY: it takes the allocator's own locks, and touches nothing that is allocated.
    unsafe {
        nix::libc::malloc_trim(0);
    }
}

/// Has what is allocated from now on lie together: whole pages that are free go back to the kernel, and the gaps between
/// what is allocated are closed for good. Children that are forked afterwards would each copy a page of memory that they
/// share for the few bytes that they find in it.
pub fn close_gaps() {
    trim();
    #[cfg(target_env = "gnu")]
    sizes().for_each(close_gaps_of);
}

/// The sizes that gaps are tried with: roughly for the large ones, and each that glibc has a list of for the small ones.
#[cfg(target_env = "gnu")]
fn sizes() -> impl Iterator<Item = usize> {
    let large = (0..7).map(|halved| (64 << 10) >> halved);
    large.chain((1..64).rev().map(|sixteenths| 16 * sixteenths - 8))
}

/// Allocates so much, again and again, until there is room for it only outside the heap as it is, mostly at its end. Where
/// the heap cannot grow (something else is behind it, as under qemu), malloc(3) takes what it can have anywhere.
#[cfg(target_env = "gnu")]
fn close_gaps_of(bytes: usize) {
    // SAFETY: sbrk(2) with 0 and mallinfo2(3) only look; what malloc(3) returns is not used, and freed or left alone.
    unsafe {
        let (end, known) = (nix::libc::sbrk(0) as usize, nix::libc::mallinfo2());
        let heap = end.saturating_sub(known.arena)..end.saturating_sub(known.keepcost);
        loop {
            let room = nix::libc::malloc(bytes);
            if !heap.contains(&(room as usize)) {
                return nix::libc::free(room);
            }
        }
    }
}
