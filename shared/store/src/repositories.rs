//! The repositories of an owner's installation: name, freshness, checkpoint of the listing, and the counts of findings.

mod item;

use std::collections::BTreeMap;

use aws_sdk_dynamodb::types::AttributeValue;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    owners::integration,
    table::{
        Attributes as _, Cause, Caused, Expression, Item, Partition, Refusal, Table, Transacted,
        Updated, Writes, batch_get, ms, s,
    },
};
use domain::{
    Timestamp,
    finding::{
        AlertNumber, FindingDigest, FindingStatus, Repository, RepositoryId, Severity, Source,
    },
    installation::InstallationRepository,
    owner::Owner,
    page::PageCursor,
    text::words,
};

use item::key;

/// The repositories' rows.
#[derive(Clone, Debug)]
pub struct Repositories {
    table: Table,
}

/// One repository of one owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RepositoryRecord {
    /// The repository.
    pub repository: Repository,
    /// Whether it is private.
    pub private: bool,
    /// Whether the installation's last list contained it.
    pub listed: bool,
    /// When the last attempt to refresh it began.
    pub last_attempted_at: Option<Timestamp>,
    /// When the last successful attempt began.
    pub last_succeeded_at: Option<Timestamp>,
    /// Why the last attempt failed; `None` after a success.
    pub last_failure: Option<RepositoryFailure>,
    /// When the last complete listing began.
    pub completed_at: Option<Timestamp>,
    /// What finished listings have seen.
    pub watermarks: Watermarks,
    /// The last pass that attempted it.
    pub pass: Option<Pass>,
    /// Its findings by kind.
    pub counts: Counts,
}

/// Why a repository could not be refreshed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RepositoryFailure {
    /// GitHub rejected the installation's credentials.
    GithubAuthInvalid,
    /// Deleted, blocked or moved, or the installation cannot access it.
    RepositoryUnavailable,
    /// The App may not read alerts here.
    GithubPermissionMissing,
    /// Alerts are disabled or not available: nothing to refresh.
    DependabotAlertsDisabled,
    /// GitHub's rate limit does not end in time.
    GithubRateLimited,
    /// GitHub failed, or its answer was malformed.
    SyncFailed,
    /// An alert could not be stored; the others were.
    SyncPartialFailure,
}

words!(RepositoryFailure, "why a repository could not be refreshed", {
    GithubAuthInvalid => "GITHUB_AUTH_INVALID",
    RepositoryUnavailable => "REPOSITORY_UNAVAILABLE",
    GithubPermissionMissing => "GITHUB_PERMISSION_MISSING",
    DependabotAlertsDisabled => "DEPENDABOT_ALERTS_DISABLED",
    GithubRateLimited => "GITHUB_RATE_LIMITED",
    SyncFailed => "SYNC_FAILED",
    SyncPartialFailure => "SYNC_PARTIAL_FAILURE",
});

/// What finished listings of a source have seen: every alert updated before `updated_at` is stored. So are the alerts
/// in `seen`, whose updates are so close to `updated_at` that GitHub may still add others.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watermark {
    /// The newest update seen; `None` if there was no alert.
    pub updated_at: Option<Timestamp>,
    /// The alerts of the overlap, as they were stored.
    pub seen: BTreeMap<AlertNumber, FindingDigest>,
}

/// The watermark of each source of a repository. A source without one was never listed to its end.
pub type Watermarks = BTreeMap<Source, Watermark>;

/// One pass over a repository, by a command or a scheduled sync.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pass {
    /// The id of the command or of the scheduled sync's pass.
    pub id: Uuid,
    /// The progress of the pass.
    pub state: PassState,
}

/// The progress of a pass over a repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PassState {
    /// Started at the first page.
    Begun,
    /// A delivery ended during the listing; the next one continues from this checkpoint.
    Paused(Box<Checkpoint>),
    /// The outcome is recorded.
    Finished,
}

/// Where a listing continues, and what it has seen so far.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// The source whose alerts are listed.
    pub source: Source,
    /// The next page.
    pub next: PageCursor,
    /// The watermark that the listing will store for its source.
    pub watermark: Watermark,
    /// The watermarks of the sources that this pass has finished.
    #[serde(default)]
    pub done: Watermarks,
    /// Whether the listing reads every page, instead of stopping at alerts that it knows.
    pub complete: bool,
    /// Whether an alert could not be stored so far.
    pub unstorable: bool,
}

/// The number of a repository's findings by kind. Written only in transactions with the findings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Open, by severity: critical, high, medium, low.
    pub open: [i64; 4],
    /// Fixed.
    pub fixed: i64,
    /// Ignored.
    pub ignored: i64,
    /// Closed.
    pub closed: i64,
}

impl Counts {
    /// Adds `by` to the count of this kind.
    pub fn add(&mut self, severity: Severity, status: FindingStatus, by: i64) {
        match status {
            FindingStatus::Open => self.open[severity.rank()] += by,
            FindingStatus::Fixed => self.fixed += by,
            FindingStatus::Ignored => self.ignored += by,
            FindingStatus::Closed => self.closed += by,
        }
    }

    /// Adds another repository's counts.
    pub fn add_all(&mut self, other: &Self) {
        for (sum, more) in self.open.iter_mut().zip(other.open) {
            *sum += more;
        }
        self.fixed += other.fixed;
        self.ignored += other.ignored;
        self.closed += other.closed;
    }

    /// The name and value of each count that is not zero.
    pub(crate) fn changed(&self) -> impl Iterator<Item = (&'static str, i64)> {
        item::COUNTS
            .into_iter()
            .zip(self.all())
            .filter(|(_, count)| *count != 0)
    }

    const fn all(&self) -> [i64; 7] {
        let [critical, high, medium, low] = self.open;
        [
            critical,
            high,
            medium,
            low,
            self.fixed,
            self.ignored,
            self.closed,
        ]
    }
}

/// How an attempt at a repository ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RepositoryOutcome {
    /// Every listed alert is stored.
    Succeeded {
        /// The new watermark of each source.
        watermarks: Watermarks,
        /// Whether the listing read every page.
        complete: bool,
    },
    /// The attempt failed.
    Failed(RepositoryFailure),
}

/// A store's failure. Repeating the call is safe.
#[derive(Debug, thiserror::Error)]
pub enum RepositoriesError {
    /// A read failed.
    #[error("cannot read an owner's repositories")]
    Unread(#[source] Cause),
    /// The write may or may not have landed.
    #[error("outcome of writing {what} is unknown")]
    Unwritten {
        /// What was to be written.
        what: &'static str,
        /// The client's error.
        #[source]
        source: Cause,
    },
    /// The owner is not connected to an installation.
    #[error("cannot record an owner's repositories: the owner is not connected to an installation")]
    NotConnected,
}

impl Caused for RepositoriesError {
    fn cause(&self) -> Option<&Cause> {
        match self {
            Self::Unread(source) | Self::Unwritten { source, .. } => Some(source),
            Self::NotConnected => None,
        }
    }
}

/// What is recorded of a repository before an attempt.
#[derive(Clone, Debug)]
pub struct Listing {
    /// The repository as GitHub lists it; `None` if GitHub no longer lists it.
    pub listed: Option<InstallationRepository>,
    /// Its id.
    pub id: RepositoryId,
    /// The pass that attempts it now, if any.
    pub attempt: Option<Uuid>,
}

impl Repositories {
    /// The repositories in this table.
    pub const fn new(table: Table) -> Self {
        Self { table }
    }

    /// All of an owner's repositories, by id, strongly consistent.
    pub async fn read(&self, owner: &Owner) -> Result<Vec<RepositoryRecord>, RepositoriesError> {
        let mut records = Vec::new();
        let mut from = None;
        loop {
            let page = self
                .table
                .client
                .query()
                .table_name(&self.table.name)
                .consistent_read(true)
                .key_condition_expression("pk = :pk")
                .expression_attribute_values(":pk", Partition::Repositories.of(owner))
                .set_exclusive_start_key(from)
                .send()
                .await
                .map_err(|error| RepositoriesError::Unread(error.into()))?;
            for item in page.items() {
                records.push(item::record(item).map_err(|e| RepositoriesError::Unread(e.into()))?);
            }
            from = page.last_evaluated_key;
            if from.is_none() {
                return Ok(records);
            }
        }
    }

    /// These repositories of an owner and the items with these other keys, strongly consistent, in batch reads. In no
    /// order; a missing row is left out.
    pub(crate) async fn read_beside(
        &self,
        owner: &Owner,
        ids: &[RepositoryId],
        others: Vec<Item>,
    ) -> Result<(Vec<RepositoryRecord>, Vec<Item>), Cause> {
        let mut keys = others;
        keys.extend(ids.iter().map(|id| key(owner, *id)));
        let (mut records, mut items) = (Vec::with_capacity(ids.len()), Vec::new());
        for keys in keys.chunks(100) {
            for item in batch_get(&self.table, keys.to_vec(), None).await? {
                if Partition::Repositories.owner(item.text("pk")?).is_some() {
                    records.push(item::record(&item)?);
                } else {
                    items.push(item);
                }
            }
        }
        Ok((records, items))
    }

    /// Records which repositories the installation lists and which are attempted now, up to 99 in one transaction.
    /// Fails if the owner is no longer connected.
    pub async fn record(
        &self,
        owner: &Owner,
        listings: &[Listing],
        now: Timestamp,
    ) -> Result<(), RepositoriesError> {
        // 100 writes is DynamoDB's limit for a transaction; one is the check that the owner is connected.
        for chunk in listings.chunks(99) {
            let writes = chunk.iter().fold(
                integration::connected(&self.table, owner),
                |writes, listing| {
                    let mut e = Expression::default();
                    item::listing(listing, now, &mut e);
                    writes.and(self.table.update(key(owner, listing.id), e, None))
                },
            );
            let transacted = self.table.transact(&writes).await;
            let transacted = transacted.map_err(|source| RepositoriesError::Unwritten {
                what: "which repositories are attempted",
                source,
            })?;
            if let Transacted::Refused(refusals) = transacted {
                let connected = refusals.first().is_some_and(Refusal::held);
                debug_assert!(!connected, "nothing else has a condition");
                return Err(RepositoriesError::NotConnected);
            }
        }
        Ok(())
    }

    /// Saves the checkpoint of a pass. Writes nothing if a later pass has started.
    pub async fn pause(
        &self,
        owner: &Owner,
        repository: RepositoryId,
        pass: Uuid,
        cursor: &Checkpoint,
    ) -> Result<(), RepositoriesError> {
        let what = "where the listing stopped";
        let text = serde_json::to_string(cursor).map_err(|error| RepositoriesError::Unwritten {
            what,
            source: error.into(),
        })?;
        let mut e = Expression::default();
        let mine = e.compare("pass", "=", s(pass.to_string()));
        e.set("cursor", s(text));
        self.write(owner, repository, e, mine, what).await
    }

    /// Records the outcome of the attempt that began at `began`. Writes nothing if a later attempt has started: that
    /// one records its own outcome.
    pub async fn finish(
        &self,
        owner: &Owner,
        repository: RepositoryId,
        pass: Uuid,
        began: Timestamp,
        outcome: &RepositoryOutcome,
    ) -> Result<(), RepositoriesError> {
        let what = "a repository's outcome";
        let mut e = Expression::default();
        let latest = e.compare("last_attempted_at", "<=", ms(began));
        e.set("finished_pass", s(pass.to_string()));
        e.remove("cursor");
        match outcome {
            RepositoryOutcome::Succeeded {
                watermarks,
                complete,
            } => {
                e.set("last_succeeded_at", ms(began));
                for (source, watermark) in watermarks {
                    let text = serde_json::to_string(watermark).map_err(|error| {
                        RepositoriesError::Unwritten {
                            what,
                            source: error.into(),
                        }
                    })?;
                    e.set(item::watermark_of(*source), s(text));
                }
                e.remove("last_failure");
                if *complete {
                    e.set("completed_at", ms(began));
                }
            }
            RepositoryOutcome::Failed(failure) => e.set("last_failure", s(failure.as_str())),
        }
        self.write(owner, repository, e, latest, what).await
    }

    /// The update of a repository's counts, for the transaction that writes its findings. Its condition fails if the
    /// owner no longer has the repository, so findings of an erased repository are never written.
    pub(crate) fn count(&self, owner: &Owner, repository: RepositoryId, delta: &Counts) -> Writes {
        let mut e = Expression::default();
        let there = e.exists("name");
        let key = key(owner, repository);
        if *delta == Counts::default() {
            return self.table.check(key, e, there);
        }
        for (name, amount) in delta.changed() {
            e.add(name, amount);
        }
        self.table.update(key, e, Some(there))
    }

    async fn write(
        &self,
        owner: &Owner,
        repository: RepositoryId,
        expression: Expression,
        condition: String,
        what: &'static str,
    ) -> Result<(), RepositoriesError> {
        let key = key(owner, repository);
        let updated = self.table.update_row(key, &expression, &condition).await;
        match updated.map_err(|source| RepositoriesError::Unwritten { what, source })? {
            // A refusal means that a later attempt has started. Its own outcome counts.
            Updated::Written | Updated::Refused(_) => Ok(()),
        }
    }
}

/// A flag as an attribute.
fn flag(value: bool) -> AttributeValue {
    AttributeValue::Bool(value)
}
