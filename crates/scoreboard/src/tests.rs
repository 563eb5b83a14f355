//! Seats, of both layouts.

use super::*;

fn page(seats: usize) -> Vec<AtomicU64> {
    (0..seats * SEAT_WORDS).map(|_| AtomicU64::new(0)).collect()
}

#[test]
fn a_seat_tells_what_was_written() {
    let page = page(2);
    let seat1 = seat(&page, 1).unwrap();
    seat1.assign(5, 9);
    seat1.set_pid(77);
    seat1.set_ready(10);
    seat1.begin_request(1_000, b"GET", b"/a?b=c");
    seat1.extend_deadline(250);
    seat1.ask_report(1_000);
    assert_eq!(seat1.state(), State::Busy);
    assert_eq!((seat1.slot(), seat1.generation(), seat1.pid()), (5, 9, 77));
    assert_eq!(seat1.request_start_ns(), Some(1_000));
    assert_eq!(seat1.extra_ms(), 250);
    assert_eq!(seat1.request_line(), b"GET /a?b=c");
    assert_eq!(seat1.report_asked_ns(), 1_000);
    assert_eq!(seat1.end_request(1_500, State::Idle), 500);
    assert_eq!((seat1.requests(), seat1.busy_ns(), seat1.request_start_ns()), (1, 500, None));
    assert_eq!(seat(&page, 0).unwrap().state(), State::Free);
}

#[test]
fn the_request_line_is_cut_and_survives_the_worker() {
    let page = page(1);
    let seat0 = seat(&page, 0).unwrap();
    let long = alloc::vec![b'x'; 1_000];
    seat0.begin_request(1, b"POST", &long);
    seat0.release();
    assert_eq!(seat0.request_line().len(), LINE_BYTES);
    assert!(seat0.request_line().starts_with(b"POST xxx"));
    seat0.assign(0, 1);
    assert_eq!(seat0.request_line(), b"");
}

#[test]
fn a_page_counts_responses_bytes_and_times() {
    let words: Vec<AtomicU64> = (0..PAGE_BYTES / 8).map(|_| AtomicU64::new(7)).collect();
    let seat = Seat::of_page(&words).unwrap();
    seat.assign(0, 1);
    assert_eq!(Totals::of(seat), Totals::default());
    for status in [101, 200, 204, 302, 404, 599, 600, 99, 0] {
        seat.count_response(status);
    }
    seat.count_bytes(100, 2_000);
    seat.queue().unwrap().count(30_000);
    assert!(seat.backtraces_asked() == 0 && seat.ask_backtraces(9));
    assert_eq!(seat.slow_report_asked_ns(), Some(0));
    seat.ask_slow_report(1_000_000);
    seat.set_request_id(b"c0ffee");
    seat.begin_request(1_000_000, b"GET", b"/");
    assert_eq!((seat.last_request(), seat.last_usage()), (None, None));
    seat.set_last_usage(0, 70);
    assert_eq!(seat.last_usage(), Some((0, 70)));
    seat.end_request(6_000_000, State::Idle);
    assert_eq!(seat.last_request(), Some((5_000_000, 6_000_000)));
    seat.count_raised();
    assert_eq!(seat.raised(), 1);
    seat.count_aborted(Aborted { requests: 3, responses: 4 });
    let totals = Totals::of(seat);
    assert_eq!(totals.responses, [1, 2, 1, 1, 1]);
    assert_eq!((totals.requests, totals.received_bytes, totals.sent_bytes), (1, 100, 2_000));
    assert_eq!((totals.service.total(), totals.service.sum_ns()), (1, 5_000_000));
    assert_eq!((totals.queue.total(), totals.queue.sum_ns()), (1, 30_000));
    assert_eq!((seat.request_id(), seat.request_line()), (b"c0ffee".to_vec(), b"GET /".to_vec()));
    assert_eq!((seat.backtraces_asked(), seat.slow_report_asked_ns()), (9, Some(1_000_000)));
    let mut twice = totals.clone();
    twice.add(&totals);
    assert_eq!((twice.requests, twice.responses[1], twice.service.total()), (2, 4, 2));
    assert_eq!(twice.aborted, Aborted { requests: 6, responses: 8 });
    seat.forget_requests();
    assert_eq!(seat.aborted(), Aborted::default());
}

#[test]
fn the_longest_backlog_of_each_listener_is_kept_with_the_moment() {
    let words: Vec<AtomicU64> = (0..PAGE_BYTES / 8).map(|_| AtomicU64::new(0)).collect();
    let seat = Seat::of_page(&words).unwrap();
    seat.note_backlog(1, 3, 7_000_000);
    seat.note_backlog(1, 2, 9_000_000);
    seat.note_backlog(1, 3, 9_000_000);
    seat.note_backlog(BACKLOGS - 1, u32::MAX, u64::MAX);
    seat.note_backlog(BACKLOGS, 1, 1);
    seat.note_backlog(0, 0, 1);
    let most_ns = ((1 << MOMENT_BITS) - 1) * 1_000_000;
    let told: Vec<_> = seat.backlogs().collect();
    assert_eq!(told[0], (1, 3, 7_000_000));
    assert_eq!((told[1].0, told[1].1, told.len()), (BACKLOGS - 1, (1 << 24) - 1, 2));
    assert!(told[1].2 <= most_ns);
    seat.assign(0, 1);
    assert_eq!(seat.backlogs().count(), 0);
    let older = page(1);
    seat_of_older_layout(&older).note_backlog(0, 1, 1);
    assert_eq!(seat_of_older_layout(&older).backlogs().count(), 0);
}

fn seat_of_older_layout(page: &[AtomicU64]) -> Seat<'_> {
    seat(page, 0).unwrap()
}

#[test]
fn a_seat_of_the_older_layout_has_no_counts_and_takes_none() {
    let page = page(1);
    let seat0 = seat(&page, 0).unwrap();
    seat0.assign(3, 4);
    seat0.count_response(200);
    seat0.count_bytes(1, 1);
    seat0.count_aborted(Aborted { requests: 1, responses: 1 });
    assert!(!seat0.ask_backtraces(9) && seat0.backtraces_asked() == 0);
    seat0.ask_slow_report(1);
    assert_eq!(seat0.slow_report_asked_ns(), None);
    seat0.set_request_id(b"c0ffee");
    seat0.begin_request(1, b"GET", b"/");
    seat0.end_request(2, State::Idle);
    assert_eq!(Totals::of(seat0), Totals { requests: 1, busy_ns: 1, ..Totals::default() });
    seat0.count_raised();
    assert_eq!((seat0.last_request(), seat0.raised()), (None, 0));
    assert!(seat0.request_id().is_empty() && Seat::of_page(&page).is_none());
}

#[test]
fn there_is_no_seat_beyond_the_page() {
    let page = page(1);
    assert!(seat(&page, 1).is_none());
    assert!(seat(&page, usize::MAX).is_none());
}

#[test]
fn a_number_of_the_collector_that_is_not_known_is_none() {
    let words: Vec<AtomicU64> = (0..PAGE_BYTES / 8).map(|_| AtomicU64::new(0)).collect();
    let seat = Seat::of_page(&words).unwrap();
    assert_eq!(seat.gc(), Gc::default());
    let gc = Gc { minor: Some(0), major: Some(3), old_objects: Some(u64::MAX - 1), ..Gc::default() };
    seat.set_gc(&gc);
    assert_eq!(seat.gc(), gc);
    seat.assign(0, 1);
    assert_eq!(seat.gc(), Gc::default());
    let older = page(1);
    seat_of_older_layout(&older).set_gc(&gc);
    assert_eq!(seat_of_older_layout(&older).gc(), Gc::default());
}
