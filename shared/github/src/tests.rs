//! The client against a stub of GitHub.

mod one_alert;
mod paging;
mod redirects;
mod retries;
mod signing_in;

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use serde_json::{Value, json};
use tokio::{
    io::AsyncReadExt as _,
    net::TcpListener,
    time::{Instant, timeout},
};

use super::{
    testing::{
        APP, INSTALLATION, NOON, Reply, SecretStore, Seen, Stub, budget, claims, client, keys,
        minted, minted_until, repository,
    },
    *,
};
use domain::{change::AlertState, finding::RepositoryId};

const FIRST: &str = "/repos/octo/app/dependabot/alerts?per_page=100&sort=updated&direction=desc";

fn alert(number: u32) -> Value {
    json!({
        "number": number, "state": "open", "dependency": {}, "html_url": "https://github.com/octo/app/security/dependabot/1",
        "security_advisory": {"ghsa_id": "GHSA-c2qf-rxjj-qqgw", "summary": "A", "description": "B", "cwes": []},
        "security_vulnerability": {
            "package": {"ecosystem": "npm", "name": "semver"}, "severity": "medium", "vulnerable_version_range": "< 7.5.2"
        },
        "created_at": "2026-06-24T13:57:12Z", "updated_at": "2026-06-24T13:57:12Z"
    })
}

async fn list(github: &Github) -> Result<Listed, GithubError> {
    github
        .alerts_page(
            INSTALLATION,
            Source::Dependabot,
            &repository(),
            PageRequest::First,
            budget(),
        )
        .await
}

fn page(listed: Result<Listed, GithubError>) -> AlertsPage {
    match listed.expect("an answer") {
        Listed::Page(page) => page,
        Listed::NotModified => panic!("a page was asked for"),
    }
}

fn refused(error: GithubError) -> Refusal {
    match error {
        GithubError::Refused { refusal, .. } => refusal,
        other => panic!("no refusal: {other:?}"),
    }
}

fn numbers(page: &AlertsPage) -> Vec<u32> {
    page.alerts.iter().map(|alert| alert.number.get()).collect()
}
