//! Promise: signals.
