//! `warm_up`: what an application is asked before there are clients.

use alloc::string::String;
use alloc::vec::Vec;

use crate::record::{plain, record};

record! {
    /// The value of `warm_up`; its block only Ruby has.
    WarmUp {
        /// The targets of the requests, in their order.
        paths: Vec<String>,
        /// Fields of the requests, names and values.
        headers: Vec<(String, String)>,
    }
}

plain!(Option<WarmUp>);
