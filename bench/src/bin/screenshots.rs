//! The pictures of the page in docs/images: of a real server that is quiet, busy and overloaded, in Debian's Chromium.
//!
//! `make screenshots` takes some minutes: the charts show what has really happened in that time.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context;
use base64::Engine as _;
use rustix::process::Signal;
use testkit::{Browser, Load, Request, Server, procfs, program};

/// Some pages are slower than others, and one in fifty checkouts fails.
const APP: &str = "
run lambda { |env|
  path = env['PATH_INFO']
  sleep((path == '/checkout' ? 0.08 : 0.02) * (0.5 + rand * (rand < 0.05 ? 8 : 1)))
  failed = path == '/checkout' && rand < 0.02
  [failed ? 500 : 200, { 'Content-Type' => 'text/plain', 'Content-Length' => '2' }, ['ok']]
}
";
/// How long each state lasts before its picture is taken.
const LASTS: Duration = Duration::from_secs(60);

fn main() -> anyhow::Result<()> {
    let images = program::repository().join("docs/images");
    std::fs::create_dir_all(&images)?;
    let mut server = Server::builder()
        .workers(4)
        .config("admin_listen '127.0.0.1:0'\npreload_app true")
        .file("shop.ru", APP)
        .arg("../shop.ru")
        .start();
    let port = server.eventually("the admin process", || procfs::port(*server.titled("admin").first()?));
    let mut browser = Browser::start(1280, 1500);
    browser.prefer("prefers-color-scheme", "light");
    browser.open(&format!("http://127.0.0.1:{port}/"));
    take(&mut browser, &server, &images.join("page-quiet.png"))?;

    let loads = loads(&server, 2, Duration::from_millis(40));
    pause(&server, LASTS / 2);
    anyhow::ensure!(server.ctl(["reload", "--wait"]).code() == 0, "the reload has failed");
    pause(&server, LASTS / 4);
    let worker = server.workers().first().context("a worker")?.pid;
    testkit::process::signal(worker, Signal::KILL)?;
    take(&mut browser, &server, &images.join("page-busy.png"))?;

    let more = self::loads(&server, 20, Duration::ZERO);
    browser.prefer("prefers-color-scheme", "dark");
    take(&mut browser, &server, &images.join("page-overloaded.png"))?;
    for load in loads.into_iter().chain(more) {
        let _ = load.stop();
    }
    drop(browser);
    server.stop();
    Ok(())
}

/// So many clients each of two kinds.
fn loads(server: &Server, clients: usize, think: Duration) -> Vec<Load> {
    let load = |path| server.load().clients(clients).think(think).keep_alive(true).request(Request::get(path)).begin();
    ["/products?search=unicorn", "/checkout"].map(load).into()
}

fn pause(server: &Server, time: Duration) {
    let start = Instant::now();
    // Longer than the tests' patience.
    while start.elapsed() < time {
        server.log().wait_for_change(Duration::from_millis(200));
    }
}

/// Waits, and takes a picture.
fn take(browser: &mut Browser, server: &Server, path: &Path) -> anyhow::Result<()> {
    pause(server, LASTS);
    let picture = base64::engine::general_purpose::STANDARD.decode(browser.picture()).ok();
    let picture = picture.context("the picture is not in base64")?;
    std::fs::write(path, picture).with_context(|| path.display().to_string())
}
