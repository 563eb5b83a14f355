//! The listed differences of refusals.

use crate::compare::Listed;

/// See [`Listed`].
pub(crate) const KNOWN: &[Listed] = &[
    Listed {
        heading: "Harmless deviations are accepted",
        rows: &[
            (
                "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1;a=\"b\"\r\nx\r\n0\r\n\r\n",
                "status",
                "400",
                "200",
            ),
            (
                "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1 ;a\r\nx\r\n0\r\n\r\n",
                "status",
                "400",
                "200",
            ),
            ("GET /{a*4096} HTTP/1.1\r\nHost: a\r\n\r\n", "status", "414", "200"),
        ],
    },
    Listed {
        heading: "Limits have statuses of their own",
        rows: &[
            ("ABCDEFGHIJKLMNOPQRSTU / HTTP/1.1\r\nHost: a\r\n\r\n", "status", "400", "501"),
            ("GET / HTTP/1.1\r\nHost: a\r\nX: {v*60000}\r\nY: {v*60000}\r\n\r\n", "status", "413", "431"),
            ("GET / HTTP/1.1\r\nHost: a\r\nX: {v*81921}\r\n\r\n", "status", "400", "431"),
            ("GET / HTTP/1.1\r\nHost: a\r\n{N*257}: 1\r\n\r\n", "status", "400", "431"),
            ("GET / HTTP/1.1\r\nHost: a\r\n{X: 1\r\n*100}\r\n", "status", "200", "431"),
        ],
    },
    Listed {
        heading: "Malformed and ambiguous requests are refused",
        rows: &[
            ("CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n", "status", "400", "501"),
            ("GET / HTTP/0.9\r\nHost: a\r\n\r\n", "status", "200", "505"),
            ("GET / HTTP/1.1\r\nHost: [::1\r\n\r\n", "status", "200", "400"),
            ("GET / HTTP/1.1\r\nHost: a b\r\n\r\n", "status", "200", "400"),
            ("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", "status", "200", "400"),
            ("GET / HTTP/1.1\r\nHost: a:b:c\r\n\r\n", "status", "200", "400"),
            ("GET / HTTP/1.1\r\nHost: a\nX: 1\r\n\r\n", "status", "200", "400"),
            ("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", "status", "200", "400"),
            ("GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", "status", "200", "400"),
            ("GET / HTTP/11.22\r\nHost: a\r\n\r\n", "status", "200", "400"),
            ("GET /\r\n", "status", "no head: ok", "400"),
            ("GET /\r\n\r\n", "status", "no head: ok", "400"),
            ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nContent-Length: 2\r\n\r\nxy", "status", "200", "400"),
            ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n 0\r\n\r\nx", "status", "200", "400"),
            (
                "POST / HTTP/1.1\r\nHost: a\r\nExpect: the-unexpected\r\nContent-Length: 0\r\n\r\n",
                "status",
                "200",
                "417",
            ),
            ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked;q=1\r\n\r\n0\r\n\r\n", "status", "200", "501"),
            (
                "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
                "status",
                "200",
                "400",
            ),
            (
                "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nContent-Length: 1\r\n\r\n",
                "status",
                "200",
                "400",
            ),
            ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\nx\n0\n\n", "status", "200", "400"),
            (
                "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
                "status",
                "200",
                "501",
            ),
            ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", "status", "200", "501"),
            ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\r\n\r\n", "status", "200", "400"),
            ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "status", "200", "505"),
        ],
    },
];
