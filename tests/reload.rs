//! Promise: reload.
