//! Promise: Debian's packages serve an application by one command, their upgrade replaces the program of running masters
//! without losing a request, and their removal leaves nothing behind.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use testkit::http::{Connection, Endpoint, Request, Response};
use testkit::load::{Load, Plan};
use testkit::process::Finished;
use testkit::{App, Systemd, patience, procfs};

/// Tells the generation of its code, and at `/places` what it may write to.
const APP: &str = r##"
generation = File.exist?("generation") ? File.read("generation").chomp : "g1"
raise "the code is broken" if generation == "broken"

writable = lambda do |directory|
  File.write(File.join(directory, "test.log"), "a line\n")
  "yes"
rescue SystemCallError => e
  e.class.name
end
run(lambda do |env|
  body = "ok\n"
  if env["PATH_INFO"] == "/places"
    body = %w[. /etc LOGS_DIRECTORY HOME].map { |name| "#{name}: #{writable.call(ENV.fetch(name, name))}\n" }.join
  end
  [200, { "content-type" => "text/plain", "x-generation" => generation }, [body]]
end)
"##;

/// A Debian with systemd, and with the packages that ours depend on.
struct Machine {
    systemd: Systemd,
}

impl Machine {
    #[track_caller]
    fn boot() -> Option<Machine> {
        let systemd = Systemd::boot_bare()?;
        let built = PathBuf::from(std::env::var_os("LICORNE_DEBS").expect("LICORNE_DEBS says where `make deb` built"));
        for (from, to) in [(built.clone(), "packages"), (built.join("next"), "next")] {
            fs::create_dir(systemd.file(to)).expect("the test's directory can be written");
            let files = fs::read_dir(&from).unwrap_or_else(|error| panic!("{}: {error}", from.display()));
            for file in files.flatten().filter(|file| file.path().extension().is_some_and(|kind| kind == "deb")) {
                fs::copy(file.path(), systemd.file(to).join(file.file_name())).expect("copied");
            }
        }
        let machine = Machine { systemd };
        // It keeps what is installed into the root from being started.
        machine.shell("rm -f /usr/sbin/policy-rc.d");
        machine.apt("install /var/cache/packages/*.deb");
        Some(machine)
    }

    /// Boots with the packages installed, and an application in `/srv/app`.
    #[track_caller]
    fn with_packages() -> Option<Machine> {
        let machine = Machine::boot()?;
        machine.systemd.install(&App::rackup(APP), "app");
        machine.apt("install /srv/packages/*.deb");
        Some(machine)
    }

    /// Runs a line of shell inside, which has to succeed.
    #[track_caller]
    fn shell(&self, line: &str) -> Finished {
        let finished = self.systemd.run(["sh", "-c", line]);
        assert!(finished.status.success(), "{line}: {finished:#?}");
        finished
    }

    #[track_caller]
    fn apt(&self, words: &str) -> Finished {
        self.shell(&format!("DEBIAN_FRONTEND=noninteractive apt-get -q -y --no-install-recommends {words}"))
    }

    /// Every file but those in which the system keeps its own books, what is in memory unless it is Licorne's, and the
    /// directories that systemd shares out.
    #[track_caller]
    fn files(&self) -> BTreeSet<String> {
        let listed = self.shell(
            "find / /etc/systemd/system /usr/lib/systemd/system /run -xdev \
             -not -path '/var/lib/dpkg/*' -not -path '/var/lib/apt/*' -not -path '/var/cache/apt/*' -not -path '/srv/*' \
             -not -path '/var/log/*.log*' -not -path '/var/log/apt/*' -not -path '/tmp/*'",
        );
        let shared = |path: &str| path.ends_with(".target.wants") || path.ends_with("/private");
        let in_memory = |path: &str| path.starts_with("/run/") && !path.contains("licorne");
        let kept = listed.stdout.lines().filter(|path| !shared(path) && !in_memory(path));
        kept.map(ToOwned::to_owned).collect()
    }

    fn endpoint(&self, name: &str) -> Endpoint {
        Endpoint::Unix(self.systemd.path(&format!("/run/licorne@{name}.sock")))
    }

    #[track_caller]
    fn get(&self, path: &str) -> Response {
        let mut connection = Connection::open(&self.endpoint("app"));
        connection.send(Request::get(path).close().bytes());
        connection.receive()
    }

    fn load(&self, name: &str) -> Load {
        Plan::new(&self.endpoint(name)).start()
    }

    /// The master's process, and whether its program is the installed one.
    #[track_caller]
    fn master(&self, unit: &str) -> (u32, bool) {
        let pid = self.systemd.main_process(unit).expect("the unit has a main process");
        let runs = fs::metadata(format!("/proc/{pid}/exe")).expect("it runs");
        let installed = fs::metadata(self.systemd.path("/usr/bin/licorne")).expect("it is installed");
        (pid, runs.ino() == installed.ino())
    }
}

#[test]
fn an_application_is_served_by_one_command_and_a_purge_leaves_nothing() {
    let Some(machine) = Machine::boot() else { return };
    let systemd = &machine.systemd;
    let before = machine.files();
    systemd.install(&App::rackup(APP), "app");
    machine.apt("install /srv/packages/*.deb");

    systemd.must(["enable", "--now", "licorne@app.socket"]);
    let unit = "licorne@app.service";
    assert_eq!(systemd.property(unit, "ActiveState"), "inactive", "the first connection starts it");
    assert_eq!(machine.get("/").status, 200);
    systemd.wait_for_property(unit, "ActiveState", |state| state == "active");
    let (master, _) = machine.master(unit);
    let user = procfs::status(master, "Uid").expect("it runs");
    assert!(user.split_whitespace().all(|number| number.parse::<u32>().is_ok_and(|number| number > 1000)), "{user}");
    let places = String::from_utf8(machine.get("/places").body).expect("text");
    assert_eq!(places, ".: Errno::EACCES\n/etc: Errno::EROFS\nLOGS_DIRECTORY: yes\nHOME: yes\n");
    let status = machine.shell("licorne status --pid $(systemctl show --value -p MainPID licorne@app)");
    assert!(status.stdout.contains("serving"), "{status:#?}");

    let load = machine.load("app");
    systemd.write("app/generation", "g2\n");
    systemd.must(["reload", "licorne@app"]);
    load.wait_until_seen("g2");
    systemd.write("app/generation", "broken\n");
    assert!(!systemd.systemctl(["reload", "licorne@app"]).status.success());
    load.stop().assert_no_failure();

    machine.shell("logrotate --force --state /tmp/state /etc/logrotate.d/licorne");
    machine.shell("test -f /var/log/licorne/app/test.log.1 && apparmor_parser --skip-kernel-load --skip-cache /etc/apparmor.d/usr.bin.licorne");
    machine.shell("ruby -e 'gem \"licorne\"; require \"licorne/native\"; require \"rackup/handler/licorne\"'");
    machine
        .shell("cd /tmp && echo 'gem \"licorne\"; gem \"rack\"' >Gemfile && HOME=/tmp bundle exec licorne --version");
    let own = testkit::program::repository().join("debian/tests/serves");
    fs::copy(own, systemd.file("serves")).expect("copied");
    machine.shell("mkdir /tmp/serves && AUTOPKGTEST_TMP=/tmp/serves sh /srv/serves");

    let purged = machine.apt("purge licorne ruby-licorne");
    assert!(!purged.stderr.contains("not removed"), "{purged:#?}");
    let left = systemd.titled("licorne");
    assert!(left.is_empty(), "they have not been stopped: {left:#?}");
    machine.shell("systemctl daemon-reload");
    let after = machine.files();
    assert_eq!(after.difference(&before).collect::<Vec<_>>(), Vec::<&String>::new(), "what is left");
}

#[test]
fn an_upgrade_of_the_package_replaces_the_program_of_each_master_in_place() {
    let Some(machine) = Machine::with_packages() else { return };
    let systemd = &machine.systemd;
    systemd.install(&App::rackup(APP), "other");
    systemd.must(["enable", "--now", "licorne@app", "licorne@other"]);
    let units = ["licorne@app", "licorne@other"];
    let old = units.map(|unit| machine.master(unit));
    assert!(old.iter().all(|(_, installed)| *installed));
    let loads = ["app", "other"].map(|name| machine.load(name));
    let kept = Plan::new(&machine.endpoint("app")).keep_alive(true).start();
    systemd.write("app/generation", "g2\n");
    // The code of this one has been broken since it was started. That is no reason for the package not to be installed.
    systemd.write("other/generation", "broken\n");

    let installed = machine.shell("dpkg -i /srv/next/*.deb");
    assert!(installed.stdout.contains("licorne@app.service: upgraded in place"), "{installed:#?}");
    assert!(installed.stderr.contains("licorne@other.service: "), "{installed:#?}");
    loads[0].wait_until_seen("g2");
    for (unit, (pid, _)) in units.into_iter().zip(old) {
        assert_eq!(machine.master(unit), (pid, true), "{unit}");
    }
    for load in loads {
        let report = load.stop();
        eprintln!("{} requests, longest gap {:.0} ms", report.ok(), report.longest_gap.as_secs_f64() * 1_000.0);
        report.assert_no_failure();
    }
    kept.stop().assert_no_failure();
}

#[test]
fn a_policy_that_forbids_packages_to_touch_services_is_kept() {
    let Some(machine) = Machine::with_packages() else { return };
    machine.systemd.must(["enable", "--now", "licorne@app"]);
    let (pid, _) = machine.master("licorne@app");
    machine.shell("printf '#!/bin/sh\\nexit 101\\n' >/usr/sbin/policy-rc.d && chmod +x /usr/sbin/policy-rc.d");
    let load = machine.load("app");
    machine.shell("dpkg -i /srv/next/*.deb");
    assert_eq!(machine.master("licorne@app"), (pid, false));
    load.wait_for_successes(20);
    // The administrator does it later.
    machine.shell("rm /usr/sbin/policy-rc.d && /usr/lib/licorne/upgrade-instances");
    assert_eq!(machine.master("licorne@app"), (pid, true));
    load.stop().assert_no_failure();
    let mark = machine.systemd.mark();
    machine.systemd.must(["stop", "licorne@app.socket", "licorne@app"]);
    assert!(machine.systemd.journal().wait_for(mark, "master complete", patience()).is_some());
}
