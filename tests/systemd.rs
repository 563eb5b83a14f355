//! Promise: under systemd a unit is ready when it serves, a reload that fails fails, and no start, stop, reload, upgrade
//! or death of a master loses a request.
//!
//! The unit files are those of `deploy/systemd`, as users copy them; a test changes what it is about by a drop-in.

#[path = "systemd/deaths.rs"]
mod deaths;
#[path = "systemd/life.rs"]
mod life;
#[path = "systemd/reloads.rs"]
mod reloads;
#[path = "systemd/sockets.rs"]
mod sockets;
#[path = "systemd/switch.rs"]
mod switch;
#[path = "systemd/unit.rs"]
mod unit;
#[path = "systemd/upgrades.rs"]
mod upgrades;
