//! Field names that requests commonly have, told apart in one step, and their CGI keys.

use alloc::vec::Vec;

/// Declares the known names once: variant, name, CGI key.
macro_rules! known_names {
    ($($variant:ident $name:literal $key:literal,)*) => {
        /// A common field name. `as usize` indexes tables of [`KnownName::COUNT`] entries, for instance of ready-made
        /// hash keys; [`KnownName::Other`] is the last.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum KnownName {
            $(#[doc = concat!("`", $name, "`")] $variant,)*
            /// Any other name.
            Other,
        }

        impl KnownName {
            /// All of them in order, without `Other`.
            pub const ALL: &'static [KnownName] = &[$(KnownName::$variant,)*];
            const NAMES: &'static [&'static str] = &[$($name,)*];
            const KEYS: &'static [&'static str] = &[$($key,)*];
        }
    };
}

known_names! {
    Accept "accept" "HTTP_ACCEPT",
    AcceptCharset "accept-charset" "HTTP_ACCEPT_CHARSET",
    AcceptEncoding "accept-encoding" "HTTP_ACCEPT_ENCODING",
    AcceptLanguage "accept-language" "HTTP_ACCEPT_LANGUAGE",
    AccessControlRequestHeaders "access-control-request-headers" "HTTP_ACCESS_CONTROL_REQUEST_HEADERS",
    AccessControlRequestMethod "access-control-request-method" "HTTP_ACCESS_CONTROL_REQUEST_METHOD",
    Authorization "authorization" "HTTP_AUTHORIZATION",
    CacheControl "cache-control" "HTTP_CACHE_CONTROL",
    CfConnectingIp "cf-connecting-ip" "HTTP_CF_CONNECTING_IP",
    Connection "connection" "HTTP_CONNECTION",
    ContentEncoding "content-encoding" "HTTP_CONTENT_ENCODING",
    ContentLength "content-length" "CONTENT_LENGTH",
    ContentType "content-type" "CONTENT_TYPE",
    Cookie "cookie" "HTTP_COOKIE",
    Date "date" "HTTP_DATE",
    Dnt "dnt" "HTTP_DNT",
    Expect "expect" "HTTP_EXPECT",
    Forwarded "forwarded" "HTTP_FORWARDED",
    Host "host" "HTTP_HOST",
    IfMatch "if-match" "HTTP_IF_MATCH",
    IfModifiedSince "if-modified-since" "HTTP_IF_MODIFIED_SINCE",
    IfNoneMatch "if-none-match" "HTTP_IF_NONE_MATCH",
    IfRange "if-range" "HTTP_IF_RANGE",
    IfUnmodifiedSince "if-unmodified-since" "HTTP_IF_UNMODIFIED_SINCE",
    KeepAlive "keep-alive" "HTTP_KEEP_ALIVE",
    LastEventId "last-event-id" "HTTP_LAST_EVENT_ID",
    Origin "origin" "HTTP_ORIGIN",
    Pragma "pragma" "HTTP_PRAGMA",
    Priority "priority" "HTTP_PRIORITY",
    Proxy "proxy" "HTTP_PROXY",
    Range "range" "HTTP_RANGE",
    Referer "referer" "HTTP_REFERER",
    SecChUa "sec-ch-ua" "HTTP_SEC_CH_UA",
    SecChUaMobile "sec-ch-ua-mobile" "HTTP_SEC_CH_UA_MOBILE",
    SecChUaPlatform "sec-ch-ua-platform" "HTTP_SEC_CH_UA_PLATFORM",
    SecFetchDest "sec-fetch-dest" "HTTP_SEC_FETCH_DEST",
    SecFetchMode "sec-fetch-mode" "HTTP_SEC_FETCH_MODE",
    SecFetchSite "sec-fetch-site" "HTTP_SEC_FETCH_SITE",
    SecFetchUser "sec-fetch-user" "HTTP_SEC_FETCH_USER",
    SecWebsocketExtensions "sec-websocket-extensions" "HTTP_SEC_WEBSOCKET_EXTENSIONS",
    SecWebsocketKey "sec-websocket-key" "HTTP_SEC_WEBSOCKET_KEY",
    SecWebsocketProtocol "sec-websocket-protocol" "HTTP_SEC_WEBSOCKET_PROTOCOL",
    SecWebsocketVersion "sec-websocket-version" "HTTP_SEC_WEBSOCKET_VERSION",
    Te "te" "HTTP_TE",
    Traceparent "traceparent" "HTTP_TRACEPARENT",
    Trailer "trailer" "HTTP_TRAILER",
    TransferEncoding "transfer-encoding" "HTTP_TRANSFER_ENCODING",
    Upgrade "upgrade" "HTTP_UPGRADE",
    UpgradeInsecureRequests "upgrade-insecure-requests" "HTTP_UPGRADE_INSECURE_REQUESTS",
    UserAgent "user-agent" "HTTP_USER_AGENT",
    Version "version" "HTTP_VERSION",
    Via "via" "HTTP_VIA",
    XAmznTraceId "x-amzn-trace-id" "HTTP_X_AMZN_TRACE_ID",
    XCsrfToken "x-csrf-token" "HTTP_X_CSRF_TOKEN",
    XForwardedFor "x-forwarded-for" "HTTP_X_FORWARDED_FOR",
    XForwardedHost "x-forwarded-host" "HTTP_X_FORWARDED_HOST",
    XForwardedPort "x-forwarded-port" "HTTP_X_FORWARDED_PORT",
    XForwardedProto "x-forwarded-proto" "HTTP_X_FORWARDED_PROTO",
    XForwardedScheme "x-forwarded-scheme" "HTTP_X_FORWARDED_SCHEME",
    XForwardedSsl "x-forwarded-ssl" "HTTP_X_FORWARDED_SSL",
    XRealIp "x-real-ip" "HTTP_X_REAL_IP",
    XRequestId "x-request-id" "HTTP_X_REQUEST_ID",
    XRequestStart "x-request-start" "HTTP_X_REQUEST_START",
    XRequestedWith "x-requested-with" "HTTP_X_REQUESTED_WITH",
}

impl KnownName {
    /// The size of a table indexed by `as usize`, `Other` included.
    pub const COUNT: usize = Self::ALL.len() + 1;

    /// Returns the name in lower case; empty for `Other`.
    pub fn name(self) -> &'static str {
        Self::NAMES.get(self as usize).copied().unwrap_or_default()
    }

    /// Returns the key of a CGI or Rack environment, `HTTP_HOST` or `CONTENT_LENGTH`; empty for `Other`.
    pub fn cgi_key(self) -> &'static str {
        Self::KEYS.get(self as usize).copied().unwrap_or_default()
    }

    /// Finds a name, its case ignored.
    pub fn find(name: &[u8]) -> Self {
        let mut window = [0; WINDOW];
        match window.get_mut(..name.len()) {
            Some(start) => start.copy_from_slice(name),
            None => return Self::Other,
        }
        Self::find_at(&window, 0, name.len())
    }

    /// Finds the name that is `buf[start..start + len]`, its case ignored. Whatever the bytes are: a name that is
    /// found is a token.
    #[inline]
    pub(crate) fn find_at(buf: &[u8], start: usize, len: usize) -> Self {
        let Some(name) = buf.get(start..).and_then(|rest| rest.get(..len)) else { return Self::Other };
        if len < 2 {
            return Self::Other;
        }
        let index = usize::from(SLOTS[hash(len, name[0], name[len - 2], name[len / 2])]);
        let Some(shape) = SHAPES.get(index).filter(|shape| shape.len == len) else { return Self::Other };
        let same = match buf.get(start..).and_then(|rest| rest.first_chunk()) {
            Some(window) => shape.matches(window),
            // The last bytes of the buffer: rare, since the value and the end of the head follow the name.
            None => name.eq_ignore_ascii_case(Self::NAMES[index].as_bytes()),
        };
        if same { Self::ALL[index] } else { Self::Other }
    }
}

/// Appends the CGI key of a field name: `HTTP_`, then the name in upper case with `_` for `-`.
///
/// `Content-Length` and `Content-Type` are [`KnownName`]s, whose keys lack the prefix; a name that reaches this
/// function, `content_length` for instance, never gets their keys.
pub fn write_cgi_key(out: &mut Vec<u8>, name: &[u8]) {
    out.extend_from_slice(b"HTTP_");
    out.extend(name.iter().map(|&byte| if byte == b'-' { b'_' } else { byte.to_ascii_uppercase() }));
}

/// Tells whether two names make the same CGI key: case ignored, `_` taken for `-`.
pub(crate) fn same_key(one: &[u8], other: &[u8]) -> bool {
    let fold = |byte: u8| if byte == b'_' { b'-' } else { byte.to_ascii_lowercase() };
    one.len() == other.len() && one.iter().zip(other).all(|(&a, &b)| fold(a) == fold(b))
}

/// The longest known name fits into so many bytes.
const WINDOW: usize = 32;

/// A name prepared for comparison eight bytes at a time.
struct Shape {
    len: usize,
    /// The name in lower case, padded.
    words: [u64; WINDOW / 8],
    /// The bits that matter: none behind the name, and for letters all but the one that tells the case.
    masks: [u64; WINDOW / 8],
}

impl Shape {
    #[inline]
    fn matches(&self, window: &[u8; WINDOW]) -> bool {
        let word = |at: usize| window[8 * at..].first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
        let differs = |at: usize| (word(at) ^ self.words[at]) & self.masks[at];
        differs(0) | differs(1) | differs(2) | differs(3) == 0
    }
}

static SHAPES: [Shape; KnownName::ALL.len()] = shapes();

const fn shapes() -> [Shape; KnownName::ALL.len()] {
    let mut shapes = [const { Shape { len: 0, words: [0; WINDOW / 8], masks: [0; WINDOW / 8] } }; KnownName::ALL.len()];
    let mut index = 0;
    while index < shapes.len() {
        let name = KnownName::NAMES[index].as_bytes();
        assert!(name.len() <= WINDOW);
        shapes[index].len = name.len();
        let mut at = 0;
        while at < name.len() {
            let byte = name[at];
            assert!(byte.is_ascii_lowercase() || byte == b'-');
            let mask = if byte == b'-' { 0xff } else { 0xff & !0x20 };
            shapes[index].words[at / 8] |= (byte as u64) << (at % 8 * 8);
            shapes[index].masks[at / 8] |= mask << (at % 8 * 8);
            at += 1;
        }
        index += 1;
    }
    shapes
}

/// Spreads the known names without collision; the factors were found by trial, and `slots` checks them. When a name is
/// added and it fails to compile, try others.
#[inline]
const fn hash(len: usize, first: u8, before_last: u8, middle: u8) -> usize {
    const CASE: u8 = 0x20;
    let hash =
        len * 34 + (first | CASE) as usize * 46 + (before_last | CASE) as usize * 27 + (middle | CASE) as usize * 38;
    hash & 0xff
}

/// Where each hash leads: an index of `SHAPES`, or one that is out of its range.
static SLOTS: [u8; 256] = slots();

const fn slots() -> [u8; 256] {
    let mut slots = [u8::MAX; 256];
    let mut index = 0;
    while index < KnownName::NAMES.len() {
        let name = KnownName::NAMES[index].as_bytes();
        let slot = hash(name.len(), name[0], name[name.len() - 2], name[name.len() / 2]);
        assert!(slots[slot] == u8::MAX, "two known names have the same hash");
        slots[slot] = index as u8;
        index += 1;
    }
    slots
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    #[test]
    fn every_known_name_is_found_in_any_case_and_makes_its_key() {
        for (index, &known) in KnownName::ALL.iter().enumerate() {
            assert_eq!(known as usize, index);
            let name = known.name().as_bytes();
            for case in [name.to_vec(), name.to_ascii_uppercase()] {
                assert_eq!(KnownName::find(&case), known, "{}", known.name());
                let short = [b"\r\n", case.as_slice()].concat();
                assert_eq!(KnownName::find_at(&short, 2, case.len()), known);
            }
            let mut key = vec![];
            write_cgi_key(&mut key, name);
            let bare = matches!(known, KnownName::ContentLength | KnownName::ContentType);
            assert_eq!(known.cgi_key().as_bytes(), if bare { &key[5..] } else { &key });
        }
        assert_eq!(KnownName::Other as usize + 1, KnownName::COUNT);
        assert_eq!(KnownName::Other.name(), "");
    }

    #[test]
    fn a_name_that_differs_in_one_byte_is_not_known() {
        for known in KnownName::ALL {
            let name = known.name().as_bytes();
            for at in 0..name.len() {
                for byte in 0..=255 {
                    let mut other = name.to_vec();
                    other[at] = byte;
                    let same = other.eq_ignore_ascii_case(name);
                    assert_eq!(KnownName::find(&other) == *known, same, "{other:?}");
                    assert!(KnownName::find(&other) == KnownName::Other || crate::scan::is_token(&other));
                }
            }
        }
        assert_eq!(KnownName::find(b""), KnownName::Other);
        assert_eq!(KnownName::find(b"x"), KnownName::Other);
        assert_eq!(KnownName::find(&[b'x'; 300]), KnownName::Other);
        assert_eq!(KnownName::find(b"content_length"), KnownName::Other);
    }
}
