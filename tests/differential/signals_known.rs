//! The listed differences of signals.

use crate::compare::Listed;

/// See [`Listed`].
pub(crate) const KNOWN: &[Listed] = &[
    Listed {
        heading: "A mold stands between master and workers",
        rows: &[
            ("*", "generations in titles", "no", "yes"),
            ("*", "process: PROGRAM mold -c DIR/config.rb -E none -l ADDR", "0", "1"),
        ],
    },
    Listed {
        heading: "Deaths are explained",
        rows: &[
            (
                "ABRT to a worker, end",
                "log: E worker=0 gen=1 pid=N died: SIGABRT sent by pid=N uid=0, while idle",
                "0",
                "1",
            ),
            (
                "KILL to a worker, end",
                "log: E worker=0 gen=1 pid=N died: SIGKILL, which the master did not send, while idle",
                "0",
                "1",
            ),
        ],
    },
    Listed {
        heading: "Reloads and upgrades tell how they go",
        rows: &[
            ("*", "log: I gen=2 is ready, replacing 2 workers", "0", "1"),
            ("*", "log: I gen=2 serves alone", "0", "1"),
            ("*", "log: I serving DIR/app", "0", "1"),
            ("*", "log: I gen=2 serves", "0", "1"),
        ],
    },
    Listed {
        heading: "TERM is graceful",
        rows: &[("TERM during a request, request", "outcome", "cut", "waited for the gate\n")],
    },
];

/// See [`Listed`].
pub(crate) const TIMEOUT: &[Listed] = &[
    Listed {
        heading: "A mold stands between master and workers",
        rows: &[
            ("*", "generations in titles", "no", "yes"),
            ("*", "process: PROGRAM mold -c DIR/config.rb -E none -l ADDR", "0", "1"),
        ],
    },
    Listed {
        heading: "Deaths are explained",
        rows: &[(
            "timeout, end",
            "log: E worker=0 gen=1 pid=N died: killed by the master: request timeout, after N ms in \"GET /wait\"",
            "0",
            "1",
        )],
    },
    Listed {
        heading: "A request is reported before its worker is killed",
        rows: &[
            ("timeout, end", "log: E worker=0 gen=1 pid=N timeout is near, after N ms in \"GET /wait\"", "0", "1"),
            ("timeout, end", "log: main thread", "0", "1"),
        ],
    },
];
