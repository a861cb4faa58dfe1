//! The repositories of an owner's installation: what each is, how fresh it is, how far its listing has come, and how
//! many findings of each kind it has.

mod item;

use std::collections::BTreeMap;

use aws_sdk_dynamodb::types::AttributeValue;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    owners::integration,
    table::{
        Attributes as _, Cause, Expression, Item, Partition, Refusal, Table, Transacted, Updated,
        Writes, batch_get, ms, s,
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
    /// Which one.
    pub repository: Repository,
    /// Whether only members see it.
    pub private: bool,
    /// Whether the installation listed it when it was last asked.
    pub listed: bool,
    /// When the last attempt to refresh it began.
    pub last_attempted_at: Option<Timestamp>,
    /// When the last successful attempt began.
    pub last_succeeded_at: Option<Timestamp>,
    /// Why the last attempt failed; `None` after a success.
    pub last_failure: Option<RepositoryFailure>,
    /// When the last complete listing began.
    pub completed_at: Option<Timestamp>,
    /// How far finished listings have seen.
    pub watermarks: Watermarks,
    /// The pass that attempted it last.
    pub pass: Option<Pass>,
    /// Its findings by kind.
    pub counts: Counts,
}

/// Why a repository could not be refreshed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RepositoryFailure {
    /// GitHub refused the installation's credentials.
    GithubAuthInvalid,
    /// Gone, blocked, moved, or out of the installation's reach.
    RepositoryUnavailable,
    /// The App may not read alerts here.
    GithubPermissionMissing,
    /// Alerts are disabled or not available: nothing to refresh.
    DependabotAlertsDisabled,
    /// The rate limit left no room in time.
    GithubRateLimited,
    /// GitHub failed, or its answer could not be understood.
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

/// How far finished listings have seen: everything updated before `updated_at` is stored, and so are the alerts in
/// `seen`, whose updates are so close to it that others may still appear beside them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watermark {
    /// The newest update seen; `None` if there was no alert.
    pub updated_at: Option<Timestamp>,
    /// The alerts of the overlap, as they were stored.
    pub seen: BTreeMap<AlertNumber, FindingDigest>,
}

/// How far each source's alerts of a repository are seen. A source without an entry was never listed to its end.
pub type Watermarks = BTreeMap<Source, Watermark>;

/// One pass over a repository: by a command, or by one scheduled sync.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pass {
    /// The command's id, or the scheduled sync's own.
    pub id: Uuid,
    /// How far this pass is.
    pub state: PassState,
}

/// How far a pass over a repository is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PassState {
    /// Begun, from the first page.
    Begun,
    /// A delivery ended in mid-listing; the next goes on from here.
    Paused(Box<Checkpoint>),
    /// The outcome is recorded.
    Finished,
}

/// Where a listing goes on, and what it has seen so far.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// Whose alerts are listed.
    pub source: Source,
    /// The next page.
    pub next: PageCursor,
    /// What the listing will leave as the watermark of its source.
    pub watermark: Watermark,
    /// Those of the sources that this pass is through with.
    #[serde(default)]
    pub done: Watermarks,
    /// Whether it goes to the end whatever it meets.
    pub complete: bool,
    /// Whether an alert could not be stored so far.
    pub unstorable: bool,
}

/// A repository's findings by kind. Changed only together with the findings.
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
    /// Counts a finding of this kind `by` times.
    pub fn add(&mut self, severity: Severity, status: FindingStatus, by: i64) {
        match status {
            FindingStatus::Open => self.open[severity.rank()] += by,
            FindingStatus::Fixed => self.fixed += by,
            FindingStatus::Ignored => self.ignored += by,
            FindingStatus::Closed => self.closed += by,
        }
    }

    /// Adds another repository's.
    pub fn add_all(&mut self, other: &Self) {
        for (sum, more) in self.open.iter_mut().zip(other.open) {
            *sum += more;
        }
        self.fixed += other.fixed;
        self.ignored += other.ignored;
        self.closed += other.closed;
    }

    /// Name and amount of each count that is not zero.
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
    /// Everything in reach is stored.
    Succeeded {
        /// How far each source's alerts are seen now.
        watermarks: Watermarks,
        /// Whether the listing went to its end.
        complete: bool,
    },
    /// Not.
    Failed(RepositoryFailure),
}

/// A store's failure. Repeating the call is safe.
#[derive(Debug, thiserror::Error)]
pub enum RepositoriesError {
    /// A read failed.
    #[error("cannot read an owner's repositories")]
    Unread(#[source] Cause),
    /// The write may or may not have landed.
    #[error("cannot tell whether {what} was written")]
    Unwritten {
        /// What was to be written.
        what: &'static str,
        /// The client's error.
        #[source]
        source: Cause,
    },
    /// The owner is connected to no installation.
    #[error("the owner is connected to no installation, and so has no repositories")]
    NotConnected,
}

/// What is to be recorded of a repository before it is asked for.
#[derive(Clone, Debug)]
pub struct Listing {
    /// The repository as GitHub lists it; `None` if it no longer does.
    pub listed: Option<InstallationRepository>,
    /// Which one.
    pub id: RepositoryId,
    /// The pass that attempts it now, if one does.
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
                .map_err(|error| RepositoriesError::Unread(Box::new(error)))?;
            for item in page.items() {
                records.push(item::record(item).map_err(|e| RepositoriesError::Unread(e.into()))?);
            }
            from = page.last_evaluated_key;
            if from.is_none() {
                return Ok(records);
            }
        }
    }

    /// These repositories of an owner and the items of these other keys, strongly consistent, together. In no order; what
    /// is not there is absent.
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

    /// Records what the installation lists and which repositories are attempted now: up to 99 in one transaction. An owner
    /// who is no longer connected gets no repositories.
    pub async fn record(
        &self,
        owner: &Owner,
        listings: &[Listing],
        now: Timestamp,
    ) -> Result<(), RepositoriesError> {
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

    /// Keeps where a pass stopped in mid-listing. Nothing happens if a later attempt has begun.
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
            source: Box::new(error),
        })?;
        let mut e = Expression::default();
        let mine = e.compare("pass", "=", s(pass.to_string()));
        e.set("cursor", s(text));
        self.write(owner, repository, e, mine, what).await
    }

    /// Records how the attempt that began at `began` ended. Nothing happens if a later attempt has begun: that one will
    /// say.
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
                            source: Box::new(error),
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

    /// The update of a repository's counts that goes with its findings. Refused if the owner no longer has the
    /// repository; without a difference it only makes sure of that.
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
            Updated::Written | Updated::Refused(_) => Ok(()),
        }
    }
}

/// A flag as an attribute.
fn flag(value: bool) -> AttributeValue {
    AttributeValue::Bool(value)
}
