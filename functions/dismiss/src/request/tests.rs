//! Whose dismissal an alert shows.

use super::*;
use crate::samples::{dismissed_but, noon};
use serde_json::{Value, json};

/// Whether a command that began so many seconds after noon did what the alert shows, dismissed at noon but for these fields.
fn did(began: i64, comment: Option<&str>, asked: Asked, fields: Value) -> bool {
    let comment: Option<DismissComment> =
        comment.map(|comment| comment.parse().expect("it is short"));
    let request = Request {
        reason: DismissReason::Inaccurate,
        comment: comment.as_ref(),
        began: noon(began),
    };
    request.did(&dismissed_but(fields), asked)
}

fn with(fields: Value) -> bool {
    did(0, Some("A false alarm."), Asked::Accepted, fields)
}

#[test]
fn a_dismissal_is_the_commands_own_if_it_shows_its_reason_its_comment_and_an_app() {
    assert!(with(json!({})), "however GitHub keeps white space");
    assert!(with(json!({ "dismissed_by": null })), "GitHub may not say");
    for others in [
        json!({ "dismissed_reason": "not_used" }),
        json!({ "dismissed_reason": null }),
        json!({ "dismissed_comment": "Another word." }),
        json!({ "dismissed_comment": "A false" }),
        json!({ "dismissed_comment": null }),
        json!({ "dismissed_by": { "login": "jo" } }),
    ] {
        assert!(!with(others.clone()), "{others}");
    }
    let silent = |fields| did(0, None, Asked::Accepted, fields);
    assert!(silent(json!({ "dismissed_comment": null })));
    assert!(silent(json!({ "dismissed_comment": "" })));
    assert!(!silent(json!({})));
}

#[test]
fn a_dismissal_from_before_the_command_is_not_its_own() {
    let began = |seconds| did(seconds, Some("A false alarm."), Asked::Perhaps, json!({}));
    // The clocks may differ by two minutes and a second.
    assert_eq!([-600, 0, 121, 122].map(began), [true, true, true, false]);
    let undated = json!({ "dismissed_at": null });
    assert!(did(600, Some("A false alarm."), Asked::Perhaps, undated));
}

#[test]
fn what_was_not_asked_for_or_was_refused_is_not_the_commands_own() {
    let knowing = |asked| did(0, Some("A false alarm."), asked, json!({}));
    let known = [
        Asked::Accepted,
        Asked::Perhaps,
        Asked::No,
        Asked::Refused(422),
    ];
    assert_eq!(known.map(knowing), [true, true, false, false]);
}

#[test]
fn a_dismissal_is_anothers_if_the_finding_names_another_and_it_was_not_made_since() {
    let [mine, another] = [(); 2].map(|()| CommandId::new(noon(0)));
    let of_another = |named, dismissed_at| is_of_another(named, mine, noon(10), dismissed_at);
    for dismissed_at in [None, Some(noon(9)), Some(noon(10))] {
        assert!(of_another(Some(another), dismissed_at), "{dismissed_at:?}");
    }
    let reopened_meanwhile = Some(noon(11));
    assert!(!of_another(Some(another), reopened_meanwhile));
    for dismissed_at in [None, Some(noon(9)), reopened_meanwhile] {
        assert!(!of_another(Some(mine), dismissed_at));
        assert!(!of_another(None, dismissed_at));
    }
}
