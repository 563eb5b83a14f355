//! Servers that something else keeps running: real supervisord, runit and s6, with the files that users copy, and the first
//! process of a pid namespace.
//!
//! Each is started by a script that stands in for the program, so that [`Server`] is the supervisor and everything below
//! it. No descriptor gets through a supervisor: the server binds a UNIX socket in the test's directory.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

use crate::process::{self, Finished};
use crate::{Builder, Server, program};

/// Closes the socket that the harness has bound for the server, which binds it anew, and defines how the test's program and
/// directory get into a file that users copy.
const FILL_IN: &str = r##"
exec 3<&-
unset LISTEN_FDS LISTEN_PID
arguments="$*"
fill_in() {
    sed -e "s#/srv/app/current#${APP_DIR:-$TEST_DIR/app}#" \
        -e "s#/usr/local/bin/licorne -c config/unicorn.rb#$LICORNE $arguments#" \
        -e '/^user=/d' -e 's#chpst -u app ##' -e 's#s6-setuidgid app ##' -e '/RACK_ENV=production$/d' \
        -e '/^environment/s/,RACK_ENV=.*//' -e 's#^stdout_logfile=.*#stdout_logfile=/dev/fd/1#' \
        -e "s#^stopsignal=.*#stopsignal=${STOP_SIGNAL:-TERM}#" -e "s#^startsecs=.*#startsecs=${START_SECONDS:-1}#" \
        "$DEPLOY/$1"
}
"##;

const SUPERVISORD: &str = r#"
cat > "$TEST_DIR/supervisord.conf" <<END
[supervisord]
user=root
logfile=/dev/null
logfile_maxbytes=0
pidfile=$TEST_DIR/supervisord.pid
childlogdir=$TEST_DIR
[unix_http_server]
file=$TEST_DIR/supervisord.sock
[rpcinterface:supervisor]
supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface
[supervisorctl]
serverurl=unix://$TEST_DIR/supervisord.sock
END
if [ -n "$PROGRAM_SECTION" ]; then echo "$PROGRAM_SECTION"; else fill_in supervisord/licorne.conf; fi >> "$TEST_DIR/supervisord.conf"
exec supervisord -n -c "$TEST_DIR/supervisord.conf"
"#;

const RUNIT: &str = r#"
mkdir -p "$TEST_DIR/service"
fill_in runit/licorne/run > "$TEST_DIR/service/run"
chmod +x "$TEST_DIR/service/run"
exec runsv "$TEST_DIR/service"
"#;

const S6: &str = r#"
mkdir -p "$TEST_DIR/service"
cp "$DEPLOY"/s6/licorne/* "$TEST_DIR/service"
fill_in s6/licorne/run > "$TEST_DIR/service/run"
exec s6-supervise "$TEST_DIR/service"
"#;

/// `$image` is what the Dockerfile starts.
const FIRST_PROCESS: &str = r#"exec unshare --pid --fork --mount-proc --kill-child=KILL $image"#;

/// What keeps a server running.
#[derive(Debug)]
pub struct Supervisor {
    directory: TempDir,
}

impl Supervisor {
    /// Debian's supervisord, with `deploy/supervisord/licorne.conf`; the environment variables `STOP_SIGNAL` and
    /// `START_SECONDS` change its `stopsignal` and `startsecs`, `PROGRAM_SECTION` all of it.
    #[must_use]
    pub fn supervisord() -> Supervisor {
        Supervisor::by(SUPERVISORD)
    }

    /// Debian's runit: one `runsv`, with `deploy/runit/licorne/run`.
    #[must_use]
    pub fn runit() -> Supervisor {
        Supervisor::by(RUNIT)
    }

    /// Debian's s6: one `s6-supervise`, with `deploy/s6/licorne`.
    #[must_use]
    pub fn s6() -> Supervisor {
        Supervisor::by(S6)
    }

    /// None: the master is the first process of a pid namespace, as in a container, and started by what `CMD` of
    /// `deploy/docker/Dockerfile` says.
    #[must_use]
    #[track_caller]
    pub fn none() -> Supervisor {
        let words: Vec<String> = serde_json::from_str(&dockerfile("CMD")).expect("CMD has the exec form");
        let line = words.join(" ");
        let line = line.strip_prefix("bundle exec ").expect("Bundler finds the program");
        let called = line.replace("licorne -c config/unicorn.rb", "$LICORNE $arguments");
        assert_ne!(called, line, "the Dockerfile starts the program as the other files do");
        Supervisor::by(&format!("image=\"{called}\"\n{FIRST_PROCESS}"))
    }

    fn by(script: &str) -> Supervisor {
        let supervisor = Supervisor { directory: TempDir::with_prefix("licorne-supervisor-").expect("a directory") };
        fs::write(supervisor.path(), format!("#!/bin/bash\nset -e\n{FILL_IN}{script}"))
            .expect("the directory can be written");
        fs::set_permissions(supervisor.path(), fs::Permissions::from_mode(0o755)).expect("it is there");
        supervisor
    }

    /// The script has the program's name, so that titles are the program's.
    fn path(&self) -> PathBuf {
        self.directory.path().join("licorne")
    }

    /// Begins to describe a server that it keeps running.
    #[must_use]
    pub fn builder(&self) -> Builder {
        let builder = Server::builder().program(self.path()).tcp_listeners(0).unix_listeners(1);
        let builder = builder.env("LICORNE", &program::path().display().to_string());
        builder.env("DEPLOY", &program::repository().join("deploy").display().to_string())
    }
}

/// What `deploy/docker/Dockerfile` says last by this instruction.
#[must_use]
#[track_caller]
pub fn dockerfile(instruction: &str) -> String {
    let text = fs::read_to_string(program::repository().join("deploy/docker/Dockerfile")).expect("it is there");
    let said = text.lines().rev().find_map(|line| line.strip_prefix(instruction)?.strip_prefix(' '));
    said.unwrap_or_else(|| panic!("the Dockerfile lacks {instruction}")).to_owned()
}

impl Server {
    /// The master, which is a descendant of the process that was started.
    #[must_use]
    #[track_caller]
    pub fn master(&self) -> u32 {
        self.eventually("one master", || match self.titled("master")[..] {
            [master] => Some(master),
            _ => None,
        })
    }

    /// Runs `supervisorctl` on the supervisord that this server is.
    #[track_caller]
    pub fn supervisorctl<const N: usize>(&self, arguments: [&str; N]) -> Finished {
        let mut command = Command::new("supervisorctl");
        command.arg("-c").arg(self.file("supervisord.conf")).args(arguments);
        process::run(&mut command, crate::patience())
    }

    /// The state that supervisord tells of the program: `RUNNING`, `FATAL`.
    #[must_use]
    #[track_caller]
    pub fn supervisord_state(&self) -> String {
        let finished = self.supervisorctl(["status"]);
        finished.stdout.split_whitespace().nth(1).unwrap_or_default().to_owned()
    }
}
