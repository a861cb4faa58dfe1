//! What a finding becomes by what its alert shows.

use super::*;
use crate::samples::{dismissed_but, noon};
use domain::finding::{DismissReason, IgnoredReason};
use serde_json::{Value, json};

fn shown(fields: Value) -> Shown {
    Shown::Alert(Box::new(dismissed_but(fields)))
}

/// The finding as the alert was first seen.
fn seen(fields: Value) -> Finding {
    dismissed_but(fields).finding.expect("it is known")
}

/// An hour before noon.
fn open() -> Value {
    json!({ "state": "open", "updated_at": "2026-11-23T11:00:00Z" })
}

#[test]
fn what_github_shows_is_kept_with_everything_that_has_changed() {
    let kept = shown(json!({ "html_url": "https://github.com/octo/new/security/dependabot/42" }))
        .kept(&seen(open()));
    assert_eq!(
        kept,
        seen(json!({ "html_url": "https://github.com/octo/new/security/dependabot/42" }))
    );
}

/// Its severity is a word that this version does not know.
#[test]
fn the_state_of_an_incomplete_alert_is_kept() {
    let finding_state = |mut fields: Value| {
        fields["security_vulnerability"] = json!({
            "package": {"ecosystem": "npm", "name": "semver"}, "severity": "apocalyptic",
            "vulnerable_version_range": "< 8"
        });
        let before = seen(open());
        let kept = shown(fields).kept(&before);
        let as_before = Finding {
            status: before.status,
            ignored_reason: before.ignored_reason,
            ignored_by: before.ignored_by.clone(),
            fixed_at: before.fixed_at,
            source_updated_at: before.source_updated_at,
            ..kept.clone()
        };
        assert_eq!(as_before, before, "nothing but the state");
        assert_eq!(kept.source_updated_at, noon(0));
        let by = kept.ignored_by;
        (kept.status, kept.ignored_reason, by, kept.fixed_at)
    };
    let reason = IgnoredReason::Dismissed(DismissReason::NotUsed);
    let jo = json!({ "dismissed_reason": "not_used", "dismissed_by": { "login": "jo" } });
    assert_eq!(
        finding_state(jo),
        (
            FindingStatus::Ignored,
            Some(reason),
            Some("jo".to_owned()),
            None
        ),
        "somebody else's reason stays theirs"
    );
    let fixed = json!({ "state": "fixed", "fixed_at": "2026-11-23T12:00:00Z" });
    assert_eq!(
        finding_state(fixed),
        (FindingStatus::Fixed, None, None, Some(noon(0)))
    );
    let open = json!({ "state": "open" });
    assert_eq!(finding_state(open), (FindingStatus::Open, None, None, None));
}

#[test]
fn the_finding_of_an_alert_that_was_withdrawn_is_closed_and_nothing_else() {
    let before = seen(json!({}));
    assert_eq!(before.status, FindingStatus::Ignored);
    let kept = Shown::Withdrawn.kept(&before);
    let expected = Finding {
        status: FindingStatus::Closed,
        ignored_reason: None,
        ignored_by: None,
        ..before
    };
    assert_eq!(kept, expected);
}

#[test]
fn an_alert_that_was_withdrawn_has_neither_state_nor_date() {
    let alert = shown(json!({}));
    let dismissed = Some(AlertState::Dismissed);
    assert_eq!(alert.state(), dismissed);
    let gone = Shown::Withdrawn;
    assert_eq!(gone.state(), None);
}
