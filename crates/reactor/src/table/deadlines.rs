//! The clients that were waited for too long. One list for each kind of waiting: all entries of a list have the same
//! patience, so new ones go to the end, the earliest is at the front, and both adding and removing take constant time.
//!
//! Nothing here reads a clock. Times are milliseconds of the caller's monotonic clock.

use crate::conn::Patience;

const KINDS: [Patience; 6] = Patience::ALL;
const NONE: u32 = u32::MAX;

/// The ends of a list.
#[derive(Clone, Copy, Debug)]
struct Ends {
    first: u32,
    last: u32,
}

/// The neighbours of an entry.
#[derive(Clone, Copy, Debug)]
struct Links {
    previous: u32,
    next: u32,
}

const EMPTY: Ends = Ends { first: NONE, last: NONE };
const UNLINKED: Links = Links { previous: NONE, next: NONE };

impl Ends {
    fn append(&mut self, index: u32, links: &mut [Links]) {
        links[index as usize] = Links { previous: self.last, next: NONE };
        match links.get_mut(self.last as usize) {
            Some(last) => last.next = index,
            None => self.first = index,
        }
        self.last = index;
    }

    fn remove(&mut self, index: u32, links: &mut [Links]) {
        let Links { previous, next } = std::mem::replace(&mut links[index as usize], UNLINKED);
        match links.get_mut(previous as usize) {
            Some(previous) => previous.next = next,
            None => self.first = next,
        }
        match links.get_mut(next as usize) {
            Some(next) => next.previous = previous,
            None => self.last = previous,
        }
    }

    fn first(self) -> Option<u32> {
        (self.first != NONE).then_some(self.first)
    }
}

#[derive(Clone, Copy, Debug)]
struct List {
    ends: Ends,
    patience_ms: u64,
}

#[derive(Clone, Copy, Debug)]
struct Node {
    kind: Option<Patience>,
    at_ms: u64,
}

/// The lists. Entries are known by the index of their connection.
#[derive(Debug)]
pub(super) struct Deadlines {
    lists: [List; KINDS.len()],
    nodes: Vec<Node>,
    links: Vec<Links>,
    /// Those whose next head is awaited, idle ones apart, in the order in which that began. A further byte does not
    /// change the order.
    asking: Ends,
    asking_links: Vec<Links>,
}

impl Deadlines {
    /// Makes empty lists with the patience of each kind.
    pub(super) fn new(patience_ms: impl Fn(Patience) -> u64) -> Self {
        let lists = KINDS.map(|kind| List { ends: EMPTY, patience_ms: patience_ms(kind) });
        Self { lists, nodes: Vec::new(), links: Vec::new(), asking: EMPTY, asking_links: Vec::new() }
    }

    /// Starts the patience with `index` anew.
    pub(super) fn set(&mut self, index: u32, kind: Patience, now_ms: u64) {
        let place = index as usize;
        if self.nodes.len() <= place {
            self.nodes.resize(place + 1, Node { kind: None, at_ms: 0 });
            self.links.resize(place + 1, UNLINKED);
            self.asking_links.resize(place + 1, UNLINKED);
        }
        self.change(index, Some(kind));
        self.nodes[place].at_ms = now_ms + self.lists[kind as usize].patience_ms;
    }

    /// Forgets `index`.
    pub(super) fn clear(&mut self, index: u32) {
        if self.nodes.len() > index as usize {
            self.change(index, None);
        }
    }

    /// Moves `index` to the end of the list of this kind.
    fn change(&mut self, index: u32, kind: Option<Patience>) {
        let before = std::mem::replace(&mut self.nodes[index as usize].kind, kind);
        if let Some(before) = before {
            self.lists[before as usize].ends.remove(index, &mut self.links);
        }
        if let Some(kind) = kind {
            self.lists[kind as usize].ends.append(index, &mut self.links);
        }
        match (before.is_some_and(Patience::is_asking), kind.is_some_and(Patience::is_asking)) {
            (false, true) => self.asking.append(index, &mut self.asking_links),
            (true, false) => self.asking.remove(index, &mut self.asking_links),
            (true, true) | (false, false) => {}
        }
    }

    /// Tells whether `index` waits for this.
    pub(super) fn is_set(&self, index: u32, kind: Patience) -> bool {
        self.nodes.get(index as usize).is_some_and(|node| node.kind == Some(kind))
    }

    /// Returns the one whose response went out longest ago, of those that are only waited for to close.
    pub(super) fn longest_discarding(&self) -> Option<u32> {
        self.lists[Patience::Discard as usize].ends.first()
    }

    /// Returns the one that has been idle for longest.
    pub(super) fn longest_idle(&self) -> Option<u32> {
        self.lists[Patience::Idle as usize].ends.first()
    }

    /// Returns the one whose request has been awaited for longest: since it came, or since the first byte after an idle
    /// time.
    pub(super) fn longest_asking(&self) -> Option<u32> {
        self.asking.first()
    }

    /// Returns all that wait for this.
    pub(super) fn all(&self, kind: Patience) -> impl Iterator<Item = u32> + '_ {
        let next = |index: &u32| self.links.get(*index as usize).map(|links| links.next).filter(|next| *next != NONE);
        std::iter::successors(self.lists[kind as usize].ends.first(), next)
    }

    /// Returns when the next one is due.
    pub(super) fn earliest(&self) -> Option<u64> {
        self.lists.iter().filter_map(|list| self.nodes.get(list.ends.first as usize)).map(|node| node.at_ms).min()
    }

    /// Takes out one that is due.
    pub(super) fn take_due(&mut self, now_ms: u64) -> Option<(u32, Patience)> {
        for kind in KINDS {
            let first = self.lists[kind as usize].ends.first;
            if self.nodes.get(first as usize).is_some_and(|node| node.at_ms <= now_ms) {
                self.clear(first);
                return Some((first, kind));
            }
        }
        None
    }

    /// Lowers the patience of a kind, also for those that wait already. Raising it concerns new ones only.
    pub(super) fn set_patience(&mut self, kind: Patience, patience_ms: u64, now_ms: u64) {
        let list = &mut self.lists[kind as usize];
        list.patience_ms = patience_ms;
        let mut index = list.ends.first;
        while let Some(node) = self.nodes.get_mut(index as usize) {
            node.at_ms = node.at_ms.min(now_ms + patience_ms);
            index = self.links[index as usize].next;
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
    fn the_longest_wait_is_due_first_and_a_sign_of_life_starts_it_anew() {
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
    fn a_client_keeps_its_place_whatever_it_sends_until_its_head_is_whole() {
        let mut deadlines = ten_each();
        for (index, kind) in [(0, Patience::Fresh), (1, Patience::Head), (2, Patience::Idle), (3, Patience::Fresh)] {
            deadlines.set(index, kind, 0);
        }
        for index in [0, 1, 2, 0] {
            deadlines.set(index, Patience::Head, 1);
        }
        let mut order = Vec::new();
        while let Some(index) = deadlines.longest_asking() {
            order.push(index);
            deadlines.set(index, Patience::Body, 2);
        }
        assert_eq!(order, [0, 1, 3, 2]);
        assert_eq!(deadlines.longest_idle(), None);
    }

    #[test]
    fn a_lower_patience_applies_to_connections_that_wait_already() {
        let mut deadlines = Deadlines::new(|_| 1_000);
        deadlines.set(0, Patience::Idle, 0);
        deadlines.set(1, Patience::Idle, 500);
        deadlines.set_patience(Patience::Idle, 20, 600);
        assert_eq!(deadlines.earliest(), Some(620));
    }
}
