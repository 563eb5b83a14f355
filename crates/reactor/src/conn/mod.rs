//! One connection: its phases, how bytes become a complete request, where a body is kept, and what its client has not
//! taken yet of a response. It imports nothing of the rest of the reactor: no epoll, no deadline, no other connection.
//!
//! | file | what it is for |
//! |---|---|
//! | `connection` | reads until a request is complete, and joins the others |
//! | `phase` | what a connection is doing, and how reading went |
//! | `patience` | what a client is waited for |
//! | `intake` | bytes that were received and not used yet, with their parser |
//! | `body`, `shared_memory` | where a request body is kept |
//! | `inflow` | a body that the application reads while it arrives |
//! | `outbox`, `spill` | the rest of a response, in memory and in a file |
//! | `record` | what is noted of a request until its response is out |
//! | `pace` | how fast a client is |

mod body;
mod connection;
pub(crate) mod heap;
mod inflow;
mod intake;
mod outbox;
mod pace;
mod patience;
mod peer;
mod phase;
mod proxied;
mod record;
mod settings;
mod shared_memory;
mod socket;
mod spill;
mod temporary;

pub use body::{Body, Memory};
pub(crate) use connection::{Connection, SLACK_BYTES};
pub use inflow::{Fault, Read};
pub(crate) use intake::{Intake, Pool};
pub(crate) use outbox::{Outbox, Queued};
pub(crate) use pace::Pace;
pub(crate) use patience::Patience;
pub use peer::Peer;
pub use phase::After;
pub(crate) use phase::{Aborted, Content, Phase, Progress};
pub use proxied::Proxied;
pub use record::RequestId;
pub(crate) use record::{Record, id_of_client};
pub use settings::{Rates, Requests, Responses};
pub use shared_memory::SharedMemory;
pub(crate) use socket::BODY_READ_BYTES;
pub use temporary::unnamed_file;
