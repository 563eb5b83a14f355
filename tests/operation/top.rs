//! Promise: `licorne top` shows a master live on any terminal, and gives the terminal back as it was.

use rustix::process::Signal;
use testkit::process::signal;
use testkit::{App, Gate, Request, Server, Terminal, program};

/// Keys as a VT100 sends them.
const DOWN: &str = "\u{1b}[B";
const UP: &str = "\u{1b}[A";
const RIGHT: &str = "\u{1b}[C";
const INTERRUPT: &str = "\u{3}";

/// Starts it for this server, 24 lines of 80 columns unless it is said otherwise.
#[track_caller]
fn top(server: &Server, environment: &[(&str, &str)]) -> Terminal {
    let pid_file = server.file("server.pid").display().to_string();
    Terminal::start(&program::path(), &["top", "--pid-file", &pid_file], environment, 24, 80)
}

/// The numbers of the slots in the order in which the table shows them.
fn slots(shown: &str) -> Vec<u32> {
    let table = shown.lines().skip_while(|line| !line.starts_with("slot ")).skip(1);
    table.map_while(|line| line.split_whitespace().next()?.parse().ok()).collect()
}

#[test]
fn it_shows_the_busy_request_sorts_and_gives_the_terminal_back() {
    let mut server = Server::builder().workers(3).start();
    let mut gate = Gate::new(&server);
    let held = gate.hold(&server);
    let busy = server.workers().iter().position(|worker| worker.pid == held.worker).expect("one of them");
    let mut terminal = top(&server, &[]);
    let line = terminal.wait_for_text("GET /wait");
    assert!(line.trim_start().starts_with(&busy.to_string()) && line.contains("busy"), "{line}");
    assert!(terminal.is_taken());
    terminal.wait_for_text("requests 0/s");
    terminal.wait_for("workers by slot", |shown| (slots(shown) == [0, 1, 2]).then_some(()));
    assert!(terminal.text().lines().all(|line| line.chars().count() <= 80), "{}", terminal.text());
    // By the age of the request, then the other way round, then by the next column.
    terminal.press("a");
    terminal.wait_for("the busy worker first", |shown| (slots(shown).first() == Some(&(busy as u32))).then_some(()));
    terminal.press("r");
    terminal.wait_for("the busy worker last", |shown| (slots(shown).last() == Some(&(busy as u32))).then_some(()));
    terminal.press("n");
    terminal.press(DOWN);
    let second = format!("pid {}", server.workers()[1].pid);
    terminal.wait_for("the second worker's details", |shown| {
        shown.lines().rev().take(4).any(|line| line.starts_with(&second)).then_some(())
    });
    terminal.press(RIGHT);
    terminal.press("?");
    terminal.wait_for_text("Keys that sort");
    terminal.press("q");
    terminal.wait_for("the table", |shown| (slots(shown).len() == 3).then_some(()));
    terminal.press("q");
    assert!(terminal.wait_for_exit().success());
    assert_eq!(gate.release(held).status, 200);
    server.stop();
}

#[test]
fn it_shows_where_the_threads_of_the_selected_worker_are() {
    let mut server = Server::builder().workers(2).start();
    let mut gate = Gate::new(&server);
    let held = gate.hold(&server);
    let workers = server.workers();
    let place =
        |busy: bool| workers.iter().position(|worker| (worker.pid == held.worker) == busy).expect("one of them");
    let (busy, idle) = (place(true), place(false));
    let mut terminal = top(&server, &[]);
    terminal.wait_for_text("GET /wait");
    // Sorted by age the busy one is the first, which is selected.
    terminal.press("a");
    terminal.wait_for("the busy worker first", |shown| (slots(shown).first() == Some(&(busy as u32))).then_some(()));
    terminal.press("b");
    terminal.wait_for_text(&format!("backtrace of worker {busy}"));
    terminal.wait_for_text(&format!("worker {busy} of generation 1 pid {}", held.worker));
    // The application waits in its own file, above the frames of the server.
    terminal.wait_for_text("plain.rb:");
    assert!(terminal.text().lines().last().is_some_and(|keys| keys.starts_with("q back")), "{}", terminal.text());
    assert!(terminal.text().lines().all(|line| line.chars().count() <= 80), "{}", terminal.text());
    // It asks again: the request has ended meanwhile.
    assert_eq!(gate.release(held).status, 200);
    server.eventually("an idle worker", || {
        let status: facts::Status = serde_json::from_str(&server.ctl(["status", "--json"]).stdout).expect("a status");
        status.workers.iter().all(|worker| worker.request.is_none()).then_some(())
    });
    terminal.press("b");
    terminal.wait_for("a worker that waits", |shown| {
        (shown.contains("worker_process.rb") && !shown.contains("plain.rb:")).then_some(())
    });
    terminal.press("q");
    // The other one, by Enter, and back by Escape.
    terminal.press("n");
    terminal.press(if idle > busy { DOWN } else { UP });
    let details = format!("pid {}", workers[idle].pid);
    terminal.wait_for("its details", |shown| shown.lines().any(|line| line.starts_with(&details)).then_some(()));
    terminal.press("\r");
    terminal.wait_for_text(&format!("worker {idle} of generation 1 pid {}", workers[idle].pid));
    terminal.press("\u{1b}");
    terminal.wait_for("the table", |shown| (slots(shown).len() == 2).then_some(()));
    terminal.press("q");
    assert!(terminal.wait_for_exit().success());
    server.stop();
}

#[test]
fn it_shows_what_has_died_and_what_dies_meanwhile() {
    let mut server = Server::builder().workers(2).start();
    let mut gate = Gate::new(&server);
    let mut terminal = top(&server, &[]);
    terminal.wait_for_text("generation 1");
    terminal.press("d");
    terminal.wait_for_text("deaths, the newest first");
    terminal.wait_for_text("nothing has died");
    let held = gate.hold(&server);
    signal(held.worker, Signal::KILL).expect("it lives");
    // Without a key: the page follows.
    let first = terminal.wait_for_text(&format!("(pid {})", held.worker));
    assert!(first.contains("sent: SIGKILL") && first.contains("of generation 1"), "{first}");
    assert!(terminal.wait_for_text("in GET /wait").contains(" for "));
    let next = server.workers().into_iter().find(|worker| worker.pid != held.worker).expect("two").pid;
    signal(next, Signal::ABORT).expect("it lives");
    terminal.wait_for("the newest death first", |shown| {
        let place = |pid: u32| shown.find(&format!("(pid {pid})"));
        (place(next)? < place(held.worker)?).then_some(())
    });
    terminal.press("d");
    terminal.wait_for_text("deaths, the newest first");
    terminal.press("q");
    let line = terminal.wait_for_text("deaths   ");
    assert!(line.starts_with("deaths   2 (2 sent)"), "{line}");
    terminal.press("q");
    assert!(terminal.wait_for_exit().success());
    server.stop();
}

#[test]
fn it_sorts_by_what_a_key_names_and_shows_that_column() {
    let mut server = Server::builder().workers(3).start();
    let mut gate = Gate::new(&server);
    let held = gate.hold(&server);
    let workers = server.workers();
    let busy = workers.iter().position(|worker| worker.pid == held.worker).expect("one of them") as u32;
    assert_eq!(gate.release(held).status, 200);
    let mut terminal = top(&server, &[]);
    terminal.wait_for("workers by slot", |shown| (slots(shown) == [0, 1, 2]).then_some(()));
    let titles = |shown: &str| shown.lines().find(|line| line.starts_with("slot ")).unwrap_or_default().to_string();
    // One of them has served a request. At this width the column is there only when it is sorted by.
    assert!(!titles(&terminal.text()).contains("requests"));
    terminal.press("o");
    terminal.wait_for("the one with a request first", |shown| {
        (titles(shown).contains(" requests ") && slots(shown).first() == Some(&busy)).then_some(())
    });
    terminal.press("r");
    terminal.wait_for("it last", |shown| (slots(shown).last() == Some(&busy)).then_some(()));
    let mut by_pid: Vec<u32> = (0..3).collect();
    by_pid.sort_by_key(|slot| workers[*slot as usize].pid);
    terminal.press("p");
    terminal.wait_for("workers by process", |shown| {
        (titles(shown).contains(" pid ") && slots(shown) == by_pid).then_some(())
    });
    terminal.press("r");
    by_pid.reverse();
    terminal.wait_for("the other way round", |shown| (slots(shown) == by_pid).then_some(()));
    // `<` and `>` go to the column beside, and round.
    terminal.press("n<");
    terminal.wait_for_reversed("slot ", "request");
    terminal.press(">");
    terminal.wait_for_reversed("slot ", "slot");
    terminal.press("z");
    terminal.wait_for("the time in the collector", |shown| titles(shown).contains(" gc% ").then_some(()));
    terminal.press("q");
    assert!(terminal.wait_for_exit().success());
    server.stop();
}

#[test]
fn it_follows_a_reload_and_a_new_size() {
    let mut server = Server::builder().workers(2).start();
    let mut terminal = top(&server, &[]);
    terminal.wait_for_text("generation 1");
    assert_eq!(server.ctl(["reload", "--wait"]).code(), 0);
    terminal.wait_for_text("generation 2, last reload succeeded");
    terminal.wait_for("workers of the new generation alone", |shown| (slots(shown) == [0, 1]).then_some(()));
    terminal.resize(30, 120);
    terminal.wait_for("more columns", |shown| (shown.contains(" requests ") && shown.contains(" priv ")).then_some(()));
    terminal.resize(8, 30);
    terminal.wait_for("a small terminal", |shown| shown.lines().last()?.starts_with("q quit").then_some(()));
    terminal.resize(24, 80);
    terminal.wait_for("its size before", |shown| shown.lines().nth(23)?.starts_with("q quit").then_some(()));
    // Keys that come with the signal are not lost.
    for rows in 24..44 {
        terminal.resize(rows, 80);
        terminal.press("d");
        terminal.wait_for("the deaths", |shown| shown.contains("nothing has died").then_some(()));
        terminal.press("\u{1b}");
        terminal.wait_for("the workers", |shown| (slots(shown) == [0, 1]).then_some(()));
    }
    terminal.press(INTERRUPT);
    assert!(terminal.wait_for_exit().success());
    server.stop();
}

#[test]
fn it_tells_of_a_master_that_is_gone_and_finds_it_when_it_is_back() {
    let mut server = Server::builder().workers(1).start();
    let mut terminal = top(&server, &[]);
    terminal.wait_for_text("generation 1");
    let pid = server.pid();
    server.stop();
    terminal.wait_for_text("waiting for a master");
    terminal.press("d");
    terminal.wait_for_text("no master runs there");
    terminal.press("\u{1b}");
    let place = server.file("server.pid");
    let mut next = Server::builder().workers(2).config(&format!("pid {place:?}")).start();
    assert_ne!(next.pid(), pid);
    terminal.wait_for_text(&format!("pid {}", next.pid()));
    terminal.wait_for("its workers", |shown| (slots(shown) == [0, 1] && !shown.contains("waiting")).then_some(()));
    // A session that ends gives the terminal back, too.
    signal(terminal.pid(), Signal::TERM).expect("it is there");
    assert!(terminal.wait_for_exit().success());
    next.stop();
}

#[test]
fn request_lines_reach_the_terminal_as_text_and_no_color_is_obeyed() {
    let app = App::rackup(
        "run ->(env) { File.write(File.join(ENV['TEST_DIR'], 'in'), 'x'); Process.kill(:STOP, Process.pid); [200, {}, []] }",
    );
    let mut server = Server::builder().app(app).workers(1).start();
    let mut connection = server.connect();
    connection.send(Request::get("/%1b?\u{9b}31m\u{202e}").close().bytes());
    server.eventually("the request", || server.file("in").exists().then_some(()));
    let worker = server.workers()[0].pid;
    let mut terminal = top(&server, &[("NO_COLOR", "1"), ("TERM", "xterm-256color")]);
    let line = terminal.wait_for_text("GET /");
    assert!(!line.contains(['\u{9b}', '\u{202e}']), "{line:?}");
    // It has nothing to be red about before, and then it has.
    signal(worker, Signal::CONT).expect("it is there");
    server.write("app/config.ru", "raise 'not this one'");
    assert_eq!(server.ctl(["reload", "--wait"]).code(), 1);
    terminal.wait_for_text("last reload failed");
    assert!(!terminal.has_colours());
    terminal.press("q");
    assert!(terminal.wait_for_exit().success());
    server.stop();
}

#[test]
fn where_nothing_can_be_drawn_it_names_what_can_be_read() {
    let mut server = Server::builder().workers(1).start();
    let finished = server.ctl(["top"]);
    assert_eq!(finished.code(), 1, "{finished:#?}");
    assert!(finished.stderr.contains("not a terminal; `licorne status --watch`"), "{finished:#?}");
    let mut terminal = top(&server, &[("TERM", "dumb")]);
    terminal.wait_for("why not", |shown| {
        let shown = shown.replace('\n', "");
        (shown.contains("TERM=dumb") && shown.contains("licorne status --watch")).then_some(())
    });
    assert_eq!(terminal.wait_for_exit().code(), Some(1));
    server.stop();
}
