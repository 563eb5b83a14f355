//! Every case of the corpus: whole, byte by byte, cut in two at every place, and with trailing bytes.
#![allow(clippy::unwrap_used)]

mod support;

use http1::limits::Limits;
use support::corpus::{Case, Expect, load};
use support::serve::{Outcome, Request, serve};

/// Longer cases are cut in two at some places only.
const SHORT: usize = 600;

#[test]
fn every_case_has_its_outcome_however_the_bytes_arrive() {
    let limits = Limits::default();
    let mut failures: Vec<(&str, String)> = Vec::new();
    let cases = load();
    for case in &cases {
        let mut check = |how: &str, outcomes: Vec<Outcome>| {
            let Err(difference) = compare(case, &outcomes) else { return };
            if failures.last().is_none_or(|(name, _)| *name != case.name) {
                failures.push((case.name.as_str(), format!("{} ({how}): {difference}", case.name)));
            }
        };
        check("whole", serve([case.send.as_slice()], &limits));
        check("byte by byte", serve(case.send.chunks(1), &limits));
        let step = if case.send.len() <= SHORT { 1 } else { 997 };
        for at in (0..case.send.len()).step_by(step) {
            let (one, other) = case.send.split_at(at);
            check("cut in two", serve([one, other], &limits));
        }
    }
    let texts: Vec<_> = failures.iter().map(|(_, text)| text.as_str()).collect();
    assert!(texts.is_empty(), "{} cases failed:\n{}", texts.len(), texts.join("\n"));
    assert!(cases.len() > 250, "only {} cases were found", cases.len());
}

#[test]
fn trailing_bytes_change_nothing() {
    let limits = Limits::default();
    let next = b"GET /trailing HTTP/1.1\r\nHost: t\r\n\r\n";
    for case in load() {
        let before = serve([case.send.as_slice()], &limits);
        if before.contains(&Outcome::Incomplete) {
            continue;
        }
        for trailing in [next.as_slice(), b"\r\n\r\n", b"\x16\x03", &[b'x'; 200_000]] {
            let with = [case.send.as_slice(), trailing].concat();
            let after = serve([with.as_slice()], &limits);
            assert_eq!(&after[..before.len()], &before[..], "{}", case.name);
            let open = matches!(before.last(), Some(Outcome::Request(request)) if request.keep_alive);
            assert_eq!(after.len(), before.len() + usize::from(open), "{}", case.name);
            if open && trailing == next {
                assert!(matches!(after.last(), Some(Outcome::Request(r)) if r.uri == b"/trailing"), "{}", case.name);
            }
        }
    }
}

#[test]
fn case_names_are_unique() {
    let mut names: Vec<_> = load().into_iter().map(|case| case.name).collect();
    let count = names.len();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), count);
}

/// Tells the first difference between what is expected and what came.
fn compare(case: &Case, outcomes: &[Outcome]) -> Result<(), String> {
    if case.expect.len() != outcomes.len() {
        return Err(format!("{} outcomes: {outcomes:?}", outcomes.len()));
    }
    for (expect, outcome) in case.expect.iter().zip(outcomes) {
        let same = match (expect, outcome) {
            (Expect::Reject(status), Outcome::Reject(got)) => status == got,
            (Expect::Incomplete, Outcome::Incomplete) => true,
            (Expect::Request(method, uri, properties), Outcome::Request(request)) => {
                request.method == *method && request.uri == *uri && agrees(request, properties)
            }
            _ => false,
        };
        if !same {
            let text = format!("expected {expect:?}, got {outcome:?}");
            return Err(text.chars().take(2000).collect());
        }
    }
    Ok(())
}

/// Tells whether all properties hold. `continue` and `upgrade` must be named if they hold.
fn agrees(request: &Request, properties: &[(String, Option<Vec<u8>>)]) -> bool {
    let named = |name: &str| properties.iter().any(|(property, _)| property == name);
    request.expect_continue == named("continue")
        && request.upgrade == named("upgrade")
        && properties.iter().all(|(name, value)| match (name.as_str(), value) {
            ("continue" | "upgrade", None) => true,
            ("keep", None) => request.keep_alive,
            ("close", None) => !request.keep_alive,
            ("host", Some(value)) => request.host.as_ref() == Some(value),
            ("path", Some(value)) => request.path == *value,
            ("query", Some(value)) => request.query.as_ref() == Some(value),
            ("fragment", Some(value)) => request.fragment.as_ref() == Some(value),
            ("scheme", Some(value)) => request.scheme.as_ref().is_some_and(|scheme| scheme.as_bytes() == value),
            ("body", Some(value)) => request.body == *value,
            ("fields", Some(value)) => request.fields.len().to_string().as_bytes() == value,
            ("field", Some(field)) => {
                let colon = field.iter().position(|&byte| byte == b':').expect("field=name:value");
                request.has(&field[..colon], &field[colon + 1..])
            }
            _ => panic!("unknown property {name}"),
        })
}
