//! What each failure to get a session or a token means for the command.

use github::{RateLimit, RateLimitKind};

use super::*;

const BEGAN: Timestamp = Timestamp::from_millis(1_795_435_200_000);

fn minutes(minutes: u64) -> Timestamp {
    BEGAN + Duration::from_secs(60 * minutes)
}

fn permanent(code: ResultCode, effect: Effect, error: LastError) -> NotBegun {
    NotBegun::Permanent(Failure {
        code,
        effect,
        error: Some(error),
    })
}

#[test]
fn an_agents_refusal_ends_the_command_and_other_failures_are_retried() {
    let status = LastError::AgentStatus;
    let minute = Some(Duration::from_secs(60));
    let busy = |retry_after| AgentError::Busy {
        status: 503,
        retry_after,
    };
    for (error, expected) in [
        (
            AgentError::NoCredits,
            permanent(ResultCode::InsufficientCredits, Effect::None, status(402)),
        ),
        (
            AgentError::Refused { status: 422 },
            permanent(ResultCode::AnalysisLaunchFailed, Effect::None, status(422)),
        ),
        (busy(minute), NotBegun::Transient(status(503), minute)),
        (busy(None), NotBegun::Transient(status(503), None)),
        (
            AgentError::Malformed,
            NotBegun::Transient(LastError::AgentUnreachable, None),
        ),
        (
            AgentError::OutOfTime,
            NotBegun::Transient(LastError::AgentUnreachable, None),
        ),
    ] {
        let failed = LaunchFailed {
            error,
            may_have_begun: false,
        };
        assert_eq!(not_begun(&failed, Effect::None), expected);
    }
}

#[test]
fn a_refusals_effect_includes_what_earlier_tries_may_have_done() {
    for (may_have_begun, so_far, effect) in [
        (false, Effect::None, Effect::None),
        (false, Effect::Unknown, Effect::Unknown),
        (true, Effect::None, Effect::Unknown),
        (true, Effect::Unknown, Effect::Unknown),
    ] {
        let failed = LaunchFailed {
            error: AgentError::NoCredits,
            may_have_begun,
        };
        let error = LastError::AgentStatus(402);
        let expected = permanent(ResultCode::InsufficientCredits, effect, error);
        assert_eq!(not_begun(&failed, so_far), expected);
    }
}

/// What a refusal of the token means, if the command may wait for any rate limit to end.
fn refused(refusal: Refusal, so_far: Effect) -> NotBegun {
    withheld(&refusal.into(), BEGAN, minutes(1), so_far, Some)
}

#[test]
fn githubs_refusal_ends_the_command_and_other_failures_are_retried() {
    let ends = |code, error| permanent(code, Effect::Unknown, error);
    let none = || {
        ends(
            ResultCode::GithubTokenUnavailable,
            LastError::NoRepositoryToken,
        )
    };
    for (refusal, expected) in [
        (
            Refusal::AuthInvalid,
            ends(
                ResultCode::GithubAuthInvalid,
                LastError::CredentialsRefused(minutes(1)),
            ),
        ),
        (Refusal::Unavailable, none()),
        (Refusal::PermissionMissing, none()),
        (Refusal::AlertsDisabled, none()),
        (Refusal::Gone, none()),
        (Refusal::Unexpected { status: 422 }, none()),
        (
            Refusal::ServerError {
                status: 502,
                retry_after: None,
            },
            NotBegun::Transient(LastError::GithubStatus(502), None),
        ),
        (
            Refusal::Malformed,
            NotBegun::Transient(LastError::GithubUnreachable, None),
        ),
    ] {
        assert_eq!(refused(refusal, Effect::Unknown), expected, "{refusal}");
    }
    for error in [GithubError::OutOfTime, GithubError::PageElsewhere] {
        let expected = NotBegun::Transient(LastError::GithubUnreachable, None);
        assert_eq!(
            withheld(&error, BEGAN, minutes(1), Effect::None, Some),
            expected
        );
    }
}

#[test]
fn a_rate_limit_is_waited_for_only_while_the_slot_is_held() {
    let limited = |until, resumes_at: Option<Timestamp>| {
        let refusal = Refusal::RateLimited(RateLimit {
            until,
            kind: RateLimitKind::Primary,
        });
        withheld(&refusal.into(), BEGAN, BEGAN, Effect::None, |asked| {
            assert_eq!(asked, until);
            resumes_at
        })
    };
    let last = BEGAN + PENDING_FOR - Duration::from_millis(1);
    for at in [minutes(1), last] {
        let error = LastError::RateLimited(minutes(1));
        assert_eq!(
            limited(minutes(1), Some(at)),
            NotBegun::Limited(at, error),
            "{at}"
        );
    }
    for at in [Some(BEGAN + PENDING_FOR), Some(minutes(60)), None] {
        let error = LastError::RateLimited(minutes(60));
        let expected = permanent(ResultCode::GithubRateLimited, Effect::None, error);
        assert_eq!(limited(minutes(60), at), expected, "{at:?}");
    }
}

/// The models and the mode that these options select.
fn chosen(options: &StartAnalysis) -> (String, String, AnalysisMode) {
    let settings = Settings {
        analysis_model: "configured".to_owned(),
        triage_model: "configured-triage".to_owned(),
        analysis_mode: AnalysisMode::Shallow,
        ..Settings::default()
    };
    let manner = Manner::of(options, &settings);
    (
        manner.model.to_owned(),
        manner.triage_model.to_owned(),
        manner.mode,
    )
}

#[test]
fn the_commands_options_override_the_owners_settings() {
    let model = |name: &str| Some(name.parse().expect("a name"));
    let of = |options| {
        let (analysis, triage, mode) = chosen(&options);
        format!("{analysis} {triage} {mode:?}")
    };
    let none = || StartAnalysis::of("dependabot-7-42".parse().expect("an id"));
    assert_eq!(of(none()), "configured configured-triage Shallow");
    let both = StartAnalysis {
        model: model("both"),
        ..none()
    };
    assert_eq!(of(both.clone()), "both both Shallow");
    let triage = StartAnalysis {
        triage_model: model("triage"),
        ..both.clone()
    };
    assert_eq!(of(triage), "both triage Shallow");
    let analysis = StartAnalysis {
        analysis_model: model("analysis"),
        ..both
    };
    assert_eq!(of(analysis), "analysis both Shallow");
    let sandbox = StartAnalysis {
        force_sandbox: true,
        ..none()
    };
    assert_eq!(of(sandbox), "configured configured-triage Deep");
}
