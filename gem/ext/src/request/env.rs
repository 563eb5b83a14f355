//! The Rack env of a request: a copy of what all requests have alike, and what this one says.

use std::cell::{Cell, RefCell};
use std::time::SystemTime;

use http1::forwarded::{Trusted, is_forwarding};
use http1::request::{Field, KnownName, Scheme, Version};
use http1::request_start;
use magnus::{Error, RClass, RHash, Ruby, Value, prelude::*};
use reactor::{Peer, Proxied, Request, RequestId, client, is_believed};

use crate::ffi::{self, Rb, with_bytes};

use super::keys::Keys;

/// What env is made from.
pub(crate) struct Template {
    pub(crate) keys: &'static Keys,
    base: Value,
    request_class: RClass,
    /// Entries of the configuration that beat what a request says (Unicorn's `HttpRequest::DEFAULTS`).
    overrides: Vec<(Value, Value)>,
    keep_underscores: bool,
    /// The proxies whose word counts; for the scheme that of any peer, as in Unicorn, where the configuration does not
    /// say.
    trusted: Option<Trusted>,
    /// The peer of the last request and its text: behind a proxy it is always the same.
    last_peer: RefCell<(Option<Peer>, String)>,
    scratch: RefCell<Vec<u8>>,
    /// Whether requests are a probe's.
    pub(crate) is_probe: Cell<bool>,
}

/// The objects of one request.
pub(crate) struct Parts {
    /// `None` for the empty one that all requests without a body share.
    pub(crate) input: Option<Value>,
    /// The input, when its body is in a file.
    pub(crate) tempfile: Option<Value>,
    /// The number of the request.
    pub(crate) serial: u64,
    pub(crate) early_hints: Option<Value>,
    /// Its id, where the configuration asks for one.
    pub(crate) id: Option<RequestId>,
}

impl Template {
    /// Makes a template of what the configuration wants in every env.
    pub(crate) fn new(
        ruby: &Ruby,
        given: RHash,
        empty_input: Value,
        request_class: RClass,
        keep_underscores: bool,
        trusted: Option<Trusted>,
    ) -> Result<Self, Error> {
        let keys = Keys::of(ruby)?;
        let base = ruby.hash_new();
        for key in first_keys(keys) {
            base.aset(key, ())?;
        }
        for (key, object) in [
            (keys.server_protocol, keys.http11),
            (keys.http_version, keys.http11),
            (keys.url_scheme, keys.http),
            (keys.input, empty_input),
            (keys.is_hijack, ruby.qtrue().as_value()),
        ] {
            base.aset(key, object)?;
        }
        let mut overrides = Vec::new();
        given.foreach(|key: Value, object: Value| {
            let key = ffi::protect(|rb| with_bytes(key, |bytes| rb.key(bytes))).map_err(ffi::Escape::into_error)?;
            if base.get(key).is_some() || with_bytes(key, is_of_request) {
                overrides.push((ffi::keep(key), ffi::keep(object)));
            } else {
                base.aset(key, object)?;
            }
            Ok(magnus::r_hash::ForEach::Continue)
        })?;
        Ok(Self {
            keys,
            base: ffi::keep(base).as_value(),
            request_class: ffi::keep(request_class),
            overrides,
            keep_underscores,
            trusted,
            last_peer: RefCell::default(),
            scratch: RefCell::default(),
            is_probe: Cell::new(false),
        })
    }

    /// Makes the env. Raises only when memory is short.
    pub(crate) fn build(&self, rb: Rb<'_>, request: &Request<'_>, parts: &Parts, scratch: &mut Scratch) -> Value {
        let keys = self.keys;
        let env = rb.copy_hash(self.base);
        let mut proxy = Forwarded::default();
        for (index, field) in request.head.fields.iter().enumerate() {
            if !scratch.trusted && is_forwarding(field.name.of(request.buffer)) {
                continue;
            }
            self.set_field(rb, env, request, index, field, &mut scratch.bytes);
            proxy.see(field, request.buffer);
        }
        let https = request.head.scheme.map_or_else(|| proxy.says_https(), |scheme| scheme == Scheme::Https);
        self.set_first(rb, env, request, parts.serial, scratch, https && scratch.trusted);
        if let Some(ends) = &request.proxied {
            self.set_ends(rb, env, ends);
        }
        if let Some(input) = parts.input {
            rb.set(env, keys.input, input);
        }
        if let Some(early_hints) = parts.early_hints {
            rb.set(env, keys.early_hints, early_hints);
        }
        if request.head.upgrade {
            set_protocols(rb, env, keys, request);
        }
        if let Some(tempfile) = parts.tempfile {
            let list = rb.array();
            rb.push(list, tempfile);
            rb.set(env, keys.tempfiles, list);
        }
        if let Some(id) = &parts.id {
            rb.set(env, keys.known(KnownName::XRequestId), rb.string(id.as_bytes()));
        }
        if self.is_probe.get() {
            rb.set(env, keys.probe, ffi::ruby().qtrue().as_value());
        }
        for (key, object) in &self.overrides {
            rb.set(env, *key, *object);
        }
        env
    }

    /// Returns how long ago a proxy received the request, if one says so that is believed: a trusted one, or one on a UNIX
    /// socket. Only then the wall clock is looked at.
    pub(crate) fn waited_since_proxy_ns(&self, request: &Request<'_>) -> Option<u64> {
        let Request { head, buffer, peer, .. } = request;
        let is_start = |field: &&Field| field.name.of(buffer).eq_ignore_ascii_case(b"x-request-start");
        let field = head.fields.iter().find(is_start)?;
        let trusted = self.trusted.as_ref().map_or(peer.is_local(), |proxies| proxies.includes(peer.ip()));
        let since_1970 = || SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).ok();
        let now_ns = since_1970().filter(|_| trusted).and_then(|now| u64::try_from(now.as_nanos()).ok())?;
        request_start::age_ns(field.value.of(buffer), now_ns)
    }

    /// Lends what `build` needs to write in; owned by the caller, since `build` may be left by a jump.
    pub(crate) fn scratch(&self, request: &Request<'_>) -> Scratch {
        let proxies = self.trusted.as_ref();
        let trusted = is_believed(request.peer, proxies);
        let client = client(request.head, request.buffer, request.peer, proxies);
        let mut last = self.last_peer.borrow_mut();
        if last.0 != Some(client) {
            *last = (Some(client), client.to_string());
        }
        Scratch { peer: std::mem::take(&mut last.1), bytes: std::mem::take(&mut *self.scratch.borrow_mut()), trusted }
    }

    /// Takes it back.
    pub(crate) fn give_back(&self, scratch: Scratch) {
        self.last_peer.borrow_mut().1 = scratch.peer;
        *self.scratch.borrow_mut() = scratch.bytes;
    }

    /// Sets what every request has, and what follows from its target and version.
    fn set_first(&self, rb: Rb<'_>, env: Value, request: &Request<'_>, serial: u64, scratch: &Scratch, https: bool) {
        let keys = self.keys;
        let Request { head, buffer, .. } = request;
        let text = |span: http1::Span| rb.string(span.of(buffer));
        let (server_name, server_port) = self.server(rb, env, request, https);
        let request_object = ffi::new_serial_object(rb, self.request_class, serial);
        let values: [Value; FIRST] = [
            rb.string(scratch.peer.as_bytes()),
            keys.method(head.known_method).unwrap_or_else(|| text(head.method)),
            if head.omits_path() { rb.string(&[b"/", head.uri.of(buffer)].concat()) } else { text(head.uri) },
            text(head.path),
            text(head.path),
            head.query.map_or_else(|| rb.string(b""), text),
            server_name,
            server_port,
            request_object,
            request_object,
            rb.array(),
            rb.array(),
        ];
        rb.set_first(env, &values);
        if let Some(fragment) = head.fragment {
            rb.set(env, keys.fragment, text(fragment));
        }
        if head.version == Version::Http10 {
            rb.set(env, keys.server_protocol, keys.http10);
            rb.set(env, keys.http_version, keys.http10);
        }
        if https {
            rb.set(env, keys.url_scheme, keys.https);
        }
    }

    fn set_field(
        &self,
        rb: Rb<'_>,
        env: Value,
        request: &Request<'_>,
        index: usize,
        field: &Field,
        scratch: &mut Vec<u8>,
    ) {
        let Request { head, buffer, .. } = request;
        match field.known {
            // `Version` would pose as the protocol's; `Proxy` as the variable that HTTP libraries obey (httpoxy).
            KnownName::Version | KnownName::Proxy => return,
            KnownName::Host if head.authority.is_some() => return,
            _ => {}
        }
        if field.underscore && (!self.keep_underscores || head.shadows(buffer, index)) {
            return;
        }
        let key = match field.known {
            KnownName::Other => self.keys.other(rb, field.name.of(buffer), scratch),
            known => self.keys.known(known),
        };
        if field.again {
            let present = rb.fetch(env, key);
            if ffi::is_string(present) {
                rb.append(present, if field.known == KnownName::Cookie { b"; " } else { b"," });
                rb.append(present, field.value.of(buffer));
                return;
            }
        }
        rb.set(env, key, rb.string(field.value.of(buffer)));
    }

    /// Sets what a proxy told of the connection that it accepted.
    fn set_ends(&self, rb: Rb<'_>, env: Value, ends: &Proxied) {
        let keys = self.keys;
        let set = |key: Value, text: &dyn std::fmt::Display| {
            // The longest is an IPv6 address; a buffer on the stack, since this may be left by a jump.
            let mut buffer = [0_u8; 64];
            let mut room = &mut buffer[..];
            let _ = std::io::Write::write_fmt(&mut room, format_args!("{text}"));
            let left = room.len();
            rb.set(env, key, rb.string(&buffer[..64 - left]));
        };
        set(keys.remote_port, &ends.source.port());
        set(keys.server_addr, &ends.destination.ip());
        set(keys.server_port, &ends.destination.port());
    }

    /// Returns name and port: what the client believes, never taken from the socket.
    fn server(&self, rb: Rb<'_>, env: Value, request: &Request<'_>, https: bool) -> (Value, Value) {
        let keys = self.keys;
        let host = request.head.effective_host().map_or(&b""[..], |span| span.of(request.buffer));
        if request.head.authority.is_some() {
            rb.set(env, keys.http_host, rb.string(host));
        }
        let (name, port) = split_host(host);
        let default_port = if https { keys.port443 } else { keys.port80 };
        let or_default = |text: &[u8], default| if text.is_empty() { default } else { rb.string(text) };
        (or_default(name, keys.localhost), or_default(port, default_port))
    }
}

/// Sets the protocols that the client would go on with.
fn set_protocols(rb: Rb<'_>, env: Value, keys: &Keys, request: &Request<'_>) {
    let list = rb.array();
    let offers = request.head.fields.iter().filter(|field| field.known == KnownName::Upgrade);
    let names = offers.flat_map(|field| field.value.of(request.buffer).split(|byte| *byte == b','));
    names.map(<[u8]>::trim_ascii).filter(|name| !name.is_empty()).for_each(|name| rb.push(list, rb.string(name)));
    rb.set(env, keys.protocol, list);
}

/// How many entries of an env are of its request and always there.
const FIRST: usize = 12;

/// Their keys, in the order in which [`Template::set_first`] sets them. The order of the first ones is Unicorn's, for
/// those who print it.
fn first_keys(keys: &Keys) -> [Value; FIRST] {
    [
        keys.remote_addr,
        keys.request_method,
        keys.request_uri,
        keys.request_path,
        keys.path_info,
        keys.query_string,
        keys.server_name,
        keys.server_port,
        keys.hijack,
        keys.timeout,
        keys.after_reply,
        keys.response_finished,
    ]
}

/// Room to write in while an env is built.
pub(crate) struct Scratch {
    peer: String,
    bytes: Vec<u8>,
    /// Whether the peer's word counts.
    trusted: bool,
}

/// What the proxy in front says of the scheme. Unicorn's rule: `X-Forwarded-Ssl` is `on`, or `X-Forwarded-Proto` begins
/// with `https`, as joined with a comma when there are several: two of the former never are, of the latter the first
/// counts.
///
/// [`Field::again`] does not tell the first: a field with an underscore, which is dropped, may have come before it.
#[derive(Default)]
struct Forwarded {
    ssl_on: Option<bool>,
    proto_https: Option<bool>,
}

impl Forwarded {
    fn see(&mut self, field: &Field, buffer: &[u8]) {
        match field.known {
            KnownName::XForwardedSsl => {
                self.ssl_on = Some(self.ssl_on.is_none() && field.value.of(buffer) == b"on");
            }
            KnownName::XForwardedProto => {
                self.proto_https.get_or_insert_with(|| field.value.of(buffer).starts_with(b"https"));
            }
            _ => {}
        }
    }

    fn says_https(&self) -> bool {
        self.ssl_on == Some(true) || self.proto_https == Some(true)
    }
}

/// Splits `host:port`; the brackets of an IPv6 address stay.
fn split_host(host: &[u8]) -> (&[u8], &[u8]) {
    let end = match host.iter().position(|byte| *byte == b']') {
        Some(bracket) => bracket + 1,
        None => host.iter().position(|byte| *byte == b':').unwrap_or(host.len()),
    };
    (&host[..end], host[end..].strip_prefix(b":").unwrap_or_default())
}

/// Tells whether a key of the configuration competes with one that a request sets.
fn is_of_request(key: &[u8]) -> bool {
    const OURS: [&[u8]; 10] = [
        b"FRAGMENT",
        b"rack.input",
        b"rack.hijack",
        b"rack.after_reply",
        b"rack.response_finished",
        b"rack.early_hints",
        b"rack.protocol",
        b"rack.tempfiles",
        b"CONTENT_LENGTH",
        b"CONTENT_TYPE",
    ];
    key.starts_with(b"HTTP_") || OURS.contains(&key)
}
