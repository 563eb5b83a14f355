//! What a worker tells of Ruby's garbage collector, in [`WORDS`] words of its seat: each has a number plus 1, or 0 as long as
//! the number is not known.

/// How many words it takes.
pub(crate) const WORDS: usize = 11;

/// What the collector did since the worker began to serve, and the heap as it was when the worker noted that: after the first
/// request since a collection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Gc {
    /// Collections of young objects.
    pub minor: Option<u64>,
    /// Collections of all objects.
    pub major: Option<u64>,
    /// The time that all of them took.
    pub time_ms: Option<u64>,
    /// Objects that were allocated.
    pub allocated: Option<u64>,
    /// Objects that were freed.
    pub freed: Option<u64>,
    /// Slots of the heap that have an object.
    pub live_slots: Option<u64>,
    /// Slots of the heap that are free.
    pub free_slots: Option<u64>,
    /// Pages of the heap.
    pub pages: Option<u64>,
    /// Objects that are old: only major collections look at them.
    pub old_objects: Option<u64>,
    /// Collections of all objects that the worker made between requests.
    pub between: Option<u64>,
    /// The time that these took, and the ends of others that were left to then; a part of the time of all.
    pub between_ms: Option<u64>,
}

impl Gc {
    /// As it is written.
    pub(crate) fn to_words(self) -> [u64; WORDS] {
        let Self { minor, major, time_ms, allocated, freed, live_slots, free_slots, pages, old_objects, .. } = self;
        let Self { between, between_ms, .. } = self;
        [minor, major, time_ms, allocated, freed, live_slots, free_slots, pages, old_objects, between, between_ms]
            .map(|number| number.map_or(0, |number| number.saturating_add(1)))
    }

    /// As it is read.
    pub(crate) fn of_words(words: [u64; WORDS]) -> Self {
        let [minor, major, time_ms, allocated, freed, live_slots, free_slots, pages, old_objects, between, between_ms] =
            words.map(|word| word.checked_sub(1));
        Self {
            minor,
            major,
            time_ms,
            allocated,
            freed,
            live_slots,
            free_slots,
            pages,
            old_objects,
            between,
            between_ms,
        }
    }
}
