//! Promise: deaths.
