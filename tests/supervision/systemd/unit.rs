//! What the tests share: an application as a unit, and load on it.

use std::fs;

use testkit::fifo::Fifo;
use testkit::http::{Connection, Endpoint, Request};
use testkit::load::{Load, Plan};
use testkit::{App, Report, Systemd};

/// Tells the generation of its code. `/hold` waits until the test lets it go; `boot_seconds` is how long it takes to load,
/// and where there is `go` it waits for a line of that.
const APP: &str = r#"
generation = File.exist?("../generation") ? File.read("../generation").chomp : "g1"
sleep Float(File.read("../boot_seconds")) if File.exist?("../boot_seconds")
File.open("../go", &:gets) if File.exist?("../go")
run(lambda do |env|
  if env["PATH_INFO"] == "/hold"
    File.open("/srv/app/told", "a") { |told| told.puts("held") }
    File.open("/srv/app/gate", &:gets)
  end
  [200, { "Content-Type" => "text/plain", "X-Generation" => generation }, ["ok\n"]]
end)
"#;

/// A unit `licorne` in a systemd of its own.
pub(crate) struct Unit {
    pub(crate) systemd: Systemd,
}

impl Unit {
    /// Boots, and installs the application, a configuration with these lines, and `licorne.service`. `None`: see
    /// [`Systemd::boot`].
    #[track_caller]
    pub(crate) fn install(config: &str) -> Option<Unit> {
        Unit::install_app(APP, config)
    }

    #[track_caller]
    pub(crate) fn install_app(app: &str, config: &str) -> Option<Unit> {
        let systemd = Systemd::boot()?;
        systemd.install(&App::rackup(app), "app/current");
        fs::create_dir(systemd.file("app/current/config")).expect("the test's directory can be written");
        systemd.write("app/current/config/unicorn.rb", &format!("worker_processes 2\n{config}"));
        systemd.deploy("licorne.service");
        systemd.must(["daemon-reload"]);
        Some(Unit { systemd })
    }

    /// Adds lines to the `[Service]` section.
    #[track_caller]
    pub(crate) fn service(self, lines: &str) -> Unit {
        self.systemd.unit("licorne.service.d/test.conf", &format!("[Service]\n{lines}\n"));
        self.systemd.must(["daemon-reload"]);
        self
    }

    /// Adds the socket unit of `deploy/systemd`.
    #[track_caller]
    pub(crate) fn socket(self) -> Unit {
        self.systemd.deploy("licorne.socket");
        self.systemd.must(["daemon-reload"]);
        self.systemd.must(["start", "licorne.socket"]);
        self
    }

    #[track_caller]
    pub(crate) fn start(self) -> Unit {
        self.systemd.must(["start", "licorne"]);
        self
    }

    #[track_caller]
    pub(crate) fn property(&self, name: &str) -> String {
        self.systemd.property("licorne", name)
    }

    /// Asserts that the unit is up, as systemd sees it.
    #[track_caller]
    pub(crate) fn assert_active(&self) {
        let state = (self.property("ActiveState"), self.property("SubState"));
        assert_eq!(state, ("active".into(), "running".into()));
    }

    /// The unit's main process, numbered as on this side.
    #[track_caller]
    pub(crate) fn main(&self) -> u32 {
        self.systemd.main_process("licorne").expect("the unit has a main process")
    }

    /// Waits until the unit has another main process than `old`, and is up.
    #[track_caller]
    pub(crate) fn wait_for_another_main(&self, old: u32) -> u32 {
        self.systemd.eventually("another main process", || {
            let main = self.systemd.main_process("licorne").filter(|main| *main != old);
            main.filter(|_| self.property("SubState") == "running")
        })
    }

    /// Code of another generation from now on.
    #[track_caller]
    pub(crate) fn code(&self, generation: &str) {
        self.systemd.write("app/generation", &format!("{generation}\n"));
    }

    /// How long the application takes to load from now on.
    #[track_caller]
    pub(crate) fn boot_seconds(&self, seconds: &str) {
        self.systemd.write("app/boot_seconds", seconds);
    }

    /// Sends a signal to the unit's main process alone, as an operator does.
    #[track_caller]
    pub(crate) fn kill_main(&self, signal: &str) {
        self.systemd.must(["kill", "--kill-whom=main", "-s", signal, "licorne"]);
    }

    pub(crate) fn load(&self) -> Load {
        Plan::new(&tcp()).start()
    }

    pub(crate) fn kept_load(&self) -> Load {
        Plan::new(&tcp()).keep_alive(true).start()
    }

    /// Begins a request that ends when the test says so, and returns when the application has it.
    #[track_caller]
    pub(crate) fn hold(&self) -> Held {
        Held::begin(self.fifo("app/told"), self.fifo("app/gate"))
    }

    /// A FIFO that the application may use.
    #[track_caller]
    pub(crate) fn fifo(&self, name: &str) -> Fifo {
        use std::os::unix::fs::PermissionsExt;
        let fifo = Fifo::create(self.systemd.file(name));
        fs::set_permissions(fifo.path(), fs::Permissions::from_mode(0o666)).expect("the file is the test's");
        fifo
    }

    /// Stops the unit, and asserts that this is all that is left to do.
    #[track_caller]
    pub(crate) fn stop(&self) {
        self.systemd.must(["stop", "licorne"]);
        assert_eq!((self.property("ActiveState"), self.property("Result")), ("inactive".into(), "success".into()));
        let left = self.systemd.titled("licorne");
        assert!(left.is_empty(), "{left:#?}");
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        for fifo in [&self.told, &self.gate] {
            let _ = fs::remove_file(fifo.path());
        }
    }
}

/// A request that is being served.
pub(crate) struct Held {
    connection: Connection,
    told: Fifo,
    gate: Fifo,
}

impl Held {
    #[track_caller]
    fn begin(mut told: Fifo, gate: Fifo) -> Held {
        Held { connection: Held::request(&mut told), told, gate }
    }

    #[track_caller]
    fn request(told: &mut Fifo) -> Connection {
        let mut connection = Connection::open(&tcp());
        connection.send(Request::get("/hold").close().bytes());
        told.line(testkit::patience()).expect("no worker took the request");
        connection
    }

    /// Lets the application go on.
    pub(crate) fn let_go(&mut self) {
        self.gate.tell("go on");
    }

    /// The response, which is to be whole.
    #[track_caller]
    pub(crate) fn assert_answered(&mut self) {
        assert_eq!(self.connection.receive().status, 200);
    }

    /// Begins another one, after this one was answered.
    #[track_caller]
    pub(crate) fn again(&mut self) {
        self.connection = Held::request(&mut self.told);
    }
}

pub(crate) fn tcp() -> Endpoint {
    Endpoint::Tcp(([127, 0, 0, 1], 8080).into())
}

/// Ends the load, which nothing is to have happened to, and prints a row of the table.
#[track_caller]
pub(crate) fn flawless(scenario: &str, load: Load) {
    let report = load.stop();
    row(scenario, &report);
    report.assert_no_failure();
}

/// Prints a row of the table: scenario, requests, failed, longest gap.
pub(crate) fn row(scenario: &str, report: &Report) {
    let sent: usize = report.outcomes.values().sum();
    eprintln!("| {scenario} | {sent} | {} | {:.0} ms |", report.failed(), report.longest_gap.as_secs_f64() * 1_000.0);
}
