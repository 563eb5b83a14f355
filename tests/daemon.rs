//! Promise: daemon.
