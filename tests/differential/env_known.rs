//! The listed differences of env.

use crate::compare::Listed;

/// See [`Listed`].
pub(crate) const KNOWN: &[Listed] = &[
    Listed {
        heading: "Constant strings have other encodings",
        rows: &[
            ("*", "HTTP_VERSION (string)", "ASCII-8BIT frozen", "US-ASCII frozen"),
            ("*", "REQUEST_METHOD (string)", "ASCII-8BIT", "US-ASCII frozen"),
            ("*", "SCRIPT_NAME (string)", "ASCII-8BIT", "UTF-8"),
            ("*", "SERVER_PORT (string)", "ASCII-8BIT frozen", "US-ASCII frozen"),
            ("*", "SERVER_PROTOCOL (string)", "ASCII-8BIT frozen", "US-ASCII frozen"),
            ("*", "SERVER_SOFTWARE (string)", "ASCII-8BIT", "UTF-8"),
            ("*", "rack.url_scheme (string)", "ASCII-8BIT frozen", "US-ASCII frozen"),
            ("*", "rack.url_scheme (string)", "ASCII-8BIT", "US-ASCII frozen"),
            ("HTTP/1.0 without a field", "SERVER_NAME (string)", "ASCII-8BIT frozen", "US-ASCII frozen"),
        ],
    },
    Listed {
        heading: "Cookie fields are joined with a semicolon",
        rows: &[("Host: a\\r\\nCookie: a=1\\r\\nCookie: b=2\\r\\n", "HTTP_COOKIE", "\"a=1,b=2\"", "\"a=1; b=2\"")],
    },
    Listed {
        heading: "Fields with an underscore in their name are dropped",
        rows: &[
            (
                "Host: a\\r\\n!#$%&\\'*+-.^_`|~09azAZ: odd name\\r\\n",
                "HTTP_!#$%&\\'*+_.^_`|~09AZAZ",
                "\"odd name\"",
                "(none)",
            ),
            ("Host: a\\r\\nX-One: 1\\r\\nX_One: 2\\r\\n", "HTTP_X_ONE", "\"1,2\"", "\"1\""),
            ("Host: a\\r\\nX_Forwarded_Proto: https\\r\\n", "HTTP_X_FORWARDED_PROTO", "\"https\"", "(none)"),
            ("Host: a\\r\\nX_Forwarded_Proto: https\\r\\n", "SERVER_PORT", "\"443\"", "\"80\""),
            ("Host: a\\r\\nX_Forwarded_Proto: https\\r\\n", "rack.url_scheme", "\"https\"", "\"http\""),
            ("Host: a\\r\\nX_Only: 1\\r\\n", "HTTP_X_ONLY", "\"1\"", "(none)"),
        ],
    },
    Listed {
        heading: "Harmless deviations are accepted",
        rows: &[
            ("GET /a?q=100% HTTP/1.1", "(status)", "400 Bad Request", "200 OK"),
            ("GET http://other.example HTTP/1.1", "(status)", "400 Bad Request", "200 OK"),
            ("GET http://other.example?x HTTP/1.1", "(status)", "400 Bad Request", "200 OK"),
            ("empty line before the request", "(status)", "400 Bad Request", "200 OK"),
        ],
    },
    Listed {
        heading: "SERVER_NAME is never empty",
        rows: &[
            ("Host:\\r\\n", "SERVER_NAME", "\"\"", "\"localhost\""),
            ("Host:\\r\\n", "SERVER_NAME (string)", "ASCII-8BIT", "US-ASCII frozen"),
        ],
    },
    Listed {
        heading: "Later versions are served as HTTP/1.1",
        rows: &[
            ("GET /x HTTP/1.2", "HTTP_VERSION", "\"HTTP/1.2\"", "\"HTTP/1.1\""),
            ("GET /x HTTP/1.2", "HTTP_VERSION (string)", "ASCII-8BIT", "US-ASCII frozen"),
            ("GET /x HTTP/1.2", "SERVER_PROTOCOL", "\"HTTP/1.2\"", "\"HTTP/1.1\""),
            ("GET /x HTTP/1.2", "SERVER_PROTOCOL (string)", "ASCII-8BIT", "US-ASCII frozen"),
        ],
    },
    Listed {
        heading: "Malformed and ambiguous requests are refused",
        rows: &[
            ("", "(status)", "200 OK", "400 Bad Request"),
            ("GET * HTTP/1.1", "(status)", "200 OK", "400 Bad Request"),
            ("GET /x HTTP/2.0", "(status)", "200 OK", "505 HTTP Version Not Supported"),
            ("GET http://user:secret@other.example/x HTTP/1.1", "(status)", "200 OK", "400 Bad Request"),
            ("GET http://user@other.example/x HTTP/1.1", "(status)", "200 OK", "400 Bad Request"),
            (
                "Host: a\\r\\nContent-Type: text/plain\\r\\nContent-Type: text/html\\r\\n",
                "(status)",
                "200 OK",
                "400 Bad Request",
            ),
            ("Host: a\\r\\nHost: b\\r\\n", "(status)", "200 OK", "400 Bad Request"),
            ("Host: a\\r\\nX: folded\\r\\n once\\r\\n", "(status)", "200 OK", "400 Bad Request"),
            ("Host: a\\r\\nX: folded\\r\\n\\t twice\\r\\n   again  \\r\\n", "(status)", "200 OK", "400 Bad Request"),
            ("Host: a\\r\\nX:\\r\\n folded from the start\\r\\n", "(status)", "200 OK", "400 Bad Request"),
            ("chunked and length", "(status)", "200 OK", "400 Bad Request"),
            ("chunked, HTTP/1.0", "(status)", "200 OK", "400 Bad Request"),
            ("empty length", "(status)", "200 OK", "400 Bad Request"),
            ("gzip with a length", "(status)", "200 OK", "501 Not Implemented"),
            ("gzip, chunked", "(status)", "200 OK", "501 Not Implemented"),
            ("identity", "(status)", "200 OK", "501 Not Implemented"),
            ("length 0 twice", "(status)", "200 OK", "400 Bad Request"),
            ("line feeds for line ends", "(status)", "200 OK", "400 Bad Request"),
            ("trailer that names the host", "(status)", "200 OK", "400 Bad Request"),
        ],
    },
    Listed {
        heading: "Objects in env are native",
        rows: &[
            ("*", "rack.hijack", "a Unicorn::HttpParser, call read", "a Licorne::Native::Request, call"),
            (
                "*",
                "rack.input",
                "a StringIO, read gets each rewind size close puts",
                "a Licorne::Native::Input, read gets each rewind size close",
            ),
            (
                "*",
                "rack.input",
                "a Unicorn::TeeInput, read gets each rewind size",
                "a Licorne::Native::Input, read gets each rewind size close",
            ),
        ],
    },
    Listed {
        heading: "Proxy is not passed on",
        rows: &[("Host: a\\r\\nProxy: http://evil.example/\\r\\n", "HTTP_PROXY", "\"http://evil.example/\"", "(none)")],
    },
    Listed {
        heading: "SERVER_SOFTWARE names Licorne",
        rows: &[("*", "SERVER_SOFTWARE", "\"Unicorn 6.0.0\"", "\"Licorne X.Y.Z\"")],
    },
    Listed {
        heading: "Small chunked bodies stay in memory",
        rows: &[("*", "rack.tempfiles", "[a Unicorn::TmpIO, read gets each rewind size close puts]", "(none)")],
    },
    Listed {
        heading: "Trailers do not change env",
        rows: &[
            ("trailer of a name that the head has", "HTTP_X_SUM", "\"1,2\"", "\"1\""),
            ("trailer that was not announced", "HTTP_X_SUM", "\"42\"", "(none)"),
            ("trailers", "HTTP_X_SUM", "\"42\"", "(none)"),
            ("trailers, two of one name", "HTTP_X_SUM", "\"1,2\"", "(none)"),
        ],
    },
    Listed {
        heading: "env has keys of Licorne's own",
        rows: &[
            ("*", "licorne.timeout", "(none)", "a Licorne::Native::Request, call"),
            ("*", "rack.response_finished", "(none)", "[]"),
        ],
    },
    Listed {
        heading: "env has no unicorn.socket",
        rows: &[
            ("*", "unicorn.socket", "a Kgio::Socket, read gets each rewind close puts", "(none)"),
            ("*", "unicorn.socket", "a Unicorn::TCPClient, read gets each rewind close puts", "(none)"),
        ],
    },
];
