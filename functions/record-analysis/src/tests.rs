//! Which callbacks are recorded, and which dismissals follow from a result.

use super::*;
use domain::{
    analysis::{AnalysisStatus, BegunBy, FailureCode},
    settings::{AutoDismiss, Confidence},
};

const NOW: Timestamp = Timestamp::from_millis(1_795_435_200_000);

fn analysis(status: AnalysisStatus) -> Analysis {
    Analysis {
        status,
        called_back: Some(Callback {
            session: "ses-1".parse().expect("a session"),
            outcome: AnalysisOutcome::Failed(FailureCode::unspecified()),
        }),
        ..Analysis::begun(CommandId::new(NOW), BegunBy::Request, NOW)
    }
}

/// Recommends to dismiss the finding, with medium confidence.
fn result() -> AnalysisResult {
    AnalysisResult {
        exploitability: Exploitability::NotExploitable,
        reasoning: "It is not called.".to_owned(),
        usage_locations: Vec::new(),
        suggested_fix: None,
        suggested_action: SuggestedAction::Dismiss,
        confidence: Confidence::Medium,
        summary: "Not used.".to_owned(),
    }
}

/// Enabled, with automatic dismissals from medium confidence.
fn settings() -> Settings {
    Settings {
        enabled: true,
        auto_dismiss: AutoDismiss {
            enabled: true,
            min_confidence: Confidence::Medium,
        },
        ..Settings::default()
    }
}

#[test]
fn only_a_callback_of_the_attempt_in_flight_is_recorded() {
    for (status, waits) in [
        (AnalysisStatus::Pending, true),
        (AnalysisStatus::Running, true),
        (AnalysisStatus::Completed, false),
        (AnalysisStatus::Failed, false),
    ] {
        let seen = analysis(status);
        let found = waiting(Some(&seen), seen.attempt);
        let callback = seen.called_back.as_ref().expect("it was received");
        assert_eq!(found, waits.then_some((&seen, callback)), "{status:?}");
        assert_eq!(
            waiting(Some(&seen), CommandId::new(NOW)),
            None,
            "another attempt"
        );
        let silent = Analysis {
            called_back: None,
            ..seen
        };
        assert_eq!(waiting(Some(&silent), silent.attempt), None);
        assert_eq!(waiting(None, silent.attempt), None);
    }
}

#[test]
fn a_dismissal_needs_the_owners_settings_and_the_results_advice() {
    let open = FindingStatus::Open;
    assert!(is_to_be_dismissed(&settings(), open, &result()));
    let disabled = Settings {
        enabled: false,
        ..settings()
    };
    let manual = Settings {
        auto_dismiss: AutoDismiss {
            enabled: false,
            ..settings().auto_dismiss
        },
        ..settings()
    };
    for settings in [disabled, manual] {
        assert!(!is_to_be_dismissed(&settings, open, &result()));
    }
    for status in [
        FindingStatus::Fixed,
        FindingStatus::Ignored,
        FindingStatus::Closed,
    ] {
        assert!(!is_to_be_dismissed(&settings(), status, &result()));
    }
    for suggested_action in [
        SuggestedAction::OpenPr,
        SuggestedAction::ManualReview,
        SuggestedAction::Monitor,
    ] {
        let result = AnalysisResult {
            suggested_action,
            ..result()
        };
        assert!(!is_to_be_dismissed(&settings(), open, &result));
    }
    for (confidence, is_enough) in [
        (Confidence::Low, false),
        (Confidence::Medium, true),
        (Confidence::High, true),
    ] {
        let result = AnalysisResult {
            confidence,
            ..result()
        };
        assert_eq!(is_to_be_dismissed(&settings(), open, &result), is_enough);
    }
}

#[test]
fn only_an_unused_package_is_dismissed_as_not_used() {
    for (exploitability, used, expected) in [
        (
            Exploitability::NotExploitable,
            false,
            DismissReason::NotUsed,
        ),
        (
            Exploitability::NotExploitable,
            true,
            DismissReason::TolerableRisk,
        ),
        (
            Exploitability::Exploitable,
            false,
            DismissReason::TolerableRisk,
        ),
        (Exploitability::Unknown, false, DismissReason::TolerableRisk),
    ] {
        let usage_locations = used.then(|| "src/main.js:7".into());
        let result = AnalysisResult {
            exploitability,
            usage_locations: usage_locations.into_iter().collect(),
            ..result()
        };
        assert_eq!(reason(&result), expected, "{exploitability:?}");
    }
}

#[test]
fn an_automatic_dismissals_comment_is_valid_at_github() {
    assert!(comment().is_some());
}
