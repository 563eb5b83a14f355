//! Promise: upgrade.
