//! Who has waited for too long. One list for each kind of waiting: all entries of a list have the same patience, so new
//! ones go to the end, the earliest is at the front, and both adding and removing take constant time.
//!
//! Nothing here reads a clock. Times are milliseconds of the caller's monotonic clock.

/// What a connection waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Patience {
    /// The first byte of its first request, and the proxy's header before it.
    Fresh,
    /// The next request of a kept-alive connection.
    Idle,
    /// The rest of a request head.
    Head,
    /// The rest of a body.
    Body,
    /// The client to take some of the response.
    Write,
    /// The end of input that nobody wants, after the response.
    Discard,
}

const KINDS: [Patience; 6] =
    [Patience::Fresh, Patience::Idle, Patience::Head, Patience::Body, Patience::Write, Patience::Discard];
const NOBODY: u32 = u32::MAX;

#[derive(Clone, Copy, Debug)]
struct List {
    first: u32,
    last: u32,
    patience_ms: u64,
}

#[derive(Clone, Copy, Debug)]
struct Node {
    previous: u32,
    next: u32,
    kind: Option<Patience>,
    at_ms: u64,
}

const UNLINKED: Node = Node { previous: NOBODY, next: NOBODY, kind: None, at_ms: 0 };

/// The lists. Entries are known by the index of their connection.
#[derive(Debug)]
pub(crate) struct Deadlines {
    lists: [List; KINDS.len()],
    nodes: Vec<Node>,
}

impl Deadlines {
    /// Makes empty lists with the patience of each kind.
    pub(crate) fn new(patience_ms: impl Fn(Patience) -> u64) -> Self {
        let lists = KINDS.map(|kind| List { first: NOBODY, last: NOBODY, patience_ms: patience_ms(kind) });
        Self { lists, nodes: Vec::new() }
    }

    /// Starts the patience with `index` anew.
    pub(crate) fn set(&mut self, index: u32, kind: Patience, now_ms: u64) {
        self.clear(index);
        let place = index as usize;
        if self.nodes.len() <= place {
            self.nodes.resize(place + 1, UNLINKED);
        }
        let list = &mut self.lists[kind as usize];
        let previous = list.last;
        self.nodes[place] = Node { previous, next: NOBODY, kind: Some(kind), at_ms: now_ms + list.patience_ms };
        list.last = index;
        if previous == NOBODY {
            list.first = index;
        } else {
            self.nodes[previous as usize].next = index;
        }
    }

    /// Forgets `index`.
    pub(crate) fn clear(&mut self, index: u32) {
        let Some(&Node { previous, next, kind: Some(kind), .. }) = self.nodes.get(index as usize) else { return };
        let list = &mut self.lists[kind as usize];
        if previous == NOBODY {
            list.first = next;
        } else {
            self.nodes[previous as usize].next = next;
        }
        if next == NOBODY {
            list.last = previous;
        } else {
            self.nodes[next as usize].previous = previous;
        }
        self.nodes[index as usize] = UNLINKED;
    }

    /// Tells whether `index` waits for this.
    pub(crate) fn is_set(&self, index: u32, kind: Patience) -> bool {
        self.nodes.get(index as usize).is_some_and(|node| node.kind == Some(kind))
    }

    /// Returns who has waited for this for longest.
    pub(crate) fn longest(&self, kind: Patience) -> Option<u32> {
        let first = self.lists[kind as usize].first;
        (first != NOBODY).then_some(first)
    }

    /// Returns when the next one is due.
    pub(crate) fn earliest(&self) -> Option<u64> {
        self.lists.iter().filter_map(|list| self.nodes.get(list.first as usize)).map(|node| node.at_ms).min()
    }

    /// Takes out one that is due.
    pub(crate) fn take_due(&mut self, now_ms: u64) -> Option<(u32, Patience)> {
        for kind in KINDS {
            let first = self.lists[kind as usize].first;
            if self.nodes.get(first as usize).is_some_and(|node| node.at_ms <= now_ms) {
                self.clear(first);
                return Some((first, kind));
            }
        }
        None
    }

    /// Lowers the patience of a kind, also for those who wait already. Raising it concerns new ones only.
    pub(crate) fn set_patience(&mut self, kind: Patience, patience_ms: u64, now_ms: u64) {
        let list = &mut self.lists[kind as usize];
        list.patience_ms = patience_ms;
        let mut index = list.first;
        while let Some(node) = self.nodes.get_mut(index as usize) {
            node.at_ms = node.at_ms.min(now_ms + patience_ms);
            index = node.next;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ten_each() -> Deadlines {
        Deadlines::new(|_| 10)
    }

    #[test]
    fn without_entries_nothing_is_due() {
        let mut deadlines = ten_each();
        assert_eq!(deadlines.earliest(), None);
        assert_eq!(deadlines.take_due(u64::MAX), None);
        deadlines.clear(3);
    }

    #[test]
    fn the_longest_waiting_is_due_first_and_a_sign_of_life_starts_anew() {
        let mut deadlines = ten_each();
        for (index, now) in [(4, 0), (0, 1), (2, 2)] {
            deadlines.set(index, Patience::Head, now);
        }
        deadlines.set(4, Patience::Head, 3);
        assert_eq!(deadlines.earliest(), Some(11));
        assert_eq!(deadlines.take_due(10), None);
        assert_eq!(deadlines.take_due(13), Some((0, Patience::Head)));
        assert_eq!(deadlines.take_due(13), Some((2, Patience::Head)));
        assert_eq!(deadlines.take_due(13), Some((4, Patience::Head)));
        assert_eq!(deadlines.take_due(13), None);
    }

    #[test]
    fn removal_from_any_place_keeps_the_others() {
        for removed in 0..3 {
            let mut deadlines = ten_each();
            (0..3).for_each(|index| deadlines.set(index, Patience::Idle, u64::from(index)));
            deadlines.clear(removed);
            let rest: Vec<u32> = std::iter::from_fn(|| deadlines.take_due(100)).map(|(index, _)| index).collect();
            assert_eq!(rest, (0..3).filter(|index| *index != removed).collect::<Vec<_>>());
        }
    }

    #[test]
    fn lowering_the_patience_concerns_those_who_wait() {
        let mut deadlines = Deadlines::new(|_| 1_000);
        deadlines.set(0, Patience::Idle, 0);
        deadlines.set(1, Patience::Idle, 500);
        deadlines.set_patience(Patience::Idle, 20, 600);
        assert_eq!(deadlines.earliest(), Some(620));
    }
}
