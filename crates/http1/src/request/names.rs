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
    Trailer "trailer" "HTTP_TRAILER",
    TransferEncoding "transfer-encoding" "HTTP_TRANSFER_ENCODING",
    Upgrade "upgrade" "HTTP_UPGRADE",
    UpgradeInsecureRequests "upgrade-insecure-requests" "HTTP_UPGRADE_INSECURE_REQUESTS",
    UserAgent "user-agent" "HTTP_USER_AGENT",
    Version "version" "HTTP_VERSION",
    Via "via" "HTTP_VIA",
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

    /// Finds a name, its case ignored. `name` must be a token.
    pub fn find(name: &[u8]) -> Self {
        let _ = name;
        Self::Other
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
