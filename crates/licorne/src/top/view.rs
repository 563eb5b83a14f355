//! What `licorne top` shows, and what keys and answers do to it. It asks nothing and draws nothing.

use std::time::Instant;

use facts::{Backtrace, Death, Status};

use crate::columns::{ALL, Column, Row};
use crate::interval::Interval;
use crate::top::question::{Answered, Question};

/// A key that means something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Key {
    Character(char),
    Up,
    Down,
    Left,
    Right,
    PageUp,
    PageDown,
    Home,
    End,
    Enter,
    Escape,
    /// Ctrl-C.
    Interrupt,
}

/// What comes of a key or an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Then {
    /// Show it.
    Draw,
    /// Ask the master for this, and show it.
    Ask(Question),
    /// Leave.
    Quit,
}

/// What fills the terminal below the head.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Page {
    Workers,
    Help,
    /// `None` until they were told.
    Deaths(Option<Result<Vec<Death>, String>>),
    /// Of the worker in this slot.
    Backtrace(u32, Option<Result<Vec<Backtrace>, String>>),
}

/// Which column the workers are sorted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sorted {
    pub(crate) by: Column,
    /// The other way round than is usual for the column.
    pub(crate) reversed: bool,
}

/// What is known of the server.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// The last status, and when it came.
    pub(crate) status: Option<(Status, Instant)>,
    /// What happened between the last two.
    pub(crate) interval: Option<Interval>,
    /// Why there is no master now, since when.
    pub(crate) lost: Option<(String, Instant)>,
}

/// All of it.
#[derive(Debug)]
pub(crate) struct View {
    pub(crate) seen: Seen,
    pub(crate) page: Page,
    pub(crate) sorted: Sorted,
    /// Slot and generation of the selected worker.
    selected: Option<(u32, u32)>,
    /// How many lines of the page are above what is shown.
    pub(crate) scrolled: usize,
    /// How many lines the page has at once, as it was drawn last.
    pub(crate) height: usize,
}

impl View {
    pub(crate) fn new() -> Self {
        Self {
            seen: Seen::default(),
            page: Page::Workers,
            sorted: Sorted { by: Column::Slot, reversed: false },
            selected: None,
            scrolled: 0,
            height: 10,
        }
    }

    /// The workers in the order in which they are shown.
    pub(crate) fn rows(&self) -> Vec<Row<'_>> {
        let Some((status, _)) = &self.seen.status else { return Vec::new() };
        let work = |worker| self.seen.interval.as_ref().map_or_else(Default::default, |interval| interval.of(worker));
        let mut rows: Vec<Row<'_>> = status.workers.iter().map(|worker| Row { worker, work: work(worker) }).collect();
        let Sorted { by, reversed } = self.sorted;
        rows.sort_by(|one, other| {
            let order = by.compare(*one, *other);
            let order = if by.descends() != reversed { order.reverse() } else { order };
            order.then(name_of(*one).cmp(&name_of(*other)))
        });
        rows
    }

    /// The place of the selected worker among these: when it is gone, that of the newest one in its slot.
    pub(crate) fn selected(&self, rows: &[Row<'_>]) -> usize {
        let Some((slot, generation)) = self.selected else { return 0 };
        let exact = rows.iter().position(|row| name_of(*row) == (slot, generation));
        let in_slot = || {
            let mut all: Vec<(u32, usize)> = rows
                .iter()
                .enumerate()
                .filter(|(_, row)| row.worker.slot == slot)
                .map(|(place, row)| (row.worker.generation, place))
                .collect();
            all.sort_unstable();
            all.pop().map(|(_, place)| place)
        };
        exact.or_else(in_slot).unwrap_or(0)
    }

    /// Takes a key.
    pub(crate) fn press(&mut self, key: Key) -> Then {
        match (key, &self.page) {
            (Key::Interrupt, _) => Then::Quit,
            (Key::Character('q') | Key::Escape, Page::Workers) => Then::Quit,
            (Key::Character('q') | Key::Escape, _) => self.turn_to(Page::Workers, None),
            (Key::Character('?' | 'h'), _) => self.turn_to(Page::Help, None),
            (Key::Character('d'), _) => self.turn_to(Page::Deaths(None), Some(Question::Deaths)),
            (Key::Character('b'), Page::Backtrace(slot, _)) => self.backtrace_of(*slot),
            (Key::Character('b') | Key::Enter, Page::Workers) => {
                let rows = self.rows();
                match rows.get(self.selected(&rows)).map(|row| row.worker.slot) {
                    Some(slot) => self.backtrace_of(slot),
                    None => Then::Draw,
                }
            }
            (Key::Enter, _) => self.turn_to(Page::Workers, None),
            (Key::Character('r'), Page::Workers) => {
                self.sorted.reversed = !self.sorted.reversed;
                Then::Draw
            }
            (Key::Character(character), Page::Workers) => {
                if let Some(by) = ALL.into_iter().find(|column| column.key() == character) {
                    self.sort_by(by);
                }
                Then::Draw
            }
            (Key::Left | Key::Right, Page::Workers) => {
                let place = ALL.iter().position(|column| *column == self.sorted.by).unwrap_or(0);
                let step = if key == Key::Right { 1 } else { ALL.len() - 1 };
                self.sort_by(ALL[(place + step) % ALL.len()]);
                Then::Draw
            }
            (Key::Up | Key::Down | Key::PageUp | Key::PageDown | Key::Home | Key::End, _) => self.go(key),
            (Key::Character(_) | Key::Left | Key::Right, _) => Then::Draw,
        }
    }

    /// Takes what the master has told, or why it told nothing.
    pub(crate) fn hear(&mut self, answered: Answered, now: Instant) -> Then {
        match answered {
            Answered::Status(status) => return self.look_at(*status, now),
            Answered::Lost(why) => {
                let since = self.seen.lost.take().map_or(now, |(_, since)| since);
                self.seen.lost = Some((why, since));
            }
            Answered::Deaths(told) => {
                if let Page::Deaths(deaths) = &mut self.page {
                    *deaths = Some(told);
                }
            }
            Answered::Backtrace(of, told) => match &mut self.page {
                Page::Backtrace(slot, backtrace) if *slot == of => *backtrace = Some(told),
                _ => {}
            },
        }
        Then::Draw
    }

    fn look_at(&mut self, status: Status, now: Instant) -> Then {
        let before = self.seen.status.take();
        self.seen.interval = before.as_ref().and_then(|(before, at)| {
            let seconds = now.saturating_duration_since(*at).as_secs_f64();
            Interval::between(before, &status, seconds)
        });
        let more_died = before.is_some_and(|(before, _)| before.deaths.total != status.deaths.total);
        self.seen.status = Some((status, now));
        self.seen.lost = None;
        match &self.page {
            Page::Deaths(_) if more_died => Then::Ask(Question::Deaths),
            _ => Then::Draw,
        }
    }

    fn sort_by(&mut self, by: Column) {
        self.sorted = Sorted { by, reversed: false };
    }

    fn backtrace_of(&mut self, slot: u32) -> Then {
        self.turn_to(Page::Backtrace(slot, None), Some(Question::Backtrace(slot)))
    }

    fn turn_to(&mut self, page: Page, question: Option<Question>) -> Then {
        self.page = page;
        self.scrolled = 0;
        question.map_or(Then::Draw, Then::Ask)
    }

    /// Moves the selection among the workers, and the text on other pages. Beyond its end the drawing stops it.
    fn go(&mut self, key: Key) -> Then {
        let page = self.height.saturating_sub(1).max(1);
        let to = |from: usize, last: usize| match key {
            Key::Up => from.saturating_sub(1),
            Key::Down => from.saturating_add(1).min(last),
            Key::PageUp => from.saturating_sub(page),
            Key::PageDown => from.saturating_add(page).min(last),
            Key::End => last,
            _ => 0,
        };
        if self.page != Page::Workers {
            self.scrolled = to(self.scrolled, usize::MAX);
            return Then::Draw;
        }
        let rows = self.rows();
        let place = to(self.selected(&rows), rows.len().saturating_sub(1));
        self.selected = rows.get(place).map(|row| name_of(*row));
        Then::Draw
    }
}

fn name_of(row: Row<'_>) -> (u32, u32) {
    (row.worker.slot, row.worker.generation)
}

#[cfg(test)]
mod tests {
    use super::*;
    use facts::{Request, Worker};
    use std::time::Duration;

    fn worker(slot: u32, generation: u32, requests: u64) -> Worker {
        Worker { slot, generation, pid: Some(100 * generation + slot), requests, ..Worker::default() }
    }

    fn told(workers: Vec<Worker>) -> Answered {
        Answered::Status(Box::new(Status { pid: 7, workers, ..Status::default() }))
    }

    fn slots(view: &View) -> Vec<u32> {
        view.rows().iter().map(|row| row.worker.slot).collect()
    }

    fn chosen(view: &View) -> (u32, u32) {
        let rows = view.rows();
        name_of(rows[view.selected(&rows)])
    }

    #[test]
    fn keys_and_arrows_choose_the_column_that_sorts() {
        let mut view = View::new();
        let now = Instant::now();
        let mut busy = worker(2, 1, 0);
        busy.request = Some(Request { age_ms: 9, ..Request::default() });
        view.hear(told(vec![worker(0, 1, 5), worker(1, 1, 50), busy]), now);
        assert_eq!(slots(&view), [0, 1, 2]);
        view.press(Key::Character(Column::Requests.key()));
        assert_eq!(slots(&view), [1, 0, 2]);
        view.press(Key::Character('r'));
        assert_eq!(slots(&view), [2, 0, 1]);
        view.press(Key::Character(Column::Age.key()));
        assert_eq!((slots(&view), view.sorted.reversed), (vec![2, 0, 1], false));
        view.press(Key::Right);
        assert_eq!(view.sorted.by, Column::Request);
        view.press(Key::Right);
        assert_eq!(view.sorted.by, Column::Slot);
        view.press(Key::Left);
        assert_eq!(view.sorted.by, Column::Request);
    }

    #[test]
    fn the_selection_follows_its_worker_and_after_a_reload_its_slot() {
        let mut view = View::new();
        let now = Instant::now();
        view.hear(told(vec![worker(0, 1, 5), worker(1, 1, 50), worker(2, 1, 0)]), now);
        assert_eq!(chosen(&view), (0, 1));
        view.press(Key::Down);
        assert_eq!(chosen(&view), (1, 1));
        view.press(Key::Character(Column::Requests.key()));
        assert_eq!((chosen(&view), view.selected(&view.rows())), ((1, 1), 0));
        view.hear(told(vec![worker(0, 2, 0), worker(1, 1, 50), worker(1, 2, 0)]), now);
        assert_eq!(chosen(&view), (1, 1));
        view.hear(told(vec![worker(0, 2, 0), worker(1, 2, 0)]), now);
        assert_eq!(chosen(&view), (1, 2));
        assert_eq!(view.press(Key::Character('b')), Then::Ask(Question::Backtrace(1)));
        view.press(Key::End);
        view.hear(told(vec![]), now);
        assert_eq!(view.press(Key::Escape), Then::Draw);
        assert_eq!(view.press(Key::Character('b')), Then::Draw, "there is no worker");
        view.press(Key::Down);
        assert_eq!(view.press(Key::Escape), Then::Quit);
    }

    #[test]
    fn an_answer_is_for_the_page_that_asked() {
        let mut view = View::new();
        let now = Instant::now();
        view.hear(told(vec![worker(3, 1, 0)]), now);
        assert_eq!(view.press(Key::Enter), Then::Ask(Question::Backtrace(3)));
        view.hear(Answered::Backtrace(2, Ok(Vec::new())), now);
        view.hear(Answered::Deaths(Ok(Vec::new())), now);
        assert_eq!(view.page, Page::Backtrace(3, None));
        view.hear(Answered::Backtrace(3, Err("no".into())), now);
        assert_eq!(view.page, Page::Backtrace(3, Some(Err("no".into()))));
        assert_eq!(view.press(Key::Character('q')), Then::Draw);
        assert_eq!(view.press(Key::Character('d')), Then::Ask(Question::Deaths));
        assert_eq!(view.press(Key::Interrupt), Then::Quit);
    }

    #[test]
    fn a_death_has_the_deaths_asked_for_again_and_a_loss_is_dated() {
        let mut view = View::new();
        let now = Instant::now();
        let died = |total| {
            let deaths = facts::Deaths { total, ..facts::Deaths::default() };
            Answered::Status(Box::new(Status { pid: 7, deaths, ..Status::default() }))
        };
        view.hear(died(0), now);
        view.press(Key::Character('d'));
        assert_eq!(view.hear(died(0), now), Then::Draw);
        assert_eq!(view.hear(died(1), now), Then::Ask(Question::Deaths));
        view.hear(Answered::Lost("gone".into()), now);
        view.hear(Answered::Lost("still gone".into()), now + Duration::from_secs(5));
        assert_eq!(view.seen.lost, Some(("still gone".into(), now)));
        view.hear(died(1), now + Duration::from_secs(6));
        assert_eq!(view.seen.lost, None);
    }
}
