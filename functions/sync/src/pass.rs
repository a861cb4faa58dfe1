//! One pass over an owner's repositories: which are in scope, a bounded number of them at a time, and what their
//! outcomes add up to.

use std::{cell::Cell, collections::BTreeSet, time::Duration};

use futures::stream::{self, StreamExt};
use security_agent::{
    Timestamp,
    command::{LastError, Progress},
    finding::{Repository, RepositoryId, RepositoryName},
    github::{GithubError, InstallationRepository, Refusal},
    ledger::{Claim, Ending, Outcome},
    lifecycle::Waits,
    owner::Owner,
    owners::{Integration, OwnerRecord},
    repositories::{Listing, PassState, RepositoryFailure, RepositoryOutcome, RepositoryRecord},
    result_code::{Effect, ResultCode},
    settings::Settings,
    telemetry::chain,
    worker::{BUDGET, Effected, Invocation},
};
use tokio::time::{Instant, MissedTickBehavior};
use tracing::warn;
use uuid::Uuid;

use crate::{
    Sync,
    repository::{Brake, Ended, Stop, Target},
};

/// How many repositories are listed at once. GitHub allows an installation 100 requests at a time.
const CONCURRENCY: usize = 8;
/// Progress is written at most so often.
const REPORT_EVERY: Duration = Duration::from_secs(2);
/// How long before its end an invocation asks for nothing new, so that what is under way can be stored.
const SOFT_STOP: Duration = Duration::from_secs(10);

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

/// What the repositories of a pass came to, this delivery's and the earlier ones'.
#[derive(Clone, Debug, Default)]
struct Tally {
    total: u32,
    succeeded: u32,
    skipped: u32,
    failures: Vec<RepositoryFailure>,
}

impl Tally {
    fn count(&mut self, ended: Ended) {
        match ended {
            Ended::Succeeded => self.succeeded += 1,
            Ended::Failed(RepositoryFailure::DependabotAlertsDisabled) => self.skipped += 1,
            Ended::Failed(failure) => self.failures.push(failure),
            Ended::Stopped => {}
        }
    }

    fn progress(&self) -> Progress {
        let failed = u32::try_from(self.failures.len()).unwrap_or(u32::MAX);
        Progress {
            done: self.succeeded + self.skipped + failed,
            total: self.total,
        }
    }

    fn has(&self, failure: RepositoryFailure) -> bool {
        self.failures.contains(&failure)
    }

    /// The first in rank of the codes that the outcomes met, and of the one that stopped the pass, if one did.
    fn code(&self, stopped_by: Option<ResultCode>) -> ResultCode {
        use RepositoryFailure as Failure;
        use ResultCode as Code;
        let ranked = [
            (Failure::RepositoryUnavailable, Code::RepositoryUnavailable),
            (Failure::GithubAuthInvalid, Code::GithubAuthInvalid),
            (Failure::GithubRateLimited, Code::GithubRateLimited),
        ];
        let met = ranked
            .into_iter()
            .find(|(failure, code)| self.has(*failure) || stopped_by == Some(*code));
        match met {
            Some((_, code)) => code,
            None if self.failures.is_empty() => Code::SyncCompleted,
            None => Code::SyncPartialFailure,
        }
    }

    const fn effect(&self) -> Effect {
        if self.succeeded > 0 {
            Effect::Applied
        } else {
            Effect::None
        }
    }
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
        let OwnerRecord {
            settings,
            integration,
            ..
        } = owner;
        if !settings.enabled {
            return ended(ResultCode::ConfigDisabled, Effect::None, None, None);
        }
        let Some(integration) = integration else {
            let error = Some(LastError::NotConnected);
            return ended(ResultCode::GithubAuthInvalid, Effect::None, error, None);
        };
        if let (Some(_), Some(at)) = (
            integration.refused_until(self.now()),
            integration.auth_invalid_at,
        ) {
            let error = Some(LastError::CredentialsRefused(at));
            let effect = self.effect_so_far(&records);
            return ended(ResultCode::GithubAuthInvalid, effect, error, None);
        }
        let scope = match self.scope(&settings, &integration, &records).await {
            Ok(scope) => scope,
            Err(effected) => return effected,
        };
        self.refresh_all(&settings, &integration, scope).await
    }

    /// Which repositories to refresh: what the installation lists now, narrowed by what the owner chose.
    async fn scope(
        &self,
        settings: &Settings,
        integration: &Integration,
        records: &[RepositoryRecord],
    ) -> Result<Scope, Effected> {
        // A known repository that is named needs no listing: should it be gone, its alerts' answer says so.
        let named = self.only.and_then(|name| {
            records
                .iter()
                .find(|record| record.listed && record.repository.name.same_as(name))
        });
        if let Some(record) = named {
            let target = Target {
                repository: record.repository.clone(),
                record: Some(record.clone()),
            };
            return Ok(Scope {
                all: records
                    .iter()
                    .map(|record| record.repository.clone())
                    .collect(),
                listings: Vec::new(),
                gone: 0,
                targets: vec![target],
            });
        }
        let listed = match self
            .sync
            .github
            .installation_repositories(integration.installation, self.github_budget())
            .await
        {
            Ok(listed) => listed.repositories,
            Err(error) => return Err(self.not_listed(&error).await),
        };
        if let Some(name) = self.only
            && !listed
                .iter()
                .any(|entry| entry.repository.name.same_as(name))
        {
            let error = Some(LastError::NotInInstallation);
            let code = ResultCode::RepositoryUnavailable;
            return Err(ended(code, Effect::None, error, None));
        }
        Ok(Scope::of(&listed, settings, self.only, records))
    }

    async fn not_listed(&self, error: &GithubError) -> Effected {
        warn!(error = %chain(error), "the installation's repositories could not be listed");
        let transient = |error, after| Effected::Transient { error, after };
        match error {
            GithubError::Refused { refusal, .. } => match refusal {
                Refusal::AuthInvalid | Refusal::Unavailable | Refusal::PermissionMissing => {
                    self.auth_invalid(&Tally::default()).await
                }
                Refusal::RateLimited(limit) => self.rate_limited(limit.until, &Tally::default()),
                Refusal::ServerError {
                    status,
                    retry_after,
                } => transient(LastError::GithubStatus(*status), *retry_after),
                Refusal::Unexpected { status } => transient(LastError::GithubStatus(*status), None),
                Refusal::AlertsDisabled | Refusal::Malformed | Refusal::Gone => {
                    transient(LastError::GithubUnreachable, None)
                }
            },
            GithubError::Network { .. }
            | GithubError::OutOfTime
            | GithubError::PageElsewhere
            | GithubError::Client { .. } => transient(LastError::GithubUnreachable, None),
            GithubError::Credentials { .. } => transient(LastError::NoCredentials, None),
        }
    }

    async fn refresh_all(
        &self,
        settings: &Settings,
        integration: &Integration,
        scope: Scope,
    ) -> Effected {
        let Scope {
            all,
            mut listings,
            gone,
            targets,
        } = scope;
        let mut tally = Tally {
            total: u32::try_from(targets.len())
                .unwrap_or(u32::MAX)
                .saturating_add(gone),
            ..Tally::default()
        };
        tally
            .failures
            .extend((0..gone).map(|_| RepositoryFailure::RepositoryUnavailable));
        let mut left = Vec::new();
        for target in targets {
            match self.finished_before(target.record.as_ref()) {
                Some(ended) => tally.count(ended),
                None => left.push(target),
            }
        }
        // Before anything is fetched: a worker that dies must have left a trace. What is paused was begun already.
        let attempted = self.now();
        for target in &left {
            if !self.is_mine(target.record.as_ref()) {
                let id = target.repository.id;
                match listings.iter_mut().find(|listing| listing.id == id) {
                    Some(listing) => listing.attempt = Some(self.id),
                    None => listings.push(self.attempt(target)),
                }
            }
        }
        if let Err(error) = self
            .sync
            .repositories
            .record(self.owner, &listings, attempted)
            .await
        {
            return self.unavailable(&error);
        }

        let soft = self.invocation.killed - SOFT_STOP;
        let brake = Brake::new(soft.max(Instant::now() + Duration::from_millis(500)));
        let reported = Cell::new(Instant::now());
        let mut stopped = Vec::new();
        let mut ends = stream::iter(&left)
            .map(async |target| {
                let begun = self.begun(target.record.as_ref()).unwrap_or(attempted);
                let ended = if brake.on().is_some() {
                    Ended::Stopped
                } else {
                    self.refresh(integration.installation, target, &all, begun, &brake)
                        .await
                };
                (
                    Begun {
                        id: target.repository.id,
                        at: begun,
                    },
                    ended,
                )
            })
            .buffer_unordered(CONCURRENCY);
        let mut ticks = tokio::time::interval(REPORT_EVERY / 4);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                ended = ends.next() => match ended {
                    Some((begun, Ended::Stopped)) => stopped.push(begun),
                    Some((_, ended)) => tally.count(ended),
                    None => break,
                },
                _ = ticks.tick() => {}
            }
            if reported.get().elapsed() >= REPORT_EVERY {
                reported.set(Instant::now());
                self.report(tally.progress(), &brake).await;
            }
        }
        drop(ends);
        // Before the end is written down: a worker that dies in between is followed by one that looks again.
        if settings.auto_analysis.enabled
            && let Err(error) = self.sync.automation.advance(self.owner, self.now()).await
        {
            return self.unavailable(&error);
        }
        let effected = self.conclude(tally, integration, &brake).await;
        if let Effected::Ended(Ending {
            code: ResultCode::GithubRateLimited,
            ..
        }) = effected
        {
            self.give_up(&stopped).await;
        }
        effected
    }

    /// Says of the repositories that the rate limit kept from being refreshed that it did.
    async fn give_up(&self, stopped: &[Begun]) {
        let outcome = RepositoryOutcome::Failed(RepositoryFailure::GithubRateLimited);
        let recorded = stream::iter(stopped).map(|begun| {
            self.sync
                .repositories
                .finish(self.owner, begun.id, self.id, begun.at, &outcome)
        });
        let recorded: Vec<_> = recorded.buffer_unordered(CONCURRENCY).collect().await;
        for error in recorded.into_iter().filter_map(Result::err) {
            warn!(error = %chain(&error), "a repository's outcome could not be recorded");
        }
    }

    /// Shows how far the pass is. A claim that is lost stops it.
    async fn report(&self, progress: Progress, brake: &Brake) {
        let Reporter::Command(claim) = self.reporter else {
            return;
        };
        match self
            .sync
            .worker
            .ledger
            .report(claim, progress, self.now())
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

    /// What it all came to.
    async fn conclude(&self, tally: Tally, integration: &Integration, brake: &Brake) -> Effected {
        let progress = tally.progress();
        if brake.accepted.get()
            && let Some(seen) = integration.auth_invalid_at
            && let Err(error) = self.sync.owners.clear_auth_invalid(self.owner, seen).await
        {
            return self.unavailable(&error);
        }
        let all_done = progress.done >= progress.total;
        match brake.on() {
            Some(Stop::Fenced) => Effected::Fenced,
            Some(Stop::AuthInvalid) => self.auth_invalid(&tally).await,
            Some(Stop::StoreUnavailable) => Effected::Transient {
                error: LastError::StoreUnavailable,
                after: None,
            },
            Some(Stop::NoCredentials) => Effected::Transient {
                error: LastError::NoCredentials,
                after: None,
            },
            Some(Stop::RateLimited(until)) if !all_done => self.rate_limited(until, &tally),
            Some(Stop::OutOfTime) if !all_done => self.out_of_time(&tally),
            None | Some(Stop::RateLimited(_) | Stop::OutOfTime) => self.settle(&tally, brake).await,
        }
    }

    async fn settle(&self, tally: &Tally, brake: &Brake) -> Effected {
        let progress = Some(tally.progress());
        let failed = u32::try_from(tally.failures.len()).unwrap_or(u32::MAX);
        let error = (failed > 0).then_some(LastError::Repositories {
            failed,
            total: tally.total,
        });
        let code = tally.code(None);
        // Nothing but failures that may pass: worth another try.
        let may_pass = tally
            .failures
            .iter()
            .all(|failure| *failure == RepositoryFailure::SyncFailed);
        if failed > 0 && tally.succeeded == 0 && may_pass {
            let error = brake
                .failed
                .get()
                .map_or(LastError::GithubUnreachable, LastError::GithubStatus);
            return Effected::Transient { error, after: None };
        }
        if code != ResultCode::SyncCompleted {
            return ended(code, tally.effect(), error, progress);
        }
        if self.only.is_none()
            && let Err(error) = self.sync.owners.mark_synced(self.owner, self.began).await
        {
            return self.unavailable(&error);
        }
        ended(code, Effect::Applied, None, progress)
    }

    async fn auth_invalid(&self, tally: &Tally) -> Effected {
        let now = self.now();
        if let Err(error) = self.sync.owners.mark_auth_invalid(self.owner, now).await {
            return self.unavailable(&error);
        }
        let code = tally.code(Some(ResultCode::GithubAuthInvalid));
        let error = Some(LastError::CredentialsRefused(now));
        ended(code, tally.effect(), error, Some(tally.progress()))
    }

    /// Waits for the limit's end if the command may live that long, in a message of its own: waiting costs no
    /// deliveries.
    fn rate_limited(&self, until: Timestamp, tally: &Tally) -> Effected {
        let error = LastError::RateLimited(until);
        if let Some(at) = self.sync.worker.resumes_at(until, self.began) {
            return Effected::Continues {
                at,
                waits: Waits::UntilThen,
                progress: Some(tally.progress()),
                error: Some(error),
            };
        }
        let code = tally.code(Some(ResultCode::GithubRateLimited));
        ended(code, tally.effect(), Some(error), Some(tally.progress()))
    }

    fn out_of_time(&self, tally: &Tally) -> Effected {
        let progress = tally.progress();
        let now = self.now();
        if now < self.began + BUDGET {
            return Effected::Continues {
                at: now,
                waits: Waits::No,
                progress: Some(progress),
                error: None,
            };
        }
        let Progress { done, total } = progress;
        let error = Some(LastError::BudgetSpent { done, total });
        ended(
            ResultCode::SyncPartialFailure,
            tally.effect(),
            error,
            Some(progress),
        )
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

    fn is_mine(&self, record: Option<&RepositoryRecord>) -> bool {
        record
            .and_then(|record| record.pass.as_ref())
            .is_some_and(|pass| pass.id == self.id)
    }

    /// When this pass began the repository, if it did in an earlier delivery.
    fn begun(&self, record: Option<&RepositoryRecord>) -> Option<Timestamp> {
        record
            .filter(|_| self.is_mine(record))
            .and_then(|record| record.last_attempted_at)
    }

    /// How the repository ended in an earlier delivery of this pass. What GitHub failed at is tried again.
    fn finished_before(&self, record: Option<&RepositoryRecord>) -> Option<Ended> {
        let record = record.filter(|_| self.is_mine(record))?;
        let finished = record
            .pass
            .as_ref()
            .is_some_and(|pass| pass.state == PassState::Finished);
        match record.last_failure {
            _ if !finished => None,
            Some(RepositoryFailure::SyncFailed) => None,
            Some(failure) => Some(Ended::Failed(failure)),
            None => Some(Ended::Succeeded),
        }
    }

    fn effect_so_far(&self, records: &[RepositoryRecord]) -> Effect {
        let applied = records
            .iter()
            .any(|record| self.finished_before(Some(record)) == Some(Ended::Succeeded));
        if applied {
            Effect::Applied
        } else {
            Effect::None
        }
    }

    fn attempt(&self, target: &Target) -> Listing {
        Listing {
            id: target.repository.id,
            listed: Some(InstallationRepository {
                repository: target.repository.clone(),
                private: target.record.as_ref().is_some_and(|record| record.private),
                archived: false,
            }),
            attempt: Some(self.id),
        }
    }
}

/// A repository that this pass has begun, and when.
#[derive(Clone, Copy, Debug)]
struct Begun {
    id: RepositoryId,
    at: Timestamp,
}

/// What a pass has to do.
#[derive(Debug)]
struct Scope {
    /// Every repository of the installation.
    all: Vec<Repository>,
    /// What is to be recorded of the listing.
    listings: Vec<Listing>,
    /// How many chosen repositories the installation no longer has.
    gone: u32,
    targets: Vec<Target>,
}

impl Scope {
    fn of(
        listed: &[InstallationRepository],
        settings: &Settings,
        only: Option<&RepositoryName>,
        records: &[RepositoryRecord],
    ) -> Self {
        let known = |id: RepositoryId| records.iter().find(|record| record.repository.id == id);
        let wanted = |entry: &InstallationRepository| match only {
            Some(name) => entry.repository.name.same_as(name),
            None => settings.covers(entry.repository.id),
        };
        let ids: BTreeSet<RepositoryId> = listed.iter().map(|entry| entry.repository.id).collect();
        let mut listings: Vec<Listing> = listed
            .iter()
            .filter(|entry| {
                known(entry.repository.id).is_none_or(|record| {
                    !record.listed
                        || record.private != entry.private
                        || record.repository.name != entry.repository.name
                })
            })
            .map(|entry| Listing {
                id: entry.repository.id,
                listed: Some(entry.clone()),
                attempt: None,
            })
            .collect();
        listings.extend(
            records
                .iter()
                .filter(|record| record.listed && !ids.contains(&record.repository.id))
                .map(|record| Listing {
                    id: record.repository.id,
                    listed: None,
                    attempt: None,
                }),
        );
        let gone = match only {
            Some(_) => 0,
            None => settings
                .selected_repository_ids
                .iter()
                .filter(|id| settings.covers(**id) && !ids.contains(id))
                .count(),
        };
        let targets = listed
            .iter()
            .filter(|entry| wanted(entry))
            .map(|entry| Target {
                repository: entry.repository.clone(),
                record: known(entry.repository.id).cloned(),
            })
            .collect();
        Self {
            all: listed
                .iter()
                .map(|entry| entry.repository.clone())
                .collect(),
            listings,
            gone: u32::try_from(gone).unwrap_or(u32::MAX),
            targets,
        }
    }
}

const fn ended(
    code: ResultCode,
    effect: Effect,
    last_error: Option<LastError>,
    progress: Option<Progress>,
) -> Effected {
    Effected::Ended(Ending {
        code,
        effect,
        last_error,
        progress,
    })
}
