//! Promise: reload_failures.
