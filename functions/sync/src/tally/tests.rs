//! The outcome of a pass by the outcomes of its repositories.

use std::time::Duration;

use super::*;
use crate::samples::{OTHER, PASS, cursor, noon, record};
use RepositoryFailure as Failure;
use ResultCode as Code;
use domain::finding::Source;
use store::repositories::{Pass, PassState, RepositoryOutcome, Watermark, Watermarks};

const ALL_OK: [Ended; 2] = [Ended::Succeeded, Ended::Succeeded];

/// A tally of `total` repositories, of which these have ended.
fn tally(total: usize, ended: &[Ended]) -> Tally {
    let mut tally = Tally::of(total, 0);
    for ended in ended {
        tally.count(*ended);
    }
    tally
}

fn failures(failures: &[Failure]) -> Vec<Ended> {
    failures.iter().copied().map(Ended::Failed).collect()
}

/// The effect in a pass that began at noon, an hour ago, and may not wait for a rate limit.
fn comes_to(tally: &Tally, stop: Option<Stop>) -> Effected {
    tally.comes_to(stop, None, (noon(0), noon(3_600)), |_| None)
}

fn ending(effected: Effected) -> Ending {
    match effected {
        Effected::Ended(ending) => ending,
        other => panic!("{other:?}"),
    }
}

/// The error of a transient effect.
fn may_pass(effected: &Effected) -> Option<LastError> {
    match effected {
        Effected::Transient { error, after: None } => Some(*error),
        _ => None,
    }
}

/// The end of a pass whose repositories have all ended like this.
fn ends(ended: &[Ended]) -> Ending {
    ending(comes_to(&tally(ended.len(), ended), None))
}

#[test]
fn a_sync_ends_with_the_highest_ranked_of_its_failures() {
    for (met, code) in [
        (&[][..], Code::SyncCompleted),
        (&[Failure::DependabotAlertsDisabled], Code::SyncCompleted),
        (&[Failure::SyncFailed], Code::SyncPartialFailure),
        (&[Failure::SyncPartialFailure], Code::SyncPartialFailure),
        (
            &[Failure::GithubPermissionMissing],
            Code::SyncPartialFailure,
        ),
        (
            &[Failure::SyncFailed, Failure::GithubRateLimited],
            Code::GithubRateLimited,
        ),
        (
            &[
                Failure::SyncFailed,
                Failure::GithubRateLimited,
                Failure::GithubAuthInvalid,
            ],
            Code::GithubAuthInvalid,
        ),
        (
            &[
                Failure::GithubAuthInvalid,
                Failure::GithubRateLimited,
                Failure::RepositoryUnavailable,
            ],
            Code::RepositoryUnavailable,
        ),
    ] {
        let mut ended = failures(met);
        ended.push(Ended::Succeeded);
        assert_eq!(ends(&ended).code, code, "{met:?}");
    }
}

#[test]
fn an_effect_is_applied_only_if_a_repository_was_refreshed() {
    let skipped = Ended::Failed(Failure::DependabotAlertsDisabled);
    let gone = Ended::Failed(Failure::RepositoryUnavailable);
    assert_eq!(ends(&[gone, Ended::Succeeded]).effect, Effect::Applied);
    assert_eq!(ends(&[Ended::Succeeded]).effect, Effect::Applied);
    for nothing in [&[][..], &[gone], &[skipped], &[skipped, gone]] {
        assert_eq!(ends(nothing).effect, Effect::None, "{nothing:?}");
    }
}

#[test]
fn an_effect_is_applied_if_findings_were_written_before_a_failure() {
    for (written, effect) in [
        (&[][..], Effect::None),
        (&[0], Effect::None),
        (&[0, 1], Effect::Applied),
        (&[200, 0], Effect::Applied),
    ] {
        let mut tally = tally(1, &[]);
        for findings in written {
            tally.wrote(*findings);
        }
        let ending = ending(comes_to(&tally, Some(Stop::AuthInvalid)));
        assert_eq!(ending.effect, effect, "{written:?}");
    }
    let earlier = |from| {
        let mut tally = tally(2, &[]);
        tally.count_earlier(&Earlier::Begun { at: noon(0), from });
        tally.count_earlier(&Earlier::Nothing);
        assert_eq!(tally.progress(), Some(Progress { done: 0, total: 2 }));
        ending(comes_to(&tally, Some(Stop::AuthInvalid))).effect
    };
    assert_eq!(earlier(None), Effect::None);
    assert_eq!(earlier(Some(cursor())), Effect::Applied);
}

#[test]
fn progress_counts_refreshed_skipped_and_failed_repositories() {
    let mut tally = Tally::of(9, 0);
    assert_eq!(tally.progress(), Some(Progress { done: 0, total: 9 }));
    for (ended, times) in [
        (Ended::Succeeded, 2),
        (Ended::Failed(Failure::DependabotAlertsDisabled), 3),
        (Ended::Failed(Failure::SyncFailed), 1),
        (Ended::Failed(Failure::RepositoryUnavailable), 1),
    ] {
        for _ in 0..times {
            tally.count(ended);
        }
    }
    assert_eq!(tally.progress(), Some(Progress { done: 7, total: 9 }));
}

#[test]
fn a_selected_repository_that_has_left_counts_as_unavailable() {
    let mut tally = Tally::of(1, 2);
    assert_eq!(tally.progress(), Some(Progress { done: 2, total: 3 }));
    tally.count(Ended::Succeeded);
    let ending = ending(comes_to(&tally, None));
    let error = LastError::Repositories {
        failed: 2,
        total: 3,
    };
    assert_eq!(
        (ending.code, ending.effect, ending.last_error),
        (Code::RepositoryUnavailable, Effect::Applied, Some(error))
    );
}

#[test]
fn an_ends_error_counts_failed_and_all_repositories() {
    let ended = [
        Ended::Succeeded,
        Ended::Failed(Failure::DependabotAlertsDisabled),
        Ended::Failed(Failure::SyncPartialFailure),
    ];
    let ending = ends(&ended);
    let error = LastError::Repositories {
        failed: 1,
        total: 3,
    };
    assert_eq!(ending.last_error, Some(error));
    assert_eq!(ending.progress, Some(Progress { done: 3, total: 3 }));
    assert_eq!(ends(&ended[..2]).last_error, None, "none failed");
}

#[test]
fn a_pass_is_retried_only_if_all_failures_are_transient() {
    let failed = Ended::Failed(Failure::SyncFailed);
    let again = |ended: &[Ended], status| {
        let tally = tally(ended.len(), ended);
        may_pass(&tally.comes_to(None, status, (noon(0), noon(0)), |_| None))
    };
    let skipped = Ended::Failed(Failure::DependabotAlertsDisabled);
    assert_eq!(
        again(&[failed, skipped], Some(502)),
        Some(LastError::GithubStatus(502))
    );
    assert_eq!(
        again(&[failed, failed], None),
        Some(LastError::GithubUnreachable)
    );
    for ended in [
        &[failed, Ended::Succeeded][..],
        &[failed, Ended::Failed(Failure::GithubPermissionMissing)],
        &[Ended::Failed(Failure::SyncPartialFailure)],
        &[skipped],
        &[],
    ] {
        assert_eq!(again(ended, Some(502)), None, "{ended:?}");
    }
}

#[test]
fn own_failures_are_retried_and_a_lost_claim_ends_the_delivery() {
    for done in [&ALL_OK[..1], &ALL_OK] {
        let comes_to = |stop| comes_to(&tally(2, done), Some(stop));
        assert_eq!(
            may_pass(&comes_to(Stop::StoreUnavailable)),
            Some(LastError::StoreUnavailable)
        );
        assert_eq!(
            may_pass(&comes_to(Stop::NoCredentials)),
            Some(LastError::NoCredentials)
        );
        assert!(matches!(comes_to(Stop::Fenced), Effected::Fenced));
    }
}

#[test]
fn rejected_credentials_end_a_pass_at_once_and_say_since_when() {
    let error = Some(LastError::CredentialsRefused(noon(3_600)));
    let refused = |ended: &[Ended]| ending(comes_to(&tally(3, ended), Some(Stop::AuthInvalid)));
    assert_eq!(
        refused(&[]),
        Ending {
            code: Code::GithubAuthInvalid,
            effect: Effect::None,
            last_error: error,
            progress: Some(Progress { done: 0, total: 3 }),
        }
    );
    let ended = [
        Ended::Succeeded,
        Ended::Failed(Failure::RepositoryUnavailable),
    ];
    let outranked = refused(&ended);
    assert_eq!(
        (outranked.code, outranked.effect, outranked.last_error),
        (Code::RepositoryUnavailable, Effect::Applied, error)
    );
}

#[test]
fn a_rate_limit_is_waited_for_within_the_passs_budget() {
    let limited = |ended: &[Ended], resumes: Option<Timestamp>| {
        let times = (noon(0), noon(3_600));
        let stop = Some(Stop::RateLimited(noon(3_700)));
        tally(2, ended).comes_to(stop, None, times, |until| {
            assert_eq!(until, noon(3_700));
            resumes
        })
    };
    let waits = limited(&ALL_OK[..1], Some(noon(3_701)));
    let Effected::Continues {
        at,
        waits,
        progress,
        error,
    } = waits
    else {
        panic!("{waits:?}");
    };
    assert_eq!((at, waits), (noon(3_701), Waits::UntilThen));
    assert_eq!(progress, Some(Progress { done: 1, total: 2 }));
    assert_eq!(error, Some(LastError::RateLimited(noon(3_700))));

    assert_eq!(
        ending(limited(&ALL_OK[..1], None)),
        Ending {
            code: Code::GithubRateLimited,
            effect: Effect::Applied,
            last_error: Some(LastError::RateLimited(noon(3_700))),
            progress: Some(Progress { done: 1, total: 2 }),
        },
        "the error has the limit's end"
    );
    let outranked = [Ended::Failed(Failure::GithubAuthInvalid)];
    let outranked = ending(limited(&outranked, None));
    assert_eq!(outranked.code, Code::GithubAuthInvalid);
    let nothing_left = ending(limited(&ALL_OK, Some(noon(3_701))));
    assert_eq!(nothing_left.code, Code::SyncCompleted);
}

#[test]
fn a_pass_continues_in_later_deliveries_until_its_budget_is_spent() {
    let stopped = |stop, lasted: Duration, ended: &[Ended]| {
        let now = noon(0) + lasted;
        tally(2, ended).comes_to(stop, None, (noon(0), now), |_| None)
    };
    let after = |lasted, ended: &[Ended]| stopped(Some(Stop::OutOfTime), lasted, ended);
    let last = SyncFindings::BUDGET - Duration::from_millis(1);
    for lasted in [Duration::from_secs(20), last] {
        let goes_on = after(lasted, &ALL_OK[..1]);
        let Effected::Continues {
            at,
            waits,
            progress,
            error,
        } = goes_on
        else {
            panic!("{goes_on:?}");
        };
        assert_eq!((at, waits), (noon(0) + lasted, Waits::No), "immediately");
        let expected = Some(Progress { done: 1, total: 2 });
        assert_eq!((progress, error), (expected, None));
    }
    let for_no_reason = stopped(None, Duration::ZERO, &ALL_OK[..1]);
    assert!(
        matches!(for_no_reason, Effected::Continues { .. }),
        "unfinished repositories are continued: {for_no_reason:?}"
    );
    for lasted in [SyncFindings::BUDGET, SyncFindings::BUDGET * 2] {
        assert_eq!(
            ending(after(lasted, &ALL_OK[..1])),
            Ending {
                code: Code::SyncPartialFailure,
                effect: Effect::Applied,
                last_error: Some(LastError::BudgetSpent { done: 1, total: 2 }),
                progress: Some(Progress { done: 1, total: 2 }),
            }
        );
        let nothing_left = ending(after(lasted, &ALL_OK));
        assert_eq!(nothing_left.code, Code::SyncCompleted);
    }
}

/// Three repositories of this pass and two others.
fn so_far() -> Tally {
    let ended = |id, pass, last_failure| RepositoryRecord {
        last_attempted_at: Some(noon(0)),
        last_failure,
        pass: Some(Pass {
            id: pass,
            state: PassState::Finished,
        }),
        watermarks: Watermarks::from([(Source::Dependabot, Watermark::default())]),
        ..record(id)
    };
    let records = [
        ended(1, PASS, None),
        ended(2, PASS, Some(Failure::GithubPermissionMissing)),
        ended(3, PASS, Some(Failure::SyncFailed)),
        ended(4, OTHER, Some(Failure::RepositoryUnavailable)),
        record(5),
    ];
    Tally::so_far(&records, PASS)
}

#[test]
fn a_barred_delivery_keeps_the_effect_of_earlier_ones() {
    let error = LastError::NotConnected;
    assert_eq!(
        ending(so_far().barred(Barred::Rejected(error))),
        Ending {
            code: Code::GithubAuthInvalid,
            effect: Effect::Applied,
            last_error: Some(error),
            progress: None,
        }
    );
    assert_eq!(
        ending(so_far().barred(Barred::Disabled)),
        Ending {
            code: Code::ConfigDisabled,
            effect: Effect::Applied,
            last_error: None,
            progress: None,
        }
    );
    let nothing = ending(Tally::so_far(&[record(5)], PASS).barred(Barred::Disabled));
    assert_eq!(nothing.effect, Effect::None);
    let until = noon(3_700);
    let limited = so_far().comes_to(
        Some(Stop::RateLimited(until)),
        None,
        (noon(0), noon(3_600)),
        Some,
    );
    let Effected::Continues { at, progress, .. } = limited else {
        panic!("{limited:?}");
    };
    assert_eq!((at, progress), (until, None));
}

#[test]
fn a_sync_is_complete_only_with_the_code_for_it() {
    let of = |ended: &[Ended], stop| {
        let comes_to = comes_to(&tally(1, ended), stop);
        completed(&comes_to).map(|ending| ending.code)
    };
    assert_eq!(of(&ALL_OK[..1], None), Some(Code::SyncCompleted));
    let failed = failures(&[Failure::RepositoryUnavailable]);
    assert_eq!(of(&failed, None), None);
    assert_eq!(of(&[], Some(Stop::OutOfTime)), None);
    assert_eq!(of(&ALL_OK[..1], Some(Stop::Fenced)), None);
}

#[test]
fn a_repository_ends_as_its_outcome_is_recorded() {
    let succeeded = RepositoryOutcome::Succeeded {
        watermarks: Watermarks::new(),
        complete: false,
    };
    assert_eq!(Ended::from(&succeeded), Ended::Succeeded);
    let failure = Failure::SyncPartialFailure;
    let failed = RepositoryOutcome::Failed(failure);
    assert_eq!(Ended::from(&failed), Ended::Failed(failure));
}
