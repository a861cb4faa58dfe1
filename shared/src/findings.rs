//! The findings: one row each, written only when it changed, and only over the row that was compared with.

mod list;
mod write;

use std::{collections::HashMap, time::Duration};

use crate::{
    Timestamp,
    finding::{Finding, FindingDigest, FindingId, FindingStatus, RepositoryId, Severity},
    owner::Owner,
    repositories::{self, Repositories, RepositoryRecord},
    table::{Attributes, Cause, Item, Partition, Table, Unreadable, batch_get, s},
};

pub use list::{AnalysisFilter, FindingFilter, FindingPage, FindingPosition, Overdue};
pub use write::Stored;

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
    /// When it was last compared with GitHub.
    pub last_synced_at: Timestamp,
}

/// A store's failure. Repeating the call is safe.
#[derive(Debug, thiserror::Error)]
pub enum FindingsError {
    /// A read failed.
    #[error("cannot read findings")]
    Unread(#[source] Cause),
    /// The write may or may not have landed.
    #[error("cannot tell whether {count} findings of repository {repository} were written")]
    Unwritten {
        /// Of which repository.
        repository: RepositoryId,
        /// How many.
        count: usize,
        /// The client's error.
        #[source]
        source: Cause,
    },
    /// Others kept changing the same findings.
    #[error("the findings of repository {repository} changed under every try to write them")]
    Contended {
        /// Of which repository.
        repository: RepositoryId,
    },
}

impl Findings {
    /// The findings in this table.
    pub fn new(table: Table) -> Self {
        Self {
            repositories: Repositories::new(table.clone()),
            table,
        }
    }

    /// One finding, strongly consistent. One read.
    pub async fn read(
        &self,
        owner: &Owner,
        id: FindingId,
    ) -> Result<Option<FindingRecord>, FindingsError> {
        Ok(self.read_each(owner, &[id]).await?.pop())
    }

    /// These findings in this order, at most 100; unknown ones are absent. Read together with their repositories, which
    /// know when they were last looked at.
    async fn read_each(
        &self,
        owner: &Owner,
        ids: &[FindingId],
    ) -> Result<Vec<FindingRecord>, FindingsError> {
        let mut of: Vec<RepositoryId> = ids.iter().map(|id| id.repository).collect();
        of.sort_unstable();
        of.dedup();
        let keys: Vec<Item> = ids
            .iter()
            .map(|id| key(owner, *id))
            .chain(of.iter().map(|id| repositories::key(owner, *id)))
            .collect();
        let mut findings = HashMap::with_capacity(ids.len());
        let mut looked_at: HashMap<RepositoryId, RepositoryRecord> = HashMap::new();
        for keys in keys.chunks(100) {
            for item in batch_get(&self.table, keys.to_vec(), None)
                .await
                .map_err(FindingsError::Unread)?
            {
                if item.has("finding") {
                    let (finding, written_at) = finding(&item).map_err(unreadable)?;
                    findings.insert(finding.id, (finding, written_at));
                } else {
                    let record = repositories::record(&item).map_err(unreadable)?;
                    looked_at.insert(record.repository.id, record);
                }
            }
        }
        Ok(ids
            .iter()
            .filter_map(|id| findings.remove(id))
            .map(|(finding, written_at)| {
                let looked_at = looked_at
                    .get(&finding.id.repository)
                    .and_then(|repository| repository.last_succeeded_at);
                let last_synced_at = looked_at.map_or(written_at, |at| at.max(written_at));
                FindingRecord {
                    finding,
                    last_synced_at,
                }
            })
            .collect())
    }
}

fn unreadable(source: Unreadable) -> FindingsError {
    FindingsError::Unread(source.into())
}

fn key(owner: &Owner, id: FindingId) -> Item {
    Item::from([
        ("pk".to_owned(), Partition::Findings.of(owner)),
        ("sk".to_owned(), s(sort_key(id))),
    ])
}

/// Padded, so that a repository's findings lie together and sort by number.
fn sort_key(id: FindingId) -> String {
    format!(
        "dependabot#{:020}#{:010}",
        id.repository.get(),
        id.number.get()
    )
}

/// The order of the `severity` index: the most severe first, and of those the open ones.
fn severity_rank(severity: Severity, status: FindingStatus, id: FindingId) -> String {
    format!(
        "{}{}",
        rank_prefix(severity, Some(status), Some(id.repository)),
        format_args!("{:010}", id.number.get())
    )
}

/// The beginning that the ranks of a severity (and status, and repository) share.
fn rank_prefix(
    severity: Severity,
    status: Option<FindingStatus>,
    repository: Option<RepositoryId>,
) -> String {
    let severity = repositories::severity_index(severity);
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
    format!(
        "{}#{:015}",
        repositories::severity_index(severity),
        since.as_millis().max(0)
    )
}

fn finding(item: &Item) -> Result<(Finding, Timestamp), Unreadable> {
    let finding = item.parsed("finding", |text| serde_json::from_str(text).ok())?;
    Ok((finding, item.time("written_at")?))
}

/// What is compared before a finding is written.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Head {
    digest: FindingDigest,
    severity: Severity,
    status: FindingStatus,
    source_updated_at: Timestamp,
}

fn head(item: &Item) -> Result<Head, Unreadable> {
    Ok(Head {
        digest: item.parsed("digest", |text| text.parse().ok())?,
        severity: item.parsed("severity", |text| text.parse().ok())?,
        status: item.parsed("status", |text| text.parse().ok())?,
        source_updated_at: item.time("source_updated_at")?,
    })
}

/// Within how long a finding counts as due soon.
pub const DUE_SOON: Duration = Duration::from_secs(7 * 86_400);
