//! Promise: the page at `admin_listen` shows what the server does as it does it, in a real browser: through reloads,
//! deaths and a change of the process that answers, in light and dark, on a phone, by keyboard and for screen readers.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;

use rustix::process::Signal;
use testkit::process::signal;
use testkit::{Browser, Builder, Gate, Server, procfs};

fn builder() -> Builder {
    Server::builder().workers(2).config("admin_listen '127.0.0.1:0'")
}

fn port(server: &Server) -> u16 {
    server.eventually("the admin process", || procfs::port(*server.titled("admin").first()?))
}

/// A browser that shows the page.
#[track_caller]
fn look(server: &Server) -> Browser {
    let mut browser = Browser::start(1280, 900);
    browser.open(&format!("http://127.0.0.1:{}/", port(server)));
    browser.wait_until(LIVE);
    browser
}

const LIVE: &str = "document.querySelector('#connection').dataset.state === 'live'";

/// The end of a test: the browser goes first, since its processes are none of the server's.
#[track_caller]
fn leave(browser: Browser, mut server: Server) {
    drop(browser);
    server.stop();
}

#[track_caller]
fn assert_no_complaint(browser: &mut Browser) {
    let complaints = browser.complaints();
    assert!(complaints.is_empty(), "{complaints:#?}");
}

#[test]
fn it_shows_workers_a_reload_and_a_death_without_being_loaded_again() {
    let server = builder().start();
    let mut browser = look(&server);
    browser.value("globalThis.stays = true");
    browser.wait_until("document.querySelectorAll('#workers tbody tr').length === 2");
    browser.wait_until("document.querySelectorAll('#workers [data-state=idle]').length === 2");
    let mut gate = Gate::new(&server);
    let held = gate.hold_request(&server, testkit::Request::get("/wait?token=secret"));
    browser.wait_until("document.querySelector('#workers tbody').innerText.includes('GET /wait')");
    assert_eq!(browser.value("document.documentElement.outerHTML.includes('secret')"), false);
    assert_eq!(gate.release(held).status, 200);
    assert_eq!(server.ctl(["reload", "--wait"]).code(), 0);
    browser.wait_until("document.querySelector('#reloads tbody').innerText.includes('succeeded')");
    browser.wait_until("document.querySelector('#now').innerText.match(/Generation\\s+2/)");
    let worker = server.wait_for_slots(&[0, 1])[0].pid;
    signal(worker, Signal::KILL).expect("it is there");
    browser.wait_until(&format!("!document.querySelector('#workers tbody').innerText.includes('{worker}')"));
    browser.wait_until(&format!("document.querySelector('#deaths tbody').innerText.includes('worker 0 ({worker})')"));
    browser.wait_until("document.querySelector('#deaths tbody').innerText.includes('sent')");
    browser
        .wait_until("document.querySelector('#deaths-summary').textContent === '1 since the server began, sent: 1.'");
    browser.wait_until("document.querySelectorAll('#workers [data-state=idle]').length === 2");
    browser.wait_until("document.querySelectorAll('#charts figure > svg path.first').length === 5");
    assert_eq!(browser.value("globalThis.stays"), true, "it was loaded again");
    assert_no_complaint(&mut browser);
    leave(browser, server);
}

#[test]
fn it_is_light_or_dark_as_the_user_prefers_and_fits_a_phone() {
    let server = builder().start();
    let mut browser = look(&server);
    let brightness = |browser: &mut Browser| {
        let color = browser.value("getComputedStyle(document.body).backgroundColor");
        let numbers = color.as_str().expect("a colour").split(|digit: char| !digit.is_ascii_digit());
        numbers.filter_map(|number| number.parse::<u32>().ok()).take(3).sum::<u32>()
    };
    browser.prefer("prefers-color-scheme", "light");
    assert!(brightness(&mut browser) > 600);
    browser.prefer("prefers-color-scheme", "dark");
    assert!(brightness(&mut browser) < 200);
    browser.prefer("prefers-reduced-motion", "reduce");
    assert_eq!(browser.value("document.getAnimations().length"), 0);
    for width in [320, 480, 1280] {
        browser.resize(width, 600);
        browser.wait_until(&format!("innerWidth === {width}"));
        let wide = browser.value("document.documentElement.scrollWidth");
        assert_eq!(wide, width, "nothing is scrolled sideways");
        let charts = "[...document.querySelectorAll('figure svg[role=img]')]";
        browser.wait_until(&format!(
            "{charts}.every(chart => Number(chart.getAttribute('viewBox').split(' ')[2]) === Math.max(200, chart.clientWidth))"
        ));
    }
    assert_no_complaint(&mut browser);
    leave(browser, server);
}

#[test]
fn columns_are_sorted_by_keyboard() {
    let server = builder().start();
    let mut browser = look(&server);
    browser.wait_until("document.querySelectorAll('#workers tbody tr').length === 2");
    let slots = "[...document.querySelectorAll('#workers tbody th')].map(cell => cell.textContent).join()";
    assert_eq!(browser.value(slots), "0,1");
    let is_there = "document.activeElement.textContent === 'Slot'";
    for _ in 0..20 {
        if browser.value(is_there) == true {
            break;
        }
        browser.press("Tab");
    }
    assert_eq!(browser.value(is_there), true, "it is reached by Tab");
    let outline = browser.value("getComputedStyle(document.activeElement).outlineStyle");
    assert_eq!(outline, "solid", "the focus is seen");
    browser.press("Enter");
    browser.wait_until(&format!("{slots} === '1,0'"));
    assert_eq!(browser.value("document.querySelector('#workers th').getAttribute('aria-sort')"), "descending");
    browser.press("Tab");
    browser.press("Enter");
    let sorted = "[...document.querySelectorAll('#workers thead th')].map(cell => cell.getAttribute('aria-sort'))";
    let sorted = browser.value(sorted);
    assert_eq!((&sorted[0], &sorted[1]), (&serde_json::Value::Null, &"ascending".into()));
    assert_no_complaint(&mut browser);
    leave(browser, server);
}

#[test]
fn screen_readers_are_told_what_each_part_is() {
    let server = builder().start();
    let mut browser = look(&server);
    browser.wait_until("document.querySelectorAll('#workers tbody tr').length === 2");
    browser.wait_until("[...document.querySelectorAll('figcaption')].every(caption => caption.textContent)");
    let parts = browser.accessibility();
    let has = |role: &str, name: &str| parts.iter().any(|part| part.role == role && part.name.starts_with(name));
    for (role, name) in [
        ("banner", ""),
        ("main", ""),
        ("contentinfo", ""),
        ("status", ""),
        ("heading", "Workers"),
        ("region", "Deaths"),
        ("table", "Workers, by slot"),
        ("columnheader", "State"),
        ("rowheader", "0"),
        ("button", "Memory"),
        ("image", "Requests per second"),
        ("image", "Time in the queue"),
    ] {
        assert!(has(role, name), "{role} {name:?} in {parts:#?}");
    }
    for part in parts.iter().filter(|part| ["button", "image", "table", "region", "link"].contains(&part.role.as_str()))
    {
        assert!(!part.name.is_empty(), "{part:?} has no name");
    }
    assert!(
        parts.iter().any(|part| part.role == "image" && part.name.contains("busy workers: 0 at last")),
        "{parts:#?}"
    );
    leave(browser, server);
}

#[test]
fn it_connects_again_by_itself_when_its_process_is_replaced() {
    let server = builder().config("upgrade :in_place").start();
    let mut browser = look(&server);
    browser.value("globalThis.stays = true");
    browser.value(
        "globalThis.states = [];
        new MutationObserver(() => states.push(document.querySelector('#connection').dataset.state))
            .observe(document.querySelector('#connection'), { attributes: true });0",
    );
    // Another configuration of it is another process, at the same address from now on.
    let fixed = format!("127.0.0.1:{}", port(&server));
    let config = std::fs::read_to_string(server.file("config.rb")).expect("a configuration");
    server.write("config.rb", &config.replace("127.0.0.1:0", &fixed));
    assert_eq!(server.ctl(["reload", "--wait"]).code(), 0);
    browser.wait_until(&format!("states.includes('lost') && {LIVE}"));
    browser.wait_until("document.querySelector('#now').innerText.match(/Generation\\s+2/)");
    browser.value("states.length = 0");
    let finished = server.ctl(["upgrade", "--wait"]);
    assert_eq!(finished.code(), 0, "{finished:#?}");
    browser.wait_until(&format!("states.includes('lost') && {LIVE}"));
    assert_eq!(browser.value("globalThis.stays"), true, "it was loaded again");
    leave(browser, server);
}

#[test]
fn a_master_that_hangs_is_shown() {
    let server = builder().start();
    let mut browser = look(&server);
    server.suspended(server.pid(), || {
        browser.wait_until("document.querySelector('#connection').dataset.state === 'silent'");
    });
    browser.wait_until(LIVE);
    assert_no_complaint(&mut browser);
    leave(browser, server);
}

/// The stream of events, after the one with this id.
#[track_caller]
fn events(server: &Server, after: &str) -> BufReader<TcpStream> {
    let mut stream = TcpStream::connect(("127.0.0.1", port(server))).expect("it listens");
    stream.set_read_timeout(Some(testkit::patience())).expect("a limit");
    let head = format!("GET /events HTTP/1.1\r\nHost: localhost\r\nLast-Event-ID: {after}\r\n\r\n");
    stream.write_all(head.as_bytes()).expect("sent");
    let mut stream = BufReader::new(stream);
    let head = paragraph(&mut stream);
    assert!(head.contains("200 OK") && head.contains("Content-Type: text/event-stream"), "{head}");
    assert_eq!(paragraph(&mut stream), "retry: 1000\n");
    stream
}

/// What comes before the next empty line.
#[track_caller]
fn paragraph(stream: &mut impl BufRead) -> String {
    let mut text = String::new();
    loop {
        let mut line = String::new();
        assert!(stream.read_line(&mut line).expect("more of the stream") > 0, "it has ended after {text}");
        if line.trim_end().is_empty() {
            return text;
        }
        text.push_str(&line);
    }
}

/// The id of an event, and what it tells.
fn parsed(event: &str) -> (String, serde_json::Value) {
    let field = |name: &str| event.lines().find_map(|line| line.strip_prefix(name)).expect("a field").to_string();
    (field("id: "), serde_json::from_str(&field("data: ")).expect("JSON"))
}

#[test]
fn events_tell_the_status_and_go_on_where_a_client_was() {
    let mut server = builder().start();
    let mut stream = events(&server, "");
    let mut id = String::new();
    for _ in 0..3 {
        let (newest, told) = parsed(&paragraph(&mut stream));
        assert_eq!(told["status"]["workers"].as_array().map(Vec::len), Some(2), "{told}");
        assert!(newest > id || newest.len() > id.len(), "{newest} after {id}");
        id = newest;
    }
    drop(stream);
    let (_, whole) = parsed(&paragraph(&mut events(&server, "")));
    let (_, rest) = parsed(&paragraph(&mut events(&server, &id)));
    let count = |told: &serde_json::Value| told["points"].as_array().map_or(0, Vec::len);
    assert!(count(&whole) >= 2 && count(&rest) < count(&whole), "{rest} of {whole}");
    server.stop();
}

#[test]
fn the_master_is_asked_while_a_page_looks_and_never_otherwise() {
    let mut server = builder().start();
    let admin = *server.titled("admin").first().expect("the admin process");
    let switches = || procfs::status(admin, "voluntary_ctxt_switches").expect("a status");
    // Whether it has woken up in three seconds, or until it has.
    let wakes = |expected: bool| {
        let (before, start) = (switches(), std::time::Instant::now());
        let pause = std::time::Duration::from_secs(3);
        let ends = || (start.elapsed() >= pause || expected && switches() != before).then_some(());
        server.eventually("three seconds", ends);
        switches() != before
    };
    let is_still = || (!wakes(false)).then_some(());
    port(&server);
    server.eventually("that it sleeps after its start", is_still);
    let looking = events(&server, "");
    server.eventually("that it asks while something looks", || wakes(true).then_some(()));
    drop(looking);
    server.eventually("that it sleeps when nothing looks", is_still);
    server.stop();
}
