//! What the configuration says, read from the Hash that the mold made of it.

use std::collections::BTreeMap;

use directives::{Connections, Settings};
use http1::forwarded::Trusted;
use http1::response::reason_phrase;
use magnus::r_hash::ForEach;
use magnus::{Error, RHash, RModule, Ruby, function, prelude::*};
use serde::Deserialize;

use crate::json;

/// Descriptors that are no connections: the application's own, bodies in files, our own.
const RESERVE: usize = 128;

/// `Licorne::Native::Settings`: the configuration as engines read it. A mold makes it, for all of its workers.
#[magnus::wrap(class = "Licorne::Native::Settings", free_immediately)]
pub(crate) struct Given(Settings);

pub(crate) fn define(ruby: &Ruby, native: RModule) -> Result<(), Error> {
    let class = native.define_class("Settings", ruby.class_object())?;
    class.define_singleton_method("new", function!(Given::new, 1))
}

impl Given {
    /// Reads a Hash with each directive's value by its name.
    ///
    /// # Errors
    /// `ArgumentError`: a directive is missing, or its value of another type.
    fn new(ruby: &Ruby, told: RHash) -> Result<Self, Error> {
        let refuse = |error: serde_json::Error| Error::new(ruby.exception_arg_error(), error.to_string());
        Settings::deserialize(json::from_ruby(ruby, told.as_value(), 0)?).map(Self).map_err(refuse)
    }

    /// What holds in this process. Of connections there are only as many as it has descriptors for, and the application may
    /// have set `header_limit` meanwhile.
    pub(crate) fn here(&self, header_limit: Option<usize>) -> Settings {
        let mut settings = self.0.clone();
        let Connections { worker_connections, .. } = &mut settings.connections;
        *worker_connections = descriptors().min(*worker_connections);
        if let Some(bytes) = header_limit {
            settings.limits.header_limit = bytes;
        }
        settings
    }
}

/// How many connections the limit of descriptors allows, with some left for everything else. See getrlimit(2).
fn descriptors() -> usize {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    limit.and_then(|limit| usize::try_from(limit).ok()).map_or(usize::MAX, |limit| limit.saturating_sub(RESERVE).max(1))
}

/// Returns the peers whose word counts, by `trusted_proxies`; `None`: the configuration does not say.
///
/// # Errors
/// It is no list of addresses and networks.
pub(crate) fn trusted_proxies(ruby: &Ruby, texts: Option<&[String]>) -> Result<Option<Trusted>, Error> {
    let Some(texts) = texts else { return Ok(None) };
    let networks = texts.iter().filter(|text| *text != "unix").map(|text| {
        let refuse = || Error::new(ruby.exception_arg_error(), format!("not an address or network: {text}"));
        text.parse().map_err(|_| refuse())
    });
    Ok(Some(Trusted(networks.collect::<Result<_, _>>()?)))
}

/// What Rack calls statuses (`reasons:`, a Hash of Integer and String), where the registry calls them otherwise.
pub(crate) fn reasons(ruby: &Ruby, arguments: RHash) -> Result<BTreeMap<u16, Vec<u8>>, Error> {
    let mut reasons = BTreeMap::new();
    if let Some(table) = arguments.get(ruby.to_symbol("reasons")).and_then(RHash::from_value) {
        table.foreach(|code: u16, reason: String| {
            if reason_phrase(code) != reason {
                reasons.insert(code, reason.into_bytes());
            }
            Ok(ForEach::Continue)
        })?;
    }
    Ok(reasons)
}
