//! The keys of the Rack env, made once: interned, frozen Strings.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::OnceLock;

use http1::request::{KnownName, Method, write_cgi_key};
use magnus::{Error, Ruby, Value};

use crate::ffi::{self, Locked, Rb};

/// Those of this process. A mold makes them, so that its workers share the memory.
static KEYS: OnceLock<Locked<Keys>> = OnceLock::new();

/// How many keys of uncommon field names are remembered. A client that sends ever new names must not fill the memory.
const REMEMBERED: usize = 512;

macro_rules! fixed_keys {
    ($($field:ident $key:literal,)*) => {
        /// Keys and values that hardly differ between requests.
        pub(crate) struct Keys {
            $(pub(crate) $field: Value,)*
            known: Vec<Value>,
            methods: Vec<Value>,
            others: RefCell<HashMap<Vec<u8>, Value>>,
        }

        impl Keys {
            fn new(rb: Rb<'_>) -> Self {
                let make = |text: &str| ffi::keep(rb.key(text.as_bytes()));
                let mut known: Vec<Value> = KnownName::ALL.iter().map(|name| make(name.cgi_key())).collect();
                known.push(make("HTTP_"));
                Self {
                    $($field: make($key),)*
                    known,
                    methods: METHODS.iter().map(|method| make(method)).collect(),
                    others: RefCell::default(),
                }
            }
        }
    };
}

/// In the order of [`Method`].
const METHODS: [&str; 8] = ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE"];

fixed_keys! {
    remote_addr "REMOTE_ADDR",
    remote_port "REMOTE_PORT",
    server_addr "SERVER_ADDR",
    request_method "REQUEST_METHOD",
    request_uri "REQUEST_URI",
    request_path "REQUEST_PATH",
    path_info "PATH_INFO",
    query_string "QUERY_STRING",
    fragment "FRAGMENT",
    server_protocol "SERVER_PROTOCOL",
    http_version "HTTP_VERSION",
    http_host "HTTP_HOST",
    http_expect "HTTP_EXPECT",
    server_name "SERVER_NAME",
    server_port "SERVER_PORT",
    url_scheme "rack.url_scheme",
    input "rack.input",
    is_hijack "rack.hijack?",
    hijack "rack.hijack",
    hijack_io "rack.hijack_io",
    after_reply "rack.after_reply",
    response_finished "rack.response_finished",
    early_hints "rack.early_hints",
    protocol "rack.protocol",
    probe "licorne.probe",
    tempfiles "rack.tempfiles",
    timeout "licorne.timeout",
    http10 "HTTP/1.0",
    http11 "HTTP/1.1",
    http "http",
    https "https",
    port80 "80",
    port443 "443",
    localhost "localhost",
}

impl Keys {
    /// Returns those of this process, and makes them the first time.
    ///
    /// # Errors
    /// No memory left.
    pub(crate) fn of(ruby: &Ruby) -> Result<&'static Self, Error> {
        if KEYS.get().is_none() {
            let keys = ffi::protect(Self::new).map_err(ffi::Escape::into_error)?;
            // No other thread is here: this one has the lock of the interpreter.
            let _ = KEYS.set(Locked::new(keys));
        }
        Ok(KEYS.get().expect("they are there by now").get(ruby))
    }

    /// Returns the key of a common field.
    pub(crate) fn known(&self, name: KnownName) -> Value {
        self.known[name as usize]
    }

    /// Returns the frozen name of a usual method.
    pub(crate) fn method(&self, method: Method) -> Option<Value> {
        self.methods.get(method as usize).copied()
    }

    /// Returns the key of an uncommon field. `scratch` is for its text.
    pub(crate) fn other(&self, rb: Rb<'_>, name: &[u8], scratch: &mut Vec<u8>) -> Value {
        scratch.clear();
        write_cgi_key(scratch, name);
        if let Some(key) = self.others.borrow().get(scratch.as_slice()) {
            return *key;
        }
        let key = rb.key(scratch);
        let mut others = self.others.borrow_mut();
        if others.len() < REMEMBERED {
            others.insert(scratch.clone(), ffi::keep(key));
        }
        key
    }
}
