//! Promise: workers share most of their memory with their mold.

use testkit::{App, Server};

#[test]
fn an_idle_worker_costs_a_megabyte_of_its_own() {
    let app = App::rackup("run ->(_env) { [200, {}, ['hello']] }");
    let mut server = Server::builder().app(app).workers(8).preload(true).start();
    let mut private: Vec<u64> = server.eventually("a reading of each worker", || {
        let status: facts::Status = serde_json::from_str(&server.ctl(["status", "--json"]).stdout).ok()?;
        status.workers.iter().map(|worker| worker.memory.as_ref()?.private_bytes).collect()
    });
    private.sort_unstable();
    // It is 0.95 MB with Ruby 3.1 and no sharper than that: one of them may collect garbage as it boots.
    assert!((300_000..1_200_000).contains(&private[4]), "{private:?}");
    server.stop();
}
