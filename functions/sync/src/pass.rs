//! One delivery's part of a pass over an owner's repositories: a bounded number of them at a time, what is recorded on
//! the way, and what is known of the owner by their outcomes.

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
    repositories::{RepositoryFailure, RepositoryOutcome, RepositoryRecord},
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

/// How many repositories are listed at once. GitHub allows an installation 100 requests at a time.
const CONCURRENCY: usize = 8;
/// Progress is written at most so often.
const REPORT_EVERY: Duration = Duration::from_secs(2);

/// One delivery's part of a pass.
#[derive(Debug)]
pub(crate) struct Pass<'a> {
    pub(crate) sync: &'a Sync,
    pub(crate) owner: &'a Owner,
    /// Only this repository, selected or not.
    pub(crate) only: Option<&'a RepositoryName>,
    /// Names the pass through all its deliveries.
    pub(crate) id: Uuid,
    /// When its first delivery began.
    pub(crate) began: Timestamp,
    pub(crate) invocation: Invocation,
    pub(crate) reporter: Reporter<'a>,
}

/// Who hears of the progress.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Reporter<'a> {
    /// The command's row.
    Command(&'a Claim),
    /// Nobody: a scheduled sync has no row.
    Nobody,
}

impl Pass<'_> {
    /// Goes over what is left of the pass.
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

    /// Which repositories to refresh: what the installation lists now, narrowed by what the owner chose.
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
                warn!(error = %chain(&error), "the installation's repositories could not be listed");
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
        // Before anything is fetched: a worker that dies must have left a trace.
        let repositories = &self.sync.repositories;
        if let Err(error) = repositories.record(self.owner, &listings, now).await {
            return self.unavailable(&error);
        }

        let brake = Brake::new(self.invocation.deadline, Instant::now());
        let installation = integration.installation;
        let mut stopped = Vec::new();
        let mut ends = stream::iter(&targets)
            .map(async |target| {
                let ended = self.refresh(installation, target, &all, &brake).await;
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
        // Before the end is written down: a worker that dies in between is followed by one that looks again.
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

    /// Says of the repositories that the rate limit kept from being refreshed that it did.
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
            warn!(error = %chain(&error), "a repository's outcome could not be recorded");
        }
    }

    /// Shows how far the pass is. A claim that is lost stops it.
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
                warn!(error = %chain(&error), "progress could not be reported");
            }
        }
    }

    /// What it all comes to. Notes of the owner that GitHub refuses the credentials, or that everything is fresh.
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

    fn unavailable(&self, error: &dyn std::error::Error) -> Effected {
        warn!(error = %chain(error), "the data store failed");
        Effected::Transient {
            error: LastError::StoreUnavailable,
            after: None,
        }
    }

    fn now(&self) -> Timestamp {
        self.sync.worker.clock.now()
    }
}
