//! Promise: a service manager is told what sd_notify(3) asks for, in the order of what happens, and nothing is lost when
//! it does not listen for a while.

use std::fs;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use rustix::process::Signal;
use tempfile::TempDir;
use testkit::fifo::Fifo;
use testkit::output::Mark;
use testkit::process::signal;
use testkit::{Builder, Server};

/// A service manager that only listens.
struct Manager {
    socket: UnixDatagram,
    name: String,
}

impl Manager {
    fn new(name: &str) -> Manager {
        let name = format!("licorne-test-{}-{name}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).expect("a short name");
        let socket = UnixDatagram::bind_addr(&address).expect("nobody else has this name");
        socket.set_read_timeout(Some(testkit::patience())).expect("it is a socket");
        Manager { socket, name }
    }

    fn watch(&self, builder: Builder) -> Builder {
        builder.env("NOTIFY_SOCKET", &format!("@{}", self.name))
    }

    /// The next message that has a line which begins so. Those that tell less important things are passed over; one that
    /// has `not` must not come before.
    #[track_caller]
    fn wait_for(&self, wanted: &str, not: &str) -> String {
        loop {
            let mut bytes = [0; 4096];
            let length = self.socket.recv(&mut bytes).unwrap_or_else(|error| panic!("no {wanted:?}: {error}"));
            let message = String::from_utf8_lossy(&bytes[..length]).into_owned();
            if message.lines().any(|line| line.starts_with(wanted)) {
                return message;
            }
            assert!(not.is_empty() || !message.lines().any(|line| line.starts_with(not)), "{message}");
        }
    }
}

#[test]
fn a_reload_is_told_as_type_notify_reload_needs_it() {
    let manager = Manager::new("reload");
    let mut server = manager.watch(Server::builder().workers(1)).launch();
    manager.wait_for("READY=1", "RELOADING=1");
    for _ in 0..3 {
        server.signal(Signal::HUP);
        let message = manager.wait_for("RELOADING=1", "READY=1");
        let moment = message.lines().find_map(|line| line.strip_prefix("MONOTONIC_USEC=")).expect("the moment");
        // CLOCK_MONOTONIC, as /proc/uptime shows it but for times of sleep.
        let uptime = fs::read_to_string("/proc/uptime").expect("proc is mounted");
        let uptime: f64 = uptime.split(' ').next().and_then(|text| text.parse().ok()).expect("a number");
        let seconds = moment.parse::<f64>().expect("a number") / 1e6;
        assert!((uptime - seconds).abs() < testkit::patience().as_secs_f64(), "{message} at {uptime}");
        manager.wait_for("READY=1", "RELOADING=1");
    }
    server.signal(Signal::TERM);
    manager.wait_for("STOPPING=1", "READY=1");
    server.wait_for_exit();
}

#[test]
fn a_start_does_not_wait_for_a_reload_that_was_asked_for_meanwhile() {
    let manager = Manager::new("boot");
    let directory = TempDir::with_prefix("licorne-notify-").expect("a directory");
    let mut go = Fifo::create(directory.path().join("go"));
    let waits = format!("File.open({:?}, &:gets)", go.path());
    let mut server = manager.watch(Server::builder().workers(1).config(&waits)).launch();
    manager.wait_for("STATUS=Booting", "READY=1");
    server.signal(Signal::HUP);
    go.tell("");
    // Before the new code may even be read.
    manager.wait_for("READY=1", "RELOADING=1");
    manager.wait_for("RELOADING=1", "READY=1");
    go.tell("");
    manager.wait_for("READY=1", "RELOADING=1");
    server.stop();
}

#[test]
fn a_message_that_a_busy_manager_had_no_room_for_is_sent_again() {
    let manager = Manager::new("busy");
    let crowd = UnixDatagram::unbound().expect("a socket");
    crowd.set_nonblocking(true).expect("it is a socket");
    let address = SocketAddr::from_abstract_name(&manager.name).expect("a short name");
    while crowd.send_to_addr(b"STATUS=of another unit", &address).is_ok() {}
    let mut server = manager.watch(Server::builder().workers(1)).launch();
    server.wait_for(Mark::default(), "master process ready");
    manager.wait_for("READY=1", "STOPPING=1");
    server.stop();
}

#[test]
fn the_count_of_requests_goes_on_over_an_upgrade_in_place() {
    let manager = Manager::new("count");
    let mut server = manager.watch(Server::builder().workers(1).config("upgrade :in_place")).start();
    for _ in 0..5 {
        assert_eq!(server.get("/").status, 200);
    }
    for generation in 2..4 {
        assert_eq!(server.ctl(["upgrade", "--wait"]).code(), 0);
        let wanted = format!("STATUS=Serving: 1 workers, 0 busy, gen={generation}, 5 requests");
        manager.wait_for(&wanted, "STOPPING=1");
    }
    server.stop();
}

#[test]
fn a_new_master_starts_no_other_one_before_the_unit_is_its_own() {
    let manager = Manager::new("third");
    let mut server = manager.watch(Server::builder().workers(1).config("upgrade :two_masters")).start();
    let old = server.pid();
    let mark = server.mark();
    server.signal(Signal::USR2);
    let new = server.new_master(old);
    server.wait_for(mark, "worker=0 ready");
    for _ in 0..2 {
        let mark = server.mark();
        signal(new, Signal::USR2).expect("the new master is there");
        server.wait_for(mark, "cannot upgrade: the old master has not left yet");
        assert_eq!((server.workers_of(old).len(), server.workers_of(new).len()), (1, 1));
    }
    server.signal(Signal::QUIT);
    server.wait_for_exit();
    manager.wait_for(&format!("MAINPID={new}"), "STOPPING=1");
    server.stop_successor(new);
}
