//! What a request head says, as offsets into the buffer that it was parsed from.

use alloc::vec::Vec;

use super::names::{KnownName, same_key};
use crate::span::Span;

/// The methods that are worth telling apart without looking at the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Method {
    /// `GET`
    Get,
    /// `HEAD`
    Head,
    /// `POST`
    Post,
    /// `PUT`
    Put,
    /// `DELETE`
    Delete,
    /// `OPTIONS`
    Options,
    /// `PATCH`
    Patch,
    /// `TRACE`
    Trace,
    /// Any other token; see [`Head::method`].
    Other,
}

/// The form of the request target (RFC 9112, section 3.2). Authority-form is refused: it belongs to `CONNECT`, which a
/// server that is no proxy answers with 501.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TargetForm {
    /// `/path?query`
    Origin,
    /// `http://host/path?query`
    Absolute,
    /// `*`, only with `OPTIONS`
    Asterisk,
}

/// The scheme of a target in absolute-form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// `http`
    Http,
    /// `https`
    Https,
}

/// The protocol version of a request. 1.2 to 1.9, which no RFC defines, are served as 1.1; other versions are refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// `HTTP/1.0`
    Http10,
    /// `HTTP/1.1`
    Http11,
}

/// How the body follows the head (RFC 9112, section 6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// There is no body, and no `Content-Length` was sent.
    None,
    /// The next so many bytes (0 when the client said so).
    Length(u64),
    /// Chunks; see [`crate::chunked::Decoder`].
    Chunked,
}

/// One field line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    /// The name as sent: a token.
    pub name: Span,
    /// The value without surrounding blanks: no control bytes but HTAB.
    pub value: Span,
    /// The name, if it is a common one. A name with an underscore is always [`KnownName::Other`].
    pub known: KnownName,
    /// The name has an underscore, so its CGI key may be that of a name with a hyphen: drop it, or see
    /// [`Head::shadows`].
    pub underscore: bool,
    /// An earlier field makes the same CGI key (case ignored, `_` taken for `-`): join the values.
    /// When this is false the key can be stored without looking it up.
    pub again: bool,
}

/// A request head. Every [`Span`] refers to the buffer given to [`super::HeadParser::parse`].
#[derive(Clone, Debug)]
pub struct Head {
    /// The method as sent: a token, case kept.
    pub method: Span,
    /// The same, if it is a usual one.
    pub known_method: Method,
    /// The request target as sent, fragment included.
    pub target: Span,
    /// The form of the target.
    pub form: TargetForm,
    /// What `REQUEST_URI` shall be: path and query, without scheme, authority and fragment; `*` for asterisk-form.
    /// Where [`Head::omits_path`], only the query with its `?`: the `/` before it is not in the target.
    pub uri: Span,
    /// The path, not decoded, `;params` included; begins with `/`, but is empty for asterisk-form.
    pub path: Span,
    /// What follows the first `?`, not decoded; may be empty.
    pub query: Option<Span>,
    /// What follows `#`. No client should send it, but Unicorn takes it.
    pub fragment: Option<Span>,
    /// The scheme of an absolute-form target.
    pub scheme: Option<Scheme>,
    /// `host[:port]` of an absolute-form target, never empty. It overrides the `Host` field.
    pub authority: Option<Span>,
    /// The version.
    pub version: Version,
    /// All field lines in wire order.
    pub fields: Vec<Field>,
    /// The index of the `Host` field. Always there in HTTP/1.1; its value may be empty.
    pub host: Option<usize>,
    /// How the body follows.
    pub framing: Framing,
    /// The client wants the connection to persist (RFC 9112, section 9.3).
    pub keep_alive: bool,
    /// The client waits for `100 Continue` before it sends the body: HTTP/1.1 with a body only.
    pub expect_continue: bool,
    /// `Connection` has the token `upgrade` and there is an `Upgrade` field, in HTTP/1.1.
    pub upgrade: bool,
    /// The bytes from the start of the buffer to the end of the head. The body, or the next request, starts here.
    pub len: usize,
}

impl Head {
    /// Returns `host[:port]` that the request is for: the target's authority, else the `Host` field, which may be empty.
    pub fn effective_host(&self) -> Option<Span> {
        self.authority.or_else(|| Some(self.fields.get(self.host?)?.value))
    }

    /// Tells whether the target has a query but no path (`http://host?query`), so that [`Head::uri`] lacks the `/` that
    /// an empty path means (RFC 9110, section 4.2.3).
    pub fn omits_path(&self) -> bool {
        self.form == TargetForm::Absolute && self.uri.start != self.path.start
    }

    /// Tells whether the field at `index` has an underscore in its name and another field, before or after, makes the
    /// same CGI key with hyphens. Then it must be dropped even where underscores are allowed: the hyphen wins.
    pub fn shadows(&self, buf: &[u8], index: usize) -> bool {
        let Some(field) = self.fields.get(index).filter(|field| field.underscore) else { return false };
        let name = field.name.of(buf);
        self.fields.iter().any(|other| !other.underscore && same_key(other.name.of(buf), name))
    }
}

impl Default for Head {
    fn default() -> Self {
        Self {
            method: Span::default(),
            known_method: Method::Other,
            target: Span::default(),
            form: TargetForm::Origin,
            uri: Span::default(),
            path: Span::default(),
            query: None,
            fragment: None,
            scheme: None,
            authority: None,
            version: Version::Http11,
            fields: Vec::new(),
            host: None,
            framing: Framing::None,
            keep_alive: false,
            expect_continue: false,
            upgrade: false,
            len: 0,
        }
    }
}
