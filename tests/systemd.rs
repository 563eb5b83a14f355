//! Promise: under systemd a unit is ready when it serves, a reload that fails fails, and no start, stop, reload, upgrade
//! or death of a master loses a request.

use testkit::http::Endpoint;
use testkit::load::Plan;
use testkit::{App, Systemd};

const CONFIG: &str = "worker_processes 2\n";

/// Tells the generation of its code.
const APP: &str = r#"
generation = File.exist?("generation") ? File.read("generation").chomp : "g1"
run ->(_env) { [200, { "Content-Type" => "text/plain", "X-Generation" => generation }, ["ok\n"]] }
"#;

fn install(systemd: &Systemd, app: &str, config: &str) {
    systemd.install(&App::rackup(app), "app/current");
    std::fs::create_dir(systemd.file("app/current/config")).expect("the test's directory can be written");
    systemd.write("app/current/config/unicorn.rb", config);
}

fn tcp() -> Endpoint {
    Endpoint::Tcp(([127, 0, 0, 1], 8080).into())
}

#[test]
fn the_unit_is_started_when_it_serves_and_stopped_when_it_is_gone() {
    let Some(systemd) = Systemd::boot() else { return };
    install(&systemd, APP, CONFIG);
    systemd.deploy("licorne.service");
    systemd.must(["daemon-reload"]);
    systemd.must(["start", "licorne"]);
    let load = Plan::new(&tcp()).start();
    assert_eq!(systemd.property("licorne", "ActiveState"), "active");
    eprintln!("{}", systemd.property("licorne", "StatusText"));
    load.stop().assert_no_failure();
    systemd.must(["stop", "licorne"]);
    assert_eq!(systemd.property("licorne", "Result"), "success");
    assert!(systemd.titled("licorne").is_empty());
    eprintln!("{}", systemd.journal().text());
}
