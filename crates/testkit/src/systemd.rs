//! A real systemd to test under: the machine's own, as the first process of namespaces of its own.
//!
//! It sees a copy of the machine's files (an overlay whose changes vanish), its own processes, its own network with
//! nothing but `lo`, and only the units that a test writes. It boots in less than a second, several at once, and leaves
//! nothing behind; see `systemd/root.sh` for how. The test's own thread is in that network too, so that it can ask the
//! server under test; so are the threads that it starts.
//!
//! This needs root, namespaces, overlayfs, cgroup v2 and Debian's `systemd` (which need not run). Where that is not to be
//! had the tests fail, unless `LICORNE_TEST_NO_SYSTEMD` is set: a test that did not run must not look as if it had passed.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use rustix::process::Signal;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use tempfile::TempDir;

use crate::output::{LOOK_AGAIN, Log, Mark};
use crate::process::{self, Finished, Watch};
use crate::{App, patience, procfs, program};

/// Sets up the file system, then becomes systemd.
const ROOT: &str = include_str!("systemd/root.sh");

/// A running systemd.
#[derive(Debug)]
pub struct Systemd {
    directory: Option<TempDir>,
    cgroup: PathBuf,
    /// unshare(1), which ends when systemd does.
    outer: Child,
    /// systemd, as this side sees it.
    init: Watch,
    journal: Log,
    follower: Option<Child>,
}

impl Systemd {
    /// Boots. `None` when `LICORNE_TEST_NO_SYSTEMD` is set: then the test has nothing to do.
    #[must_use]
    #[track_caller]
    pub fn boot() -> Option<Systemd> {
        let release = program::path().parent().expect("the program is in a directory").to_path_buf();
        Systemd::boot_with(&[program::repository().join("gem"), release])
    }

    /// Boots a machine on which Licorne is not installed.
    #[must_use]
    #[track_caller]
    pub fn boot_bare() -> Option<Systemd> {
        Systemd::boot_with(&[])
    }

    #[track_caller]
    fn boot_with(checkout: &[PathBuf]) -> Option<Systemd> {
        if std::env::var_os("LICORNE_TEST_NO_SYSTEMD").is_some_and(|value| !value.is_empty()) {
            return None;
        }
        assert!(rustix::process::geteuid().is_root(), "a systemd of its own needs root (or LICORNE_TEST_NO_SYSTEMD=1)");
        assert!(Path::new("/lib/systemd/systemd").exists(), "Debian's systemd is missing: run bin/setup");
        let directory = TempDir::with_prefix("licorne-systemd-").expect("a temporary directory");
        // Other users go there too.
        let open = fs::Permissions::from_mode(0o755);
        fs::set_permissions(directory.path(), open).expect("the test's directory is ours");
        for name in ["shared", "units"] {
            fs::create_dir(directory.path().join(name)).expect("the test's directory can be written");
        }
        let script = directory.path().join("root.sh");
        fs::write(&script, ROOT).expect("the test's directory can be written");
        let cgroup = make_cgroup();
        let console = File::create(directory.path().join("console")).expect("the test's directory can be written");
        // The control group's name space is rooted where the process is when it is made: so it goes there first.
        let mut command = Command::new("sh");
        command
            .args(["-c", r#"echo $$ >"$0/cgroup.procs" && exec setsid unshare --fork --kill-child=KILL "$@""#])
            .arg(&cgroup)
            .args(["--pid", "--mount", "--uts", "--ipc", "--cgroup", "--net", "sh"])
            .args([&script, directory.path()])
            .args(checkout)
            .stdin(Stdio::null())
            .stdout(console.try_clone().expect("a descriptor"))
            .stderr(console);
        let mut outer = command.spawn().expect("sh runs");
        process::started(outer.id());
        let said = || fs::read_to_string(directory.path().join("console")).unwrap_or_default();
        let deadline = Instant::now() + patience();
        let init = loop {
            let init = procfs::children(outer.id()).into_iter().find(|child| child.title.contains("--unit="));
            if let Some(init) =
                init.filter(|init| init.title.contains("/systemd ")).and_then(|init| Watch::on(init.pid))
            {
                break init;
            }
            let ended = outer.try_wait().expect("a child can be waited for");
            assert!(ended.is_none() && Instant::now() < deadline, "systemd did not start: {ended:?} {}", said());
            Log::default().wait_for_change(LOOK_AGAIN);
        };
        let mut systemd =
            Systemd { directory: Some(directory), cgroup, outer, init, journal: Log::default(), follower: None };
        systemd.enter_network();
        systemd.eventually("the end of the boot", || {
            let state = systemd.systemctl(["is-system-running"]).stdout;
            matches!(state.trim(), "running" | "degraded").then_some(())
        });
        systemd.follow_journal();
        Some(systemd)
    }

    /// The directory of this test's files, which is `/srv` inside.
    #[must_use]
    pub fn directory(&self) -> PathBuf {
        self.state().join("shared")
    }

    /// A file of the test's directory.
    #[must_use]
    pub fn file(&self, name: &str) -> PathBuf {
        self.directory().join(name)
    }

    /// Where this side finds a path of inside.
    #[must_use]
    pub fn path(&self, inside: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root{inside}", self.init.pid))
    }

    /// Replaces a file of the test's directory in one step.
    #[track_caller]
    pub fn write(&self, name: &str, text: &str) {
        let new = self.file(&format!("{name}.new"));
        fs::write(&new, text).expect("the test's directory can be written");
        fs::rename(new, self.file(name)).expect("the test's directory can be written");
    }

    /// Puts an application at `name` in the test's directory.
    #[track_caller]
    pub fn install(&self, app: &App, name: &str) {
        let place = self.file(name);
        fs::create_dir_all(place.parent().expect("it has one")).expect("the test's directory can be written");
        app.install(&place);
    }

    /// Installs a unit that users copy: a file of `deploy/systemd`.
    #[track_caller]
    pub fn deploy(&self, name: &str) {
        let source = program::repository().join("deploy/systemd").join(name);
        let text = fs::read_to_string(&source).unwrap_or_else(|error| panic!("{}: {error}", source.display()));
        self.unit(Path::new(name).file_name().and_then(|name| name.to_str()).expect("a name"), &text);
    }

    /// Writes a unit, or a drop-in for one (`licorne.service.d/test.conf`). `systemctl daemon-reload` makes it known.
    #[track_caller]
    pub fn unit(&self, name: &str, text: &str) {
        let path = self.state().join("units").join(name);
        fs::create_dir_all(path.parent().expect("it has one")).expect("the test's directory can be written");
        fs::write(path, text).expect("the test's directory can be written");
    }

    /// Runs a command inside, as root, to its end.
    #[track_caller]
    pub fn run<'a>(&self, words: impl IntoIterator<Item = &'a str>) -> Finished {
        process::run(self.command().args(words), patience() * 2)
    }

    /// Runs systemctl(1) inside.
    #[track_caller]
    pub fn systemctl<'a>(&self, words: impl IntoIterator<Item = &'a str>) -> Finished {
        self.run(["systemctl", "--no-pager"].into_iter().chain(words))
    }

    /// Runs systemctl(1) inside; it must succeed.
    #[track_caller]
    pub fn must<'a>(&self, words: impl IntoIterator<Item = &'a str>) -> Finished {
        let finished = self.systemctl(words);
        assert!(finished.status.success(), "{finished:#?}\n{}", self.journal.text());
        finished
    }

    /// A property of a unit, as `systemctl show` prints it.
    #[must_use]
    #[track_caller]
    pub fn property(&self, unit: &str, name: &str) -> String {
        self.must(["show", unit, "--value", "-p", name]).stdout.trim().to_owned()
    }

    /// Waits until a property of a unit satisfies `condition`, and returns it.
    #[track_caller]
    pub fn wait_for_property(&self, unit: &str, name: &str, condition: impl Fn(&str) -> bool) -> String {
        self.eventually(&format!("{name} of {unit}"), || {
            Some(self.property(unit, name)).filter(|value| condition(value))
        })
    }

    /// The main process of a unit, as this side numbers it; `None` when there is none.
    #[must_use]
    #[track_caller]
    pub fn main_process(&self, unit: &str) -> Option<u32> {
        let inside: u32 = self.property(unit, "MainPID").parse().expect("systemd prints a number");
        (inside != 0).then(|| self.outside(inside)).flatten()
    }

    /// Every process inside.
    #[must_use]
    pub fn processes(&self) -> Vec<procfs::Process> {
        procfs::descendants(self.init.pid)
    }

    /// The processes inside whose title begins with these words.
    #[must_use]
    pub fn titled(&self, words: &str) -> Vec<procfs::Process> {
        let mut found = self.processes();
        let name = |title: &str| {
            title.split_once(' ').map_or(String::new(), |(program, rest)| {
                format!("{} {rest}", program.rsplit('/').next().unwrap_or_default())
            })
        };
        found.retain(|process| process.state != 'Z' && name(&process.title).starts_with(words));
        found
    }

    /// The number that a process has inside.
    #[must_use]
    pub fn inside(&self, outside: u32) -> Option<u32> {
        procfs::status(outside, "NSpid")?.split_whitespace().last()?.parse().ok()
    }

    /// The number that a process of inside has on this side.
    #[must_use]
    pub fn outside(&self, inside: u32) -> Option<u32> {
        self.processes().into_iter().map(|process| process.pid).find(|pid| self.inside(*pid) == Some(inside))
    }

    /// The journal of all units, and systemd's own words.
    #[must_use]
    pub fn journal(&self) -> &Log {
        &self.journal
    }

    /// The journal's end, for a later [`Systemd::wait_for`]. What was logged before is before it: a line of this test's
    /// own is waited for, since the journal takes its time.
    #[must_use]
    #[track_caller]
    pub fn mark(&self) -> Mark {
        let from = self.journal.mark();
        self.run(["systemd-cat", "echo", "── mark ──"]);
        self.wait_for(from, "── mark ──");
        self.journal.mark()
    }

    /// Waits for a line of the journal (see [`crate::output::matches()`]) after `mark`.
    #[track_caller]
    pub fn wait_for(&self, mark: Mark, pattern: &str) -> String {
        let line = self.journal.wait_for(mark, pattern, patience());
        line.unwrap_or_else(|| panic!("no line matched {pattern:?}"))
    }

    /// Waits until `condition` yields something. It is looked at whenever a line is logged, and at short intervals.
    #[track_caller]
    pub fn eventually<T>(&self, what: &str, condition: impl FnMut() -> Option<T>) -> T {
        self.journal.eventually(what, condition)
    }

    fn state(&self) -> &Path {
        self.directory.as_ref().expect("it is there until this is dropped").path()
    }

    /// A command that will run inside: in all name spaces, and below the control group, as a login would be.
    fn command(&self) -> Command {
        let mut command = Command::new("sh");
        command
            .args(["-c", r#"echo $$ >"$0/test/cgroup.procs"; exec nsenter -t "$@""#])
            .arg(&self.cgroup)
            .arg(self.init.pid.to_string())
            .args(["-m", "-p", "-u", "-i", "-C", "-n", "-r", "-w", "env", "-i", "LC_ALL=C.UTF-8", "HOME=/root"])
            .arg("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
        command
    }

    fn enter_network(&self) {
        let network = File::open(format!("/proc/{}/ns/net", self.init.pid)).expect("systemd has a network");
        move_into_link_name_space(std::os::fd::AsFd::as_fd(&network), Some(LinkNameSpaceType::Network))
            .expect("root may enter it");
    }

    fn follow_journal(&mut self) {
        let mut command = self.command();
        command.args(["journalctl", "--follow", "--no-tail", "--quiet", "--output=cat"]);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut follower = command.spawn().expect("journalctl runs");
        process::started(follower.id());
        self.journal = Log::collect(follower.stdout.take().expect("it was asked for"));
        self.follower = Some(follower);
    }

    fn report_failure(&mut self) {
        eprintln!("━━ systemd of the failed test ━━");
        eprintln!("directory: {}", self.state().display());
        for process in self.processes() {
            eprintln!("process: {} (child of {}, {}) {}", process.pid, process.parent, process.state, process.title);
        }
        let whole = self.run(["journalctl", "--no-pager", "--quiet", "--output=short-precise"]).stdout;
        eprintln!("journal:\n{whole}\n━━━━");
        self.directory.take().map(TempDir::keep);
    }
}

impl Drop for Systemd {
    fn drop(&mut self) {
        let panicking = std::thread::panicking();
        if panicking {
            self.report_failure();
        }
        // With its first process the whole name space ends.
        self.init.signal(Signal::KILL);
        let gone = self.init.wait(patience());
        let _ = self.outer.kill();
        for child in [Some(&mut self.outer), self.follower.as_mut()].into_iter().flatten() {
            let _ = child.kill();
            let _ = child.wait();
            process::waited_for(child.id());
        }
        let deadline = Instant::now() + patience();
        while self.cgroup.exists() && Instant::now() < deadline {
            remove_cgroup(&self.cgroup);
            if self.cgroup.exists() {
                Log::default().wait_for_change(LOOK_AGAIN);
            }
        }
        assert!(
            panicking || (gone && !self.cgroup.exists()),
            "systemd could not be removed: {}",
            self.cgroup.display()
        );
    }
}

/// A control group (version 2) for one systemd, with a group beside its own for commands that are run inside.
fn make_cgroup() -> PathBuf {
    let mounts = fs::read_to_string("/proc/self/mounts").expect("proc is mounted");
    let mut fields = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    let mount = fields.find(|fields| fields.get(2) == Some(&"cgroup2")).expect("cgroup v2 is mounted");
    let group = Path::new(mount[1]).join(format!("licorne-test-{}", std::process::id()));
    fs::create_dir_all(group.join("test")).expect("root can make a control group");
    group
}

fn remove_cgroup(group: &Path) {
    for entry in fs::read_dir(group).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_cgroup(&entry.path());
        }
    }
    let _ = fs::remove_dir(group);
}
