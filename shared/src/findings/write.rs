//! Writing findings: compare, then write what differs, guarded by what was compared with.

use std::collections::HashMap;

use aws_sdk_dynamodb::{
    operation::transact_write_items::TransactWriteItemsError,
    types::{TransactWriteItem, Update},
};
use tracing::debug;

use super::{Findings, FindingsError, Head, head, key, open_since, severity_rank, sort_key};
use crate::{
    Timestamp,
    finding::{Finding, FindingDigest, FindingId, FindingStatus, RepositoryId},
    owner::Owner,
    repositories::Counts,
    table::{Attributes, Expression, batch_get, conflicted, ms, retry_conflicts, s},
};

/// A transaction holds 100 items; one is the repository's counts.
const CHUNK: usize = 99;
/// A transaction holds 4 MB: what DynamoDB adds to our text is far less than the rest.
const CHUNK_BYTES: usize = 3_000_000;
/// An item holds 400 KB.
const FINDING_BYTES: usize = 380_000;
/// How often the same findings may change between our read and our write.
const TRIES: usize = 6;

/// What became of a page of findings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stored {
    /// New or different, and written.
    pub written: usize,
    /// As stored before.
    pub unchanged: usize,
    /// Older than what is stored: a stale page.
    pub stale: usize,
    /// Too large for a row.
    pub unstorable: usize,
}

/// A finding with what is derived from it once, however often it is compared and written.
#[derive(Debug)]
struct Pending {
    finding: Finding,
    /// As it is stored.
    text: String,
    digest: FindingDigest,
}

impl Pending {
    fn new(finding: Finding, text: String) -> Self {
        let digest = finding.digest();
        Self {
            finding,
            text,
            digest,
        }
    }
}

impl Findings {
    /// Stores findings of one repository: each is written only if it is new, or differs from the row and is not older
    /// than it. The row must still be the one compared with, so a page fetched before a dismissal never overwrites it,
    /// and the repository's counts change together with the findings.
    pub async fn store(
        &self,
        owner: &Owner,
        repository: RepositoryId,
        findings: Vec<Finding>,
        now: Timestamp,
    ) -> Result<Stored, FindingsError> {
        let mut stored = Stored::default();
        let mut latest: HashMap<FindingId, Pending> = HashMap::new();
        for finding in findings {
            let text = serde_json::to_string(&finding)
                .map_err(|error| FindingsError::Unread(Box::new(error)))?;
            if text.len() > FINDING_BYTES {
                stored.unstorable += 1;
                continue;
            }
            // A listing may show an alert twice, when it changes while being paged.
            match latest.get(&finding.id) {
                Some(known) if known.finding.source_updated_at >= finding.source_updated_at => {}
                _ => _ = latest.insert(finding.id, Pending::new(finding, text)),
            }
        }
        let mut pending: Vec<Pending> = latest.into_values().collect();
        pending.sort_unstable_by_key(|pending| pending.finding.id);

        for chunk in chunks(pending) {
            let chunk = self.store_chunk(owner, repository, chunk, now).await?;
            stored.written += chunk.written;
            stored.unchanged += chunk.unchanged;
            stored.stale += chunk.stale;
        }
        Ok(stored)
    }

    async fn store_chunk(
        &self,
        owner: &Owner,
        repository: RepositoryId,
        pending: Vec<Pending>,
        now: Timestamp,
    ) -> Result<Stored, FindingsError> {
        for _ in 0..TRIES {
            let heads = self
                .heads(owner, pending.iter().map(|pending| pending.finding.id))
                .await?;
            let mut stored = Stored::default();
            let mut delta = Counts::default();
            let mut writes = Vec::new();
            for pending in &pending {
                let finding = &pending.finding;
                let seen = heads.get(&sort_key(finding.id));
                match seen {
                    Some(seen) if seen.digest == pending.digest => {
                        stored.unchanged += 1;
                        continue;
                    }
                    Some(seen) if seen.source_updated_at > finding.source_updated_at => {
                        stored.stale += 1;
                        continue;
                    }
                    Some(seen) => delta.add(seen.severity, seen.status, -1),
                    None => {}
                }
                delta.add(finding.severity, finding.status, 1);
                stored.written += 1;
                writes.push(self.write(owner, pending, seen, now)?);
            }
            if writes.is_empty() {
                return Ok(stored);
            }
            let count = writes.len();
            if delta != Counts::default() {
                let unwritten = |source| FindingsError::Unwritten {
                    repository,
                    count,
                    source,
                };
                writes.push(
                    self.repositories
                        .count(owner, repository, &delta)
                        .map_err(|error| unwritten(Box::new(error)))?,
                );
            }
            if self.transact(repository, writes, count).await? {
                return Ok(stored);
            }
            debug!(repository.id = %repository, "findings changed between read and write; comparing again");
        }
        Err(FindingsError::Contended { repository })
    }

    /// What is stored of these findings, by sort key.
    async fn heads(
        &self,
        owner: &Owner,
        ids: impl Iterator<Item = FindingId>,
    ) -> Result<HashMap<String, Head>, FindingsError> {
        let keys: Vec<_> = ids.map(|id| key(owner, id)).collect();
        let names = [("#status".to_owned(), "status".to_owned())].into();
        let projection = ("sk, digest, severity, #status, source_updated_at", names);
        let items = batch_get(&self.table, keys, Some(projection))
            .await
            .map_err(FindingsError::Unread)?;
        items
            .iter()
            .map(|item| Ok((item.text_owned("sk")?, head(item)?)))
            .collect::<Result<_, _>>()
            .map_err(super::unreadable)
    }

    fn write(
        &self,
        owner: &Owner,
        pending: &Pending,
        seen: Option<&Head>,
        now: Timestamp,
    ) -> Result<TransactWriteItem, FindingsError> {
        let finding = &pending.finding;
        let mut e = Expression::default();
        // Whoever wrote since the comparison, a dismissal or another sync, has left another digest.
        let condition = match seen {
            None => "attribute_not_exists(pk)".to_owned(),
            Some(seen) => e.compare("digest", "=", s(seen.digest.to_string())),
        };
        e.set("finding", s(&pending.text));
        e.set("digest", s(pending.digest.to_string()));
        e.set("severity", s(finding.severity.as_str()));
        e.set("status", s(finding.status.as_str()));
        e.set("source_updated_at", ms(finding.source_updated_at));
        e.set(
            "severity_rank",
            s(severity_rank(finding.severity, finding.status, finding.id)),
        );
        e.put(
            "open_since",
            (finding.status == FindingStatus::Open)
                .then(|| s(open_since(finding.severity, finding.first_detected_at))),
        );
        e.set("written_at", ms(now));
        let update = Update::builder()
            .table_name(&self.table.name)
            .set_key(Some(key(owner, finding.id)))
            .update_expression(e.update())
            .condition_expression(condition)
            .set_expression_attribute_names(Some(e.names))
            .set_expression_attribute_values(Some(e.values))
            .build()
            .map_err(|error| FindingsError::Unwritten {
                repository: finding.id.repository,
                count: 1,
                source: Box::new(error),
            })?;
        Ok(TransactWriteItem::builder().update(update).build())
    }

    /// Writes all or nothing; `false` if a guard refused.
    #[expect(
        clippy::disallowed_methods,
        reason = "the one guarded write of findings"
    )]
    async fn transact(
        &self,
        repository: RepositoryId,
        writes: Vec<TransactWriteItem>,
        count: usize,
    ) -> Result<bool, FindingsError> {
        let write = || {
            self.table
                .client
                .transact_write_items()
                .set_transact_items(Some(writes.clone()))
                .send()
        };
        match retry_conflicts(write, conflicted).await {
            Ok(_) => Ok(true),
            Err(error) => match error.into_service_error() {
                TransactWriteItemsError::TransactionCanceledException(cancelled)
                    if cancelled
                        .cancellation_reasons()
                        .iter()
                        .any(|reason| reason.code() == Some("ConditionalCheckFailed")) =>
                {
                    Ok(false)
                }
                other => Err(FindingsError::Unwritten {
                    repository,
                    count,
                    source: Box::new(other),
                }),
            },
        }
    }
}

/// Splits by number and by size.
fn chunks(pending: Vec<Pending>) -> Vec<Vec<Pending>> {
    let mut chunks: Vec<Vec<Pending>> = Vec::new();
    let mut bytes = 0;
    for finding in pending {
        let size = finding.text.len() + 1_000;
        match chunks.last_mut() {
            Some(chunk) if chunk.len() < CHUNK && bytes + size <= CHUNK_BYTES => {
                bytes += size;
                chunk.push(finding);
            }
            _ => {
                bytes = size;
                chunks.push(vec![finding]);
            }
        }
    }
    chunks
}
