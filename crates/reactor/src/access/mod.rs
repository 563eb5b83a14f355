//! The access log and the ids of requests: what is noted of each request, and the line that is made of it when its
//! response is out. Where the configuration asks for neither, there is no [`Records`], and nothing is noted.
//!
//! A response is out when its last byte was given to the kernel, or its client has left. Lines are collected, and written
//! together: before the worker sleeps (at most once in 5 ms), when they are many, and by the helper when the application takes
//! long.

mod ids;
mod lines;
mod stamp;

use http1::forwarded::Trusted;

use crate::client::is_believed;
use crate::conn::{Connection, Intake, Peer, Record, RequestId, id_of_client};

pub(crate) use lines::Flushed;
pub use lines::{AccessLog, Shape};

use ids::Ids;

/// What is done with the requests of a worker.
#[derive(Debug)]
pub struct Records {
    proxies: Option<Trusted>,
    ids: Ids,
    log: Option<AccessLog>,
    /// A request whose connection the application took over, until it is served.
    hijacked: Option<Finished>,
    /// Memory for the next record.
    spare: Option<Box<Record>>,
}

/// A request that has left its connection.
#[derive(Debug)]
struct Finished {
    record: Box<Record>,
    intake: Option<Box<Intake>>,
    peer: Peer,
}

impl Records {
    /// Gives each request an id, and writes a line about it if there is a log. These proxies are believed.
    ///
    /// # Errors
    /// The system gives no random numbers.
    pub fn new(proxies: Option<Trusted>, log: Option<AccessLog>) -> std::io::Result<Self> {
        Ok(Self { proxies, ids: Ids::new()?, log, hijacked: None, spare: None })
    }

    /// Begins the record of a request that is served. Returns its id.
    pub(crate) fn begin(&mut self, connection: &mut Connection, start_ns: u64, waited_ns: u64) -> Option<RequestId> {
        connection.intake.as_ref()?;
        let id = self.id_of(connection).unwrap_or_else(|| self.ids.next());
        let record = Record { start_ns: Some(start_ns), waited_ns, ..Record::new(id, connection.request_bytes()) };
        connection.record = Some(match self.spare.take() {
            Some(mut spare) => {
                *spare = record;
                spare
            }
            None => Box::new(record),
        });
        Some(id)
    }

    /// The id that a request came with, if it is taken.
    fn id_of(&self, connection: &Connection) -> Option<RequestId> {
        let intake = connection.intake.as_ref().filter(|_| is_believed(connection.peer, self.proxies.as_ref()))?;
        id_of_client(intake.parser.head(), &intake.buffer)
    }

    /// Notes that a request is refused with this status, by a response of so many bytes.
    pub(crate) fn refuse(&mut self, connection: &mut Connection, status: u16, head_bytes: usize) {
        if connection.record.is_none() {
            let filled = connection.intake.as_ref().map_or(0, |intake| intake.filled);
            let is_parsed = connection.has_head();
            let theirs = self.id_of(connection).filter(|_| is_parsed);
            let record = Record::new(theirs.unwrap_or_else(|| self.ids.next()), filled as u64);
            connection.record = Some(Box::new(Record { raw_bytes: (!is_parsed).then_some(filled), ..record }));
        }
        if let Some(record) = &mut connection.record {
            record.respond(status, head_bytes);
        }
    }

    /// The response to a request is out, or as far as it will ever be: its line is made.
    pub(crate) fn finish(&mut self, connection: &mut Connection) {
        let Some(mut record) = connection.record.take() else { return };
        let unsent = connection.outbox.left_bytes();
        record.sent_bytes = record.sent_bytes.saturating_sub(unsent);
        record.is_broken |= unsent > 0 || record.end_ns == 0;
        if let Some(log) = &mut self.log {
            log.add(&record, connection.intake.as_deref(), connection.peer, self.proxies.as_ref(), false);
        }
        self.spare = Some(record);
    }

    /// The connection is given to another worker, which sends what is left.
    pub(crate) fn transfer(&mut self, connection: &mut Connection) {
        if let (Some(record), Some(log)) = (connection.record.take(), &mut self.log) {
            log.add(&record, connection.intake.as_deref(), connection.peer, self.proxies.as_ref(), false);
        }
    }

    /// The application takes a connection over.
    pub(crate) fn hijack(&mut self, connection: &mut Connection) {
        let Some(record) = connection.record.take() else { return };
        // What came behind the request goes with the connection.
        let intake = connection.intake.clone();
        self.hijacked = Some(Finished { record, intake, peer: connection.peer });
    }

    /// The application is done with the request whose connection it took over, if it did.
    pub(crate) fn end_request(&mut self, now_ns: u64) {
        let Some(Finished { mut record, intake, peer }) = self.hijacked.take() else { return };
        record.end_ns = now_ns;
        if let Some(log) = &mut self.log {
            log.add(&record, intake.as_deref(), peer, self.proxies.as_ref(), true);
        }
    }

    /// Has the log, if there is one.
    pub(crate) fn log(&mut self) -> Option<&mut AccessLog> {
        self.log.as_mut()
    }

    /// Tells whether lines wait to be written.
    pub(crate) fn has_lines(&self) -> bool {
        self.log.as_ref().is_some_and(AccessLog::has_lines)
    }
}
