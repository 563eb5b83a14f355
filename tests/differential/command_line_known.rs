//! The listed differences of command lines.

use crate::compare::Listed;

/// See [`Listed`].
pub(crate) const KNOWN: &[Listed] = &[
    Listed {
        heading: "An exit while booting is told",
        rows: &[
            ("-c config.rb | abort 'enough'", "error", "enough", "enough | exit with status 1"),
            ("-c config.rb | exit 3", "error", "", "exit with status 3"),
            ("-c config.rb | exit! 4", "error", "", "the mold died: #<Process::Status: pid N exit 4>"),
            ("-c config.rb | preload_app true\nlisten 'DIR/x.sock' | exit 5", "error", "", "exit with status 5"),
            ("-e puts 1; exit 7", "error", "", "exit with status 7"),
        ],
    },
    Listed {
        heading: "Configuration errors name their place",
        rows: &[
            (
                "-c config.rb | check_client_connection true\nlisten 'DIR/x.sock', tcp_nopush: true",
                "error",
                "check_client_connection is incompatible with tcp_nopush:true (ArgumentError)",
                "config.rb:1: check_client_connection is incompatible with tcp_nopush:true (ArgumentError)",
            ),
            (
                "-c config.rb | listen 'DIR/config.ru'",
                "error",
                "socket=DIR/config.ru specified but it is not a socket! (ArgumentError)",
                "config.rb:1: listen \"DIR/config.ru\": socket=DIR/config.ru specified but it is not a socket! (ArgumentError)",
            ),
            (
                "-c missing.rb",
                "error",
                "No such file or directory @ rb_sysopen - missing.rb (Errno::ENOENT)",
                "-c missing.rb, seen from DIR: No such file or directory @ rb_sysopen - missing.rb (Errno::ENOENT)",
            ),
            (
                "-l foo.sock",
                "error",
                "Don't know how to bind: foo.sock (ArgumentError)",
                "Don't know how to bind: foo.sock (ArgumentError); did you mean \"unix:foo.sock\"? A path begins with /, ~ or unix:",
            ),
            (
                "-c config.rb | listen 'DIR/x.sock' | #\\ --no-such-option\nrun nil",
                "error",
                "invalid option: --no-such-option (OptionParser::InvalidOption)",
                "config.ru:1: invalid option: --no-such-option (ArgumentError)",
            ),
            (
                "-c config.rb | pid '/nowhere/at/all'",
                "error",
                "directory for pid=/nowhere/at/all not writable (ArgumentError)",
                "config.rb:1: directory for pid=/nowhere/at/all not writable (ArgumentError)",
            ),
            (
                "-c config.rb | preload_app true\nlisten 'DIR/x.sock' | run (",
                "error",
                "config.ru:3: syntax error, unexpected '}', expecting ')' (SyntaxError) | )}.to_app |  ^",
                "config.ru:1: syntax error, unexpected end-of-input, expecting ')' | run ( |      ^ |  (SyntaxError)",
            ),
            (
                "-c config.rb | stderr_path '/nowhere/at/all'",
                "error",
                "directory for stderr_path=/nowhere/at/all not writable (ArgumentError)",
                "config.rb:1: directory for stderr_path=/nowhere/at/all not writable (ArgumentError)",
            ),
            (
                "-c config.rb | timeout 'soon'",
                "error",
                "not an integer: timeout=\"soon\" (ArgumentError)",
                "config.rb:1: not an integer: timeout=\"soon\" (ArgumentError)",
            ),
            (
                "-c config.rb | user 'nobody-of-that-name'",
                "error",
                "can't find user for nobody-of-that-name (ArgumentError)",
                "config.rb:1: can't find user for nobody-of-that-name (ArgumentError)",
            ),
            (
                "-c config.rb | working_directory '/nowhere/at/all'",
                "error",
                "config_file=config.rb would not be accessible in working_directory=/nowhere/at/all (ArgumentError)",
                "config.rb:1: config_file=config.rb would not be accessible in working_directory=/nowhere/at/all (ArgumentError)",
            ),
            (
                "-c config.rb | worker_processes (",
                "error",
                "config.rb:1: syntax error, unexpected end-of-input, expecting ')' (SyntaxError) | worker_processes ( |                   ^",
                "config.rb:1: syntax error, unexpected end-of-input, expecting ')' | worker_processes ( |                   ^ |  (SyntaxError)",
            ),
        ],
    },
    Listed {
        heading: "Details of option parsing",
        rows: &[(
            "-Z",
            "error",
            "invalid option: -Z (OptionParser::InvalidOption) | invalid option: Z (OptionParser::InvalidOption)",
            "invalid option: -Z (OptionParser::InvalidOption)",
        )],
    },
    Listed {
        heading: "The command line has options of Licorne's own",
        rows: &[
            (
                "--help",
                "output",
                "--config-file --daemonize --debug --env --eval --help --host --include --listen --no-default-middleware --port --require --server --version --warn -D -E -I -N -c -d -e -h -l -o -p -r -s -v -w",
                "--config-file --control --daemonize --debug --env --eval --help --host --include --listen --no-default-middleware --port --require --ruby --script --server --version --warn -D -E -I -N -c -d -e -h -l -o -p -r -s -v -w",
            ),
            (
                "-h",
                "output",
                "--config-file --daemonize --debug --env --eval --help --host --include --listen --no-default-middleware --port --require --server --version --warn -D -E -I -N -c -d -e -h -l -o -p -r -s -v -w",
                "--config-file --control --daemonize --debug --env --eval --help --host --include --listen --no-default-middleware --port --require --ruby --script --server --version --warn -D -E -I -N -c -d -e -h -l -o -p -r -s -v -w",
            ),
        ],
    },
    Listed {
        heading: "Unknown options of listeners are refused",
        rows: &[
            (
                "-c config.rb | listen 'DIR/x.sock', backlogg: 5\nexit 3",
                "error",
                "",
                "config.rb:1: unknown option of listen: backlogg (did you mean backlog?) (ArgumentError)",
            ),
            ("-c config.rb | listen 'DIR/x.sock', backlogg: 5\nexit 3", "status", "exit status: 3", "exit status: 1"),
        ],
    },
    Listed {
        heading: "Unknown directives are named",
        rows: &[(
            "-c config.rb | no_such_directive 1",
            "error",
            "undefined method `no_such_directive'",
            "config.rb:1: unknown directive: no_such_directive (NoMethodError)",
        )],
    },
];
