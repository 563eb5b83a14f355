//! Promise: scale.
