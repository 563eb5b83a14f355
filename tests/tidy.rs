//! Promise: tidy.
