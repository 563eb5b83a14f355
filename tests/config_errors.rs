//! Promise: config_errors.
