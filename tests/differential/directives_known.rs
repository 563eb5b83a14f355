//! The listed differences of the configuration language.

use crate::compare::Listed;

/// See [`Listed`].
pub(crate) const KNOWN: &[Listed] = &[
    Listed { heading: "Configuration errors name their place", rows: &[("*", "line", "not named", "named")] },
    Listed {
        heading: "Host names are resolved when they are bound",
        rows: &[
            ("listen 'no.such.host.invalid:80'", "class", "SocketError", "fine"),
            ("listen 'no.such.host.invalid:80'", "message", "getaddrinfo: Name or service not known", ""),
        ],
    },
    Listed {
        heading: "Unicorn's classes have other names",
        rows: &[
            (
                "NoSuchConstant",
                "message",
                "uninitialized constant Unicorn::Configurator::NoSuchConstant",
                "uninitialized constant Licorne::Configurator::NoSuchConstant",
            ),
            (
                "before_fork method(:puts)",
                "message",
                "invalid type: before_fork=#<Method: Unicorn::Configurator(Kernel)#puts(*)>",
                "invalid type: before_fork=#<Method: Licorne::Configurator(Kernel)#puts(*)>",
            ),
        ],
    },
    Listed {
        heading: "Unknown directives are named",
        rows: &[
            (
                "foo 3",
                "message",
                "undefined method `foo' for #<Unicorn::Configurator:0xN @set={:timeout=>2592000, :logg",
                "unknown directive: foo",
            ),
            ("no_such_local", "class", "NameError", "NoMethodError"),
            (
                "no_such_local",
                "message",
                "undefined local variable or method `no_such_local' for #<Unicorn::Configurator:0xN @s",
                "unknown directive: no_such_local",
            ),
            (
                "worker_proceses 3",
                "message",
                "undefined method `worker_proceses' for #<Unicorn::Configurator:0xN @set={:timeout=>25",
                "unknown directive: worker_proceses (did you mean worker_processes?)",
            ),
        ],
    },
    Listed {
        heading: "Wrong values are ArgumentErrors with a reason",
        rows: &[
            (
                "logger nil",
                "message",
                "logger= does not respond to method=debug",
                "logger=nil does not respond to method=debug",
            ),
            ("pid 5", "message", "ArgumentError", "not a path: pid=5"),
            ("stderr_path 5", "message", "ArgumentError", "not a path: stderr_path=5"),
            ("stdout_path :x", "message", "ArgumentError", "not a path: stdout_path=:x"),
            ("user 65534", "class", "TypeError", "ArgumentError"),
            ("user 65534", "message", "no implicit conversion of Integer into String", "not a string: user=65534"),
            ("user nil", "class", "TypeError", "ArgumentError"),
            ("user nil", "message", "no implicit conversion of nil into String", "not a string: user=nil"),
            ("working_directory '/nowhere/at/all'", "class", "Errno::ENOENT", "ArgumentError"),
            (
                "working_directory '/nowhere/at/all'",
                "message",
                "No such file or directory @ dir_s_chdir - /nowhere/at/all",
                "working_directory: No such file or directory @ dir_s_chdir - /nowhere/at/all",
            ),
            ("working_directory 5", "class", "TypeError", "ArgumentError"),
            (
                "working_directory 5",
                "message",
                "no implicit conversion of Integer into String",
                "not a path: working_directory=5",
            ),
        ],
    },
];
