//! Requests whose end the test decides: `/wait` of the plain application.

use crate::fifo::Fifo;
use crate::http::{Connection, Request, Response};
use crate::server::Server;

/// Two FIFOs in the server's directory: on one the application tells that a request has begun, on the other it waits.
#[derive(Debug)]
pub struct Gate {
    told: Fifo,
    gate: Fifo,
}

/// A request that is being served.
#[derive(Debug)]
pub struct Held {
    /// The connection that waits for the response.
    pub connection: Connection,
    /// The process that serves it.
    pub worker: u32,
}

impl Gate {
    /// Prepares the server's directory; one gate for a server.
    #[must_use]
    #[track_caller]
    pub fn new(server: &Server) -> Gate {
        Gate { told: Fifo::create(server.file("told")), gate: Fifo::create(server.file("gate")) }
    }

    /// Sends a request that will not end before [`Gate::open`], and returns when the application has it.
    #[must_use]
    #[track_caller]
    pub fn hold(&mut self, server: &Server) -> Held {
        self.hold_request(server, Request::get("/wait"))
    }

    /// The same for this request, whose path is `/wait`.
    #[must_use]
    #[track_caller]
    pub fn hold_request(&mut self, server: &Server, request: Request) -> Held {
        let mut connection = server.connect();
        connection.send(request.close().bytes());
        let told = self.told.line(crate::patience()).expect("no worker took the request");
        let worker = told.strip_prefix("waiting ").and_then(|pid| pid.parse().ok());
        Held { connection, worker: worker.unwrap_or_else(|| panic!("the application told {told:?}")) }
    }

    /// Lets one held request end.
    pub fn open(&mut self) {
        self.gate.tell("the gate");
    }

    /// Lets this request end, and returns its response.
    #[track_caller]
    pub fn release(&mut self, mut held: Held) -> Response {
        self.open();
        held.connection.receive()
    }
}
