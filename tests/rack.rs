//! Promise: rack.
