//! Promise: leaks.
