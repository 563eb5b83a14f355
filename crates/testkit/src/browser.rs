//! Debian's Chromium, without a window, driven over the DevTools protocol. See
//! <https://chromedevtools.github.io/devtools-protocol/>.
//!
//! Its messages go over two pipes, each ended by a zero byte: there is no port to find, and when the test ends, so does
//! the browser. What has to become true in a page is awaited in the page.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Instant;

use serde_json::{Value, json};

/// A browser with one page.
#[derive(Debug)]
pub struct Browser {
    process: Child,
    commands: ChildStdin,
    messages: Receiver<Value>,
    session: String,
    count: u64,
    complaints: Vec<String>,
    directory: tempfile::TempDir,
}

/// A part of a page, as a screen reader is told of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// What it is.
    pub role: String,
    /// What it is called.
    pub name: String,
}

impl Browser {
    /// Starts it, with an empty page of this size.
    #[must_use]
    #[track_caller]
    pub fn start(width: u32, height: u32) -> Browser {
        let directory = tempfile::tempdir().expect("a directory");
        let mut command = Command::new("bash");
        // Tests may run as root, as which it has no sandbox; it sees pages of the tests alone.
        command.args(["-c", "exec 3<&0 4>&1 0</dev/null 1>/dev/null 2>\"$HOME/log\"; exec chromium \"$@\"", "bash"]);
        command.args(["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"]);
        command.args(["--disable-background-networking", "--disable-component-update", "--disable-breakpad"]);
        command.args(["--hide-scrollbars", "--force-device-scale-factor=1", "--remote-debugging-pipe", "about:blank"]);
        command.arg(format!("--user-data-dir={}", directory.path().display()));
        command.env("HOME", directory.path()).env("XDG_CONFIG_HOME", directory.path());
        command.env("XDG_CACHE_HOME", directory.path()).env("LANG", "C.UTF-8").env("TZ", "UTC");
        let mut process =
            command.process_group(0).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("bash runs");
        crate::process::started(process.id());
        let commands = process.stdin.take().expect("a pipe");
        let output = process.stdout.take().expect("a pipe");
        let (told, messages) = channel();
        std::thread::spawn(move || {
            for message in BufReader::new(output).split(0) {
                let Some(message) = message.ok().and_then(|message| serde_json::from_slice(&message).ok()) else {
                    break;
                };
                if told.send(message).is_err() {
                    break;
                }
            }
        });
        let (session, complaints) = (String::new(), Vec::new());
        let mut browser = Self { process, commands, messages, session, count: 0, complaints, directory };
        let target = browser.call("Target.createTarget", json!({ "url": "about:blank" }))["targetId"].clone();
        let attached = browser.call("Target.attachToTarget", json!({ "targetId": target, "flatten": true }));
        browser.session = attached["sessionId"].as_str().expect("a session").to_string();
        for part in ["Page", "Runtime", "Log", "Accessibility"] {
            browser.call(&format!("{part}.enable"), json!({}));
        }
        browser.resize(width, height);
        browser
    }

    /// Calls a method of the protocol, and returns its result.
    #[track_caller]
    pub fn call(&mut self, method: &str, parameters: Value) -> Value {
        self.count += 1;
        let mut message = json!({ "id": self.count, "method": method, "params": parameters });
        if !self.session.is_empty() {
            message["sessionId"] = self.session.as_str().into();
        }
        let mut line = message.to_string().into_bytes();
        line.push(0);
        self.commands.write_all(&line).unwrap_or_else(|error| panic!("{method}: {error}: {}", self.log()));
        let deadline = Instant::now() + crate::patience();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let Ok(mut message) = self.messages.recv_timeout(left) else {
                panic!("chromium does not answer to {method} {parameters}: {}", self.log());
            };
            if message["id"] == self.count {
                assert!(message.get("error").is_none(), "{method} {parameters}: {message}");
                return message["result"].take();
            }
            self.complaints.extend(complaint(&message));
        }
    }

    /// Opens an address.
    #[track_caller]
    pub fn open(&mut self, address: &str) {
        let opened = self.call("Page.navigate", json!({ "url": address }));
        assert!(opened.get("errorText").is_none(), "{address}: {opened}");
        self.wait_until("document.readyState === 'complete'");
    }

    /// The value of an expression in the page.
    #[track_caller]
    pub fn value(&mut self, expression: &str) -> Value {
        let parameters = json!({ "expression": expression, "returnByValue": true, "awaitPromise": true });
        let mut told = self.call("Runtime.evaluate", parameters);
        assert!(told.get("exceptionDetails").is_none(), "{expression}: {told}");
        told["result"]["value"].take()
    }

    /// Waits until an expression is true in the page.
    #[track_caller]
    pub fn wait_until(&mut self, expression: &str) {
        let patience = crate::patience().as_millis() / 2;
        let found = self.value(&format!(
            "new Promise(done => {{
                const end = Date.now() + {patience};
                const look = () => {{
                    if ({expression}) done(true);
                    else if (Date.now() > end) done(false);
                    else setTimeout(look, 20);
                }};
                look();
            }})"
        ));
        if found != true {
            let text = self.value("document.body.innerText");
            panic!("waited in vain until {expression}, in\n{}", text.as_str().unwrap_or_default());
        }
    }

    /// Presses a key: `Tab`, `Enter`, or one that makes a character.
    #[track_caller]
    pub fn press(&mut self, key: &str) {
        let (code, text) = match key {
            "Tab" => (9, ""),
            "Enter" => (13, "\r"),
            other => panic!("{other:?} is not known here"),
        };
        for kind in ["keyDown", "keyUp"] {
            let event = json!({ "type": kind, "key": key, "code": key, "windowsVirtualKeyCode": code, "text": text });
            self.call("Input.dispatchKeyEvent", event);
        }
    }

    /// Gives the page this size, in pixels.
    #[track_caller]
    pub fn resize(&mut self, width: u32, height: u32) {
        let size = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        self.call("Emulation.setDeviceMetricsOverride", size);
    }

    /// Has the user prefer something: `("prefers-color-scheme", "dark")`.
    #[track_caller]
    pub fn prefer(&mut self, feature: &str, value: &str) {
        let features = json!({ "features": [{ "name": feature, "value": value }] });
        self.call("Emulation.setEmulatedMedia", features);
    }

    /// What a screen reader is told of the page.
    #[must_use]
    #[track_caller]
    pub fn accessibility(&mut self) -> Vec<Part> {
        let tree = self.call("Accessibility.getFullAXTree", json!({}));
        let text = |node: &Value, field: &str| node[field]["value"].as_str().unwrap_or_default().to_string();
        let nodes = tree["nodes"].as_array().expect("nodes").iter().filter(|node| node["ignored"] != true);
        nodes.map(|node| Part { role: text(node, "role"), name: text(node, "name") }).collect()
    }

    /// A picture of the page from its top, as PNG in base64.
    #[must_use]
    #[track_caller]
    pub fn picture(&mut self) -> String {
        let picture = self.call("Page.captureScreenshot", json!({ "format": "png" }));
        picture["data"].as_str().expect("a picture").to_string()
    }

    /// What the page or the browser has complained about so far: errors, warnings, breaches of the policy.
    #[must_use]
    #[track_caller]
    pub fn complaints(&mut self) -> &[String] {
        // What was said before this is answered has been read then.
        self.value("0");
        &self.complaints
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }
}

/// What is wrong, if the message is about that.
fn complaint(message: &Value) -> Option<String> {
    let parameters = &message["params"];
    let is_bad = |level: &Value| level == "error" || level == "warning" || level == "assert";
    match message["method"].as_str()? {
        "Runtime.exceptionThrown" => Some(parameters["exceptionDetails"].to_string()),
        "Runtime.consoleAPICalled" if is_bad(&parameters["type"]) => Some(parameters["args"].to_string()),
        "Log.entryAdded" if is_bad(&parameters["entry"]["level"]) => Some(parameters["entry"].to_string()),
        _ => None,
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let group = i32::try_from(self.process.id()).ok().and_then(rustix::process::Pid::from_raw);
        if let Some(group) = group {
            let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        }
        let _ = self.process.wait();
        crate::process::waited_for(self.process.id());
    }
}
