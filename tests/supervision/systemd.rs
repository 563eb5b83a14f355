//! Promise: under systemd a unit is ready when it serves, a reload that fails fails, and no start, stop, reload, upgrade
//! or death of a master loses a request.
//!
//! The unit files are those of `deploy/systemd`, as users copy them; a test changes what it is about by a drop-in.

mod deaths;
mod life;
mod reloads;
mod sockets;
mod switch;
mod unit;
mod upgrades;
