//! What each of GitHub's refusals means for a pass and a repository.

use super::*;
use crate::samples::{name, noon, repository};
use RepositoryFailure as Failure;
use domain::finding::RepositoryId;
use github::{CredentialsError, RateLimit, RateLimitKind};
use outbound::secrets::{SecretError, SecretName};

fn refused(refusal: Refusal) -> GithubError {
    GithubError::from(refusal)
}

fn limited() -> Refusal {
    Refusal::RateLimited(RateLimit {
        until: noon(90),
        kind: RateLimitKind::Secondary,
    })
}

fn failed_with(status: u16, retry_after: Option<Duration>) -> Refusal {
    Refusal::ServerError {
        status,
        retry_after,
    }
}

/// Any HTTP failure.
fn of_http() -> reqwest::Error {
    let request = reqwest::Client::new().get("nowhere").build();
    request.expect_err("no URL")
}

fn network() -> GithubError {
    GithubError::Network { source: of_http() }
}

fn client() -> GithubError {
    GithubError::Client { source: of_http() }
}

fn credentials() -> GithubError {
    let name = SecretName::new("key");
    CredentialsError::from(SecretError::NoText { name }).into()
}

#[test]
fn a_failed_listing_of_the_installation_stops_the_pass_or_is_retried() {
    let may_pass = |error, after| Unlisted::MayPass { error, after };
    let pause = Some(Duration::from_secs(7));
    for (error, means) in [
        (
            refused(Refusal::AuthInvalid),
            Unlisted::Stops(Stop::AuthInvalid),
        ),
        (
            refused(Refusal::Unavailable),
            Unlisted::Stops(Stop::AuthInvalid),
        ),
        (
            refused(Refusal::PermissionMissing),
            Unlisted::Stops(Stop::AuthInvalid),
        ),
        (
            refused(limited()),
            Unlisted::Stops(Stop::RateLimited(noon(90))),
        ),
        (credentials(), Unlisted::Stops(Stop::NoCredentials)),
        (
            refused(failed_with(503, pause)),
            may_pass(LastError::GithubStatus(503), pause),
        ),
        (
            refused(Refusal::Unexpected { status: 418 }),
            may_pass(LastError::GithubStatus(418), None),
        ),
        (
            refused(Refusal::Malformed),
            may_pass(LastError::GithubUnreachable, None),
        ),
        (network(), may_pass(LastError::GithubUnreachable, None)),
        (
            GithubError::OutOfTime,
            may_pass(LastError::GithubUnreachable, None),
        ),
    ] {
        assert_eq!(Unlisted::from(&error), means, "{error:?}");
    }
}

/// What an error means for octo/app-7, in an installation that also has octo/app-8.
fn ungiven(error: &GithubError, stop: Option<Stop>) -> Ungiven {
    Ungiven::of(error, &repository(7), &[repository(7), repository(8)], stop)
}

#[test]
fn a_refusal_fails_its_repository_or_stops_the_delivery() {
    let failed = |failure| (Some(failure), None, None);
    for (error, (failure, stop, status)) in [
        (
            refused(Refusal::AuthInvalid),
            (
                Some(Failure::GithubAuthInvalid),
                Some(Stop::AuthInvalid),
                None,
            ),
        ),
        (
            refused(limited()),
            (None, Some(Stop::RateLimited(noon(90))), None),
        ),
        (credentials(), (None, Some(Stop::NoCredentials), None)),
        (client(), (None, Some(Stop::NoCredentials), None)),
        (
            refused(Refusal::Unavailable),
            failed(Failure::RepositoryUnavailable),
        ),
        (
            refused(Refusal::Gone),
            failed(Failure::RepositoryUnavailable),
        ),
        (
            refused(Refusal::PermissionMissing),
            failed(Failure::GithubPermissionMissing),
        ),
        (
            refused(Refusal::AlertsDisabled),
            failed(Failure::DependabotAlertsDisabled),
        ),
        (refused(Refusal::Malformed), failed(Failure::SyncFailed)),
        (network(), failed(Failure::SyncFailed)),
        (GithubError::PageElsewhere, failed(Failure::SyncFailed)),
        (
            refused(failed_with(503, None)),
            (Some(Failure::SyncFailed), None, Some(503)),
        ),
        (
            refused(Refusal::Unexpected { status: 418 }),
            (Some(Failure::SyncFailed), None, Some(418)),
        ),
    ] {
        let means = Ungiven {
            failure,
            stop,
            status,
        };
        assert_eq!(ungiven(&error, None), means, "{error:?}");
    }
}

#[test]
fn a_timeout_fails_its_repository_unless_the_delivery_is_stopping() {
    let goes_on = Ungiven::default();
    assert_eq!(
        ungiven(&GithubError::OutOfTime, Some(Stop::OutOfTime)),
        goes_on
    );
    assert_eq!(
        ungiven(&GithubError::OutOfTime, None).failure,
        Some(Failure::SyncFailed)
    );
}

#[test]
fn after_a_redirect_another_repositorys_refusal_does_not_count() {
    let led_to = |path: Option<RepositoryPath>, refusal| {
        let led_to = path;
        ungiven(&GithubError::Refused { refusal, led_to }, None).failure
    };
    let another = RepositoryPath::Id(RepositoryId::new(8));
    let renamed = RepositoryPath::Name(name("octo/new"));
    for (refusal, own) in [
        (Refusal::AlertsDisabled, Failure::DependabotAlertsDisabled),
        (Refusal::PermissionMissing, Failure::GithubPermissionMissing),
    ] {
        let unavailable = Some(Failure::RepositoryUnavailable);
        assert_eq!(led_to(Some(another.clone()), refusal), unavailable);
        assert_eq!(led_to(Some(renamed.clone()), refusal), Some(own));
    }
}

#[test]
fn a_redirect_to_another_repository_of_the_installation_leads_away() {
    let all = [repository(7), repository(8)];
    let away = |path: RepositoryPath| leads_away(Some(&path), &all[0], &all);
    assert!(!leads_away(None, &all[0], &all), "no redirect");
    for id in [8, 9] {
        assert!(away(RepositoryPath::Id(RepositoryId::new(id))));
    }
    assert!(!away(RepositoryPath::Id(RepositoryId::new(7))));
    assert!(away(RepositoryPath::Name(name("Octo/App-8"))));
    let own = ["octo/app-7", "OCTO/APP-7", "octo/a-new-name"];
    for own in own {
        assert!(!away(RepositoryPath::Name(name(own))), "{own}");
    }
}
