//! The meaning of each word of the memory that master and workers share.
//!
//! Each worker has a seat: a page of its own, a `memfd` that is mapped by the master and by that worker alone. The worker
//! writes it, with plain atomics, and the master reads it; the words that the master writes are marked. The page survives
//! the worker: that is how the master knows which request a dead worker served. What workers show each other is on the
//! [`board`], which all of them map.
//!
//! ```text
//! word  0  state             (State, as a number)
//!       1  pid
//!       2  generation << 32 | slot
//!       3  request start     (CLOCK_MONOTONIC, ns; 0 = not in a request)
//!       4  extra time        (ms that the app added to its own deadline; reset with each request)
//!       5  requests          (finished, ever)
//!       6  busy time         (ns spent in requests, ever)
//!       7  connections       (open now)
//!       8  server errors     (responses of status 500 and above, ever)
//!       9  ready since       (CLOCK_MONOTONIC, ns)
//!      10  line length       (bytes of the request line that follow)
//!      11                    (0)
//!      12  report asked for  (the start of the request that the master wants a report of; the master writes it)
//!      13                    (0)
//!   14-15  fatal signal      (what the process noted of a signal that may end it; see `sys::fatal`)
//!   16-63  request line      (at most 384 bytes, truncated)
//!   64-68  responses         (by the first digit of their status, 1xx to 5xx, ever)
//!      69  received bytes    (of requests, heads included, ever)
//!      70  sent bytes        (of responses, heads included, ever)
//!      71  request id length
//!   72-79  request id        (of the request that is being served, or was served last; at most 64 bytes)
//!   80-    service time      (histogram, see `histogram`)
//!  275-    queue time        (histogram)
//!  470  backtraces asked  (the number of the question for backtraces that the worker is to answer; the master writes it)
//!  471  slow report asked (the start of the slow request that the master wants a report of; the master writes it)
//!  472-  backlogs        (for each of the first 8 listeners the most connections that waited, and when: see `note_backlog`)
//!  480-  garbage         (what Ruby's collector did, see `gc`)
//!  489  last request took (ns: the request that was served last)
//!  490  last request end  (CLOCK_MONOTONIC, ns; 0 = there was none)
//!  491  raised            (requests whose application raised an exception, ever)
//!  492  last request cpu  (ns of processor time of the request that was served last, plus 1; 0 = it was not measured)
//!  493  last request made (objects that were allocated in it, plus 1; likewise)
//!  494  aborted requests (whose client left, or was too slow, before all of it was there, ever)
//!  495  aborted responses (that the client has not taken to their end, ever)
//!  496-   lost lines        (of the access log: how many, ever; the number of the last error; when it was, CLOCK_MONOTONIC)
//!  499-                     (of the log, likewise)
//!  502-503 garbage        (what was collected between requests, see `gc`)
//! ```
//!
//! In layout 1 all seats were in one memory, of [`SEATS`] seats of [`SEAT_WORDS`] words, behind which it says how many of
//! them are in use. Workers of such a program live on there after an upgrade in place.
//!
//! This crate maps nothing and takes no time: the caller passes the words and the clock.
#![no_std]
#![forbid(unsafe_code)]
extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod board;
mod gc;
pub mod histogram;
mod losses;
#[cfg(test)]
mod tests;
mod totals;

pub use gc::Gc;
pub use losses::{Losses, Lossy};
pub use totals::{Aborted, CLASSES, Collections, Totals};

use alloc::vec::Vec;
use core::ops::Range;
use core::sync::atomic::{AtomicU64, Ordering};

use histogram::Histogram;

/// The number of the layout above. It grows whenever a word changes its meaning.
pub const LAYOUT: u32 = 2;
/// The number of the layout in which all seats were in one memory.
pub const SHARED_LAYOUT: u32 = 1;
/// How many workers may live at once, over all generations.
pub const SEATS: usize = 1024;
/// Words of 64 bits in a seat that shares its memory with others.
pub const SEAT_WORDS: usize = 64;
/// Behind such seats: how many of them are or were taken, the first ones. Written by the master.
const IN_USE_WORD: usize = SEATS * SEAT_WORDS;

/// Size of a seat that is a page of its own, in bytes.
pub const PAGE_BYTES: usize = 4096;

const FATAL_WORDS: Range<usize> = 14..16;
const LINE_WORD: usize = 16;
const RESPONSE_WORD: usize = 64;
const RECEIVED_WORD: usize = 69;
const SENT_WORD: usize = 70;
const ID_LENGTH_WORD: usize = 71;
const ID_WORDS: Range<usize> = 72..80;
const SERVICE_WORDS: Range<usize> = 80..80 + histogram::WORDS;
const QUEUE_WORDS: Range<usize> = SERVICE_WORDS.end..SERVICE_WORDS.end + histogram::WORDS;
const BACKTRACES_WORD: usize = QUEUE_WORDS.end;
const SLOW_WORD: usize = BACKTRACES_WORD + 1;
const BACKLOG_WORDS: Range<usize> = SLOW_WORD + 1..SLOW_WORD + 1 + BACKLOGS;
const GC_WORDS: Range<usize> = BACKLOG_WORDS.end..BACKLOG_WORDS.end + gc::WORDS - 2;
const LAST_TOOK_WORD: usize = GC_WORDS.end;
const LAST_END_WORD: usize = LAST_TOOK_WORD + 1;
const RAISED_WORD: usize = LAST_END_WORD + 1;
const LAST_CPU_WORD: usize = RAISED_WORD + 1;
const LAST_ALLOCATED_WORD: usize = LAST_CPU_WORD + 1;
const ABORTED_WORDS: Range<usize> = LAST_ALLOCATED_WORD + 1..LAST_ALLOCATED_WORD + 3;
/// Of how many listeners a worker notes what waits.
pub const BACKLOGS: usize = 8;
/// Bits of the moment in such a note.
const MOMENT_BITS: u32 = 40;
/// Each log has three words.
const LOSSES_WORD: usize = 496;
/// The last words of the garbage.
const GC_BETWEEN_WORDS: Range<usize> = LOSSES_WORD + 6..LOSSES_WORD + 8;
const _: () =
    assert!(ABORTED_WORDS.end <= LOSSES_WORD && GC_BETWEEN_WORDS.end * 8 <= PAGE_BYTES, "all of it is in the page");
/// The longest request line that is kept, in bytes.
pub const LINE_BYTES: usize = (SEAT_WORDS - LINE_WORD) * 8;

/// The words of [`Gc`].
fn gc_words() -> impl Iterator<Item = usize> {
    GC_WORDS.chain(GC_BETWEEN_WORDS)
}

/// What a worker is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum State {
    /// No worker has this seat.
    Free = 0,
    /// Forked, loading the application.
    Booting = 1,
    /// Waiting for a request.
    Idle = 2,
    /// In the application.
    Busy = 3,
    /// Asked to finish and leave.
    Retiring = 4,
}

impl State {
    fn from_word(word: u64) -> Self {
        match word {
            1 => Self::Booting,
            2 => Self::Idle,
            3 => Self::Busy,
            4 => Self::Retiring,
            _ => Self::Free,
        }
    }
}

/// The seat of one worker, which calls the `set_*`, `count_*` and request methods; all others only read.
#[derive(Clone, Copy, Debug)]
pub struct Seat<'a>(&'a [AtomicU64]);

/// Notes that the seat with this number, of a memory that has all seats, is taken: workers of layout 1 look no further.
pub fn note_in_use(page: &[AtomicU64], number: usize) {
    if let Some(word) = page.get(IN_USE_WORD) {
        word.fetch_max(number as u64 + 1, Ordering::Relaxed);
    }
}

/// The seat with this number, of a memory that has all seats.
///
/// Returns `None` when the memory is smaller than that: a bug of the caller or a foreign descriptor.
pub fn seat(page: &[AtomicU64], number: usize) -> Option<Seat<'_>> {
    let start = number.checked_mul(SEAT_WORDS)?;
    page.get(start..start.checked_add(SEAT_WORDS)?).map(Seat)
}

impl<'a> Seat<'a> {
    /// The seat that these words are: a page of its own. `None` when they are fewer than a seat needs.
    pub fn of_page(words: &'a [AtomicU64]) -> Option<Self> {
        (words.len() * 8 >= PAGE_BYTES).then_some(Self(words))
    }

    /// How long requests were in the application; `None` on a seat that is no page of its own.
    pub fn service(self) -> Option<Histogram<'a>> {
        self.0.get(SERVICE_WORDS).and_then(Histogram::of)
    }

    /// How long requests waited before that; likewise.
    pub fn queue(self) -> Option<Histogram<'a>> {
        self.0.get(QUEUE_WORDS).and_then(Histogram::of)
    }

    /// Where the worker notes what ends it. What the words say is `sys::fatal`'s.
    pub fn fatal_words(self) -> &'a [AtomicU64] {
        &self.0[FATAL_WORDS]
    }
}

impl Seat<'_> {
    fn load(&self, word: usize) -> u64 {
        self.0[word].load(Ordering::Relaxed)
    }

    fn store(&self, word: usize, value: u64) {
        self.0[word].store(value, Ordering::Relaxed);
    }

    /// Clears the seat for a new process. The master calls it before the fork; `pid` is 0 until it is known.
    pub fn assign(&self, slot: u32, generation: u32) {
        let line = LINE_WORD..SEAT_WORDS;
        (0..self.0.len()).filter(|word| !line.contains(word)).for_each(|word| self.store(word, 0));
        self.store(2, u64::from(generation) << 32 | u64::from(slot));
        self.store(0, State::Booting as u64);
    }

    /// Marks the seat free. The request line stays readable until the seat is assigned again.
    pub fn release(&self) {
        self.store(3, 0);
        self.store(0, State::Free as u64);
    }

    /// What the worker is doing.
    pub fn state(&self) -> State {
        State::from_word(self.load(0))
    }

    /// Sets what the worker is doing.
    pub fn set_state(&self, state: State) {
        self.store(0, state as u64);
    }

    /// The worker's process id.
    pub fn pid(&self) -> u32 {
        self.load(1) as u32
    }

    /// Sets the worker's process id.
    pub fn set_pid(&self, pid: u32) {
        self.store(1, u64::from(pid));
    }

    /// The slot that the worker serves.
    pub fn slot(&self) -> u32 {
        self.load(2) as u32
    }

    /// The generation of the worker's code.
    pub fn generation(&self) -> u32 {
        (self.load(2) >> 32) as u32
    }

    /// Notes that a request enters the application: its start (CLOCK_MONOTONIC, ns) and its request line.
    ///
    /// The start is written last, so that a reader who sees it also sees the line.
    pub fn begin_request(&self, now_ns: u64, method: &[u8], target: &[u8]) {
        self.store(4, 0);
        let length = self.write_line(method, target);
        self.store(10, length as u64);
        self.store(0, State::Busy as u64);
        self.0[3].store(now_ns.max(1), Ordering::Release);
    }

    /// Notes that the request is over, and returns how long it took in ns.
    pub fn end_request(&self, now_ns: u64, state: State) -> u64 {
        let took = now_ns.saturating_sub(self.load(3));
        self.store(5, self.load(5).wrapping_add(1));
        self.store(6, self.load(6).wrapping_add(took));
        if let Some(service) = self.service() {
            service.count(took);
            self.store(LAST_TOOK_WORD, took);
            self.store(LAST_END_WORD, now_ns.max(1));
        }
        self.store(0, state as u64);
        self.0[3].store(0, Ordering::Release);
        took
    }

    /// When the request that is being served began (CLOCK_MONOTONIC, ns), or `None` outside a request.
    pub fn request_start_ns(&self) -> Option<u64> {
        match self.0[3].load(Ordering::Acquire) {
            0 => None,
            start => Some(start),
        }
    }

    /// Notes what Ruby's collector did.
    pub fn set_gc(&self, gc: &Gc) {
        for (word, told) in gc_words().zip(gc.to_words()) {
            if let Some(word) = self.0.get(word) {
                word.store(told, Ordering::Relaxed);
            }
        }
    }

    /// What the collector did, as far as the worker has told.
    pub fn gc(&self) -> Gc {
        let mut words = [0; gc::WORDS];
        words.iter_mut().zip(gc_words()).for_each(|(told, word)| *told = self.counter(word));
        Gc::of_words(words)
    }

    /// How long the request took that was served last, and when it ended (CLOCK_MONOTONIC, ns), or `None` before the first
    /// one. Its line and its id are there until another begins.
    pub fn last_request(&self) -> Option<(u64, u64)> {
        let end_ns = self.counter(LAST_END_WORD);
        (end_ns != 0).then(|| (self.counter(LAST_TOOK_WORD), end_ns))
    }

    /// Notes what the request used that is about to end: processor time in ns, and objects.
    pub fn set_last_usage(&self, cpu_ns: u64, allocated: u64) {
        for (word, told) in [(LAST_CPU_WORD, cpu_ns), (LAST_ALLOCATED_WORD, allocated)] {
            if let Some(word) = self.0.get(word) {
                word.store(told.saturating_add(1), Ordering::Relaxed);
            }
        }
    }

    /// What the request used that was served last, if it was measured: processor time in ns, and objects.
    pub fn last_usage(&self) -> Option<(u64, u64)> {
        Some((self.counter(LAST_CPU_WORD).checked_sub(1)?, self.counter(LAST_ALLOCATED_WORD).checked_sub(1)?))
    }

    /// Milliseconds that the application added to its own deadline.
    pub fn extra_ms(&self) -> u64 {
        self.load(4)
    }

    /// Adds to the deadline of the request that is being served.
    pub fn extend_deadline(&self, ms: u64) {
        self.store(4, self.load(4).saturating_add(ms));
    }

    /// The start of the request that the master wants a report of (CLOCK_MONOTONIC, ns); 0 when it never asked.
    pub fn report_asked_ns(&self) -> u64 {
        self.load(12)
    }

    /// Notes that the worker is to report the request that began then. The master calls it.
    pub fn ask_report(&self, start_ns: u64) {
        self.store(12, start_ns);
    }

    /// The start of the request that the master wants a report of since it is slow; 0 when it never asked. `None` on a seat
    /// of the older layout: its worker knows no such report.
    pub fn slow_report_asked_ns(&self) -> Option<u64> {
        self.0.get(SLOW_WORD).map(|word| word.load(Ordering::Relaxed))
    }

    /// Notes that the worker is to report the request that began then since it is slow. The master calls it.
    pub fn ask_slow_report(&self, start_ns: u64) {
        if let Some(word) = self.0.get(SLOW_WORD) {
            word.store(start_ns, Ordering::Relaxed);
        }
    }

    /// The number of the question for backtraces that the master asked last; 0 when it never did.
    pub fn backtraces_asked(&self) -> u64 {
        self.counter(BACKTRACES_WORD)
    }

    /// Notes that the worker is to answer the question with this number. False on a seat of the older layout: its worker
    /// knows no such question. The master calls it.
    pub fn ask_backtraces(&self, question: u64) -> bool {
        self.0.get(BACKTRACES_WORD).map(|word| word.store(question, Ordering::Relaxed)).is_some()
    }

    /// Has nothing count that was done so far: it was for no client.
    pub fn forget_requests(&self) {
        let single = [5, 6, 8, LAST_TOOK_WORD, LAST_END_WORD, RAISED_WORD].into_iter();
        for word in single.chain(RESPONSE_WORD..=SENT_WORD).chain(ABORTED_WORDS).chain(SERVICE_WORDS).chain(QUEUE_WORDS)
        {
            if let Some(word) = self.0.get(word) {
                word.store(0, Ordering::Relaxed);
            }
        }
    }

    /// Notes how many connections wait in the backlog of the listener with this place, if they never were as many. Of
    /// listeners beyond [`BACKLOGS`] nothing is noted.
    pub fn note_backlog(&self, listener: usize, waiting: u32, now_ns: u64) {
        // One word has both, so that they belong together however it is read: 24 bits of the count, 40 of milliseconds.
        let Some(word) = self.0.get(BACKLOG_WORDS).and_then(|words| words.get(listener)) else { return };
        let waiting = u64::from(waiting).min(u64::MAX >> MOMENT_BITS);
        if waiting > word.load(Ordering::Relaxed) >> MOMENT_BITS {
            let moment = (now_ns / 1_000_000) & ((1 << MOMENT_BITS) - 1);
            word.store(waiting << MOMENT_BITS | moment, Ordering::Relaxed);
        }
    }

    /// The most connections that waited in the backlog of each listener, by its place, and when that was
    /// (CLOCK_MONOTONIC, ns): of those in which any did.
    pub fn backlogs(self) -> impl Iterator<Item = (usize, u32, u64)> {
        let words = BACKLOG_WORDS.map(move |word| self.counter(word)).enumerate();
        words.filter(|(_, word)| *word != 0).map(|(listener, word)| {
            let moment_ms = word & ((1 << MOMENT_BITS) - 1);
            (listener, (word >> MOMENT_BITS) as u32, moment_ms * 1_000_000)
        })
    }

    /// Requests finished since the worker was forked.
    pub fn requests(&self) -> u64 {
        self.load(5)
    }

    /// Nanoseconds spent in requests since the worker was forked.
    pub fn busy_ns(&self) -> u64 {
        self.load(6)
    }

    /// Connections open now.
    pub fn connections(&self) -> u64 {
        self.load(7)
    }

    /// Sets how many connections are open now.
    pub fn set_connections(&self, count: u64) {
        self.store(7, count);
    }

    /// Responses of status 500 and above since the worker was forked.
    pub fn server_errors(&self) -> u64 {
        self.load(8)
    }

    /// Requests whose application raised an exception since the worker was forked.
    pub fn raised(&self) -> u64 {
        self.counter(RAISED_WORD)
    }

    /// Counts a request whose application raised an exception.
    pub fn count_raised(&self) {
        self.count(RAISED_WORD, 1);
    }

    /// Counts a response of status 500 and above.
    pub fn count_server_error(&self) {
        self.store(8, self.load(8).wrapping_add(1));
    }

    /// Responses by the first digit of their status, 1xx to 5xx, since the worker was forked.
    pub fn responses(&self) -> [u64; CLASSES] {
        core::array::from_fn(|class| self.counter(RESPONSE_WORD + class))
    }

    /// Bytes of requests since the worker was forked.
    pub fn received_bytes(&self) -> u64 {
        self.counter(RECEIVED_WORD)
    }

    /// Bytes of responses since the worker was forked.
    pub fn sent_bytes(&self) -> u64 {
        self.counter(SENT_WORD)
    }

    /// Counts a response with this status.
    pub fn count_response(&self, status: u16) {
        // Another first digit is no status: such a response counts for nothing but the request.
        if let Some(class) = usize::from(status / 100).checked_sub(1).filter(|class| *class < CLASSES) {
            self.count(RESPONSE_WORD + class, 1);
        }
    }

    /// Counts bytes that were received and sent.
    pub fn count_bytes(&self, received: u64, sent: u64) {
        self.count(RECEIVED_WORD, received);
        self.count(SENT_WORD, sent);
    }

    /// What clients have cut short since the worker was forked.
    pub fn aborted(&self) -> Aborted {
        let [requests, responses] = core::array::from_fn(|word| self.counter(ABORTED_WORDS.start + word));
        Aborted { requests, responses }
    }

    /// Counts what clients have cut short.
    pub fn count_aborted(&self, more: Aborted) {
        self.count(ABORTED_WORDS.start, more.requests);
        self.count(ABORTED_WORDS.start + 1, more.responses);
    }

    /// What was lost of a log since the worker was forked.
    pub fn losses(&self, log: Lossy) -> Losses {
        let [lines, errno, at_ns] = core::array::from_fn(|word| self.counter(LOSSES_WORD + 3 * log as usize + word));
        Losses { lines, errno: i32::try_from(errno).unwrap_or(0), at_ns }
    }

    /// Notes that lines of a log were lost now, for that error.
    pub fn lose(&self, log: Lossy, lost: Losses) {
        let mut all = self.losses(log);
        all.add(lost);
        let words = LOSSES_WORD + 3 * log as usize;
        if self.0.len() >= words + 3 {
            self.store(words, all.lines);
            self.store(words + 1, u64::try_from(all.errno).unwrap_or(0));
            self.store(words + 2, all.at_ns);
        }
    }

    /// The id of the request that is being served, or was served last.
    pub fn request_id(&self) -> Vec<u8> {
        self.bytes(ID_WORDS.start, (self.counter(ID_LENGTH_WORD) as usize).min(ID_WORDS.len() * 8))
    }

    /// Notes the id of the request that is about to be served: at most 64 bytes of it.
    pub fn set_request_id(&self, id: &[u8]) {
        if self.0.len() >= ID_WORDS.end {
            let length = self.write(ID_WORDS, id.iter());
            self.store(ID_LENGTH_WORD, length as u64);
        }
    }

    /// A word that seats of the older layout do not have: 0 there.
    fn counter(&self, word: usize) -> u64 {
        self.0.get(word).map_or(0, |word| word.load(Ordering::Relaxed))
    }

    fn count(&self, word: usize, more: u64) {
        if let Some(word) = self.0.get(word) {
            histogram::add(word, more);
        }
    }

    /// Since when the worker is ready (CLOCK_MONOTONIC, ns); 0 before.
    pub fn ready_since_ns(&self) -> u64 {
        self.load(9)
    }

    /// Notes that the worker is ready.
    pub fn set_ready(&self, now_ns: u64) {
        self.store(9, now_ns);
        self.set_state(State::Idle);
    }

    /// The request line that is being served, or was served last: method, blank, target, cut at [`LINE_BYTES`].
    pub fn request_line(&self) -> Vec<u8> {
        self.bytes(LINE_WORD, (self.load(10) as usize).min(LINE_BYTES))
    }

    fn write_line(&self, method: &[u8], target: &[u8]) -> usize {
        self.write(LINE_WORD..SEAT_WORDS, method.iter().chain(b" ").chain(target))
    }

    /// So many bytes from this word on.
    fn bytes(&self, first: usize, length: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(length.next_multiple_of(8));
        for word in 0..length.div_ceil(8) {
            bytes.extend_from_slice(&self.counter(first + word).to_le_bytes());
        }
        bytes.truncate(length);
        bytes
    }

    /// Writes bytes into these words, as many as find room, and returns how many.
    fn write<'b>(&self, words: Range<usize>, bytes: impl Iterator<Item = &'b u8>) -> usize {
        let mut bytes = bytes.take(words.len() * 8);
        let mut length = 0;
        for word in words {
            let mut chunk = [0; 8];
            let mut filled = 0;
            for (place, byte) in chunk.iter_mut().zip(&mut bytes) {
                *place = *byte;
                filled += 1;
            }
            if filled == 0 {
                break;
            }
            self.store(word, u64::from_le_bytes(chunk));
            length += filled;
        }
        length
    }
}
