//! One repository: list its alerts, store what differs, say how it ended.

use std::{cell::Cell, time::Duration};

use security_agent::{
    Timestamp,
    finding::{Finding, Repository},
    findings::Arrival,
    github::{
        Alert, AlertsPage, Budget, GithubError, InstallationId, Listed, Next, NextPage,
        PageRequest, Refusal, RepositoryPath,
    },
    repositories::{
        Cursor, PassState, RepositoryFailure, RepositoryOutcome, RepositoryRecord, Watermark,
    },
    telemetry::chain,
};
use tokio::time::Instant;
use tracing::{info, warn};

use crate::pass::Pass;

/// How long before the watermark a listing still compares: updates of one moment may appear one after the other.
const OVERLAP: Duration = Duration::from_secs(300);
/// A listing goes to its end at least so often. Less than a day, so that cycles of some hours keep the promise of one.
const COMPLETE_EVERY: Duration = Duration::from_secs(20 * 3600);
/// The most alerts that a watermark remembers; others are merely compared again.
const SEEN: usize = 100;

/// A repository to be refreshed.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) repository: Repository,
    pub(crate) record: Option<RepositoryRecord>,
}

/// What all repositories of a delivery share: a reason to stop.
#[derive(Debug)]
pub(crate) struct Brake {
    soft: Instant,
    stop: Cell<Option<Stop>>,
    /// The last failure of GitHub's that may pass.
    pub(crate) failed: Cell<Option<u16>>,
    /// Whether GitHub accepted the credentials.
    pub(crate) accepted: Cell<bool>,
}

/// Why a delivery stops before everything is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// GitHub refuses the credentials: nobody else need ask.
    AuthInvalid,
    /// GitHub's rate limit.
    RateLimited(Timestamp),
    /// The delivery's time is up.
    OutOfTime,
    /// The data store fails.
    StoreUnavailable,
    /// Our own credentials cannot be read.
    NoCredentials,
    /// The claim is lost.
    Fenced,
}

impl Brake {
    pub(crate) const fn new(soft: Instant) -> Self {
        Self {
            soft,
            stop: Cell::new(None),
            failed: Cell::new(None),
            accepted: Cell::new(false),
        }
    }

    /// Why to stop, if there is a reason.
    pub(crate) fn on(&self) -> Option<Stop> {
        self.stop
            .get()
            .or((Instant::now() >= self.soft).then_some(Stop::OutOfTime))
    }

    /// Stops everybody. The first reason stands, but the later of two limits counts, and a lost claim outdoes all.
    pub(crate) fn pull(&self, stop: Stop) -> Stop {
        let stop = match (self.stop.get(), stop) {
            (None | Some(Stop::OutOfTime), stop) | (_, stop @ Stop::Fenced) => stop,
            (Some(Stop::RateLimited(a)), Stop::RateLimited(b)) => Stop::RateLimited(a.max(b)),
            (Some(first), _) => first,
        };
        self.stop.set(Some(stop));
        stop
    }
}

/// How a repository ended in this delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// Refreshed.
    Succeeded,
    /// Not, and this is recorded.
    Failed(RepositoryFailure),
    /// Not finished.
    Stopped,
}

enum Listing {
    Done(RepositoryOutcome),
    Stopped,
}

impl Pass<'_> {
    /// Refreshes one repository and records the outcome.
    pub(crate) async fn refresh(
        &self,
        installation: InstallationId,
        target: &Target,
        all: &[Repository],
        attempted: Timestamp,
        brake: &Brake,
    ) -> Ended {
        let id = target.repository.id;
        let outcome = match self.list(installation, target, all, brake).await {
            Listing::Done(outcome) => outcome,
            Listing::Stopped => return Ended::Stopped,
        };
        let ended = match &outcome {
            RepositoryOutcome::Succeeded { .. } => Ended::Succeeded,
            RepositoryOutcome::Failed(failure) => {
                info!(repository.id = %id, repository.failure = failure.as_str(), "a repository could not be refreshed");
                Ended::Failed(*failure)
            }
        };
        let recorded = self
            .sync
            .repositories
            .finish(self.owner, id, self.id, attempted, &outcome)
            .await;
        if let Err(error) = recorded {
            warn!(repository.id = %id, error = %chain(&error), "a repository's outcome could not be recorded");
            brake.pull(Stop::StoreUnavailable);
            return Ended::Stopped;
        }
        ended
    }

    async fn list(
        &self,
        installation: InstallationId,
        target: &Target,
        all: &[Repository],
        brake: &Brake,
    ) -> Listing {
        let known = target
            .record
            .as_ref()
            .and_then(|record| record.watermark.clone());
        let mut cursor = match self.paused(target) {
            Some(cursor) => Progressing::resumed(cursor),
            None => Progressing::new(self.is_complete_due(target)),
        };
        let mut fetched = self
            .fetch(installation, target, cursor.next.as_ref(), brake)
            .await;
        if matches!(fetched, Err(GithubError::PageElsewhere)) {
            // What was kept is no page of this repository any more: from the beginning.
            cursor = Progressing::new(self.is_complete_due(target));
            fetched = self.fetch(installation, target, None, brake).await;
        }
        let arrival = match &known {
            Some(_) => Arrival::New,
            None => Arrival::Backlog,
        };
        let known = known.unwrap_or_default();
        loop {
            let page = match fetched {
                Ok(Some(Listed::Page(page))) => page,
                Ok(Some(Listed::NotModified)) => {
                    return Listing::Done(RepositoryOutcome::Succeeded {
                        watermark: known,
                        complete: false,
                    });
                }
                Ok(None) => return self.pause(target, &cursor).await,
                Err(error) => return self.refused(target, &cursor, &error, brake).await,
            };
            brake.accepted.set(true);
            if leads_away(page.led_to.as_ref(), &target.repository, all) {
                return failed(RepositoryFailure::RepositoryUnavailable);
            }
            let (findings, seen_all) = cursor.take(&page, &target.repository, &known);
            let next = match page.next {
                Next::Page(_) if seen_all => None,
                Next::Page(next) => Some(next),
                Next::End => None,
                Next::Refused(refusal) => {
                    warn!(repository.id = %target.repository.id, ?refusal, "a listing's next page is not to be followed");
                    cursor.broken = true;
                    None
                }
            };
            let store = self.sync.findings.store(
                self.owner,
                target.repository.id,
                findings,
                arrival,
                self.sync.worker.clock.now(),
            );
            // The next page is fetched while this one is stored.
            let following = async {
                match &next {
                    Some(next) => self
                        .fetch(installation, target, Some(next), brake)
                        .await
                        .map(Some),
                    None => Ok(None),
                }
            };
            let (stored, following) = tokio::join!(store, following);
            match stored {
                Ok(stored) => cursor.unstorable |= stored.unstorable > 0,
                Err(error) => {
                    warn!(repository.id = %target.repository.id, error = %chain(&error), "findings could not be stored");
                    brake.pull(Stop::StoreUnavailable);
                    return Listing::Stopped;
                }
            }
            cursor.next = next;
            fetched = match following {
                Ok(None) => return Listing::Done(cursor.outcome(&known)),
                Ok(Some(following)) => Ok(following),
                Err(error) => Err(error),
            };
        }
    }

    /// A page, or `None` if the delivery must stop.
    async fn fetch(
        &self,
        installation: InstallationId,
        target: &Target,
        next: Option<&NextPage>,
        brake: &Brake,
    ) -> Result<Option<Listed>, GithubError> {
        if brake.on().is_some() {
            return Ok(None);
        }
        let request = next.map_or(PageRequest::First, PageRequest::Next);
        self.sync
            .github
            .alerts_page(
                installation,
                &target.repository,
                request,
                self.github_budget(),
            )
            .await
            .map(Some)
    }

    pub(crate) fn github_budget(&self) -> Budget {
        Budget {
            now: self.sync.worker.clock.now(),
            deadline: self.invocation.ask_until(),
        }
    }

    async fn refused(
        &self,
        target: &Target,
        cursor: &Progressing,
        error: &GithubError,
        brake: &Brake,
    ) -> Listing {
        let id = target.repository.id;
        match error {
            GithubError::Refused { refusal, .. } => match refusal {
                Refusal::AuthInvalid => {
                    brake.pull(Stop::AuthInvalid);
                    failed(RepositoryFailure::GithubAuthInvalid)
                }
                Refusal::Unavailable | Refusal::Gone => {
                    failed(RepositoryFailure::RepositoryUnavailable)
                }
                Refusal::PermissionMissing => failed(RepositoryFailure::GithubPermissionMissing),
                Refusal::AlertsDisabled => failed(RepositoryFailure::DependabotAlertsDisabled),
                Refusal::RateLimited(limit) => {
                    brake.pull(Stop::RateLimited(limit.until));
                    self.pause(target, cursor).await
                }
                Refusal::ServerError { status, .. } | Refusal::Unexpected { status } => {
                    brake.failed.set(Some(*status));
                    failed(RepositoryFailure::SyncFailed)
                }
                Refusal::Malformed => failed(RepositoryFailure::SyncFailed),
            },
            GithubError::OutOfTime if brake.on().is_some() => self.pause(target, cursor).await,
            GithubError::Network { .. } | GithubError::OutOfTime | GithubError::PageElsewhere => {
                warn!(repository.id = %id, error = %chain(error), "GitHub gave no usable answer");
                failed(RepositoryFailure::SyncFailed)
            }
            GithubError::Credentials { .. } | GithubError::Client { .. } => {
                warn!(error = %chain(error), "the GitHub App's own credentials cannot be used");
                brake.pull(Stop::NoCredentials);
                Listing::Stopped
            }
        }
    }

    /// Where this very pass stopped in the repository, if it did.
    fn paused(&self, target: &Target) -> Option<Cursor> {
        let pass = target
            .record
            .as_ref()?
            .pass
            .as_ref()
            .filter(|pass| pass.id == self.id)?;
        match &pass.state {
            PassState::Paused(cursor) => Some((**cursor).clone()),
            PassState::Begun | PassState::Finished => None,
        }
    }

    fn is_complete_due(&self, target: &Target) -> bool {
        let now = self.sync.worker.clock.now();
        let last = target
            .record
            .as_ref()
            .and_then(|record| record.completed_at);
        last.is_none_or(|last| now.since(last) >= COMPLETE_EVERY)
    }

    /// Keeps where the listing is, for the next delivery. Without a page of its own it simply begins again.
    async fn pause(&self, target: &Target, cursor: &Progressing) -> Listing {
        if let Some(cursor) = cursor.kept() {
            let id = target.repository.id;
            let paused = self
                .sync
                .repositories
                .pause(self.owner, id, self.id, &cursor)
                .await;
            if let Err(error) = paused {
                warn!(repository.id = %id, error = %chain(&error), "the cursor could not be kept; the next delivery begins again");
            }
        }
        Listing::Stopped
    }
}

const fn failed(failure: RepositoryFailure) -> Listing {
    Listing::Done(RepositoryOutcome::Failed(failure))
}

/// Whether a redirect led to another repository than the one asked for. A new name of the same one is fine.
fn leads_away(led_to: Option<&RepositoryPath>, asked: &Repository, all: &[Repository]) -> bool {
    match led_to {
        None => false,
        Some(path @ RepositoryPath::Id(_)) => path.is_other_than(asked),
        Some(RepositoryPath::Name(name)) => all
            .iter()
            .any(|other| other.id != asked.id && other.name.same_as(name)),
    }
}

/// A listing under way.
#[derive(Clone, Debug)]
struct Progressing {
    next: Option<NextPage>,
    watermark: Watermark,
    complete: bool,
    unstorable: bool,
    /// The listing cannot be followed to where it should end.
    broken: bool,
}

impl Progressing {
    fn new(complete: bool) -> Self {
        Self {
            next: None,
            watermark: Watermark::default(),
            complete,
            unstorable: false,
            broken: false,
        }
    }

    fn resumed(cursor: Cursor) -> Self {
        let Cursor {
            next,
            watermark,
            complete,
            unstorable,
        } = cursor;
        Self {
            next: Some(next),
            watermark,
            complete,
            unstorable,
            broken: false,
        }
    }

    fn kept(&self) -> Option<Cursor> {
        Some(Cursor {
            next: self.next.clone()?,
            watermark: self.watermark.clone(),
            complete: self.complete,
            unstorable: self.unstorable,
        })
    }

    /// Takes a page's alerts: gives those to be stored, and whether what follows has been seen before.
    fn take(
        &mut self,
        page: &AlertsPage,
        repository: &Repository,
        known: &Watermark,
    ) -> (Vec<Finding>, bool) {
        self.unstorable |= !page.unreadable.is_empty();
        let newest = page.alerts.iter().map(|alert| alert.updated_at).max();
        if self.watermark.updated_at.is_none() {
            self.watermark.updated_at = newest;
        }
        let seen_from = known.updated_at.map(|at| at - OVERLAP);
        let mut findings = Vec::with_capacity(page.alerts.len());
        for alert in &page.alerts {
            let finding = match Finding::from_alert(repository, alert) {
                Ok(finding) => finding,
                Err(error) => {
                    warn!(repository.id = %repository.id, error = %chain(&error), "an alert cannot be stored");
                    self.unstorable = true;
                    continue;
                }
            };
            let before = known.seen.get(&alert.number);
            let near = self.in_overlap(alert) && self.watermark.seen.len() < SEEN;
            // A hash of the whole finding: only where somebody asks for it.
            let digest = (near || before.is_some()).then(|| finding.digest());
            let unchanged = before.is_some() && before == digest.as_ref();
            if let Some(digest) = digest.filter(|_| near) {
                self.watermark.seen.insert(alert.number, digest);
            }
            let passed = seen_from.is_some_and(|from| alert.updated_at < from);
            if self.complete || !(unchanged || passed) {
                findings.push(finding);
            }
        }
        let oldest = page.alerts.last().map(|alert| alert.updated_at);
        let seen_all = !self.complete
            && matches!((seen_from, oldest), (Some(from), Some(oldest)) if oldest < from);
        (findings, seen_all)
    }

    fn in_overlap(&self, alert: &Alert) -> bool {
        self.watermark
            .updated_at
            .is_some_and(|at| alert.updated_at >= at - OVERLAP)
    }

    fn outcome(self, known: &Watermark) -> RepositoryOutcome {
        if self.broken {
            return RepositoryOutcome::Failed(RepositoryFailure::SyncFailed);
        }
        if self.unstorable {
            // The watermark stays, so that the next pass tries what could not be stored again.
            return RepositoryOutcome::Failed(RepositoryFailure::SyncPartialFailure);
        }
        let watermark = match (self.watermark.updated_at, known.updated_at) {
            // A listing that showed nothing newer: what was known stands.
            (None, Some(_)) => known.clone(),
            (Some(new), Some(old)) if new < old => known.clone(),
            _ => self.watermark,
        };
        RepositoryOutcome::Succeeded {
            watermark,
            complete: self.complete,
        }
    }
}
