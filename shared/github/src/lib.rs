//! A client of GitHub's REST API for alerts. Knows no commands, owners or rows.
//!
//! ```text
//!   Github ── calls, redirects, one fresh token ──┬─▶ app        credentials: JWT, installation tokens
//!                                                 ├─▶ transport  HTTP: tries, backoff, size limits
//!                                                 ├─▶ answer     the meaning of an answer (pure, total)
//!                                                 └─▶ link       the next page of a listing (pure)
//! ```
//!
//! No error contains text from a body, a token or a URL.

mod alert;
mod answer;
mod app;
mod base;
mod config;
mod installation;
mod json;
mod link;
mod source;
#[cfg(test)]
mod testing;
mod transport;

pub use alert::{Alert, Dismissal, NotMappable, Unreadable};
pub use answer::{Answer, Classified, RateLimit, RateLimitKind, Refusal, classify};
pub use app::CredentialsError;
pub use base::RepositoryPath;
pub use config::{ApiVersion, AppId, GithubConfig, InvalidSetting};
pub use installation::{AlertsAccess, Installation, InstallationRepositories};
pub use link::{LinkRefusal, Next, PageRequest};

use std::{collections::HashSet, sync::Arc, time::Duration};

use reqwest::{Method, Url};
use serde::de::DeserializeOwned;
use serde_json::{Value, value::RawValue};
use tokio::time::Instant;

use answer::{location, refusal};
use app::{Access, App};
use base::AlertPaths as _;
use domain::{
    Timestamp,
    finding::{AlertNumber, DismissReason, FindingId, Repository, Source},
    installation::InstallationId,
};
use installation::{Pages, RepositoriesPage};
use link::{MalformedLink, NextPage};
use outbound::{
    BaseUrl,
    secrets::{SecretText, Secrets},
};
use transport::{Call, FIRST_WAIT, Reading, Repeat, Transport};

/// A client of GitHub. Clones share connections and tokens.
#[derive(Clone, Debug)]
pub struct Github {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    base: BaseUrl,
    app: App,
    transport: Transport,
}

/// Names an alert within its repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AlertId {
    /// The kind of alert.
    pub source: Source,
    /// Its number.
    pub number: AlertNumber,
}

impl From<FindingId> for AlertId {
    fn from(finding: FindingId) -> Self {
        Self {
            source: finding.source,
            number: finding.number,
        }
    }
}

/// The time of a call, and its deadline.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    /// The time by the caller's clock.
    pub now: Timestamp,
    /// The deadline of the whole call: getting a token, all tries and the waits between them.
    pub deadline: Instant,
}

/// An answer to a listing of alerts.
#[derive(Clone, Debug)]
pub enum Listed {
    /// A page of the listing.
    Page(AlertsPage),
    /// Nothing has changed.
    NotModified,
}

/// A page of a repository's alerts.
#[derive(Clone, Debug)]
pub struct AlertsPage {
    /// The alerts, newest update first.
    pub alerts: Vec<Alert>,
    /// The alerts that this version cannot read.
    pub unreadable: Vec<Unreadable>,
    /// What follows the page.
    pub next: Next,
    /// The repository that GitHub redirected us to, if it did.
    pub led_to: Option<RepositoryPath>,
}

/// A failed call.
#[derive(Debug, thiserror::Error)]
pub enum GithubError {
    /// GitHub answered with a refusal.
    #[error("{refusal}")]
    Refused {
        /// Why.
        refusal: Refusal,
        /// The repository that GitHub redirected us to, if it did.
        led_to: Option<RepositoryPath>,
    },
    /// GitHub did not answer completely, after retries. A change may or may not have been made.
    #[error("cannot reach GitHub")]
    Network {
        /// What happened.
        #[source]
        source: reqwest::Error,
    },
    /// The deadline passed before GitHub answered. A change may or may not have been made.
    #[error("GitHub did not answer before the deadline")]
    OutOfTime,
    /// The App's credentials cannot be used. No request was sent.
    #[error("cannot sign in to GitHub")]
    Credentials {
        /// Why.
        #[from]
        source: CredentialsError,
    },
    /// The cursor belongs to another listing. No request was sent.
    #[error("cursor is not one of this repository's alerts")]
    PageElsewhere,
    /// The HTTP client could not be created.
    #[error("cannot create the HTTP client for GitHub")]
    Client {
        /// Why.
        #[source]
        source: reqwest::Error,
    },
}

impl From<Refusal> for GithubError {
    fn from(refusal: Refusal) -> Self {
        Self::Refused {
            refusal,
            led_to: None,
        }
    }
}

/// The value that was read, and the repository that it came from.
struct Fetched<T> {
    value: T,
    led_to: Option<RepositoryPath>,
}

impl Github {
    /// A client that signs with the private key in `secrets`. Sends no request yet.
    pub fn new(config: &GithubConfig, secrets: Secrets) -> Result<Self, GithubError> {
        Self::with_first_wait(config, secrets, FIRST_WAIT)
    }

    fn with_first_wait(
        config: &GithubConfig,
        secrets: Secrets,
        first_wait: Duration,
    ) -> Result<Self, GithubError> {
        let transport = Transport::new(&config.base_url, &config.api_version, first_wait)?;
        let app = App::new(config, secrets);
        Ok(Self {
            inner: Arc::new(Inner {
                base: config.base_url.clone(),
                app,
                transport,
            }),
        })
    }

    /// Every repository that `installation` can access: all pages, or an error.
    pub async fn installation_repositories(
        &self,
        installation: InstallationId,
        budget: Budget,
    ) -> Result<InstallationRepositories, GithubError> {
        let base = &self.inner.base;
        let mut url = base.at(format_args!("/installation/repositories?per_page=100"));
        let mut followed = HashSet::new();
        let mut pages = Pages::default();
        // A link to an earlier page would make this loop endless.
        while followed.insert(url.clone()) {
            let read = |answer: &Answer, url: &Url| match answer.status {
                200 => match serde_json::from_slice::<RepositoriesPage<'_>>(&answer.body) {
                    Ok(page) => match link::next_link(&answer.headers, base, url) {
                        Ok(next) => match next.transpose() {
                            Ok(next) => Reading::Done((page.read(), next)),
                            Err(_) => Reading::Refused(Refusal::Malformed),
                        },
                        Err(MalformedLink) => Reading::Refused(Refusal::Malformed),
                    },
                    Err(_) => Reading::Refused(Refusal::Malformed),
                },
                _ => not_read(answer, budget.now),
            };
            let fetched = self
                .call(
                    installation,
                    // The same token as the listings of alerts that follow, so none is minted for this call alone.
                    Access::ReadAlerts(Source::Dependabot),
                    Call::get(url.clone()),
                    budget,
                    read,
                )
                .await?;
            let (page, next) = fetched.value;
            pages.add(page);
            match next {
                None => return Ok(pages.finish()),
                Some(next) if next.path() == url.path() => url = next,
                Some(_) => break,
            }
        }
        Err(Refusal::Malformed.into())
    }

    /// A page of at most 100 of a repository's alerts, in all states, newest update first.
    pub async fn alerts_page(
        &self,
        installation: InstallationId,
        source: Source,
        repository: &Repository,
        page: PageRequest<'_>,
        budget: Budget,
    ) -> Result<Listed, GithubError> {
        let base = &self.inner.base;
        let url = match page {
            PageRequest::First => base.alerts(source, repository),
            PageRequest::Next(next) => NextPage::of(next)
                .and_then(|next| next.url_for(base, source, repository))
                .ok_or(GithubError::PageElsewhere)?,
        };
        let read = |answer: &Answer, url: &Url| match classify(answer, budget.now) {
            Classified::Page(raw) => {
                let (mut alerts, mut unreadable) = (Vec::with_capacity(raw.len()), Vec::new());
                for alert in raw {
                    match Alert::read(source, repository, alert) {
                        Ok(alert) => alerts.push(alert),
                        Err(unread) => unreadable.push(unread),
                    }
                }
                match link::after(&answer.headers, base, source, repository, page, url) {
                    Ok(next) => Reading::Done(Listed::Page(AlertsPage {
                        alerts,
                        unreadable,
                        next,
                        led_to: None,
                    })),
                    Err(MalformedLink) => Reading::Refused(Refusal::Malformed),
                }
            }
            Classified::NotModified => Reading::Done(Listed::NotModified),
            Classified::Moved(to) => moved(answer.status, to),
            Classified::Refused(refusal) => Reading::Refused(refusal),
        };
        let fetched = self
            .call(
                installation,
                Access::ReadAlerts(source),
                Call::get(url),
                budget,
                read,
            )
            .await?;
        Ok(match fetched.value {
            Listed::Page(page) => Listed::Page(AlertsPage {
                led_to: fetched.led_to,
                ..page
            }),
            Listed::NotModified => Listed::NotModified,
        })
    }

    /// The current state of one alert.
    pub async fn alert(
        &self,
        installation: InstallationId,
        repository: &Repository,
        alert: AlertId,
        budget: Budget,
    ) -> Result<Alert, GithubError> {
        let call = Call {
            only: Some(repository.id),
            ..Call::get(
                self.inner
                    .base
                    .alert(alert.source, repository, alert.number),
            )
        };
        self.one_alert(
            installation,
            Access::ReadAlerts(alert.source),
            repository,
            alert,
            call,
            budget,
        )
        .await
    }

    /// Dismisses an alert, and returns it as GitHub then shows it. It is still open if the organisation reviews
    /// dismissals.
    ///
    /// Sent only once. After [`GithubError::Network`], [`GithubError::OutOfTime`], [`Refusal::ServerError`] or
    /// [`Refusal::Malformed`] the outcome is unknown: check it with [`Github::alert`] before a retry.
    pub async fn dismiss_alert(
        &self,
        installation: InstallationId,
        repository: &Repository,
        alert: AlertId,
        reason: DismissReason,
        comment: Option<&str>,
        budget: Budget,
    ) -> Result<Alert, GithubError> {
        let change = source::of(alert.source).dismissal(reason, comment);
        self.change_alert(installation, repository, alert, &change, budget)
            .await
    }

    /// Reopens an alert, and returns it as GitHub then shows it. Sent only once, like [`Github::dismiss_alert`].
    pub async fn reopen_alert(
        &self,
        installation: InstallationId,
        repository: &Repository,
        alert: AlertId,
        budget: Budget,
    ) -> Result<Alert, GithubError> {
        let change = source::of(alert.source).reopening();
        self.change_alert(installation, repository, alert, &change, budget)
            .await
    }

    async fn change_alert(
        &self,
        installation: InstallationId,
        repository: &Repository,
        alert: AlertId,
        change: &Value,
        budget: Budget,
    ) -> Result<Alert, GithubError> {
        let call = Call {
            method: Method::PATCH,
            url: self
                .inner
                .base
                .alert(alert.source, repository, alert.number),
            body: Some(change.to_string().into_bytes()),
            // A repeat could dismiss an alert that somebody has reopened since.
            repeat: Repeat::Never,
            only: Some(repository.id),
        };
        self.one_alert(
            installation,
            Access::WriteAlerts(alert.source),
            repository,
            alert,
            call,
            budget,
        )
        .await
    }

    /// Makes a call whose answer is one alert.
    async fn one_alert(
        &self,
        installation: InstallationId,
        access: Access,
        repository: &Repository,
        alert: AlertId,
        call: Call,
        budget: Budget,
    ) -> Result<Alert, GithubError> {
        let read = |answer: &Answer, _: &Url| match object::<Box<RawValue>>(answer, budget.now) {
            Reading::Done(raw) => match Alert::read(alert.source, repository, &raw) {
                Ok(alert) => Reading::Done(alert),
                Err(_) => Reading::Refused(Refusal::Malformed),
            },
            Reading::Moved { status, to } => Reading::Moved { status, to },
            Reading::Refused(refusal) => Reading::Refused(refusal),
        };
        Ok(self
            .call(installation, access, call, budget, read)
            .await?
            .value)
    }

    /// A token for the agent that reads the contents of `repository` and nothing else, for an hour. Never cached, so it
    /// always lasts the whole hour.
    pub async fn contents_token(
        &self,
        installation: InstallationId,
        repository: &Repository,
        budget: Budget,
    ) -> Result<SecretText, GithubError> {
        let Inner { app, transport, .. } = &*self.inner;
        app.contents_token(transport, installation, repository.id, budget)
            .await
    }

    /// An installation and its permissions.
    pub async fn installation(
        &self,
        installation: InstallationId,
        budget: Budget,
    ) -> Result<Installation, GithubError> {
        let Inner {
            base,
            app,
            transport,
        } = &*self.inner;
        let call = Call::get(base.at(format_args!("/app/installations/{installation}")));
        app.as_app(transport, &call, budget, |answer| {
            object(answer, budget.now)
        })
        .await
    }

    /// Makes a call with a token of `installation`. Follows one redirect, if it leads to the same resource of a
    /// repository at the same host. Repeats the call once with a fresh token if GitHub rejects the cached one.
    async fn call<T>(
        &self,
        installation: InstallationId,
        access: Access,
        mut call: Call,
        budget: Budget,
        read: impl Fn(&Answer, &Url) -> Reading<T>,
    ) -> Result<Fetched<T>, GithubError> {
        let Inner {
            base,
            app,
            transport,
        } = &*self.inner;
        let mut led_to = None;
        let mut refused_before = false;
        loop {
            let token = app.token(transport, installation, access, budget).await?;
            let url = call.url.clone();
            let reading = transport
                .make(&call, &token.text, budget.deadline, |answer| {
                    read(answer, &url)
                })
                .await?;
            let refusal = match reading {
                Reading::Done(value) => return Ok(Fetched { value, led_to }),
                Reading::Moved { status, to } => match redirected(base, &url, &to) {
                    Some((_, repository)) if !call.may_concern(&repository) => Refusal::Unavailable,
                    Some((target, repository)) if led_to.is_none() => {
                        call.url = target;
                        led_to = Some(repository);
                        continue;
                    }
                    Some(_) | None => Refusal::Unexpected { status },
                },
                Reading::Refused(Refusal::AuthInvalid) => {
                    app.forget(installation, access, &token).await;
                    if !refused_before {
                        refused_before = true;
                        continue;
                    }
                    Refusal::AuthInvalid
                }
                Reading::Refused(refusal) => refusal,
            };
            return Err(GithubError::Refused { refusal, led_to });
        }
    }
}

impl Call {
    /// Whether a redirect to `path` certainly leads to the repository of the call. After a rename, another repository
    /// may have taken the name.
    fn may_concern(&self, path: &RepositoryPath) -> bool {
        match (self.only, path) {
            (None, _) => true,
            (Some(only), RepositoryPath::Id(id)) => only == *id,
            (Some(_), RepositoryPath::Name(_)) => false,
        }
    }
}

/// The URL and the repository that a redirect leads to, if it may be followed. A target without a query gets ours,
/// which sets the order and size of the pages.
fn redirected(base: &BaseUrl, from: &Url, location: &str) -> Option<(Url, RepositoryPath)> {
    let mut target = from.join(location).ok()?;
    let repository = base.led_to(from, &target)?;
    if target.query().is_none() {
        target.set_query(from.query());
    }
    Some((target, repository))
}

fn moved<T>(status: u16, to: &str) -> Reading<T> {
    Reading::Moved {
        status,
        to: to.to_owned(),
    }
}

/// Reads a body that is one object.
fn object<T: DeserializeOwned>(answer: &Answer, now: Timestamp) -> Reading<T> {
    match answer.status {
        200 => match serde_json::from_slice(&answer.body) {
            Ok(object) => Reading::Done(object),
            Err(_) => Reading::Refused(Refusal::Malformed),
        },
        _ => not_read(answer, now),
    }
}

fn not_read<T>(answer: &Answer, now: Timestamp) -> Reading<T> {
    match location(answer) {
        Some(to) => moved(answer.status, to),
        None => Reading::Refused(refusal(answer, now)),
    }
}

#[cfg(test)]
mod tests;
