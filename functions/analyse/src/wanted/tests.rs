//! Every reason to refuse a launch, before and after it has its slot.

use super::*;
use domain::installation::InstallationId;
use domain::{
    analysis::{AnalysisOutcome, Callback, FailureCode},
    command::CommandId,
    settings::{AutoAnalysis, Settings},
};
use store::owners::Integration;

const NOW: Timestamp = Timestamp::from_millis(1_795_435_200_000);
/// A minute ago.
const BEFORE: Timestamp = Timestamp::from_millis(1_795_435_140_000);
/// An hour ago.
const LONG_BEFORE: Timestamp = Timestamp::from_millis(1_795_431_600_000);

const OPEN: FindingStatus = FindingStatus::Open;

/// Enabled, with automatic analyses, and connected.
fn owner() -> OwnerRecord {
    OwnerRecord {
        settings: Settings {
            enabled: true,
            auto_analysis: AutoAnalysis {
                enabled: true,
                ..AutoAnalysis::default()
            },
            ..Settings::default()
        },
        integration: Some(Integration {
            installation: InstallationId::new(1),
            can_read_alerts: true,
            auth_invalid_at: None,
        }),
        ..OwnerRecord::default()
    }
}

fn analysis(status: AnalysisStatus) -> Analysis {
    Analysis {
        status,
        ..Analysis::begun(CommandId::new(NOW), BegunBy::Request, NOW)
    }
}

fn session() -> SessionId {
    "ses-1".parse().expect("a session")
}

/// A pending analysis whose session is known: from the launch, or from the agent's callback.
fn told() -> [Analysis; 2] {
    let pending = analysis(AnalysisStatus::Pending);
    let callback = Callback {
        session: session(),
        outcome: AnalysisOutcome::Failed(FailureCode::unspecified()),
    };
    [
        Analysis {
            cloud_session: Some(session()),
            ..pending.clone()
        },
        Analysis {
            called_back: Some(callback),
            ..pending
        },
    ]
}

fn refused(code: ResultCode, error: Option<LastError>) -> Result<(), Refusal> {
    Err(Refusal { code, error })
}

/// Checks that the answer is the same before and after the slot is taken.
#[track_caller]
fn both(owner: &OwnerRecord, origin: Origin, finding: FindingStatus, answer: Result<(), Refusal>) {
    let pending = analysis(AnalysisStatus::Pending);
    assert_eq!(may_begin(owner, origin, finding, None, false, NOW), answer);
    assert_eq!(may_go_on(owner, origin, finding, &pending, NOW), answer);
}

#[test]
fn a_launch_needs_an_enabled_owner_and_valid_credentials() {
    use ResultCode::{ConfigDisabled, GithubAuthInvalid, GithubTokenUnavailable};
    for origin in [Origin::Manual, Origin::AutoAnalysis] {
        both(&owner(), origin, OPEN, Ok(()));
        let mut disabled = owner();
        disabled.settings.enabled = false;
        both(&disabled, origin, OPEN, refused(ConfigDisabled, None));
        let unconnected = OwnerRecord {
            integration: None,
            ..owner()
        };
        let error = Some(LastError::NotConnected);
        let answer = refused(GithubTokenUnavailable, error);
        both(&unconnected, origin, OPEN, answer);
        let refused_at = |at| {
            let mut owner = owner();
            let integration = owner.integration.as_mut().expect("it is connected");
            integration.auth_invalid_at = Some(at);
            owner
        };
        let error = Some(LastError::CredentialsRefused(BEFORE));
        let answer = refused(GithubAuthInvalid, error);
        both(&refused_at(BEFORE), origin, OPEN, answer);
        both(&refused_at(LONG_BEFORE), origin, OPEN, Ok(()));
    }
    let mut manual_only = owner();
    manual_only.settings.auto_analysis.enabled = false;
    both(&manual_only, Origin::Manual, OPEN, Ok(()));
    let answer = refused(ConfigDisabled, None);
    both(&manual_only, Origin::AutoAnalysis, OPEN, answer);
}

#[test]
fn a_launch_needs_an_open_finding() {
    for status in [
        FindingStatus::Fixed,
        FindingStatus::Ignored,
        FindingStatus::Closed,
    ] {
        let answer = refused(ResultCode::FindingUnavailable, None);
        both(&owner(), Origin::Manual, status, answer);
    }
}

#[test]
fn an_analysis_in_flight_is_replaced_only_on_request() {
    let begins = |status, restarts| {
        let before = analysis(status);
        let owner = owner();
        may_begin(&owner, Origin::Manual, OPEN, Some(&before), restarts, NOW)
    };
    for restarts in [false, true] {
        for ended in [AnalysisStatus::Completed, AnalysisStatus::Failed] {
            assert_eq!(begins(ended, restarts), Ok(()), "{ended:?}");
        }
        let in_progress = refused(ResultCode::AlreadyInProgress, None);
        let expected = if restarts { Ok(()) } else { in_progress };
        for in_flight in [AnalysisStatus::Pending, AnalysisStatus::Running] {
            assert_eq!(begins(in_flight, restarts), expected, "{in_flight:?}");
        }
    }
}

#[test]
fn a_started_session_is_recorded_whatever_the_settings_are_now() {
    let nobody = OwnerRecord::default();
    let goes_on = |mine: &Analysis| {
        let closed = FindingStatus::Closed;
        may_go_on(&nobody, Origin::Manual, closed, mine, NOW)
    };
    for told in told() {
        assert_eq!(goes_on(&told), Ok(()));
    }
    for status in [
        AnalysisStatus::Running,
        AnalysisStatus::Completed,
        AnalysisStatus::Failed,
    ] {
        assert_eq!(goes_on(&analysis(status)), Ok(()), "{status:?}");
    }
    let pending = analysis(AnalysisStatus::Pending);
    assert!(goes_on(&pending).is_err());
}

#[test]
fn only_automatic_commands_use_automations_share_of_slots() {
    let begun = [Origin::AutoAnalysis, Origin::Manual, Origin::AutoDismiss].map(begun_by);
    assert_eq!(
        begun,
        [BegunBy::Automation, BegunBy::Request, BegunBy::Request]
    );
}

#[test]
fn a_slot_is_given_back_only_while_held_and_without_a_session() {
    assert_eq!(next(None), Next::End);
    for told in told() {
        assert_eq!(next(Some(&told)), Next::Record(session()));
    }
    for (status, expected) in [
        (AnalysisStatus::Pending, Next::GiveBack),
        (AnalysisStatus::Running, Next::GiveBack),
        (AnalysisStatus::Completed, Next::End),
        (AnalysisStatus::Failed, Next::End),
    ] {
        assert_eq!(next(Some(&analysis(status))), expected, "{status:?}");
    }
}
