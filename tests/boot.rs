//! Promise: boot.
