//! What workers answer when the operator asks where they are: each question is open until all have answered, or until it
//! is too late.
//!
//! Nothing here waits. An answer is a claim: it counts for questions that its worker was asked, once for each, and is cut
//! to its share of what one answer to a client may be.

use std::time::Duration;

use facts::Backtrace;
use supervisor::{Ticket, WorkerId};

/// How long the answers of workers are awaited.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);
/// How many questions may be open at once; a further one is refused.
pub(crate) const QUESTIONS: usize = 8;
/// How much text the answer to one question may have, in bytes: each worker may have its share.
const TEXT_BYTES: usize = 8 << 20;
/// What stands in the place of what was cut.
const CUT: &str = "\n... cut";

/// The open questions.
#[derive(Debug, Default)]
pub(crate) struct Backtraces {
    open: Vec<Question>,
    /// The number of the last one.
    last: u64,
}

/// A question of one client.
#[derive(Debug)]
struct Question {
    ticket: Ticket,
    number: u64,
    /// When it is answered at the latest (CLOCK_MONOTONIC, ns).
    until_ns: u64,
    asked: Vec<Asked>,
}

/// A worker, in the order in which the client is told of them.
#[derive(Debug)]
struct Asked {
    worker: WorkerId,
    /// What it has answered, or that it will not.
    told: Option<Backtrace>,
}

impl Backtraces {
    /// The number of the next question: the time (CLOCK_MONOTONIC, ns), so that it is larger than all before, those of a
    /// program before this one included. `None` when too many are open.
    pub(crate) fn next_number(&mut self, now_ns: u64) -> Option<u64> {
        (self.open.len() < QUESTIONS).then(|| self.number(now_ns))
    }

    /// The same of a question that no client has asked.
    pub(crate) fn number(&mut self, now_ns: u64) -> u64 {
        self.last = now_ns.max(self.last + 1);
        self.last
    }

    /// These workers were asked; of those that cannot answer it is known already why.
    pub(crate) fn asked(
        &mut self,
        ticket: Ticket,
        number: u64,
        now_ns: u64,
        workers: impl Iterator<Item = (WorkerId, Option<Backtrace>)>,
    ) {
        let asked = workers.map(|(worker, told)| Asked { worker, told }).collect();
        let until_ns = now_ns.saturating_add(u64::try_from(PATIENCE.as_nanos()).unwrap_or(u64::MAX));
        self.open.push(Question { ticket, number, until_ns, asked });
    }

    /// A worker has answered the question with this number, and so each that was asked before.
    pub(crate) fn hear(&mut self, worker: WorkerId, number: u64, told: &Backtrace) {
        for question in self.open.iter_mut().filter(|question| question.number <= number) {
            let share = TEXT_BYTES / question.asked.len().max(1);
            let mut awaited = question.asked.iter_mut().filter(|asked| asked.worker == worker && asked.told.is_none());
            if let Some(asked) = awaited.next() {
                let text = told.text.as_deref().map(|text| cut(text, share));
                asked.told = Some(Backtrace { text, ..told.clone() });
            }
        }
    }

    /// Closes the questions that are answered as far as they will be, and returns who asked and what is answered. `silent`
    /// says of a worker that has not answered why it will not, if that is so; it is told whether it is too late.
    pub(crate) fn close(
        &mut self,
        now_ns: u64,
        silent: impl Fn(WorkerId, bool) -> Option<Backtrace>,
    ) -> Vec<(Ticket, Vec<Backtrace>)> {
        let mut closed = Vec::new();
        self.open.retain_mut(|question| {
            let is_late = question.until_ns <= now_ns;
            for asked in question.asked.iter_mut().filter(|asked| asked.told.is_none()) {
                asked.told = silent(asked.worker, is_late);
            }
            let is_open = question.asked.iter().any(|asked| asked.told.is_none());
            if !is_open {
                let asked = std::mem::take(&mut question.asked);
                closed.push((question.ticket, asked.into_iter().filter_map(|asked| asked.told).collect()));
            }
            is_open
        });
        closed
    }

    /// Closes all questions without an answer, and returns who asked.
    pub(crate) fn break_off(&mut self) -> Vec<Ticket> {
        std::mem::take(&mut self.open).into_iter().map(|question| question.ticket).collect()
    }

    /// Whether no question is open.
    pub(crate) fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// When the next question is to be closed (CLOCK_MONOTONIC, ns).
    pub(crate) fn next_ns(&self) -> Option<u64> {
        self.open.iter().map(|question| question.until_ns).min()
    }
}

/// The first bytes of a text, up to the end of a character.
fn cut(text: &str, most: usize) -> String {
    if text.len() <= most {
        return text.to_string();
    }
    let end = (0..=most).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    [&text[..end], CUT].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: WorkerId = WorkerId(1);
    const B: WorkerId = WorkerId(2);

    fn told(text: &str) -> Backtrace {
        Backtrace { text: Some(text.to_string()), ..Backtrace::default() }
    }

    fn silent(why: &str) -> Backtrace {
        Backtrace { missing: Some(why.to_string()), ..Backtrace::default() }
    }

    /// What is answered to whom, when late workers are silent and `gone` is no more.
    fn close(questions: &mut Backtraces, now: u64, gone: Option<WorkerId>) -> Vec<(u64, Vec<String>)> {
        let closed = questions.close(now, |worker, is_late| match gone == Some(worker) {
            true => Some(silent("gone")),
            false => is_late.then(|| silent("late")),
        });
        let text = |backtrace: Backtrace| backtrace.text.or(backtrace.missing).unwrap();
        closed.into_iter().map(|(ticket, all)| (ticket.0, all.into_iter().map(text).collect())).collect()
    }

    fn ask(questions: &mut Backtraces, ticket: u64, now: u64, workers: &[WorkerId]) -> u64 {
        let number = questions.next_number(now).unwrap();
        questions.asked(Ticket(ticket), number, now, workers.iter().map(|id| (*id, None)));
        number
    }

    #[test]
    fn a_question_is_closed_when_all_have_answered() {
        let mut questions = Backtraces::default();
        let number = ask(&mut questions, 7, 100, &[A, B]);
        questions.hear(B, number, &told("b"));
        assert!(close(&mut questions, 101, None).is_empty());
        questions.hear(A, number, &told("a"));
        questions.hear(A, number, &told("a, again"));
        assert_eq!(close(&mut questions, 102, None), [(7, vec!["a".to_string(), "b".to_string()])]);
        assert!(questions.is_empty() && questions.next_ns().is_none());
        questions.hear(A, number, &told("unasked"));
    }

    #[test]
    fn an_answer_counts_for_questions_that_were_asked_before_it_and_no_others() {
        let mut questions = Backtraces::default();
        let first = ask(&mut questions, 1, 100, &[A]);
        let second = ask(&mut questions, 2, 100, &[A]);
        assert!(second > first);
        questions.hear(B, second, &told("not asked"));
        questions.hear(A, first, &told("first"));
        assert_eq!(close(&mut questions, 101, None), [(1, vec!["first".to_string()])]);
        let third = ask(&mut questions, 3, 102, &[A]);
        questions.hear(A, third, &told("third"));
        assert_eq!(close(&mut questions, 103, None), [(2, vec!["third".to_string()]), (3, vec!["third".to_string()])]);
    }

    #[test]
    fn a_worker_that_is_late_or_gone_is_not_awaited() {
        let mut questions = Backtraces::default();
        let number = ask(&mut questions, 1, 100, &[A, B]);
        let late = 100 + u64::try_from(PATIENCE.as_nanos()).unwrap();
        assert_eq!(questions.next_ns(), Some(late));
        assert!(close(&mut questions, late - 1, Some(A)).is_empty());
        assert_eq!(close(&mut questions, late, None), [(1, vec!["gone".to_string(), "late".to_string()])]);
        questions.hear(B, number, &told("too late"));
        assert!(questions.is_empty());
        ask(&mut questions, 2, 100, &[]);
        assert_eq!(close(&mut questions, 101, None), [(2, vec![])], "without a worker there is nothing to await");
    }

    #[test]
    fn questions_and_texts_have_bounds() {
        let mut questions = Backtraces::default();
        let all: Vec<WorkerId> = (0..1_000).map(WorkerId).collect();
        let number = ask(&mut questions, 1, 100, &all);
        all.iter().for_each(|id| questions.hear(*id, number, &told(&"é".repeat(100_000))));
        let closed = close(&mut questions, 101, None);
        let bytes: usize = closed[0].1.iter().map(String::len).sum();
        assert!(bytes <= TEXT_BYTES + all.len() * CUT.len() && closed[0].1[7].ends_with("é\n... cut"), "{bytes}");
        for ticket in 0..QUESTIONS as u64 {
            ask(&mut questions, ticket, 200, &[A]);
        }
        assert_eq!(questions.next_number(200), None);
        assert_eq!(questions.break_off().len(), QUESTIONS);
        assert!(questions.next_number(200).is_some());
    }
}
