//! One repository: lists its alerts, stores those that differ, records the outcome.

use domain::{
    finding::{Repository, Source},
    installation::InstallationId,
    page::PageCursor,
};
use github::{Budget, GithubError, Listed, PageRequest};
use store::{
    findings::{Arrival, FindingsError},
    pace::Pace,
    repositories::{Checkpoint, RepositoryFailure, RepositoryOutcome, Watermark, Watermarks},
    table::Caused,
};
use telemetry::chain;
use tracing::{info, warn};

use crate::{
    brake::{Brake, Stop},
    earlier::Ended,
    listing::{Finished, Progressing},
    pass::Pass,
    refusals::{Ungiven, leads_away},
    scope::Target,
};

/// What to list, with which installation, and the stop signal.
#[derive(Clone, Copy)]
struct Of<'a> {
    installation: InstallationId,
    target: &'a Target,
    source: Source,
    /// Every repository of the installation.
    all: &'a [Repository],
    brake: &'a Brake,
    pace: &'a Pace,
}

impl Pass<'_> {
    /// Refreshes one repository and records the outcome. Returns `None` if it continues in a later delivery.
    pub(crate) async fn refresh(
        &self,
        installation: InstallationId,
        target: &Target,
        all: &[Repository],
        (brake, pace): (&Brake, &Pace),
    ) -> Option<Ended> {
        let id = target.repository.id;
        let outcome = self.list(installation, target, all, (brake, pace)).await?;
        if let RepositoryOutcome::Failed(failure) = &outcome {
            info!(repository.id = %id, repository.failure = failure.as_str(), "the repository was not refreshed");
        }
        let recorded = self
            .sync
            .repositories
            .finish(self.owner, id, self.id, target.begun, &outcome)
            .await;
        if let Err(error) = recorded {
            warn!(repository.id = %id, error = %chain(&error), "cannot record a repository's outcome");
            brake.pull(self.stop_by(&error));
            return None;
        }
        Some(Ended::from(&outcome))
    }

    async fn list(
        &self,
        installation: InstallationId,
        target: &Target,
        all: &[Repository],
        (brake, pace): (&Brake, &Pace),
    ) -> Option<RepositoryOutcome> {
        let mut from = target.from.clone();
        let mut done = from
            .as_mut()
            .map(|from| std::mem::take(&mut from.done))
            .unwrap_or_default();
        let mut complete = true;
        for &source in Source::ALL {
            if done.contains_key(&source) {
                continue;
            }
            let from = from.take_if(|from| from.source == source);
            let of = Of {
                installation,
                target,
                source,
                all,
                brake,
                pace,
            };
            match self.list_source(of, from, &done).await? {
                Ok(finished) => {
                    complete &= finished.complete;
                    done.insert(source, finished.watermark);
                }
                Err(failure) => return Some(RepositoryOutcome::Failed(failure)),
            }
        }
        Some(RepositoryOutcome::Succeeded {
            watermarks: done,
            complete,
        })
    }

    /// Lists the alerts of one source. Returns `None` if it continues in a later delivery.
    async fn list_source(
        &self,
        of: Of<'_>,
        from: Option<Checkpoint>,
        done: &Watermarks,
    ) -> Option<Result<Finished, RepositoryFailure>> {
        let Of {
            target,
            source,
            all,
            brake,
            pace,
            ..
        } = of;
        let mut cursor = match from {
            Some(from) => Progressing::resumed(from),
            None => Progressing::new(target.complete),
        };
        let mut fetched = self.fetch(of, cursor.next.as_ref()).await;
        if matches!(fetched, Err(GithubError::PageElsewhere)) {
            // The checkpoint no longer points to a page of this repository: start at the first page.
            cursor = Progressing::new(target.complete);
            fetched = self.fetch(of, None).await;
        }
        let (arrival, known) = match target.seen.get(&source) {
            Some(known) => (Arrival::New, known.clone()),
            None => (Arrival::Backlog, Watermark::default()),
        };
        loop {
            let page = match fetched {
                Ok(Some(Listed::Page(page))) => page,
                Ok(Some(Listed::NotModified)) => {
                    return Some(Ok(Finished {
                        watermark: known,
                        complete: false,
                    }));
                }
                Ok(None) => {
                    self.pause(of, &cursor, done).await;
                    return None;
                }
                Err(error) => return self.ungiven(of, &cursor, &error, done).await.map(Err),
            };
            brake.accepted.set(true);
            if leads_away(page.led_to.as_ref(), &target.repository, all) {
                return Some(Err(RepositoryFailure::RepositoryUnavailable));
            }
            let before = cursor.clone();
            let (findings, next) = cursor.take(page, &known);
            // Fetch the next page while this one is stored, unless this one has to wait: the delivery may end first.
            let ahead = next.as_ref().filter(|_| !pace.is_behind());
            let now = self.sync.worker.clock.now();
            let store = self.sync.findings.store(
                self.owner,
                target.repository.id,
                findings,
                (arrival, now),
                pace,
            );
            let following = async {
                match ahead {
                    Some(next) => Some(self.fetch(of, Some(next)).await),
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
                Err(error) => return self.unstored(of, &before, &error, done).await.map(Err),
            }
            cursor.next = next;
            fetched = match (following, &cursor.next) {
                (Some(following), _) => following,
                (None, Some(next)) => self.fetch(of, Some(next)).await,
                (None, None) => return Some(cursor.outcome(&known)),
            };
        }
    }

    /// Fetches a page. Returns `None` if the delivery must stop.
    async fn fetch(
        &self,
        of: Of<'_>,
        next: Option<&PageCursor>,
    ) -> Result<Option<Listed>, GithubError> {
        if of.brake.on().is_some() {
            return Ok(None);
        }
        let request = next.map_or(PageRequest::First, PageRequest::Next);
        self.sync
            .github
            .alerts_page(
                of.installation,
                of.source,
                &of.target.repository,
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
        of: Of<'_>,
        cursor: &Progressing,
        error: &GithubError,
        done: &Watermarks,
    ) -> Option<RepositoryFailure> {
        let Of {
            target, all, brake, ..
        } = of;
        if !matches!(error, GithubError::Refused { .. }) {
            warn!(repository.id = %target.repository.id, error = %chain(error), "cannot read a page of alerts from GitHub");
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
            self.pause(of, cursor, done).await;
        }
        failure
    }

    /// Decides what follows when a page could not be stored. The next delivery begins `before` it.
    async fn unstored(
        &self,
        of: Of<'_>,
        before: &Progressing,
        error: &FindingsError,
        done: &Watermarks,
    ) -> Option<RepositoryFailure> {
        if let FindingsError::OutOfTime { .. } = error {
            of.brake.pull(Stop::OutOfTime);
            self.pause(of, before, done).await;
            return None;
        }
        warn!(repository.id = %of.target.repository.id, error = %chain(error), "cannot store findings");
        if error.is_full() {
            of.brake.full.set(true);
            return Some(RepositoryFailure::SyncPartialFailure);
        }
        of.brake.pull(self.stop_by(error));
        if error.is_throttled() {
            self.pause(of, before, done).await;
        }
        None
    }

    /// Returns why a delivery stops whose store failed.
    fn stop_by(&self, error: &impl Caused) -> Stop {
        if error.is_throttled() {
            Stop::Throttled(self.sync.worker.throttled_until())
        } else {
            Stop::StoreUnavailable
        }
    }

    /// Saves the listing's checkpoint for the next delivery.
    async fn pause(&self, of: Of<'_>, cursor: &Progressing, done: &Watermarks) {
        if let Some(cursor) = cursor.kept(of.source, done) {
            let id = of.target.repository.id;
            let paused = self
                .sync
                .repositories
                .pause(self.owner, id, self.id, &cursor)
                .await;
            if let Err(error) = paused {
                warn!(repository.id = %id, error = %chain(&error), "cannot save the checkpoint; the next delivery lists the repository again");
            }
        }
    }
}
