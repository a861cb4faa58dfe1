//! What the repositories of a pass came to, and what the pass comes to by that. Pure.

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

/// The codes of a sync that did not do all it should, the first in rank first.
const RANKED: [ResultCode; 4] = [
    ResultCode::RepositoryUnavailable,
    ResultCode::GithubAuthInvalid,
    ResultCode::GithubRateLimited,
    ResultCode::SyncPartialFailure,
];

/// What the repositories of a pass came to, this delivery's and the earlier ones'.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    /// Of how many; `None` before that is known.
    total: Option<u32>,
    succeeded: u32,
    skipped: u32,
    failures: Vec<RepositoryFailure>,
    /// Whether anything that GitHub showed was stored, though its repository may not have succeeded.
    stored: bool,
}

impl Tally {
    /// What earlier deliveries of a pass have come to, for one that does not get to know how many there are.
    pub(crate) fn so_far(records: &[RepositoryRecord], pass: Uuid) -> Self {
        let mut tally = Self::default();
        for record in records {
            let earlier = Earlier::of(Some(record), pass);
            tally.count_earlier(&earlier);
        }
        tally
    }

    /// Nothing yet, of so many repositories and so many more that the installation no longer has.
    pub(crate) fn of(targets: usize, gone: usize) -> Self {
        Self {
            total: Some(u32::try_from(targets.saturating_add(gone)).unwrap_or(u32::MAX)),
            failures: vec![RepositoryFailure::RepositoryUnavailable; gone],
            ..Self::default()
        }
    }

    /// Counts what earlier deliveries have left of one repository.
    pub(crate) fn count_earlier(&mut self, earlier: &Earlier) {
        self.stored |= earlier.has_stored();
        if let Earlier::Ended(ended) = earlier {
            self.count(*ended);
        }
    }

    /// This delivery has written so many findings.
    pub(crate) const fn wrote(&mut self, findings: usize) {
        self.stored |= findings > 0;
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

    /// How many have ended, of how many; `None` before the latter is known.
    pub(crate) fn progress(&self) -> Option<Progress> {
        let done = self.succeeded + self.skipped + self.failed();
        self.total.map(|total| Progress { done, total })
    }

    /// What a delivery's part of a pass that began at `began` comes to: stopped, or not. `failed` is a status that
    /// GitHub failed with; `resumes` says when to go on after a limit that ends then, if the pass may live that long.
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
            Some(Stop::RateLimited(until)) if !all_done => self.rate_limited(until, resumes(until)),
            // What is left is gone on with, even if nothing stopped it: that is no completed sync.
            None | Some(Stop::OutOfTime) if !all_done => self.out_of_time(began, now),
            None | Some(Stop::RateLimited(_) | Stop::OutOfTime) => self.all_ended(failed),
        }
    }

    fn all_ended(&self, failed: Option<u16>) -> Effected {
        // Nothing but failures that may pass: worth another try.
        let mut failures = self.failures.iter();
        let may_pass = failures.all(|failure| *failure == RepositoryFailure::SyncFailed);
        let error = self.total.filter(|_| !self.failures.is_empty());
        let error = error.map(|total| LastError::Repositories {
            failed: self.failed(),
            total,
        });
        if error.is_some() && self.succeeded == 0 && may_pass {
            return transient(failed.map_or(LastError::GithubUnreachable, LastError::GithubStatus));
        }
        self.ended(self.code(None), error)
    }

    /// A limit is waited for in a message of its own: that costs no deliveries.
    fn rate_limited(&self, until: Timestamp, resumes: Option<Timestamp>) -> Effected {
        let error = LastError::RateLimited(until);
        match resumes {
            Some(at) => Effected::Continues {
                at,
                waits: Waits::UntilThen,
                progress: self.progress(),
                error: Some(error),
            },
            None => self.ended_by(RepositoryFailure::GithubRateLimited, error),
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

    /// The end of a pass that may not go on.
    pub(crate) fn barred(&self, barred: Barred) -> Effected {
        match barred {
            Barred::Disabled => self.ended(ResultCode::ConfigDisabled, None),
            Barred::Rejected(error) => self.ended_by(RepositoryFailure::GithubAuthInvalid, error),
        }
    }

    /// The end of a pass that this stopped, unless what a repository met is first in rank.
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

    /// The first in rank of the codes that the outcomes met, and of the one that stopped the pass, if one did.
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

/// How a pass ended in which every repository was refreshed or skipped.
pub(crate) fn completed(effected: &Effected) -> Option<&Ending> {
    match effected {
        Effected::Ended(ending) if ending.code == ResultCode::SyncCompleted => Some(ending),
        _ => None,
    }
}

/// What a sync ends with if this is all that went wrong.
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
