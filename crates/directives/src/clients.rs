//! The directives that bound what a client may do.
//!
//! Sizes are those of `http1::Limits`, whose page tells what other servers allow: a size equal to the limit passes.
//! The extension reads them by these names.

use crate::table::{Default, Directive, Kind, integer, licorne};

const fn bytes(name: &'static str, default: i64, doc: &'static str) -> Directive {
    Directive { unit: Some("bytes"), ..licorne(name, integer(1), Default::Int(default), doc) }
}

const fn rate(name: &'static str, doc: &'static str) -> Directive {
    Directive { unit: Some("bytes per second"), ..licorne(name, integer(0), Default::Int(240), doc) }
}

/// Part of the table.
pub(crate) const CLIENTS: &[Directive] = &[
    licorne(
        "trusted_proxies",
        Kind::Networks,
        Default::Described("unset: as Unicorn, the scheme from everybody, `REMOTE_ADDR` from nobody"),
        "The proxies whose word counts: `'10.0.0.0/8'`, or a list; those on UNIX sockets always do. From others \
         `X-Forwarded-*`, `Forwarded`, `X-Real-IP`, `X-Sendfile-Type` and `X-Accel-Mapping` are dropped. `REMOTE_ADDR` becomes the last address of \
         `X-Forwarded-For` that is not one of theirs.",
    ),
    bytes(
        "request_line_limit",
        16_384,
        "The longest request line, without its line end. A longer one is answered with 414.",
    ),
    bytes(
        "request_target_limit",
        15_360,
        "The longest request target (path, query and all). A longer one is answered with 414.",
    ),
    bytes("request_path_limit", 8_192, "The longest path of a request. A longer one is answered with 414."),
    bytes("request_query_limit", 10_240, "The longest query of a request. A longer one is answered with 414."),
    bytes("request_fragment_limit", 1_024, "The longest fragment of a request. A longer one is answered with 414."),
    bytes("field_name_limit", 256, "The longest name of a header field. A longer one is answered with 431."),
    bytes("field_value_limit", 81_920, "The longest value of a header field. A longer one is answered with 431."),
    Directive {
        unit: Some("fields"),
        ..licorne(
            "field_count_limit",
            integer(1),
            Default::Int(100),
            "How many header fields a request may have. One with more is answered with 431.",
        )
    },
    bytes(
        "header_limit",
        114_688,
        "The longest head of a request, request line included. A longer one is answered with 431. \
         `Unicorn::HttpParser.max_header_len=` sets it too.",
    ),
    Directive {
        unit: Some("bytes"),
        ..licorne(
            "body_limit",
            integer(0),
            Default::Int(0),
            "The longest body of a request, chunked or not; 0 is no limit. A longer one is answered with 413, as soon as \
             its length is known.",
        )
    },
    bytes(
        "chunk_extension_limit",
        4_096,
        "How many bytes of chunk extensions a chunked body may have beyond the bytes of its content. More are answered \
         with 400.",
    ),
    bytes("trailer_limit", 8_192, "The longest trailer section of a chunked body. A longer one is answered with 431."),
    rate(
        "minimum_header_rate",
        "How fast a client must send the head of a request, on average once `minimum_rate_grace` is over; 0 asks for \
         nothing. A slower one is answered with 408.",
    ),
    rate(
        "minimum_body_rate",
        "How fast a client must send a body, on average once `minimum_rate_grace` is over; 0 asks for nothing. A slower \
         one is answered with 408.",
    ),
    rate(
        "minimum_write_rate",
        "How fast a client must take what it has not taken at once of a response, on average once `minimum_rate_grace` is \
         over; 0 asks for nothing. A slower one's connection is closed.",
    ),
    Directive {
        unit: Some("seconds"),
        ..licorne(
            "minimum_rate_grace",
            Kind::Number { min: 0.0 },
            Default::Int(20),
            "How long a head, a body or a response may take before its minimum rate counts.",
        )
    },
    licorne(
        "request_buffering",
        Kind::Boolean,
        Default::Bool(true),
        "Whether the application is called when the whole body is there. `false`: it reads the body while it arrives, as in \
         Unicorn, and a slow client occupies its worker; so does `rewindable_input false`.",
    ),
    Directive {
        unit: Some("bytes"),
        ..licorne(
            "response_buffer_size",
            integer(0),
            Default::Int(1_048_576),
            "How much of a response is kept in memory for a client that does not take it at once; the rest goes to an \
             unlinked temporary file, and the worker is free.",
        )
    },
    Directive {
        unit: Some("bytes"),
        ..licorne(
            "response_file_limit",
            integer(0),
            Default::Int(1_073_741_824),
            "How much of a response may be in a temporary file; then, or when the disk is full, the application waits for \
             the client. 0 is no file.",
        )
    },
    Directive {
        unit: Some("requests"),
        ..licorne(
            "pipeline_limit",
            integer(0),
            Default::Int(1_000),
            "How many requests in a row a client may have sent before it got the response to the one before. The last \
             one's response closes the connection. 0 is no limit.",
        )
    },
];
