//! Promise: `licorne rollback` goes back to the code before without a boot, and without a failed request.

use testkit::{App, Server};

/// An application that has a version, and takes its time to load.
const APP: &str = r##"
version = File.read("../version")
File.write("../boots", "#{version}\n", mode: "a")
run(lambda { |_env| [200, {}, [version]] })
"##;

fn server(config: &str) -> Server {
    let config =
        format!("{config}\npath = File.expand_path('../version'); File.write(path, '1') unless File.exist?(path)");
    Server::builder().app(App::rackup(APP)).workers(2).preload(true).config(&config).start()
}

fn boots(server: &Server) -> String {
    std::fs::read_to_string(server.file("boots")).expect("it has booted")
}

#[test]
fn the_code_before_serves_again_without_a_boot_and_reload_goes_forward() {
    let mut server = server("keep_previous 600");
    server.write("version", "2");
    assert_eq!(server.ctl(["reload", "--wait"]).code(), 0);
    assert_eq!(server.get("/").text(), "2");
    let status: serde_json::Value = serde_json::from_str(&server.ctl(["status", "--json"]).stdout).expect("JSON");
    assert_eq!(status["previous"]["generation"], 1, "{status}");
    assert_eq!(status["molds"].as_array().map(Vec::len), Some(2), "its memory is told: {status}");
    let text = server.ctl(["status"]).stdout;
    assert!(text.contains("generation 1 is kept for 10 min: licorne rollback goes back to it"), "{text}");

    let load = server.load().clients(3).begin();
    let finished = server.ctl(["rollback", "--wait"]);
    assert_eq!(finished.code(), 0, "{finished:#?}");
    assert!(finished.stdout.contains("rollback done: generation 1 serves"), "{finished:#?}");
    assert_eq!(server.get("/").text(), "1");
    assert_eq!(boots(&server), "1\n2\n", "nothing was loaded again");
    server.write("version", "3");
    assert_eq!(server.ctl(["reload", "--wait"]).code(), 0);
    assert_eq!(server.get("/").text(), "3");
    assert_eq!(load.stop().failed(), 0);
    server.stop();
}

#[test]
fn without_a_kept_mold_it_says_so_and_fails() {
    let mut server = server("");
    for finished in [server.ctl(["rollback"]), server.ctl(["rollback", "--wait"])] {
        assert_eq!(finished.code(), 1, "{finished:#?}");
        assert!(finished.stderr.contains("rollback failed: no earlier generation is kept"), "{finished:#?}");
    }
    server.stop();
}

#[test]
fn an_upgrade_in_place_keeps_the_way_back() {
    let mut server = server("keep_previous 600");
    server.write("version", "2");
    assert_eq!(server.ctl(["upgrade", "--in-place", "--wait"]).code(), 0);
    assert_eq!(server.get("/").text(), "2");
    let finished = server.ctl(["rollback", "--wait"]);
    assert_eq!(finished.code(), 0, "{finished:#?}");
    assert_eq!(server.get("/").text(), "1");
    server.stop();
}
