//! Pure decisions: adds up the repositories' outcomes and derives the outcome of the pass.

use domain::{
    Timestamp,
    command::{CommandKind as _, LastError, Progress, SyncFindings},
    lifecycle::Waits,
    result_code::{Effect, ResultCode},
};
use runtime::worker::Effected;
use store::{
    ledger::Ending,
    repositories::{RepositoryFailure, RepositoryRecord},
};
use uuid::Uuid;

use crate::{
    barred::Barred,
    brake::Stop,
    earlier::{Earlier, Ended},
};

/// The codes of an incomplete sync, highest rank first.
const RANKED: [ResultCode; 4] = [
    ResultCode::RepositoryUnavailable,
    ResultCode::GithubAuthInvalid,
    ResultCode::GithubRateLimited,
    ResultCode::SyncPartialFailure,
];

/// The outcomes of a pass's repositories, in this and earlier deliveries.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    /// The number of repositories; `None` until it is known.
    total: Option<u32>,
    succeeded: u32,
    skipped: u32,
    failures: Vec<RepositoryFailure>,
    /// Whether any alert was stored, even of a repository that did not succeed.
    stored: bool,
    /// Whether the store had no room for more of the owner's findings.
    full: bool,
}

impl Tally {
    /// Adds up earlier deliveries of a pass, for a delivery that does not learn the number of repositories.
    pub(crate) fn so_far(records: &[RepositoryRecord], pass: Uuid) -> Self {
        let mut tally = Self::default();
        for record in records {
            let earlier = Earlier::of(Some(record), pass);
            tally.count_earlier(&earlier);
        }
        tally
    }

    /// Starts with `targets` repositories and `gone` more that the installation no longer has.
    pub(crate) fn of(targets: usize, gone: usize) -> Self {
        Self {
            total: Some(u32::try_from(targets.saturating_add(gone)).unwrap_or(u32::MAX)),
            failures: vec![RepositoryFailure::RepositoryUnavailable; gone],
            ..Self::default()
        }
    }

    /// Counts what earlier deliveries have done with one repository.
    pub(crate) fn count_earlier(&mut self, earlier: &Earlier) {
        self.stored |= earlier.has_stored();
        if let Earlier::Ended(ended) = earlier {
            self.count(*ended);
        }
    }

    /// Notes that this delivery has written `findings` findings.
    pub(crate) const fn wrote(&mut self, findings: usize) {
        self.stored |= findings > 0;
    }

    /// Notes whether the store had no room for more of the owner's findings.
    pub(crate) const fn found_full(&mut self, full: bool) {
        self.full |= full;
    }

    pub(crate) fn count(&mut self, ended: Ended) {
        match ended {
            Ended::Succeeded => self.succeeded += 1,
            Ended::Failed(RepositoryFailure::DependabotAlertsDisabled) => self.skipped += 1,
            Ended::Failed(failure) => self.failures.push(failure),
        }
    }

    fn failed(&self) -> u32 {
        u32::try_from(self.failures.len()).unwrap_or(u32::MAX)
    }

    /// Returns the number of ended repositories and their total; `None` until the total is known.
    pub(crate) fn progress(&self) -> Option<Progress> {
        let done = self.succeeded + self.skipped + self.failed();
        self.total.map(|total| Progress { done, total })
    }

    /// Returns the effect of a delivery in a pass that began at `began`. `failed` is the status of GitHub's latest
    /// failure; `resumes` returns when to continue after a rate limit, or `None` if that exceeds the pass's budget.
    pub(crate) fn comes_to(
        &self,
        stop: Option<Stop>,
        failed: Option<u16>,
        (began, now): (Timestamp, Timestamp),
        resumes: impl FnOnce(Timestamp) -> Option<Timestamp>,
    ) -> Effected {
        let all_done = self.progress().is_some_and(|it| it.done >= it.total);
        match stop {
            Some(Stop::Fenced) => Effected::Fenced,
            Some(Stop::AuthInvalid) => {
                let error = LastError::CredentialsRefused(now);
                self.ended_by(RepositoryFailure::GithubAuthInvalid, error)
            }
            Some(Stop::StoreUnavailable) => transient(LastError::StoreUnavailable),
            Some(Stop::NoCredentials) => transient(LastError::NoCredentials),
            Some(Stop::RateLimited(until)) if !all_done => {
                let error = LastError::RateLimited(until);
                self.waits(error, RepositoryFailure::GithubRateLimited, resumes(until))
            }
            Some(Stop::Throttled(until)) if !all_done => {
                let error = LastError::StoreThrottled(until);
                self.waits(error, RepositoryFailure::SyncPartialFailure, resumes(until))
            }
            // Unfinished repositories are continued even if nothing stopped the delivery: the sync is not complete.
            None | Some(Stop::OutOfTime) if !all_done => self.out_of_time(began, now),
            None | Some(Stop::RateLimited(_) | Stop::Throttled(_) | Stop::OutOfTime) => {
                self.all_ended(failed)
            }
        }
    }

    fn all_ended(&self, failed: Option<u16>) -> Effected {
        // Only transient failures: retry the message.
        let mut failures = self.failures.iter();
        let may_pass = failures.all(|failure| *failure == RepositoryFailure::SyncFailed);
        let error = self.total.filter(|_| !self.failures.is_empty());
        let error = error.map(|total| match self.full {
            true => LastError::StoreFull,
            false => LastError::Repositories {
                failed: self.failed(),
                total,
            },
        });
        if error.is_some() && self.succeeded == 0 && may_pass {
            return transient(failed.map_or(LastError::GithubUnreachable, LastError::GithubStatus));
        }
        self.ended(self.code(None), error)
    }

    /// Waits for a limit in a continuation, which uses up no deliveries. Ends by the failure if the limit lasts too long.
    fn waits(
        &self,
        error: LastError,
        failure: RepositoryFailure,
        resumes: Option<Timestamp>,
    ) -> Effected {
        match resumes {
            Some(at) => Effected::Continues {
                at,
                waits: Waits::UntilThen,
                progress: self.progress(),
                error: Some(error),
            },
            None => self.ended_by(failure, error),
        }
    }

    fn out_of_time(&self, began: Timestamp, now: Timestamp) -> Effected {
        let progress = self.progress();
        if now < began + SyncFindings::BUDGET {
            return Effected::Continues {
                at: now,
                waits: Waits::No,
                progress,
                error: None,
            };
        }
        let error = progress.map(|Progress { done, total }| LastError::BudgetSpent { done, total });
        self.ended(ResultCode::SyncPartialFailure, error)
    }

    /// Ends a pass that may not ask GitHub.
    pub(crate) fn barred(&self, barred: Barred) -> Effected {
        match barred {
            Barred::Disabled => self.ended(ResultCode::ConfigDisabled, None),
            Barred::Rejected(error) => self.ended_by(RepositoryFailure::GithubAuthInvalid, error),
        }
    }

    /// Ends a pass that `stopped_by` stopped, unless a repository's failure ranks higher.
    pub(crate) fn ended_by(&self, stopped_by: RepositoryFailure, error: LastError) -> Effected {
        self.ended(self.code(Some(stopped_by)), Some(error))
    }

    fn ended(&self, code: ResultCode, last_error: Option<LastError>) -> Effected {
        Effected::Ended(Ending {
            code,
            effect: self.effect(),
            last_error,
            progress: self.progress(),
        })
    }

    /// Returns the highest-ranked code among the repositories' failures and `stopped_by`.
    fn code(&self, stopped_by: Option<RepositoryFailure>) -> ResultCode {
        let failures = self.failures.iter().copied().chain(stopped_by);
        let met: Vec<ResultCode> = failures.map(code).collect();
        let first = RANKED.into_iter().find(|code| met.contains(code));
        first.unwrap_or(ResultCode::SyncCompleted)
    }

    const fn effect(&self) -> Effect {
        if self.stored || self.succeeded > 0 {
            Effect::Applied
        } else {
            Effect::None
        }
    }
}

/// Returns the end of a pass in which every repository was refreshed or skipped.
pub(crate) fn completed(effected: &Effected) -> Option<&Ending> {
    match effected {
        Effected::Ended(ending) if ending.code == ResultCode::SyncCompleted => Some(ending),
        _ => None,
    }
}

/// Returns a sync's code if this is its only kind of failure.
const fn code(failure: RepositoryFailure) -> ResultCode {
    match failure {
        RepositoryFailure::RepositoryUnavailable => ResultCode::RepositoryUnavailable,
        RepositoryFailure::GithubAuthInvalid => ResultCode::GithubAuthInvalid,
        RepositoryFailure::GithubRateLimited => ResultCode::GithubRateLimited,
        RepositoryFailure::GithubPermissionMissing
        | RepositoryFailure::DependabotAlertsDisabled
        | RepositoryFailure::SyncFailed
        | RepositoryFailure::SyncPartialFailure => ResultCode::SyncPartialFailure,
    }
}

const fn transient(error: LastError) -> Effected {
    Effected::Transient { error, after: None }
}

#[cfg(test)]
mod tests;
