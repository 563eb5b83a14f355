//! What the configuration says, read from the Hash that the mold made of it. What is missing has its default.

use std::collections::BTreeMap;

use http1::Limits;
use http1::forwarded::Trusted;
use http1::response::reason_phrase;
use magnus::r_hash::ForEach;
use magnus::{Error, RHash, Ruby, TryConvert, prelude::*};
use reactor::{Settings, SharedMemory};

/// Descriptors that are no connections: the application's own, bodies in files, our own.
const RESERVE: usize = 128;

/// Returns a setting, by its name as String (JSON) or Symbol.
///
/// # Errors
/// It is of another type.
pub(crate) fn setting<T: TryConvert>(ruby: &Ruby, settings: RHash, name: &str) -> Result<Option<T>, Error> {
    match settings.get(name).or_else(|| settings.get(ruby.to_symbol(name))) {
        Some(object) if !object.is_nil() => T::try_convert(object).map(Some),
        _ => Ok(None),
    }
}

/// Turns a number of seconds into milliseconds.
pub(crate) fn milliseconds(seconds: Option<f64>, default_ms: u64) -> u64 {
    seconds.map_or(default_ms, |seconds| (seconds.clamp(0.0, 1e9) * 1_000.0) as u64)
}

/// Reads what the configuration says of connections.
///
/// # Errors
/// A setting is of the wrong type.
pub(crate) fn connection_settings(ruby: &Ruby, settings: RHash) -> Result<Settings, Error> {
    let number = |name: &str, default: usize| Ok::<_, Error>(setting(ruby, settings, name)?.unwrap_or(default));
    let ms = |name: &str, default_ms: u64| Ok::<_, Error>(milliseconds(setting(ruby, settings, name)?, default_ms));
    let defaults = Settings::default();
    Ok(Settings {
        limits: limits(ruby, settings)?,
        pipeline: setting(ruby, settings, "pipeline_limit")?.unwrap_or(defaults.pipeline),
        connections: number("worker_connections", defaults.connections)?.min(descriptors()),
        body_buffer_bytes: number("client_body_buffer_size", defaults.body_buffer_bytes)?,
        body_memory: SharedMemory::new(number("body_memory", 16 << 20)?),
        stream_bodies: setting(ruby, settings, "request_buffering")? == Some(false)
            || setting(ruby, settings, "rewindable_input")? == Some(false),
        response_buffer_bytes: number("response_buffer_size", defaults.response_buffer_bytes)?,
        response_file_bytes: setting(ruby, settings, "response_file_limit")?.unwrap_or(defaults.response_file_bytes),
        keepalive_ms: ms("keepalive_timeout", defaults.keepalive_ms)?,
        head_ms: ms("header_timeout", defaults.head_ms)?,
        body_ms: ms("body_timeout", defaults.body_ms)?,
        write_ms: ms("write_timeout", defaults.write_ms)?,
        head_rate: setting(ruby, settings, "minimum_header_rate")?.unwrap_or(defaults.head_rate),
        body_rate: setting(ruby, settings, "minimum_body_rate")?.unwrap_or(defaults.body_rate),
        write_rate: setting(ruby, settings, "minimum_write_rate")?.unwrap_or(defaults.write_rate),
        rate_grace_ms: ms("minimum_rate_grace", defaults.rate_grace_ms)?,
        discard_ms: defaults.discard_ms,
    })
}

/// How many connections the limit of descriptors allows, with some left for everything else. See getrlimit(2).
fn descriptors() -> usize {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    limit.and_then(|limit| usize::try_from(limit).ok()).map_or(usize::MAX, |limit| limit.saturating_sub(RESERVE).max(1))
}

/// Reads whose word counts; `None`: the configuration does not say.
///
/// # Errors
/// It is no list of addresses and networks.
pub(crate) fn trusted_proxies(ruby: &Ruby, settings: RHash) -> Result<Option<Trusted>, Error> {
    let Some(texts) = setting::<Vec<String>>(ruby, settings, "trusted_proxies")? else { return Ok(None) };
    let networks = texts.iter().filter(|text| *text != "unix").map(|text| {
        let refuse = || Error::new(ruby.exception_arg_error(), format!("not an address or network: {text}"));
        text.parse().map_err(|_| refuse())
    });
    Ok(Some(Trusted(networks.collect::<Result<_, _>>()?)))
}

fn limits(ruby: &Ruby, settings: RHash) -> Result<Limits, Error> {
    let size = |name: &str, default: usize| Ok::<_, Error>(setting(ruby, settings, name)?.unwrap_or(default));
    let defaults = Limits::default();
    Ok(Limits {
        request_line: size("request_line_limit", defaults.request_line)?,
        target: size("request_target_limit", defaults.target)?,
        path: size("request_path_limit", defaults.path)?,
        query: size("request_query_limit", defaults.query)?,
        fragment: size("request_fragment_limit", defaults.fragment)?,
        field_name: size("field_name_limit", defaults.field_name)?,
        field_value: size("field_value_limit", defaults.field_value)?,
        fields: size("field_count_limit", defaults.fields)?,
        // Unicorn lets one byte more through than its limit says.
        section: size("header_limit", defaults.section - 1)?.saturating_add(1),
        body: setting(ruby, settings, "body_limit")?.filter(|bytes| *bytes > 0),
        chunk_extension: size("chunk_extension_limit", defaults.chunk_extension)?,
        trailer_section: size("trailer_limit", defaults.trailer_section)?,
    })
}

/// What Rack calls statuses (`reasons:`, a Hash of Integer and String), where the registry calls them otherwise.
pub(crate) fn reasons(ruby: &Ruby, arguments: RHash) -> Result<BTreeMap<u16, Vec<u8>>, Error> {
    let mut reasons = BTreeMap::new();
    if let Some(table) = setting::<RHash>(ruby, arguments, "reasons")? {
        table.foreach(|code: u16, reason: String| {
            if reason_phrase(code) != reason {
                reasons.insert(code, reason.into_bytes());
            }
            Ok(ForEach::Continue)
        })?;
    }
    Ok(reasons)
}
