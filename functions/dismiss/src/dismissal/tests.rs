//! Whose dismissal an alert shows.

use super::*;
use crate::samples::{dismissed_but, noon};
use domain::finding::DismissReason;
use serde_json::{Value, json};

/// Whether a command that began so many seconds after noon did what the alert shows, dismissed at noon but for these fields.
fn did(began: i64, comment: Option<&str>, asked: Asked, fields: Value) -> bool {
    let asked_for = DismissFinding {
        finding: "dependabot-7-42".parse().expect("an id"),
        reason: DismissReason::Inaccurate,
        comment: comment.map(|comment| comment.parse().expect("it is short")),
    };
    let dismissal = Dismissal {
        asked_for: &asked_for,
    };
    dismissal.is_ours(&dismissed_but(fields), asked, noon(began))
}

fn with(fields: Value) -> bool {
    did(0, Some("A false alarm."), Asked::Accepted, fields)
}

#[test]
fn a_commands_own_dismissal_shows_its_reason_comment_and_an_app() {
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
