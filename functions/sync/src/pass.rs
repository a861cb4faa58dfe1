//! One delivery's part of a pass over an owner's repositories: refreshes a bounded number at a time, records their
//! outcomes, and updates the owner's row by them.

use std::time::Duration;

use domain::{
    Timestamp,
    command::{CommandKind as _, LastError, SyncFindings},
    finding::RepositoryName,
    owner::Owner,
};
use futures::stream::{self, StreamExt};
use runtime::worker::{Effected, Invocation};
use store::{
    ledger::{Claim, Outcome},
    owners::{Integration, OwnerRecord},
    pace::Pace,
    repositories::{RepositoryFailure, RepositoryOutcome, RepositoryRecord},
    table::Caused,
};
use telemetry::chain;
use tokio::time::{Instant, MissedTickBehavior};
use tracing::warn;
use uuid::Uuid;

use crate::{
    Sync,
    barred::to_ask_with,
    brake::{Brake, Stop},
    refusals::Unlisted,
    scope::{Left, Scope, Target},
    tally::{Tally, completed},
};

/// The most repositories listed at once. GitHub allows 100 concurrent requests per installation.
const CONCURRENCY: usize = 8;
/// The interval between heartbeats, which also write the progress.
const REPORT_EVERY: Duration = Duration::from_secs(2);

/// How long before the work must end the last findings are written, so that their repositories' checkpoints can be.
const WRAP_UP: Duration = Duration::from_secs(2);
/// How long a delivery writes at least, however little time it has.
const MIN_WRITING: Duration = Duration::from_secs(1);

/// One delivery's part of a pass.
#[derive(Debug)]
pub(crate) struct Pass<'a> {
    pub(crate) sync: &'a Sync,
    pub(crate) owner: &'a Owner,
    /// If set, the pass is about this repository only, selected or not.
    pub(crate) only: Option<&'a RepositoryName>,
    /// The pass's id, the same in all its deliveries.
    pub(crate) id: Uuid,
    /// When the pass's first delivery began.
    pub(crate) began: Timestamp,
    pub(crate) invocation: Invocation,
    pub(crate) reporter: Reporter<'a>,
}

/// Where progress is reported.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Reporter<'a> {
    /// To the command's row, by a heartbeat.
    Command(&'a Claim),
    /// Nowhere: a scheduled sync has no row.
    Nobody,
}

impl Pass<'_> {
    /// Refreshes the repositories that are left of the pass.
    pub(crate) async fn run(&self) -> Effected {
        let read = tokio::join!(
            self.sync.owners.read(self.owner),
            self.sync.repositories.read(self.owner)
        );
        let (owner, records) = match read {
            (Ok(owner), Ok(records)) => (owner, records),
            (Err(error), _) => return self.unavailable(&error),
            (_, Err(error)) => return self.unavailable(&error),
        };
        let so_far = Tally::so_far(&records, self.id);
        let integration = match to_ask_with(&owner, self.now()) {
            Ok(integration) => integration,
            Err(barred) => return so_far.barred(barred),
        };
        match self.scope(&owner, integration, &records, so_far).await {
            Ok(scope) => self.refresh_all(&owner, integration, scope).await,
            Err(effected) => effected,
        }
    }

    /// Returns the repositories to refresh: the installation's current list, narrowed by the owner's selection.
    async fn scope(
        &self,
        owner: &OwnerRecord,
        integration: &Integration,
        records: &[RepositoryRecord],
        so_far: Tally,
    ) -> Result<Scope, Effected> {
        if let Some(scope) = self.only.and_then(|name| Scope::known(name, records)) {
            return Ok(scope);
        }
        let listed = self
            .sync
            .github
            .installation_repositories(integration.installation, self.github_budget())
            .await;
        let listed = match listed {
            Ok(listed) => listed.repositories,
            Err(error) => {
                warn!(error = %chain(&error), "cannot list the installation's repositories");
                return Err(match Unlisted::from(&error) {
                    Unlisted::Stops(stop) => self.conclude(&so_far, Some(stop), None).await,
                    Unlisted::MayPass { error, after } => Effected::Transient { error, after },
                });
            }
        };
        Scope::listed(&listed, &owner.settings, self.only, records).ok_or_else(|| {
            let error = LastError::NotInInstallation;
            so_far.ended_by(RepositoryFailure::RepositoryUnavailable, error)
        })
    }

    async fn refresh_all(
        &self,
        owner: &OwnerRecord,
        integration: &Integration,
        scope: Scope,
    ) -> Effected {
        let now = self.now();
        let Left {
            all,
            listings,
            mut tally,
            targets,
        } = scope.left(self.id, now);
        // Recorded before anything is fetched, so that the rows show the attempt even if the worker dies.
        let repositories = &self.sync.repositories;
        if let Err(error) = repositories.record(self.owner, &listings, now).await {
            return self.unavailable(&error);
        }

        let brake = Brake::new(self.invocation.deadline, Instant::now());
        let pace = self.pace(&targets);
        let installation = integration.installation;
        let mut stopped = Vec::new();
        let mut ends = stream::iter(&targets)
            .map(async |target| {
                let ended = self
                    .refresh(installation, target, &all, (&brake, &pace))
                    .await;
                ended.ok_or(target)
            })
            .buffer_unordered(CONCURRENCY);
        let mut report = tokio::time::interval(REPORT_EVERY);
        report.set_missed_tick_behavior(MissedTickBehavior::Delay);
        report.reset();
        loop {
            tokio::select! {
                ended = ends.next() => match ended {
                    Some(Ok(ended)) => tally.count(ended),
                    Some(Err(target)) => stopped.push(target),
                    None => break,
                },
                _ = report.tick() => self.report(&tally, &brake).await,
            }
        }
        drop(ends);
        tally.wrote(brake.written.get());
        tally.found_full(brake.full.get());
        // Before the command's end is written: if the worker dies in between, the redelivery runs automation again.
        if owner.settings.auto_analysis.enabled
            && let Err(error) = self.sync.automation.advance(self.owner, self.now()).await
        {
            return self.unavailable(&error);
        }
        if brake.accepted.get()
            && let Some(seen) = integration.auth_invalid_at
            && let Err(error) = self.sync.owners.clear_auth_invalid(self.owner, seen).await
        {
            return self.unavailable(&error);
        }
        let stop = brake.on();
        let effected = self.conclude(&tally, stop, brake.failed.get()).await;
        if let (Some(Stop::RateLimited(_)), Effected::Ended(_)) = (stop, &effected) {
            self.give_up(&stopped).await;
        }
        effected
    }

    /// Returns the pace of the owner's findings. A delivery that resumes a listing follows one that had the burst.
    fn pace(&self, targets: &[Target]) -> Pace {
        let until = self.invocation.work_until() - WRAP_UP;
        let until = until.max(Instant::now() + MIN_WRITING);
        if targets.iter().any(|target| target.from.is_some()) {
            Pace::steady(until)
        } else {
            Pace::new(until)
        }
    }

    /// Records the rate limit as the failure of the repositories that it kept from being refreshed.
    async fn give_up(&self, stopped: &[&Target]) {
        let outcome = RepositoryOutcome::Failed(RepositoryFailure::GithubRateLimited);
        let recorded = stream::iter(stopped).map(|target| {
            let (id, begun) = (target.repository.id, target.begun);
            self.sync
                .repositories
                .finish(self.owner, id, self.id, begun, &outcome)
        });
        let recorded: Vec<_> = recorded.buffer_unordered(CONCURRENCY).collect().await;
        for error in recorded.into_iter().filter_map(Result::err) {
            warn!(error = %chain(&error), "cannot record a repository's outcome");
        }
    }

    /// Sends a heartbeat with the progress. A lost claim stops the pass.
    async fn report(&self, tally: &Tally, brake: &Brake) {
        let (Reporter::Command(claim), Some(progress)) = (self.reporter, tally.progress()) else {
            return;
        };
        match self
            .sync
            .worker
            .ledger
            .heartbeat(claim, progress, self.now())
            .await
        {
            Ok(Outcome::Applied(_) | Outcome::AlreadyApplied(_)) => {}
            Ok(Outcome::Refused(_) | Outcome::Missing) => {
                brake.pull(Stop::Fenced);
            }
            Err(error) => {
                warn!(error = %chain(&error), "cannot report progress");
            }
        }
    }

    /// Returns the effect of the delivery. Records on the owner's row that GitHub rejects the credentials, or that the
    /// sync is complete.
    async fn conclude(&self, tally: &Tally, stop: Option<Stop>, failed: Option<u16>) -> Effected {
        let now = self.now();
        if stop == Some(Stop::AuthInvalid)
            && let Err(error) = self.sync.owners.mark_auth_invalid(self.owner, now).await
        {
            return self.unavailable(&error);
        }
        let resumes = |until| {
            self.sync
                .worker
                .resumes_at(until, self.began, SyncFindings::BUDGET)
        };
        let effected = tally.comes_to(stop, failed, (self.began, now), resumes);
        if self.only.is_none()
            && completed(&effected).is_some()
            && let Err(error) = self.sync.owners.mark_synced(self.owner, self.began).await
        {
            return self.unavailable(&error);
        }
        effected
    }

    fn unavailable(&self, error: &(impl std::error::Error + Caused + 'static)) -> Effected {
        let worker = &self.sync.worker;
        worker.unavailable(error, self.began, SyncFindings::BUDGET)
    }

    fn now(&self) -> Timestamp {
        self.sync.worker.clock.now()
    }
}
