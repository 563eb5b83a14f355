//! Promise: Redmine, from its unchanged tree, goes through a reload and an upgrade in the middle of a session.
//!
//! Debian's package keeps each instance's database, files and logs in a directory that `REDMINE_INSTANCE` names: the
//! test's own.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;
use tempfile::TempDir;
use testkit::http::Response;
use testkit::output::Mark;
use testkit::process::{self, Watch};
use testkit::{Connection, Request, Server};

const REDMINE: &str = "/usr/share/redmine";

/// Some Rails processes boot at once, on a machine that does other things.
const BOOT: Duration = Duration::from_secs(150);

/// An instance of Redmine with its default data; its value of `REDMINE_INSTANCE` leads from Redmine's directory for
/// instances to the root and down again.
fn instance(place: &Path) -> String {
    for directory in ["config", "log", "files", "tmp/cache", "public/plugin_assets"] {
        fs::create_dir_all(place.join(directory)).expect("the test's directory can be written");
    }
    let database = place.join("redmine.sqlite3");
    let yaml = format!("production:\n  adapter: sqlite3\n  database: {}\n  timeout: 30000\n", database.display());
    fs::write(place.join("config/database.yml"), yaml).expect("the test's directory can be written");
    fs::write(place.join("config/secret_key.txt"), "0123456789abcdef".repeat(4)).expect("likewise");
    let name = format!("{}{}", "../".repeat(16), place.strip_prefix("/").expect("an absolute path").display());
    // The data wants classes that have seen the migrated database.
    for task in ["db:migrate", "redmine:load_default_data"] {
        let mut rake = Command::new("bundle");
        rake.args(["exec", "rake", task]).current_dir(REDMINE);
        rake.env("REDMINE_INSTANCE", &name).env("REDMINE_LANG", "en").env("RAILS_ENV", "production");
        // What the database looks like is not to be written into Redmine's tree.
        let finished = process::run(rake.env("SCHEMA", "/dev/null"), BOOT);
        assert!(finished.status.success(), "failed to make Redmine's database: {finished:#?}");
    }
    name
}

/// A user with a browser: cookies, the token of the last form, and whether redirects were what was expected.
struct Browser<'a> {
    server: &'a Server,
    cookies: BTreeMap<String, String>,
    token: String,
}

impl Browser<'_> {
    fn cookies(&self) -> String {
        let pairs: Vec<String> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        pairs.join("; ")
    }

    #[track_caller]
    fn ask(&mut self, request: Request) -> Response {
        let response = self.server.request(request.field("Cookie", &self.cookies()));
        self.learn(&response);
        response
    }

    fn learn(&mut self, response: &Response) {
        for cookie in response.all("Set-Cookie") {
            let (name, value) = cookie.split(';').next().and_then(|pair| pair.split_once('=')).expect("a cookie");
            self.cookies.insert(name.to_owned(), value.to_owned());
        }
    }

    /// A page, whose form is the next to be sent.
    #[track_caller]
    fn page(&mut self, target: &str) -> String {
        let response = self.ask(Request::get(target));
        let text = response.text();
        assert_eq!(response.status, 200, "{target}: {:?} {text}", response.field("Location"));
        self.token = between(&text, "name=\"csrf-token\" content=\"", "\"").to_owned();
        text
    }

    /// Sends the form of the last page, and returns the path that it leads to.
    #[track_caller]
    fn submit(&mut self, target: &str, values: &[(&str, &str)]) -> String {
        let token = self.token.clone();
        let values: Vec<_> =
            [("authenticity_token", token.as_str())].into_iter().chain(values.iter().copied()).collect();
        let response = self.ask(Request::form(target, &values));
        assert_eq!(response.status, 302, "{target}: {}", response.text());
        let location = response.field("Location").expect("a redirect names its target");
        location.strip_prefix("http://example.com").unwrap_or(location).to_owned()
    }

    #[track_caller]
    fn log_in(&mut self) {
        self.page("/login");
        let target = self.submit("/login", &[("username", "admin"), ("password", "admin")]);
        // The first thing that Redmine wants is another password.
        if target.starts_with("/my/password") || self.ask(Request::get("/my/page")).status == 302 {
            self.page("/my/password");
            let new =
                [("password", "admin"), ("new_password", "licorne-1"), ("new_password_confirmation", "licorne-1")];
            self.submit("/my/password", &new);
        }
        self.assert_logged_in();
    }

    #[track_caller]
    fn create_project(&mut self) {
        self.page("/projects/new");
        let project = [
            ("project[name]", "Unicorns & Co"),
            ("project[identifier]", "unicorns"),
            ("project[is_public]", "1"),
            ("project[enabled_module_names][]", "issue_tracking"),
            ("project[tracker_ids][]", "1"),
        ];
        assert_eq!(self.submit("/projects", &project), "/projects/unicorns/settings");
    }

    /// Creates an issue with the file that this answer to its upload speaks of, and returns the issue's path.
    #[track_caller]
    fn create_issue(&mut self, answer: &str) -> String {
        let token = format!("1.{}", between(answer, "'1.", "'"));
        self.page("/projects/unicorns/issues/new");
        let issue = [
            ("issue[tracker_id]", "1"),
            ("issue[subject]", "Horn bent"),
            ("issue[status_id]", "1"),
            ("issue[priority_id]", "2"),
            ("attachments[1][token]", &token),
            ("attachments[1][filename]", "five.bin"),
        ];
        self.submit("/projects/unicorns/issues", &issue)
    }

    #[track_caller]
    fn assert_logged_in(&mut self) {
        let page = self.page("/my/page");
        assert_eq!(between(&page, "class=\"user active\" href=\"", "\""), "/users/1");
    }

    /// Downloads an attachment by the link on its page.
    #[track_caller]
    fn download(&mut self, target: &str) -> Vec<u8> {
        let response = self.ask(Request::get(target));
        assert_eq!(response.status, 200, "{target}");
        response.body
    }
}

#[track_caller]
fn between<'a>(text: &'a str, before: &str, after: &str) -> &'a str {
    let found = text.split_once(before).and_then(|(_, rest)| rest.split_once(after));
    found.unwrap_or_else(|| panic!("no {before:?} in {text}")).0
}

/// Serves Redmine's tree as it is; the directory that the test kit makes holds the configuration and the pid file only.
fn start(instance: &str) -> Server {
    let config = format!("working_directory {REDMINE:?}\ntimeout 60\nupgrade :two_masters\n");
    let builder = Server::builder().workers(2).preload(true).config(&config).rack_env("production");
    let server = builder.env("REDMINE_INSTANCE", instance).env("RAILS_ENV", "production").launch();
    wait_for_line(&server, Mark::default(), "worker=1 ready");
    server
}

/// Begins to upload as Redmine's pages do, and returns the connection and what is still to be sent.
fn begin_upload(browser: &Browser<'_>, content: &[u8]) -> (Connection, Vec<u8>) {
    let request = Request::post("/uploads.js?attachment_id=1&filename=five.bin", content)
        .field("X-CSRF-Token", &browser.token)
        .field("X-Requested-With", "XMLHttpRequest")
        .field("Cookie", &browser.cookies())
        .close();
    let bytes = request.bytes();
    let (first, rest) = bytes.split_at(bytes.len() / 2);
    let mut connection = browser.server.connect();
    connection.send(first);
    (connection, rest.to_vec())
}

#[track_caller]
fn wait_for_line(server: &Server, mark: Mark, pattern: &str) {
    assert!(server.log().wait_for(mark, pattern, BOOT).is_some(), "no line matched {pattern:?}");
}

#[test]
fn a_session_goes_through_a_reload_and_an_upgrade() {
    let place = TempDir::with_prefix("licorne-redmine-").expect("a temporary directory");
    let name = instance(place.path());
    let mut server = start(&name);
    let old = server.pid();
    let content: Vec<u8> = (0..5_000_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let mut browser = Browser { server: &server, cookies: BTreeMap::new(), token: String::new() };
    browser.log_in();
    browser.create_project();
    let load = server.load().clients(2).request(Request::get("/projects/unicorns")).limit(BOOT).start();

    // A reload while five megabytes are on their way.
    browser.page("/projects/unicorns/issues/new");
    let (mut upload, rest) = begin_upload(&browser, &content);
    let mark = server.mark();
    server.signal(Signal::HUP);
    wait_for_line(&server, mark, "worker=0 ready");
    upload.send(rest);
    let response = upload.receive();
    assert_eq!(response.status, 200, "{}", response.text());
    browser.learn(&response);
    let issue = browser.create_issue(&response.text());
    wait_for_line(&server, mark, "gen=2 serves alone");
    browser.assert_logged_in();

    // An upgrade, and the file comes back from workers of both masters.
    let mark = server.mark();
    server.signal(Signal::USR2);
    let new = server.new_master(old);
    wait_for_line(&server, mark, "worker=1 ready");
    let page = browser.page(&issue);
    assert!(page.contains("Horn bent"), "{page}");
    let link = format!("/attachments/download/{}/five.bin", between(&page, "/attachments/download/", "/five.bin"));
    assert!(browser.download(&link) == content, "the file is another one");
    server.signal(Signal::QUIT);
    assert!(Watch::on(old).is_none_or(|watch| watch.wait(BOOT)), "the old master did not leave");
    browser.assert_logged_in();
    assert!(browser.download(&link) == content, "the file is another one");
    assert!(browser.page("/projects/unicorns").contains("Unicorns &amp; Co"));
    load.wait_for_successes(5);
    load.stop().assert_no_failure();
    assert!(server.wait_for_exit().success());
    server.stop_successor(new);
}
