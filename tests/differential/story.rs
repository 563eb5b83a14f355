//! A server's life as a list of facts: what it logged, which processes and pid files were there at each step.

use std::collections::BTreeMap;

use rustix::process::Signal;
use testkit::output::Mark;
use testkit::process::Watch;
use testkit::{Builder, Server};

use crate::compare::Comparison;
use crate::pair::Which;

/// A server, and what was noted of it.
pub(crate) struct Story {
    pub(crate) which: Which,
    pub(crate) server: Server,
    facts: Vec<(String, String, String)>,
    forgotten: Vec<&'static str>,
}

impl Story {
    /// Notes a fact, to be compared with the other server's.
    pub(crate) fn note(&mut self, step: &str, what: &str, fact: impl Into<String>) {
        self.facts.push((step.to_owned(), what.to_owned(), fact.into()));
    }

    /// Leaves lines of the log that have this in them out of the comparison.
    pub(crate) fn forget(&mut self, text: &'static str) {
        self.forgotten.push(text);
    }

    /// Sends the first master a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        self.server.signal(signal);
    }

    /// Waits until so many lines were logged that match the pattern.
    #[track_caller]
    pub(crate) fn wait_for(&self, pattern: &str, count: usize) {
        let found = self.server.log().wait_for_count(Mark::default(), pattern, count, testkit::patience());
        assert!(found.is_some(), "not {count} lines like {pattern:?}");
    }

    /// Waits until exactly these slots are served, by other processes than `not`.
    #[track_caller]
    pub(crate) fn wait_for_slots(&self, slots: &[u32], not: &[u32]) {
        self.server.eventually(&format!("workers {slots:?} that are not {not:?}"), || {
            let workers = self.server.workers();
            let right = workers.iter().map(|worker| worker.number).eq(slots.iter().copied());
            (right && workers.iter().all(|worker| !not.contains(&worker.pid))).then_some(())
        });
    }

    /// Waits for the end of a reload where it is told: Unicorn has none, its workers are replaced as they leave.
    #[track_caller]
    pub(crate) fn wait_for_generation(&self) {
        if self.which == Which::Licorne {
            self.wait_for("gen=2 serves alone", 1);
        }
    }

    /// The pids of the workers.
    pub(crate) fn workers(&self) -> Vec<u32> {
        self.server.workers().iter().map(|worker| worker.pid).collect()
    }

    /// The masters that are there: the one that was started first, then others.
    pub(crate) fn masters(&self) -> Vec<u32> {
        let mut masters = self.server.titled("master");
        masters.extend(self.server.titled("master (old)"));
        masters.sort_by_key(|pid| (*pid != self.server.pid(), *pid));
        masters
    }

    /// Notes which processes and pid files there are, once `masters` masters are there, each with its mold if it has
    /// one.
    #[track_caller]
    pub(crate) fn look(&mut self, step: &str, masters: usize) {
        let family = self.server.eventually("as many masters as should be there, and molds", || {
            let molds = if self.which == Which::Licorne { masters } else { 0 };
            let right = self.masters().len() == masters && self.server.titled("mold").len() == molds;
            // A process that is about to end has no title any more.
            Some(self.server.family()).filter(|family| right && family.iter().all(|process| !process.title.is_empty()))
        });
        let mut titles: Vec<(String, bool)> = family.iter().map(|process| title(&process.title)).collect();
        titles.sort();
        self.note(step, "generations in titles", if titles.iter().any(|title| title.1) { "yes" } else { "no" });
        let titles = titles.into_iter().map(|(title, _)| self.plain(&title)).collect::<Vec<_>>();
        self.count(step, "process", titles);
        let all = self.masters();
        let name = |pid: Option<u32>| match all.iter().position(|master| Some(*master) == pid) {
            Some(_) if pid == Some(self.server.pid()) => "first master".to_owned(),
            Some(_) => "second master".to_owned(),
            None => "somebody else".to_owned(),
        };
        let mut files: Vec<String> = std::fs::read_dir(self.server.directory())
            .expect("the test's directory")
            .flatten()
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .filter(|file| file.contains(".pid"))
            .map(|file| format!("{file}: {}", name(self.server.pid_in_file(&file))))
            .collect();
        files.sort();
        self.note(step, "pid files", files.join(", "));
    }

    /// Notes how often each text is there.
    fn count(&mut self, step: &str, kind: &str, texts: Vec<String>) {
        let mut counts = BTreeMap::<String, usize>::new();
        for text in texts {
            *counts.entry(text).or_default() += 1;
        }
        for (text, count) in counts {
            self.note(step, &format!("{kind}: {text}"), count.to_string());
        }
    }

    /// Replaces what differs from run to run.
    pub(crate) fn plain(&self, text: &str) -> String {
        let mut text = text.replace(&self.server.directory().display().to_string(), "DIR");
        text = text.replace(&self.which.program().display().to_string(), "PROGRAM");
        for endpoint in self.server.endpoints() {
            text =
                text.replace(&endpoint.to_string(), "ADDR").replace(&endpoint.to_string().replace(':', ", "), "ADDR");
        }
        text
    }

    /// Asks for a stop of the given master, and waits until it is gone.
    #[track_caller]
    pub(crate) fn stop(&self, master: u32, signal: Signal) {
        let watch = Watch::on(master).expect("the master is there");
        watch.signal(signal);
        assert!(watch.wait(testkit::patience()), "the master did not stop");
    }

    /// Waits for the end, and notes exit status, what is left, and all that was logged.
    #[track_caller]
    fn end(mut self) -> Vec<(String, String, String)> {
        let status = self.server.wait_for_exit();
        self.server.assert_nothing_is_left();
        self.note("end", "status", status.to_string());
        let files = ["server.pid", "server.pid.oldbin"].map(|name| self.server.file(name).exists().to_string());
        self.note("end", "pid files are left", files.join(", "));
        let output = self.server.whole_output();
        let is_compared = |line: &String| !is_trace(line) && !self.forgotten.iter().any(|text| line.contains(text));
        let lines = output.lines().map(|line| self.plain(&log_line(line))).filter(is_compared).collect();
        self.count("end", "log", lines);
        self.facts
    }
}

/// A title without the program's directory and the generation, and whether there was one.
fn title(title: &str) -> (String, bool) {
    let (program, rest) = title.split_once(' ').unwrap_or((title, ""));
    let program = program.rsplit('/').next().unwrap_or("");
    let program = if ["unicorn", "licorne"].contains(&program) { "PROGRAM" } else { program };
    match rest.rsplit_once(" (gen ") {
        Some((rest, _)) => (format!("{program} {rest}"), true),
        None => (format!("{program} {rest}"), false),
    }
}

/// A line of the log without time and pids.
pub(crate) fn log_line(line: &str) -> String {
    let text = match line.split_once(" -- : ") {
        Some((head, text)) => format!("{} {text}", head.get(..1).unwrap_or("")),
        None => line.to_owned(),
    };
    let mut plain = String::new();
    let mut rest = text.as_str();
    // Numbers behind these words are of this run.
    let words = ["pid=", "pid ", "PID:", "fd=", "Socket:fd ", "after ", "0x"];
    while let Some((at, word)) = words.iter().filter_map(|word| Some((rest.find(word)?, *word))).min() {
        let number = at + word.len();
        plain.push_str(&rest[..number]);
        rest = &rest[number..];
        let is_digit = |c: char| c.is_ascii_digit() || word == "0x" && c.is_ascii_hexdigit();
        let behind = rest.trim_start_matches(is_digit);
        if behind.len() == rest.len() {
            continue;
        }
        rest = behind;
        plain.push('N');
    }
    plain + rest
}

fn is_trace(line: &str) -> bool {
    line.contains(":in `")
}

/// Lets both servers live through the same, and compares.
#[track_caller]
pub(crate) fn compare(
    comparison: &mut Comparison,
    name: &str,
    describe: impl Fn() -> Builder,
    live: impl Fn(&mut Story),
) {
    let one = |which: Which| {
        let server = describe().program(which.program()).launch();
        let mut story = Story { which, server, facts: Vec::new(), forgotten: Vec::new() };
        live(&mut story);
        story.end()
    };
    let (unicorn, licorne) = (one(Which::Unicorn), one(Which::Licorne));
    let map = |facts: Vec<(String, String, String)>| -> BTreeMap<(String, String), String> {
        facts.into_iter().map(|(step, what, fact)| ((step, what), fact)).collect()
    };
    let (unicorn, licorne) = (map(unicorn), map(licorne));
    let mut keys: Vec<_> = unicorn.keys().chain(licorne.keys()).collect();
    keys.sort();
    keys.dedup();
    for key in keys {
        let fact = |facts: &BTreeMap<(String, String), String>| facts.get(key).map_or("0", |fact| fact).to_owned();
        comparison.compare(&format!("{name}, {}", key.0), &key.1, &fact(&unicorn), &fact(&licorne));
    }
}
