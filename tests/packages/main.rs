//! What is made for installation, installed where this checkout is not. `make deb` builds it first.

mod debian;
