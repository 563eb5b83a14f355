//! `/events`: the status for those that look on, as server-sent events. See the HTML standard, "Server-sent events".
//!
//! An event is `status` with the newest status, or `silent` when the master does not answer; both have the points of the
//! history that the client lacks. Its id is that of the newest of these, so a client that comes back gets what it has
//! missed.

use std::rc::Rc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::Value;

use crate::answer::COMMON;
use crate::history::History;
use crate::source::Answer;
use crate::told::Told;

/// How long after one question the next is asked when nothing but the events needs it.
pub(crate) const PAUSE: Duration = Duration::from_secs(1);
/// How long a client that looks on may be out of reach.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
/// Events follow each other no faster, whatever else the master is asked for. A little less than [`PAUSE`], so that none is
/// left out for the time that an answer takes.
const SHORTEST: Duration = Duration::from_millis(900);
/// How many deaths a page is told.
const DEATHS: usize = 50;
/// How long a browser waits before it connects again.
const RETRY: Duration = Duration::from_secs(1);

/// What there is to tell.
#[derive(Debug)]
pub(crate) struct Events {
    history: History,
    newest: Option<Newest>,
    deaths: Deaths,
}

/// The last deaths, which are asked for when the status counts more.
#[derive(Debug, Default)]
struct Deaths {
    /// How many the status counted when they were asked for.
    total: u64,
    /// How often they were told.
    version: u64,
    /// As JSON.
    text: String,
}

/// What a client has been given.
#[derive(Debug, Default)]
pub(crate) struct Given {
    /// The id of its last event.
    pub(crate) id: String,
    /// The version of its deaths.
    deaths: u64,
}

#[derive(Debug)]
struct Newest {
    at: Instant,
    now_ms: u64,
    /// `None` when the master does not answer.
    status: Option<Rc<Told>>,
}

impl Events {
    /// `name`: what distinguishes the ids of this process from those of another.
    pub(crate) fn new(name: String) -> Self {
        Self { history: History::new(name), newest: None, deaths: Deaths::default() }
    }

    /// Takes in the master's answer to whatever question.
    pub(crate) fn hear(&mut self, answer: &Answer, now: Instant) {
        let now_ms = now_ms();
        // What is not understood makes no point; the page shows the status as it came.
        if let Some(facts) = answer.status.as_ref().and_then(|told| told.facts.as_ref().ok()) {
            self.history.add(facts, now, now_ms);
        }
        self.newest = Some(Newest { at: now, now_ms, status: answer.status.clone() });
    }

    /// When the newest event was told, if it is due for a client that was given that of another time.
    pub(crate) fn due(&self, told: Option<Instant>) -> Option<Instant> {
        let newest = self.newest.as_ref()?.at;
        // One that has just come waits for a new one rather than to see what was long ago.
        let is_due = told.map_or_else(|| newest.elapsed() < PAUSE, |told| newest >= told + SHORTEST);
        is_due.then_some(newest)
    }

    /// Whether there are deaths that the master has to be asked for.
    pub(crate) fn wants_deaths(&self) -> bool {
        self.counted() != self.deaths.total
    }

    fn counted(&self) -> u64 {
        let status = self.newest.as_ref().and_then(|newest| newest.status.as_ref());
        status.and_then(|told| told.json["deaths"]["total"].as_u64()).unwrap_or(self.deaths.total)
    }

    /// Takes in the last deaths. Those that are not told are not asked for again until there are more.
    pub(crate) fn hear_deaths(&mut self, told: Option<Value>) {
        self.deaths.total = self.counted();
        let Some(Value::Array(mut deaths)) = told else { return };
        deaths.truncate(DEATHS);
        for death in &mut deaths {
            death.as_object_mut().map(|death| death.remove("backtrace"));
        }
        self.deaths.text = Value::from(deaths).to_string();
        self.deaths.version += 1;
    }

    /// The newest event, for a client that has been given this; then it has also been given that.
    pub(crate) fn newest(&self, given: &mut Given) -> Vec<u8> {
        let Some(newest) = &self.newest else { return Vec::new() };
        let name = if newest.status.is_some() { "status" } else { "silent" };
        let status =
            newest.status.as_ref().map_or_else(|| "null".to_string(), |told| for_pages(&told.json).to_string());
        let (id, points, now_ms) = (self.history.id(), self.history.after(Some(&given.id)), newest.now_ms);
        let has_new = given.deaths != self.deaths.version;
        let deaths = if has_new { format!(",\"deaths\":{}", self.deaths.text) } else { String::new() };
        let told = format!("{{\"now_ms\":{now_ms},\"points\":{points},\"status\":{status}{deaths}}}");
        // JSON of one line has no line feed.
        let event = format!("id: {id}\nevent: {name}\ndata: {}\n\n", sys::text::printable_json(&told)).into_bytes();
        *given = Given { id, deaths: self.deaths.version };
        event
    }
}

impl Given {
    /// Of a client that has seen the event with this id, and no deaths as far as is known.
    pub(crate) fn before(id: String) -> Self {
        Self { id, deaths: 0 }
    }
}

/// The head of the response, and how soon to come back when it ends.
pub(crate) fn head() -> Vec<u8> {
    // `X-Accel-Buffering`: nginx passes events on as they come.
    format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nX-Accel-Buffering: no\r\n{COMMON}\r\n\
         retry: {}\n\n",
        RETRY.as_millis()
    )
    .into_bytes()
}

/// Milliseconds since 1970.
pub(crate) fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// The status without what the points are made of.
fn for_pages(status: &Value) -> Value {
    let mut status = status.clone();
    for times in ["service", "queue"] {
        if let Some(Value::Object(times)) = status.pointer_mut(&format!("/totals/{times}")) {
            times.retain(|name, _| name != "buckets" && name != "below");
        }
    }
    status
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn events_come_at_most_once_a_second_however_often_the_master_is_asked() {
        let mut events = Events::new("a".into());
        let start = Instant::now();
        let mut told = None;
        let mut count = 0;
        for tenth in 0..100_u64 {
            let status = json!({ "schema": 1, "pid": 1,
                        "totals": { "requests": tenth, "service": { "buckets": [[1, 2]], "count": 2 } } });
            let at = start + Duration::from_millis(100 * tenth);
            events.hear(&Answer { number: tenth, status: Some(Rc::new(status.into())) }, at);
            if let Some(at) = events.due(told) {
                (told, count) = (Some(at), count + 1);
            }
        }
        assert!((10..=12).contains(&count), "{count}");
        let event = String::from_utf8(events.newest(&mut Given::default())).unwrap();
        assert!(!event.contains("buckets") && event.contains("\"count\":2"), "{event}");
        assert_eq!(event.trim_end().lines().count(), 3, "{event}");
    }

    #[test]
    fn a_master_that_does_not_answer_is_told() {
        let mut events = Events::new("a".into());
        events.hear(&Answer { number: 1, status: None }, Instant::now());
        let event = String::from_utf8(events.newest(&mut Given::default())).unwrap();
        assert!(event.starts_with("id: a-0\nevent: silent\ndata: {"), "{event}");
    }

    #[test]
    fn deaths_are_asked_for_when_there_are_more_and_told_once_to_each_client() {
        let mut events = Events::new("a".into());
        let hear = |events: &mut Events, total: u64| {
            events.hear(
                &Answer { number: 1, status: Some(Rc::new(json!({ "deaths": { "total": total } }).into())) },
                Instant::now(),
            );
        };
        hear(&mut events, 0);
        assert!(!events.wants_deaths());
        hear(&mut events, 2);
        assert!(events.wants_deaths());
        events.hear_deaths(Some(json!([{ "pid": 7, "backtrace": "long" }, { "pid": 8 }])));
        assert!(!events.wants_deaths());
        let mut given = Given::default();
        let event = String::from_utf8(events.newest(&mut given)).unwrap();
        assert!(event.contains(r#","deaths":[{"pid":7},{"pid":8}]}"#), "{event}");
        let event = String::from_utf8(events.newest(&mut given)).unwrap();
        assert!(!event.contains("\"pid\":7"), "{event}");
        hear(&mut events, 3);
        events.hear_deaths(None);
        assert!(!events.wants_deaths(), "a master that does not tell them is not asked again and again");
    }
}
