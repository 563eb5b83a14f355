//! What becomes of each connection: it is read, waited for, answered, given to another worker, closed.

use std::io;

use rustix::io::Errno;
use rustix::net::Shutdown;

use crate::access::{AccessLog, Flushed, Records};
use crate::conn::{Aborted, After, Connection, Pace, Patience, Phase, Pool, Progress};
use crate::date::HttpDate;
use crate::notices::{Notice, Notices};
use crate::schedule::Schedule;
use crate::settings::Settings;
use crate::table::{Table, Token, Waiting};
use crate::transfer::{Queue, RETRY_MS};

const SCRATCH_BYTES: usize = 16 * 1024;

/// What came and went: bytes of requests and of responses, heads included, and what clients have cut short. Bytes that were kept for a slow client count as sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Of requests.
    pub received_bytes: u64,
    /// Of responses.
    pub sent_bytes: u64,
    /// What clients have cut short.
    pub aborted: scoreboard::Aborted,
}

/// The connections of a worker, and what is needed to go on with them.
#[derive(Debug)]
pub(crate) struct Connections {
    pub(crate) table: Table,
    pub(crate) schedule: Schedule<Token>,
    /// The queue between the workers.
    pub(crate) queue: Option<Queue>,
    pub(crate) settings: Settings,
    pub(crate) notices: Notices,
    pub(crate) pool: Pool,
    pub(crate) date: HttpDate,
    /// What came and went since that was asked last.
    pub(crate) traffic: Traffic,
    /// What is noted of each request, where the configuration asks for it.
    pub(crate) records: Option<Box<Records>>,
    /// The connection whose request was handed out.
    pub(crate) serving: Option<Token>,
    scratch: Vec<u8>,
}

impl Connections {
    /// Makes it without any.
    ///
    /// # Errors
    /// No descriptors left.
    pub(crate) fn new(settings: Settings) -> io::Result<Self> {
        Ok(Self {
            table: Table::new(&settings.timeouts)?,
            schedule: Schedule::new(),
            queue: None,
            settings,
            notices: Notices::default(),
            pool: Pool::default(),
            date: HttpDate::default(),
            traffic: Traffic::default(),
            records: None,
            serving: None,
            scratch: vec![0; SCRATCH_BYTES],
        })
    }

    /// Returns how many there are.
    pub(crate) fn len(&self) -> usize {
        self.table.len()
    }

    /// Tells whether there are as many as may be.
    pub(crate) fn is_full(&self) -> bool {
        self.len() >= self.settings.connections
    }

    /// Looks at a connection again after the others.
    pub(crate) fn line_up(&mut self, token: Token) {
        if self.table.enter_line(token) {
            self.schedule.line_up(token);
        }
    }

    /// Goes on with a connection. True when it has a complete request.
    pub(crate) fn look_at(&mut self, token: Token) -> bool {
        let Some(connection) = self.table.leave_line(token) else { return false };
        match connection.phase {
            Phase::Writing { after } => {
                self.go_on_writing(token, after);
                return false;
            }
            Phase::Discarding => {
                if !connection.discard(&mut self.scratch) {
                    self.close(token);
                }
                return false;
            }
            _ => {}
        }
        match connection.read(&mut self.pool, &self.settings.requests) {
            Progress::Request => {
                connection.pace = Pace::default();
                if connection.proxied.is_some() {
                    self.notices.proxy_header_came();
                }
                self.table.clear_deadline(token);
                return !(self.schedule.is_transferring() && self.transfer(token));
            }
            Progress::Wait(patience) => self.wait_for(token, patience),
            Progress::Yield => self.line_up(token),
            Progress::Gone => self.close(token),
            Progress::NoProxy(reason) => {
                self.notices.no_proxy_header(reason);
                self.close(token);
            }
            Progress::Refuse(status) => self.refuse(token, status),
            // Its file needs a descriptor. Each attempt costs a connection, so that this ends.
            Progress::Storage(error) if lacks_descriptors(&error) && self.make_room() => self.line_up(token),
            Progress::Storage(error) => {
                self.notices.add(Notice::CannotStoreBody(error));
                self.refuse(token, 500);
            }
        }
        false
    }

    /// Has epoll tell when a connection can go on, and starts its patience anew.
    pub(crate) fn wait_for(&mut self, token: Token, patience: Patience) {
        let may_go = matches!(patience, Patience::Fresh | Patience::Idle | Patience::Head | Patience::Write);
        if self.schedule.is_transferring() && may_go {
            if self.transfer(token) {
                return;
            }
            if self.schedule.due_ms().is_none() {
                self.schedule.offer_at(Some(now_ms() + RETRY_MS));
            }
        }
        match self.table.wait_for(token, patience, &self.settings.rates, now_ms()) {
            Waiting::Begun => {}
            Waiting::TooSlow => self.give_up_on(token, patience),
            Waiting::NotWatched => self.close(token),
        }
    }

    /// Ends a connection whose client was too slow at this.
    fn give_up_on(&mut self, token: Token, patience: Patience) {
        match patience {
            Patience::Head | Patience::Body => {
                self.abort(token, Aborted::Request);
                self.refuse(token, 408);
            }
            Patience::Write => {
                self.abort(token, Aborted::Response);
                self.close(token);
            }
            Patience::Fresh | Patience::Idle | Patience::Discard => self.close(token),
        }
    }

    /// Notes that a client has cut this short.
    pub(crate) fn abort(&mut self, token: Token, what: Aborted) {
        if let Some(connection) = self.table.get_mut(token) {
            connection.aborted.get_or_insert(what);
        }
    }

    /// Ends the connections that were waited for too long.
    pub(crate) fn expire(&mut self, now_ms: u64) {
        while let Some((token, patience)) = self.table.take_due(now_ms) {
            self.give_up_on(token, patience);
        }
    }

    /// Closes the connection that is worth least. False when there is none that may be closed.
    pub(crate) fn make_room(&mut self) -> bool {
        let Some(token) = self.table.least_worth(now_ms()) else { return false };
        self.close(token);
        true
    }

    /// Tells whether another worker may take what this one gives away.
    pub(crate) fn has_takers(&self) -> bool {
        self.queue.is_some() && self.schedule.has_takers()
    }

    /// Gives a connection to another worker. False: it stays.
    pub(crate) fn transfer(&mut self, token: Token) -> bool {
        self.has_takers() && self.put_into_queue(token)
    }

    /// Gives a connection to the worker that takes it, be it this one itself. False: it stays.
    pub(crate) fn put_into_queue(&mut self, token: Token) -> bool {
        if self.serving == Some(token) {
            return false;
        }
        let (Some(queue), Some(connection)) = (&self.queue, self.table.get(token)) else { return false };
        if !connection.can_go() || !queue.offer(connection) {
            return false;
        }
        if let (Some(records), Some(connection)) = (&mut self.records, self.table.get_mut(token)) {
            records.transfer(connection);
        }
        self.close(token);
        true
    }

    /// Gives away all connections that can go. Those that the queue does not take are offered again soon.
    pub(crate) fn transfer_all(&mut self) {
        self.schedule.offer_at(None);
        for place in 0..self.table.places() {
            let Some(token) = self.table.token_at(place) else { continue };
            let can_go = self.table.get(token).is_some_and(Connection::can_go) && self.serving != Some(token);
            if can_go && !self.transfer(token) {
                self.schedule.offer_at(Some(now_ms() + RETRY_MS));
                return;
            }
        }
    }

    /// Sends parts of a response in order. With `last` the kernel waits for the connection's end, to send both at once.
    ///
    /// # Errors
    /// The client is gone.
    pub(crate) fn send(&mut self, token: Token, parts: &[&[u8]], last: bool) -> Result<(), Errno> {
        let connection = self.table.get_mut(token).ok_or(Errno::PIPE)?;
        connection.send(parts, last, self.settings.responses)?;
        let bytes = parts.iter().map(|part| part.len() as u64).sum::<u64>();
        self.traffic.sent_bytes += bytes;
        if let Some(record) = &mut connection.record {
            record.sent_bytes += bytes;
        }
        if let Some(error) = connection.outbox.take_trouble() {
            self.notices.add(Notice::CannotStoreResponse(error));
        }
        Ok(())
    }

    /// Ends a response that was sent. What the client has not taken yet is written while others are served.
    pub(crate) fn finish(&mut self, token: Token, after: After) {
        self.serving = self.serving.filter(|serving| *serving != token);
        let Some(connection) = self.table.get_mut(token) else { return };
        if let Some(record) = &mut connection.record {
            record.end_ns = sys::clock::monotonic_ns();
            record.is_broken = after == After::Abort;
        }
        let mut after = after;
        let ends = matches!(after, After::Close | After::End);
        // What is still to come of the body would be taken for the next request; and what comes behind the last request
        // of a connection would destroy the response on its way, if the connection were closed before it comes.
        if (after != After::Abort && !connection.body_is_read()) || (ends && connection.may_send_more()) {
            connection.spoil_input();
            after = After::Close;
        }
        if after == After::Abort {
            // Not merely closed: a child that the application forked may hold the descriptor, and the client would
            // wait.
            let _ = rustix::net::shutdown(&connection.fd, Shutdown::Both);
            self.close(token);
        } else if connection.outbox.is_empty() {
            self.after_response(token, after);
        } else {
            connection.phase = Phase::Writing { after };
            self.wait_for(token, Patience::Write);
        }
    }

    /// Answers with an error and closes.
    pub(crate) fn refuse(&mut self, token: Token, status: u16) {
        let mut response = Vec::with_capacity(128);
        http1::response::write_error(&mut response, status, self.date.current());
        if let (Some(records), Some(connection)) = (&mut self.records, self.table.get_mut(token)) {
            records.refuse(connection, status, response.len());
        }
        if self.send(token, &[&response], true).is_err() {
            return self.close(token);
        }
        // The position in the input is unknown: whatever comes is thrown away.
        if let Some(connection) = self.table.get_mut(token) {
            connection.intake.get_or_insert_with(|| self.pool.take());
            connection.spoil_input();
        }
        self.finish(token, After::Close);
    }

    fn go_on_writing(&mut self, token: Token, after: After) {
        let Some(connection) = self.table.get_mut(token) else { return };
        if connection.flush().is_err() {
            self.close(token);
        } else if connection.outbox.is_empty() {
            self.after_response(token, after);
        } else {
            self.wait_for(token, Patience::Write);
        }
    }

    fn after_response(&mut self, token: Token, after: After) {
        if let (Some(records), Some(connection)) = (&mut self.records, self.table.get_mut(token)) {
            records.finish(connection);
            self.flush_batch();
        }
        let Some(connection) = self.table.get_mut(token) else { return };
        let rest = connection.intake.as_mut().map_or(0, |intake| intake.advance());
        if after == After::KeepAlive {
            connection.served = true;
            connection.phase = Phase::Head;
            if rest > 0 {
                connection.pipelined = connection.pipelined.saturating_add(1);
                return self.line_up(token);
            }
            connection.pipelined = 0;
            if let Some(intake) = connection.intake.take() {
                self.pool.give_back(intake);
            }
            return self.wait_for(token, Patience::Idle);
        }
        if rest == 0 {
            if after == After::End {
                let _ = rustix::net::shutdown(&connection.fd, Shutdown::Write);
            }
            return self.close(token);
        }
        // Closing with unread input would send a reset, which can destroy the response on its way, and so would a close
        // that input follows: the client closes first (RFC 9112, section 9.6), or its patience ends.
        connection.phase = Phase::Discarding;
        if rustix::net::shutdown(&connection.fd, Shutdown::Write).is_err() {
            return self.close(token);
        }
        if connection.discard(&mut self.scratch) {
            self.wait_for(token, Patience::Discard);
        } else {
            self.close(token);
        }
    }

    /// Takes a connection out, with what was received behind its request.
    pub(crate) fn detach(&mut self, token: Token) -> Option<(Connection, Vec<u8>)> {
        self.serving = self.serving.filter(|serving| *serving != token);
        if let (Some(records), Some(connection)) = (&mut self.records, self.table.get_mut(token)) {
            records.hijack(connection);
        }
        self.remove(token)
    }

    /// Closes a connection.
    pub(crate) fn close(&mut self, token: Token) {
        self.remove(token);
    }

    fn remove(&mut self, token: Token) -> Option<(Connection, Vec<u8>)> {
        let mut connection = self.table.remove(token)?;
        match connection.aborted {
            Some(Aborted::Request) => self.traffic.aborted.requests += 1,
            Some(Aborted::Response) => self.traffic.aborted.responses += 1,
            None => {}
        }
        if let Some(records) = &mut self.records {
            records.finish(&mut connection);
            self.flush_batch();
        }
        let rest = connection.take_rest(&mut self.pool);
        Some((connection, rest))
    }
}

/// How often lines are offered to a slow reader while the worker has nothing else to do.
const SLOW_READER_MS: u64 = 100;

/// The access log.
impl Connections {
    fn log(&mut self) -> Option<&mut AccessLog> {
        self.records.as_mut()?.log()
    }

    /// Writes the lines if there are many.
    fn flush_batch(&mut self) {
        if self.log().is_some_and(|log| log.is_batch()) {
            self.flush_log();
        }
    }

    /// Writes the lines that there are.
    pub(crate) fn flush_log(&mut self) {
        let flushed = self.log().map(AccessLog::flush);
        self.tell_of_log(flushed);
    }

    /// Writes the lines that there are before the process ends, for which there is some time or none.
    pub(crate) fn finish_log(&mut self, time: bool) {
        let flushed = self.log().map(|log| log.finish(time));
        self.tell_of_log(flushed);
    }

    /// Writes the lines that are due before a wait of so many milliseconds, and says how long it may be.
    pub(crate) fn flush_log_before(&mut self, timeout_ms: Option<u64>) -> Option<u64> {
        let Some(log) = self.log().filter(|log| log.has_lines() && timeout_ms != Some(0)) else { return timeout_ms };
        let next_ms = if let Some(held_ns) = log.held_ns(sys::clock::monotonic_ns()) {
            Some(held_ns.div_ceil(1_000_000))
        } else {
            self.flush_log();
            self.log().filter(|log| log.is_slow()).map(|_| SLOW_READER_MS)
        };
        timeout_ms.into_iter().chain(next_ms).min()
    }

    fn tell_of_log(&mut self, flushed: Option<Flushed>) {
        match flushed {
            Some(Flushed::Fails(errno)) => self.notices.add(Notice::CannotLog(errno)),
            Some(Flushed::Again(lost)) => self.notices.add(Notice::LogsAgain(lost)),
            Some(Flushed::Quietly) | None => {}
        }
    }
}

/// Tells whether there was no descriptor left.
fn lacks_descriptors(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::MFILE | Errno::NFILE))
}

/// The monotonic clock in milliseconds.
pub(crate) fn now_ms() -> u64 {
    sys::clock::monotonic_ns() / 1_000_000
}
