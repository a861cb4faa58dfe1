//! Which alerts of a listing's pages are stored, and how a listing ends.

use super::*;
use crate::samples::{alert, alert_but, cursor, noon, number, page};
use github::{Alert, LinkRefusal, Unreadable};
use serde_json::json;

/// The overlap before the watermark, in seconds: five minutes.
const OVERLAPS: i64 = 300;

fn page_of(alerts: Vec<Alert>, next: Next) -> AlertsPage {
    AlertsPage {
        alerts,
        unreadable: Vec::new(),
        next,
        led_to: None,
    }
}

fn followed_by_more(alerts: Vec<Alert>) -> AlertsPage {
    page_of(alerts, Next::Page(page()))
}

fn last(alerts: Vec<Alert>) -> AlertsPage {
    page_of(alerts, Next::End)
}

/// Takes a page. Returns the numbers of the alerts to store, and whether another page follows.
fn take(listing: &mut Progressing, page: AlertsPage, known: &Watermark) -> (Vec<u32>, bool) {
    let (findings, next) = listing.take(page, known);
    let numbers = findings.iter().map(|finding| finding.id.number.get());
    (numbers.collect(), next.is_some())
}

/// Returns the watermark after a complete listing of these alerts.
fn seen(alerts: Vec<Alert>) -> Watermark {
    let nothing = Watermark::default();
    let mut listing = Progressing::new(true);
    take(&mut listing, last(alerts), &nothing);
    succeeded(listing, &nothing).0
}

fn succeeded(listing: Progressing, known: &Watermark) -> (Watermark, bool) {
    let Finished {
        watermark,
        complete,
    } = listing.outcome(known).expect("the listing succeeded");
    (watermark, complete)
}

fn failed(listing: Progressing) -> Option<RepositoryFailure> {
    listing.outcome(&Watermark::default()).err()
}

#[test]
fn a_first_listing_takes_every_alert_of_every_page() {
    let nothing = Watermark::default();
    let mut listing = Progressing::new(true);
    let first = followed_by_more(vec![alert(3, 0), alert(2, -1_000)]);
    assert_eq!(take(&mut listing, first, &nothing), (vec![3, 2], true));
    let second = last(vec![alert(1, -90_000)]);
    assert_eq!(take(&mut listing, second, &nothing), (vec![1], false));
    let (watermark, complete) = succeeded(listing, &nothing);
    assert_eq!(watermark.updated_at, Some(noon(0)), "the newest");
    assert!(complete);
}

#[test]
fn a_listing_ends_five_minutes_before_the_watermark() {
    let known = seen(vec![alert(1, 0)]);
    for (alerts, stored, goes_on) in [
        (vec![alert(9, 60), alert(8, 1 - OVERLAPS)], vec![9, 8], true),
        (vec![alert(9, 60), alert(8, -OVERLAPS)], vec![9, 8], true),
        (vec![alert(9, 60), alert(8, -1 - OVERLAPS)], vec![9], false),
        (vec![], vec![], true),
    ] {
        let mut listing = Progressing::new(false);
        let page = followed_by_more(alerts);
        assert_eq!(take(&mut listing, page, &known), (stored, goes_on));
        assert!(!succeeded(listing, &known).1, "not complete");
    }
}

#[test]
fn a_complete_listing_skips_nothing_and_reads_every_page() {
    let known = seen(vec![alert(2, 0), alert(1, 0)]);
    let mut listing = Progressing::new(true);
    let page = followed_by_more(vec![alert(2, 0), alert(8, -1 - OVERLAPS)]);
    assert_eq!(take(&mut listing, page, &known), (vec![2, 8], true));
}

#[test]
fn only_alerts_that_differ_are_stored_again() {
    let known = seen(vec![alert(3, 0), alert(2, 0), alert(1, -OVERLAPS)]);
    let mut listing = Progressing::new(false);
    let fixed = alert_but(2, 0, json!({ "state": "fixed" }));
    let page = last(vec![alert(3, 0), fixed, alert(1, -OVERLAPS), alert(4, 0)]);
    assert_eq!(take(&mut listing, page, &known), (vec![2, 4], false));
    let page = last(vec![alert(4, 0)]);
    let (known, _) = succeeded(listing, &known);
    let (stored, _) = take(&mut Progressing::new(false), page, &known);
    assert_eq!(stored, [0; 0], "an alert at the watermark's time");
}

#[test]
fn a_watermark_remembers_the_alerts_of_its_last_five_minutes() {
    let alerts = vec![
        alert(4, 0),
        alert(3, -OVERLAPS),
        alert(2, -1 - OVERLAPS),
        alert(1, -9_000),
    ];
    let remembered: Vec<_> = seen(alerts).seen.into_keys().collect();
    assert_eq!(remembered, [number(3), number(4)]);
}

#[test]
fn a_watermark_remembers_at_most_a_hundred_alerts() {
    let alerts = || (1..=101).map(|number| alert(number, 0)).collect();
    let known = seen(alerts());
    assert_eq!(known.seen.len(), 100);
    let (stored, _) = take(&mut Progressing::new(false), last(alerts()), &known);
    assert_eq!(stored, [101]);
}

#[test]
fn the_watermark_is_the_newest_update_of_the_first_nonempty_page() {
    let nothing = Watermark::default();
    let mut listing = Progressing::new(false);
    take(&mut listing, followed_by_more(vec![]), &nothing);
    let page = followed_by_more(vec![alert(1, -5), alert(2, 0)]);
    take(&mut listing, page, &nothing);
    take(&mut listing, last(vec![alert(3, 9)]), &nothing);
    let (watermark, _) = succeeded(listing, &nothing);
    assert_eq!(
        watermark.updated_at,
        Some(noon(0)),
        "a later page's newer alert is for the next listing"
    );
}

#[test]
fn a_watermark_never_moves_back() {
    let known = seen(vec![alert(2, 0), alert(1, -10)]);
    for alerts in [vec![], vec![alert(1, -10)]] {
        let mut listing = Progressing::new(true);
        take(&mut listing, last(alerts), &known);
        assert_eq!(succeeded(listing, &known), (known.clone(), true));
    }
    let newer = vec![alert(3, 1)];
    let mut listing = Progressing::new(false);
    take(&mut listing, last(newer.clone()), &known);
    assert_eq!(succeeded(listing, &known), (seen(newer), false));
}

#[test]
fn an_unstorable_alert_is_a_partial_failure_and_affects_no_other_alert() {
    let nothing = Watermark::default();
    let strange = alert_but(2, 0, json!({ "state": "forgotten" }));
    let mut listing = Progressing::new(true);
    let page = followed_by_more(vec![alert(3, 0), strange, alert(1, 0)]);
    assert_eq!(take(&mut listing, page, &nothing), (vec![3, 1], true));
    take(&mut listing, last(vec![alert(4, 0)]), &nothing);
    assert_eq!(failed(listing), Some(RepositoryFailure::SyncPartialFailure));

    let unreadable = vec![Unreadable { number: None }];
    let mut listing = Progressing::new(true);
    let page = AlertsPage {
        unreadable,
        ..followed_by_more(vec![alert(1, 0)])
    };
    assert_eq!(take(&mut listing, page, &nothing), (vec![1], true));
    take(&mut listing, last(vec![alert(4, 0)]), &nothing);
    assert_eq!(failed(listing), Some(RepositoryFailure::SyncPartialFailure));

    for (not_stored, fails) in [
        ([1, 0], Some(RepositoryFailure::SyncPartialFailure)),
        ([0, 2], Some(RepositoryFailure::SyncPartialFailure)),
        ([0, 0], None),
    ] {
        let mut listing = Progressing::new(true);
        for unstorable in not_stored {
            listing.not_stored(unstorable);
        }
        assert_eq!(failed(listing), fails, "{not_stored:?}");
    }
}

#[test]
fn a_refused_next_link_fails_a_listing_unless_the_rest_was_seen() {
    let known = seen(vec![alert(1, 0)]);
    for (oldest, fails) in [
        (-OVERLAPS, Some(RepositoryFailure::SyncFailed)),
        (-1 - OVERLAPS, None),
    ] {
        let mut listing = Progressing::new(false);
        let astray = Next::Refused(LinkRefusal::OtherHost);
        let page = page_of(vec![alert(9, 60), alert(8, oldest)], astray);
        assert!(
            !take(&mut listing, page, &known).1,
            "the link is not followed"
        );
        assert_eq!(failed(listing), fails);
    }
}

#[test]
fn a_resumed_listing_equals_one_that_was_not_interrupted() {
    let kept = Progressing::resumed(cursor()).kept(Source::Dependabot, &Watermarks::new());
    assert_eq!(kept, Some(cursor()));
    assert_eq!(
        Progressing::new(true).kept(Source::Dependabot, &Watermarks::new()),
        None,
        "starts at the first page"
    );

    let nothing = Watermark::default();
    let (first, second) = (vec![alert(3, 0)], vec![alert(2, -9)]);
    let mut whole = Progressing::new(true);
    let (_, next) = whole.take(followed_by_more(first), &nothing);
    whole.next = next;
    let mut resumed = Progressing::resumed(
        whole
            .kept(Source::Dependabot, &Watermarks::new())
            .expect("a page"),
    );
    assert_eq!(resumed, whole);
    assert_eq!(
        take(&mut resumed, last(second.clone()), &nothing),
        take(&mut whole, last(second), &nothing)
    );
    assert_eq!(succeeded(resumed, &nothing), succeeded(whole, &nothing));
}
