//! The listed differences of reloads, upgrades and log rotation.

use crate::compare::Listed;

/// See [`Listed`].
pub(crate) const RELOAD: &[Listed] = &[
    Listed {
        heading: "A mold stands between master and workers",
        rows: &[
            ("*", "generations in titles", "no", "yes"),
            ("*", "process: PROGRAM mold -c DIR/config.rb -E none -l ADDR", "0", "1"),
        ],
    },
    Listed { heading: "A reload loads new code", rows: &[("HUP with preloading, HUP", "code", "first", "second")] },
    Listed {
        heading: "Configuration errors name their place",
        rows: &[
            ("HUP with a syntax error with preloading, end", "log: E                   ^", "0", "1"),
            ("HUP with a syntax error with preloading, end", "log: E  (SyntaxError)", "0", "1"),
            (
                "HUP with a syntax error with preloading, end",
                "log: E error reloading config_file=DIR/config.rb: DIR/config.rb:9: syntax error, unexpected end-of-input, expecting ')'",
                "0",
                "1",
            ),
            (
                "HUP with a syntax error with preloading, end",
                "log: E error reloading config_file=DIR/config.rb: \"DIR/config.rb:9: syntax error, unexpected end-of-input, expecting ')'\\nworker_processes (\\n                  ^\\n\" (SyntaxError)",
                "1",
                "0",
            ),
            ("HUP with a syntax error with preloading, end", "log: E worker_processes (", "0", "1"),
            ("HUP with a syntax error, end", "log: E                   ^", "0", "1"),
            ("HUP with a syntax error, end", "log: E  (SyntaxError)", "0", "1"),
            (
                "HUP with a syntax error, end",
                "log: E error reloading config_file=DIR/config.rb: DIR/config.rb:9: syntax error, unexpected end-of-input, expecting ')'",
                "0",
                "1",
            ),
            (
                "HUP with a syntax error, end",
                "log: E error reloading config_file=DIR/config.rb: \"DIR/config.rb:9: syntax error, unexpected end-of-input, expecting ')'\\nworker_processes (\\n                  ^\\n\" (SyntaxError)",
                "1",
                "0",
            ),
            ("HUP with a syntax error, end", "log: E worker_processes (", "0", "1"),
            (
                "HUP with a wrong value with preloading, end",
                "log: E error reloading config_file=DIR/config.rb: DIR/config.rb:9: not an integer: timeout=\"soon\" (ArgumentError)",
                "0",
                "1",
            ),
            (
                "HUP with a wrong value with preloading, end",
                "log: E error reloading config_file=DIR/config.rb: not an integer: timeout=\"soon\" (ArgumentError)",
                "1",
                "0",
            ),
            (
                "HUP with a wrong value, end",
                "log: E error reloading config_file=DIR/config.rb: DIR/config.rb:9: not an integer: timeout=\"soon\" (ArgumentError)",
                "0",
                "1",
            ),
            (
                "HUP with a wrong value, end",
                "log: E error reloading config_file=DIR/config.rb: not an integer: timeout=\"soon\" (ArgumentError)",
                "1",
                "0",
            ),
            (
                "HUP with an unreadable log with preloading, end",
                "log: E error reloading config_file=DIR/config.rb: DIR/config.rb:9: directory for stderr_path=/nowhere/at/all not writable (ArgumentError)",
                "0",
                "1",
            ),
            (
                "HUP with an unreadable log with preloading, end",
                "log: E error reloading config_file=DIR/config.rb: directory for stderr_path=/nowhere/at/all not writable (ArgumentError)",
                "1",
                "0",
            ),
            (
                "HUP with an unreadable log, end",
                "log: E error reloading config_file=DIR/config.rb: DIR/config.rb:9: directory for stderr_path=/nowhere/at/all not writable (ArgumentError)",
                "0",
                "1",
            ),
            (
                "HUP with an unreadable log, end",
                "log: E error reloading config_file=DIR/config.rb: directory for stderr_path=/nowhere/at/all not writable (ArgumentError)",
                "1",
                "0",
            ),
        ],
    },
    Listed {
        heading: "Reloads and upgrades tell how they go",
        rows: &[
            ("*", "log: E gen=2: the mold failed to boot; the generation before it serves on", "0", "1"),
            ("*", "log: I gen=2 is ready, replacing 2 workers", "0", "1"),
            ("*", "log: I gen=2 is ready, replacing 3 workers", "0", "1"),
            ("*", "log: I gen=2 serves alone", "0", "1"),
            ("*", "log: I serving DIR/app", "0", "1"),
            ("*", "log: I gen=2 serves", "0", "1"),
        ],
    },
    Listed {
        heading: "Workers are replaced without a gap",
        rows: &[
            ("HUP with preloading, HUP", "the old worker leaves before the new one is ready", "true", "false"),
            ("HUP, HUP", "the old worker leaves before the new one is ready", "true", "false"),
        ],
    },
];

/// See [`Listed`].
pub(crate) const UPGRADE: &[Listed] = &[
    Listed {
        heading: "A mold stands between master and workers",
        rows: &[
            ("*", "generations in titles", "no", "yes"),
            ("*", "process: PROGRAM mold -E none -l ADDR", "0", "2"),
            ("*", "process: PROGRAM mold -c DIR/config.rb -E none -l ADDR", "0", "1"),
            ("*", "process: PROGRAM mold -c DIR/config.rb -E none -l ADDR", "0", "2"),
        ],
    },
    Listed {
        heading: "Configuration errors name their place",
        rows: &[("USR2 with a broken configuration, end", "log: not today (RuntimeError)", "0", "1")],
    },
    Listed {
        heading: "HUP after WINCH brings the old code back first",
        rows: &[
            ("USR2, WINCH to the old, HUP to the old, QUIT to the new, end", "log: I worker=0 spawning...", "3", "4"),
            ("USR2, WINCH to the old, HUP to the old, QUIT to the new, end", "log: I worker=1 spawning...", "3", "4"),
        ],
    },
    Listed {
        heading: "Reloads and upgrades tell how they go",
        rows: &[
            ("*", "log: I gen=2 serves alone", "0", "1"),
            ("*", "log: I serving DIR/app", "0", "1"),
            ("*", "log: I gen=2 serves", "0", "1"),
            ("*", "log: I the new master has left", "0", "1"),
            ("*", "log: I the new master serves", "0", "1"),
            ("USR2 with a broken configuration, end", "log: E the new master died before it served", "0", "1"),
        ],
    },
    Listed {
        heading: "The executing line does not list descriptors",
        rows: &[
            (
                "*",
                "log: I executing [\"PROGRAM\", \"-E\", \"none\", \"-l\", \"ADDR\", {3=>#<Unicorn::TCPSrv:fd 3, AF_INET, ADDR>}] (in DIR/app)",
                "1",
                "0",
            ),
            ("*", "log: I executing [\"PROGRAM\", \"-E\", \"none\", \"-l\", \"ADDR\"] (in DIR/app)", "0", "1"),
            (
                "*",
                "log: I executing [\"PROGRAM\", \"-c\", \"DIR/config.rb\", \"-E\", \"none\", \"-l\", \"ADDR\", {3=>#<Unicorn::TCPSrv:fd 3, AF_INET, ADDR>}] (in DIR/app)",
                "1",
                "0",
            ),
            (
                "*",
                "log: I executing [\"PROGRAM\", \"-c\", \"DIR/config.rb\", \"-E\", \"none\", \"-l\", \"ADDR\"] (in DIR/app)",
                "0",
                "1",
            ),
        ],
    },
];
