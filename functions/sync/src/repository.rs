//! One repository: list its alerts, store what differs, record how it ended.

use domain::finding::Repository;
use github::{Budget, GithubError, InstallationId, Listed, NextPage, PageRequest};
use store::{
    findings::Arrival,
    repositories::{RepositoryFailure, RepositoryOutcome},
};
use telemetry::chain;
use tracing::{info, warn};

use crate::{
    brake::{Brake, Stop},
    listing::Progressing,
    pass::Pass,
    refusals::{Ungiven, leads_away},
    scope::Target,
    tally::Ended,
};

impl Pass<'_> {
    /// Refreshes one repository and records the outcome. `None` if it goes on in a later delivery.
    pub(crate) async fn refresh(
        &self,
        installation: InstallationId,
        target: &Target,
        all: &[Repository],
        brake: &Brake,
    ) -> Option<Ended> {
        let id = target.repository.id;
        let outcome = self.list(installation, target, all, brake).await?;
        if let RepositoryOutcome::Failed(failure) = &outcome {
            info!(repository.id = %id, repository.failure = failure.as_str(), "a repository could not be refreshed");
        }
        let recorded = self
            .sync
            .repositories
            .finish(self.owner, id, self.id, target.begun, &outcome)
            .await;
        if let Err(error) = recorded {
            warn!(repository.id = %id, error = %chain(&error), "a repository's outcome could not be recorded");
            brake.pull(Stop::StoreUnavailable);
            return None;
        }
        Some(Ended::from(&outcome))
    }

    async fn list(
        &self,
        installation: InstallationId,
        target: &Target,
        all: &[Repository],
        brake: &Brake,
    ) -> Option<RepositoryOutcome> {
        let mut cursor = match target.from.clone() {
            Some(cursor) => Progressing::resumed(cursor),
            None => Progressing::new(target.complete),
        };
        let mut fetched = self
            .fetch(installation, target, cursor.next.as_ref(), brake)
            .await;
        if matches!(fetched, Err(GithubError::PageElsewhere)) {
            // What was kept is no page of this repository any more: from the beginning.
            cursor = Progressing::new(target.complete);
            fetched = self.fetch(installation, target, None, brake).await;
        }
        let (arrival, known) = match target.seen.clone() {
            Some(known) => (Arrival::New, known),
            None => (Arrival::Backlog, Default::default()),
        };
        loop {
            let page = match fetched {
                Ok(Some(Listed::Page(page))) => page,
                Ok(Some(Listed::NotModified)) => {
                    return Some(RepositoryOutcome::Succeeded {
                        watermark: known,
                        complete: false,
                    });
                }
                Ok(None) => {
                    self.pause(target, &cursor).await;
                    return None;
                }
                Err(error) => return self.ungiven(target, all, &cursor, &error, brake).await,
            };
            brake.accepted.set(true);
            if leads_away(page.led_to.as_ref(), &target.repository, all) {
                let failure = RepositoryFailure::RepositoryUnavailable;
                return Some(RepositoryOutcome::Failed(failure));
            }
            let (findings, next) = cursor.take(page, &target.repository, &known);
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
                    Some(next) => Some(self.fetch(installation, target, Some(next), brake).await),
                    None => None,
                }
            };
            let (stored, following) = tokio::join!(store, following);
            match stored {
                Ok(stored) => {
                    brake
                        .written
                        .update(|written| written.saturating_add(stored.written));
                    cursor.not_stored(stored.unstorable);
                }
                Err(error) => {
                    warn!(repository.id = %target.repository.id, error = %chain(&error), "findings could not be stored");
                    brake.pull(Stop::StoreUnavailable);
                    return None;
                }
            }
            cursor.next = next;
            fetched = match following {
                Some(following) => following,
                None => return Some(cursor.outcome(&known)),
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

    async fn ungiven(
        &self,
        target: &Target,
        all: &[Repository],
        cursor: &Progressing,
        error: &GithubError,
        brake: &Brake,
    ) -> Option<RepositoryOutcome> {
        if !matches!(error, GithubError::Refused { .. }) {
            warn!(repository.id = %target.repository.id, error = %chain(error), "GitHub gave no usable answer");
        }
        let Ungiven {
            failure,
            stop,
            status,
        } = Ungiven::of(error, &target.repository, all, brake.on());
        if let Some(stop) = stop {
            brake.pull(stop);
        }
        brake.failed.set(status.or(brake.failed.get()));
        if failure.is_none() {
            self.pause(target, cursor).await;
        }
        failure.map(RepositoryOutcome::Failed)
    }

    /// Keeps where the listing is, for the next delivery.
    async fn pause(&self, target: &Target, cursor: &Progressing) {
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
    }
}
