//! The findings, one row each. A row is written only if the finding changed, and only over the row it was compared
//! with.

pub mod analyses;
mod list;
mod write;

use std::{collections::HashMap, time::Duration};

use crate::{
    repositories::{Repositories, RepositoryRecord},
    table::{Attributes, Cause, Caused, Item, Partition, Table, Unreadable},
};
use domain::{
    Timestamp,
    analysis::Analysis,
    command::CommandId,
    finding::{
        AlertNumber, Finding, FindingDigest, FindingId, FindingStatus, Repository, RepositoryId,
        Severity,
    },
    owner::Owner,
};

pub use list::{
    AnalysisFilter, FindingFilter, FindingPage, FindingPosition, Overdue, UnanalysedPage,
};
pub use write::{Arrival, Stored};

/// The findings' rows.
#[derive(Clone, Debug)]
pub struct Findings {
    table: Table,
    repositories: Repositories,
}

/// A finding as stored.
#[derive(Clone, Debug, PartialEq)]
pub struct FindingRecord {
    /// The finding.
    pub finding: Finding,
    /// The digest of the stored finding, which guards every change.
    pub digest: FindingDigest,
    /// Its latest analysis, if it was ever analysed.
    pub analysis: Option<Analysis>,
    /// Whether automation may start its analysis.
    pub waits: bool,
    /// The command whose change of the alert the finding shows: its dismissal if it is ignored, its reopening if it is open.
    pub credited: Option<CommandId>,
    /// Since when the finding counts as new: when it appeared, or when GitHub raised its alert if that was before the
    /// repository's first sync.
    pub new_since: Timestamp,
    /// Its repository, with its current name.
    pub repository: Repository,
    /// When it was last compared with GitHub.
    pub last_synced_at: Timestamp,
}

/// A store's failure. Repeating the call is safe.
#[derive(Debug, thiserror::Error)]
pub enum FindingsError {
    /// A read failed.
    #[error("cannot read findings")]
    Unread(#[source] Cause),
    /// The row exists, but this version cannot read it as a finding.
    #[error("stored data of a finding is invalid")]
    Unreadable(#[source] Cause),
    /// The write may or may not have landed.
    #[error("outcome of writing {count} findings of repository {repository} is unknown")]
    Unwritten {
        /// The repository.
        repository: RepositoryId,
        /// The number of findings.
        count: usize,
        /// The client's error.
        #[source]
        source: Cause,
    },
    /// Other writers kept changing the same findings.
    #[error("cannot write findings of repository {repository}: they changed during every try")]
    Contended {
        /// The repository.
        repository: RepositoryId,
    },
    /// The owner's writes are paced, and this one's turn comes after the time given to it. Nothing was written.
    #[error("cannot write findings of repository {repository} before the time for it is up")]
    OutOfTime {
        /// The repository.
        repository: RepositoryId,
    },
    /// The repository's row does not exist, so its findings may not be stored.
    #[error("cannot write findings of repository {repository}: the owner no longer has it")]
    RepositoryGone {
        /// The repository.
        repository: RepositoryId,
    },
}

impl Caused for FindingsError {
    fn cause(&self) -> Option<&Cause> {
        match self {
            Self::Unread(source) | Self::Unwritten { source, .. } => Some(source),
            Self::Unreadable(_)
            | Self::Contended { .. }
            | Self::RepositoryGone { .. }
            | Self::OutOfTime { .. } => None,
        }
    }
}

impl Findings {
    /// The findings in this table.
    pub fn new(table: Table) -> Self {
        Self {
            repositories: Repositories::new(table.clone()),
            table,
        }
    }

    /// One finding without its repository's row, strongly consistent. The repository's name and the time of the last
    /// sync are those of the finding's last write. One read.
    pub async fn read_alone(
        &self,
        owner: &Owner,
        id: FindingId,
    ) -> Result<Option<FindingRecord>, FindingsError> {
        let item = self.table.get(key(owner, id)).await;
        let item = item.map_err(FindingsError::Unread)?;
        item.as_ref().map(record).transpose().map_err(unreadable)
    }

    /// One finding and its repository, strongly consistent. One read.
    pub async fn read(
        &self,
        owner: &Owner,
        id: FindingId,
    ) -> Result<Option<FindingRecord>, FindingsError> {
        Ok(self.read_each(owner, &[id]).await?.pop())
    }

    /// These findings in this order, at most 100; unknown ones are left out. Their repositories' rows, which hold the
    /// time of the last sync, are in the same batch read.
    async fn read_each(
        &self,
        owner: &Owner,
        ids: &[FindingId],
    ) -> Result<Vec<FindingRecord>, FindingsError> {
        let mut of: Vec<RepositoryId> = ids.iter().map(|id| id.repository).collect();
        of.sort_unstable();
        of.dedup();
        let keys = ids.iter().map(|id| key(owner, *id)).collect();
        let read = self.repositories.read_beside(owner, &of, keys).await;
        let (looked_at, items) = read.map_err(FindingsError::Unread)?;
        let looked_at: HashMap<RepositoryId, RepositoryRecord> = looked_at
            .into_iter()
            .map(|record| (record.repository.id, record))
            .collect();
        let mut findings = HashMap::with_capacity(ids.len());
        for item in &items {
            let found = record(item).map_err(unreadable)?;
            findings.insert(found.finding.id, found);
        }
        Ok(ids
            .iter()
            .filter_map(|id| findings.remove(id))
            .map(|mut found| {
                if let Some(repository) = looked_at.get(&found.finding.id.repository) {
                    found.repository = repository.repository.clone();
                    let looked_at = repository.last_succeeded_at;
                    found.last_synced_at = found
                        .last_synced_at
                        .max(looked_at.unwrap_or(found.last_synced_at));
                }
                found
            })
            .collect())
    }
}

fn unreadable(source: Unreadable) -> FindingsError {
    FindingsError::Unreadable(source.into())
}

pub(crate) fn key(owner: &Owner, id: FindingId) -> Item {
    Partition::Findings.key(owner, sort_key(id))
}

/// Padded, so that a repository's findings are adjacent and sort by number.
fn sort_key(id: FindingId) -> String {
    format!(
        "{}#{:020}#{:010}",
        id.source,
        id.repository.get(),
        id.number.get()
    )
}

/// The finding that a sort key names.
fn id_in(sort_key: &str) -> Option<FindingId> {
    let (source, rest) = sort_key.split_once('#')?;
    let (repository, number) = rest.split_once('#')?;
    Some(FindingId {
        source: source.parse().ok()?,
        repository: RepositoryId::new(repository.parse().ok()?),
        number: AlertNumber::new(number.parse().ok()?)?,
    })
}

/// The order of the `unanalysed` index: by severity, then the finding that has been new for longest.
fn unanalysed(severity: Severity, new_since: Timestamp) -> String {
    open_since(severity, new_since)
}

/// The order of the `severity` index: by severity, then open findings first.
fn severity_rank(severity: Severity, status: FindingStatus, id: FindingId) -> String {
    format!(
        "{}{}#{:010}",
        rank_prefix(severity, Some(status), Some(id.repository)),
        id.source,
        id.number.get()
    )
}

/// The common prefix of the ranks of a severity (and status, and repository).
fn rank_prefix(
    severity: Severity,
    status: Option<FindingStatus>,
    repository: Option<RepositoryId>,
) -> String {
    let severity = severity.rank();
    let Some(status) = status else {
        return format!("{severity}#");
    };
    let status = match status {
        FindingStatus::Open => 0,
        FindingStatus::Ignored => 1,
        FindingStatus::Fixed => 2,
        FindingStatus::Closed => 3,
    };
    match repository {
        None => format!("{severity}#{status}#"),
        Some(repository) => format!("{severity}#{status}#{:020}#", repository.get()),
    }
}

/// The order of the `open` index: by severity, then by age.
fn open_since(severity: Severity, since: Timestamp) -> String {
    format!("{}#{:015}", severity.rank(), since.as_millis().max(0))
}

fn record(item: &Item) -> Result<FindingRecord, Unreadable> {
    let finding: Finding = item.parsed("finding", |text| serde_json::from_str(text).ok())?;
    let new_since = item.maybe("new_since", Attributes::time)?;
    Ok(FindingRecord {
        digest: item.parsed("digest", |text| text.parse().ok())?,
        analysis: analyses::analysis(item)?,
        waits: item.has("unanalysed"),
        credited: item.maybe("credited", |item, name| {
            item.parsed(name, |text| text.parse().ok())
        })?,
        new_since: new_since.unwrap_or(finding.first_detected_at),
        repository: Repository {
            id: finding.id.repository,
            name: finding.repository.clone(),
        },
        last_synced_at: item.time("written_at")?,
        finding,
    })
}

/// The part of a stored finding that is compared before a write.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Head {
    digest: FindingDigest,
    severity: Severity,
    status: FindingStatus,
    source_updated_at: Timestamp,
    new_since: Option<Timestamp>,
    analysed: bool,
    waits: bool,
}

fn head(item: &Item) -> Result<Head, Unreadable> {
    Ok(Head {
        digest: item.parsed("digest", |text| text.parse().ok())?,
        severity: item.parsed("severity", |text| text.parse().ok())?,
        status: item.parsed("status", |text| text.parse().ok())?,
        source_updated_at: item.time("source_updated_at")?,
        new_since: item.maybe("new_since", Attributes::time)?,
        analysed: item.has("analysis_attempt"),
        waits: item.has("unanalysed"),
    })
}

/// How long before its SLA ends a finding counts as due soon.
pub const DUE_SOON: Duration = Duration::from_secs(7 * 86_400);
