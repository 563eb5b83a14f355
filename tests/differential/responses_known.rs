//! The listed differences of responses.

use crate::compare::Listed;

/// See [`Listed`].
pub(crate) const KNOWN: &[Listed] = &[
    Listed {
        heading: "100 Continue comes from the server",
        rows: &[(
            "expect: env['HTTP_EXPECT'] ? [100, {}, []] : [200, {}, [env['rack.input'].read]]",
            "interim",
            "HTTP/1.1 100 Continue",
            "",
        )],
    },
    Listed {
        heading: "101 keeps its Connection field",
        rows: &[
            ("GET: [101, { 'Upgrade' => 'x', 'Connection' => 'Upgrade' }, []]", "connection", "close", "upgrade"),
            (
                "GET: [101, { 'Upgrade' => 'x', 'Connection' => 'Upgrade', 'rack.hijack' => ->(io) { io.write('up'); io.close } }, []]",
                "connection",
                "close",
                "upgrade",
            ),
        ],
    },
    Listed {
        heading: "A body of nil is empty",
        rows: &[("GET: [200, {}, nil]", "body", "HTTP/1.1 500 Internal Server Error\\r\\n\\r\\n", "")],
    },
    Listed {
        heading: "A hijacked connection is the application's",
        rows: &[
            (
                "finish: [200, { 'rack.hijack' => ->(io) { io.write('part'); Thread.new { io.read; io.write('later'); io.close } } }, []]",
                "body",
                "part",
                "partlater",
            ),
            (
                "finish: io = env['rack.hijack'].call; io.write('raw'); env['rack.after_reply'] << -> { io.close }; raise 'hijacked'",
                "raw",
                "rawHTTP/1.1 500 Internal Server Error\\r\\n\\r\\n",
                "raw",
            ),
        ],
    },
    Listed {
        heading: "An error reply never follows a started response",
        rows: &[
            (
                "GET: [200, { 'Content-Length' => '1' }, Raising.new('a')]",
                "body",
                "aHTTP/1.1 500 Internal Server Error\\r\\n\\r\\n",
                "a",
            ),
            ("GET: [200, { 'Content-Length' => '1' }, Raising.new('a')]", "framing", "length 1 for 39", "its length"),
            (
                "GET: [200, { 'Content-Length' => '5' }, Raising.new('a')]",
                "body",
                "aHTTP/1.1 500 Internal Server Error\\r\\n\\r\\n",
                "a",
            ),
            (
                "GET: [200, { 'Content-Length' => '5' }, Raising.new('a')]",
                "framing",
                "length 5 for 39",
                "length 5 for 1",
            ),
            ("GET: [200, {}, ClosingBadly.new('a')]", "body", "aHTTP/1.1 500 Internal Server Error\\r\\n\\r\\n", "a"),
            (
                "GET: [200, {}, Raising.new('a')]",
                "body",
                "aHTTP/1.1 500 Internal Server Error\\r\\n\\r\\n",
                "1\\r\\na\\r\\n",
            ),
            ("GET: [200, {}, Raising.new('a')]", "framing", "until close", "broken chunks"),
            ("GET: [200, {}, Raising.new]", "body", "HTTP/1.1 500 Internal Server Error\\r\\n\\r\\n", ""),
            ("GET: [200, {}, Raising.new]", "status", "HTTP/1.1 200 OK", "HTTP/1.1 500 Internal Server Error"),
            ("HEAD: [200, {}, Raising.new]", "body", "HTTP/1.1 500 Internal Server Error\\r\\n\\r\\n", ""),
            ("HTTP/1.0: [200, {}, Raising.new('a')]", "body", "aHTTP/1.1 500 Internal Server Error\\r\\n\\r\\n", "a"),
            (
                "kept: [200, {}, Raising.new('a')]",
                "body",
                "aHTTP/1.1 500 Internal Server Error\\r\\n\\r\\n",
                "1\\r\\na\\r\\n",
            ),
            ("kept: [200, {}, Raising.new('a')]", "framing", "until close", "broken chunks"),
        ],
    },
    Listed {
        heading: "Arrays are values, one field each",
        rows: &[
            (
                "GET: [200, { 'Set-Cookie' => ['a=1', 'b=2'] }, ['x']]",
                "fields",
                "Set-Cookie: [\\\"a=1\\\", \\\"b=2\\\"]",
                "Set-Cookie: a=1 | Set-Cookie: b=2",
            ),
            ("GET: [200, { 'X' => %w[a b] }, ['x']]", "fields", "X: [\\\"a\\\", \\\"b\\\"]", "X: a | X: b"),
            ("GET: [200, { 'X' => [] }, ['x']]", "fields", "X: []", ""),
        ],
    },
    Listed {
        heading: "Connections are kept",
        rows: &[
            ("kept: [200, { 'Content-Length' => '5' }, ['hello']]", "connection", "close", ""),
            ("kept: [200, { 'Content-Length' => '5' }, ['hello']]", "end", "Closed", "Kept"),
            ("kept: [200, {}, Pieces.new('a', 'b')]", "connection", "close", ""),
            ("kept: [200, {}, Pieces.new('a', 'b')]", "end", "Closed", "Kept"),
            ("kept: [200, {}, Raising.new('a')]", "connection", "close", ""),
            ("kept: [200, {}, ['x']]", "connection", "close", ""),
            ("kept: [200, {}, ['x']]", "end", "Closed", "Kept"),
            ("kept: [204, {}, []]", "connection", "close", ""),
            ("kept: [204, {}, []]", "end", "Closed", "Kept"),
            ("kept: [304, {}, []]", "connection", "close", ""),
            ("kept: [304, {}, []]", "end", "Closed", "Kept"),
            ("kept: [404, {}, []]", "connection", "close", ""),
            ("kept: [404, {}, []]", "end", "Closed", "Kept"),
        ],
    },
    Listed {
        heading: "Early hints take any value",
        rows: &[
            (
                "GET: env['rack.early_hints'].call('Link' => \"</a>\\n</b>\", 'X' => 1); [200, {}, ['x']]",
                "body",
                "",
                "x",
            ),
            (
                "GET: env['rack.early_hints'].call('Link' => \"</a>\\n</b>\", 'X' => 1); [200, {}, ['x']]",
                "interim",
                "",
                "HTTP/1.1 103 Early Hints | Link: </a> | Link: </b> | X: 1",
            ),
            (
                "GET: env['rack.early_hints'].call('Link' => \"</a>\\n</b>\", 'X' => 1); [200, {}, ['x']]",
                "status",
                "HTTP/1.1 500 Internal Server Error",
                "HTTP/1.1 200 OK",
            ),
            (
                "GET: env['rack.early_hints'].call('Link' => nil); [200, {}, ['x']]",
                "interim",
                "HTTP/1.1 103 Early Hints",
                "HTTP/1.1 103 Early Hints | Link: ",
            ),
        ],
    },
    Listed {
        heading: "Error replies are complete responses",
        rows: &[
            ("*", "connection", "", "close"),
            ("*", "date", "no", "yes"),
            ("HEAD: raise 'before'", "framing", "until close", "length 0 for 0"),
        ],
    },
    Listed {
        heading: "Errors of the application are told, whatever their class",
        rows: &[
            (
                "GET: raise EOFError",
                "all",
                "end: Closed",
                "end: Closed; status: HTTP/1.1 500 Internal Server Error; date: yes; connection: close; framing: its length",
            ),
            (
                "GET: raise Errno::ECONNRESET",
                "all",
                "end: Closed",
                "end: Closed; status: HTTP/1.1 500 Internal Server Error; date: yes; connection: close; framing: its length",
            ),
            (
                "GET: raise Errno::EPIPE",
                "all",
                "end: Closed",
                "end: Closed; status: HTTP/1.1 500 Internal Server Error; date: yes; connection: close; framing: its length",
            ),
        ],
    },
    Listed {
        heading: "Fields of responses are checked",
        rows: &[
            ("GET: [200, { '' => 'a' }, ['x']]", "fields", ": a", ""),
            (
                "GET: [200, { 'Connection' => 'keep-alive', 'Keep-Alive' => 'timeout=5' }, ['x']]",
                "fields",
                "Keep-Alive: timeout=5",
                "",
            ),
            ("GET: [200, { 'X Y' => 'a' }, ['x']]", "fields", "X Y: a", ""),
            ("GET: [200, { 'X' => \"a\\0b\" }, ['x']]", "fields", "X: a\\x00b", ""),
            ("GET: [200, { 'X' => \"a\\r\\nY: b\" }, ['x']]", "fields", "X: a\\r | X: Y: b", ""),
            ("GET: [200, { 'X' => \"a\\rb\" }, ['x']]", "fields", "X: a\\rb", ""),
            ("GET: [200, { 'X:' => 'a' }, ['x']]", "fields", "X:: a", ""),
            ("GET: [200, { 'rack.something' => 'x' }, ['x']]", "fields", "rack.something: x", ""),
        ],
    },
    Listed {
        heading: "Clients of HTTP/1.0 get no early hints",
        rows: &[(
            "HTTP/1.0: env['rack.early_hints'].call('Link' => '</a.css>'); [200, {}, ['x']]",
            "interim",
            "HTTP/1.1 103 Early Hints | Link: </a.css>",
            "",
        )],
    },
    Listed {
        heading: "Missing fields are no fields",
        rows: &[(
            "GET: [200, nil, ['x']]",
            "all",
            "raw: x; end: Closed",
            "end: Closed; status: HTTP/1.1 200 OK; date: yes; connection: close; framing: its length; body: x",
        )],
    },
    Listed {
        heading: "A status without a reason keeps its blank",
        rows: &[
            ("GET: [299, {}, ['x']]", "status", "HTTP/1.1 299", "HTTP/1.1 299 "),
            ("GET: [418, {}, ['x']]", "status", "HTTP/1.1 418", "HTTP/1.1 418 "),
            ("GET: [599, {}, ['x']]", "status", "HTTP/1.1 599", "HTTP/1.1 599 "),
            ("GET: [666, {}, ['x']]", "status", "HTTP/1.1 666", "HTTP/1.1 666 "),
            ("GET: [999, {}, ['x']]", "status", "HTTP/1.1 999", "HTTP/1.1 999 "),
        ],
    },
    Listed {
        heading: "Responses that have no body get none",
        rows: &[
            ("GET: [204, { 'Content-Length' => '1' }, ['x']]", "body", "x", ""),
            ("GET: [204, { 'Content-Length' => '1' }, ['x']]", "framing", "its length", "until close"),
            ("GET: [204, {}, ['x']]", "body", "x", ""),
            ("GET: [205, {}, ['x']]", "body", "x", ""),
            ("GET: [304, { 'ETag' => '\"x\"' }, ['x']]", "body", "x", ""),
            ("HEAD: [200, { 'Content-Length' => '5' }, ['hello']]", "body", "hello", ""),
            ("HEAD: [200, { 'Content-Length' => '5' }, ['hello']]", "framing", "length 5 for 5", "length 5 for 0"),
            ("HEAD: [200, {}, Named.new('head', 'named')]", "body", "named", ""),
            ("HEAD: [200, {}, ['x']]", "body", "x", ""),
        ],
    },
    Listed {
        heading: "Streaming bodies work",
        rows: &[("GET: [200, {}, Callable.new]", "body", "HTTP/1.1 500 Internal Server Error\\r\\n\\r\\n", "streamed")],
    },
    Listed {
        heading: "The server frames the body",
        rows: &[
            ("*", "framing", "until close", "its length"),
            ("*", "framing", "until close", "chunked"),
            (
                "GET: [200, { 'Content-Length' => '2', 'Transfer-Encoding' => 'chunked' }, [\"2\\r\\nhi\\r\\n0\\r\\n\\r\\n\"]]",
                "body",
                "2\\r\\nhi\\r\\n0\\r\\n\\r\\n",
                "hi",
            ),
            (
                "GET: [200, { 'Content-Length' => '2', 'Transfer-Encoding' => 'chunked' }, [\"2\\r\\nhi\\r\\n0\\r\\n\\r\\n\"]]",
                "framing",
                "length 2 and chunked",
                "chunked",
            ),
            ("GET: [200, { 'Content-Length' => '3' }, ['hello']]", "body", "hello", "hel"),
            ("GET: [200, { 'Content-Length' => '3' }, ['hello']]", "framing", "length 3 for 5", "its length"),
            ("GET: [200, { 'Content-Length' => 'x' }, ['hello']]", "framing", "length x for 5", "its length"),
            ("GET: [200, { 'Content-Length' => nil }, ['hello']]", "framing", "length  for 5", "its length"),
            ("GET: [200, { 'Transfer-Encoding' => 'gzip' }, ['hi']]", "framing", "length  and gzip", "its length"),
            (
                "GET: [200, { 'Transfer-Encoding' => 'identity' }, ['hi']]",
                "framing",
                "length  and identity",
                "its length",
            ),
            ("HEAD: [200, { 'Transfer-Encoding' => 'chunked' }, []]", "framing", "length  and chunked", "until close"),
            (
                "HTTP/1.0: [200, { 'Transfer-Encoding' => 'chunked' }, [\"2\\r\\nhi\\r\\n\", \"0\\r\\n\\r\\n\"]]",
                "framing",
                "chunked",
                "until close",
            ),
        ],
    },
    Listed {
        heading: "What is no response becomes a 500",
        rows: &[
            (
                "GET: [100, {}, ['x']]",
                "all",
                "raw: x; interim: HTTP/1.1 100 Continue || HTTP/1.1 100 Continue | Connection: close; end: Closed",
                "end: Closed; status: HTTP/1.1 500 Internal Server Error; date: yes; connection: close; framing: its length",
            ),
            (
                "GET: [102, {}, ['x']]",
                "all",
                "raw: x; interim: HTTP/1.1 102 Processing | Connection: close; end: Closed",
                "end: Closed; status: HTTP/1.1 500 Internal Server Error; date: yes; connection: close; framing: its length",
            ),
            ("GET: [-1, {}, ['x']]", "body", "x", ""),
            ("GET: [-1, {}, ['x']]", "status", "HTTP/1.1 -1", "HTTP/1.1 500 Internal Server Error"),
            ("GET: [0, {}, ['x']]", "body", "x", ""),
            ("GET: [0, {}, ['x']]", "status", "HTTP/1.1 0", "HTTP/1.1 500 Internal Server Error"),
            (
                "GET: [1000, {}, ['x']]",
                "all",
                "raw: x; interim: HTTP/1.1 1000 | Connection: close; end: Closed",
                "end: Closed; status: HTTP/1.1 500 Internal Server Error; date: yes; connection: close; framing: its length",
            ),
            ("GET: [200, {}, 'a string']", "body", "HTTP/1.1 500 Internal Server Error\\r\\n\\r\\n", ""),
            ("GET: [200, {}, 'a string']", "status", "HTTP/1.1 200 OK", "HTTP/1.1 500 Internal Server Error"),
            ("GET: [200, {}]", "body", "HTTP/1.1 500 Internal Server Error\\r\\n\\r\\n", ""),
            ("GET: [200, {}]", "status", "HTTP/1.1 200 OK", "HTTP/1.1 500 Internal Server Error"),
            ("GET: [99, {}, ['x']]", "body", "x", ""),
            ("GET: [99, {}, ['x']]", "status", "HTTP/1.1 99", "HTTP/1.1 500 Internal Server Error"),
            ("GET: [nil, {}, ['x']]", "body", "x", ""),
            ("GET: [nil, {}, ['x']]", "status", "HTTP/1.1 ", "HTTP/1.1 500 Internal Server Error"),
        ],
    },
];
