//! Lists and counts findings through the indexes, without reading findings that do not match.

use aws_sdk_dynamodb::types::{AttributeValue, Select};
use futures::future::try_join_all;

use super::{DUE_SOON, FindingRecord, Findings, FindingsError, rank_prefix, sort_key};
use crate::table::{Attributes, Item, Partition, s};
use domain::{
    Timestamp,
    finding::{AlertNumber, FindingId, FindingStatus, RepositoryId, Severity},
    owner::Owner,
    settings::SlaDays,
    text::words,
};

/// Which findings to list. A filter that is `None` matches every finding.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FindingFilter {
    /// The status.
    pub status: Option<FindingStatus>,
    /// The severity.
    pub severity: Option<Severity>,
    /// The repository.
    pub repository: Option<RepositoryId>,
    /// The state of the analysis.
    pub analysis: Option<AnalysisFilter>,
}

/// The state of a finding's analysis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnalysisFilter {
    /// Never analysed.
    None,
    /// Waiting for the agent to start it.
    Pending,
    /// Started by the agent.
    Running,
    /// Ended with a result.
    Completed,
    /// Ended without a result.
    Failed,
}

words!(AnalysisFilter, "the state of a finding's analysis", {
    None => "none",
    Pending => "pending",
    Running => "running",
    Completed => "completed",
    Failed => "failed",
});

/// Where a page ended: the rank of its last finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FindingPosition(String);

impl FindingPosition {
    /// Parses a position; `None` if the text is not one.
    pub fn parse(text: &str) -> Option<Self> {
        let position = Self(text.to_owned());
        position.id().map(|_| position)
    }

    /// The position as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn id(&self) -> Option<FindingId> {
        let mut parts = self.0.split('#').skip(2);
        let repository = parts.next()?.parse().ok().map(RepositoryId::new)?;
        let source = parts.next()?.parse().ok()?;
        let number = parts.next()?.parse().ok().and_then(AlertNumber::new)?;
        parts.next().is_none().then_some(FindingId {
            source,
            repository,
            number,
        })
    }
}

/// A page of findings.
#[derive(Clone, Debug)]
pub struct FindingPage {
    /// Most severe first.
    pub findings: Vec<FindingRecord>,
    /// Where the next page begins; `None` at the end.
    pub next: Option<FindingPosition>,
}

/// A page of open findings for automation to analyse.
#[derive(Clone, Debug)]
pub struct UnanalysedPage {
    /// Findings of one severity, the one that has been new for longest first.
    pub findings: Vec<FindingId>,
    /// Where the next page begins; `None` at the end.
    pub next: Option<Item>,
}

/// The number of open findings past or near the end of their SLA.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Overdue {
    /// Past the end of the SLA.
    pub overdue: u64,
    /// Within [`DUE_SOON`] of the end.
    pub due_soon: u64,
}

impl Findings {
    /// A page of matching findings. One query for each combination of severity and status that the filter needs (at
    /// most 16, usually 1 to 4), and one batch read.
    pub async fn list(
        &self,
        owner: &Owner,
        filter: &FindingFilter,
        limit: usize,
        after: Option<&FindingPosition>,
    ) -> Result<FindingPage, FindingsError> {
        let mut ranks: Vec<String> = Vec::with_capacity(limit + 1);
        for prefix in prefixes(filter) {
            // Earlier pages have listed every prefix that sorts before the position and does not contain it.
            if after.is_some_and(|after| {
                prefix.as_str() < after.as_str() && !after.as_str().starts_with(&prefix)
            }) {
                continue;
            }
            let inside = after.filter(|after| after.as_str().starts_with(&prefix));
            self.ranks(
                owner,
                &prefix,
                filter.analysis,
                inside,
                limit + 1,
                &mut ranks,
            )
            .await?;
            if ranks.len() > limit {
                break;
            }
        }
        let more = ranks.len() > limit;
        ranks.truncate(limit);
        let positions: Vec<FindingPosition> = ranks.into_iter().map(FindingPosition).collect();
        let ids: Vec<FindingId> = positions.iter().filter_map(FindingPosition::id).collect();
        let findings = if ids.is_empty() {
            Vec::new()
        } else {
            self.read_each(owner, &ids).await?
        };
        Ok(FindingPage {
            findings,
            next: if more {
                positions.last().cloned()
            } else {
                None
            },
        })
    }

    async fn ranks(
        &self,
        owner: &Owner,
        prefix: &str,
        analysis: Option<AnalysisFilter>,
        after: Option<&FindingPosition>,
        limit: usize,
        ranks: &mut Vec<String>,
    ) -> Result<(), FindingsError> {
        let mut from = after.and_then(|after| start(owner, after));
        loop {
            let mut query = self
                .table
                .client
                .query()
                .table_name(&self.table.name)
                .index_name("severity")
                .consistent_read(true)
                .expression_attribute_values(":pk", Partition::Findings.of(owner))
                .limit(i32::try_from(limit - ranks.len()).unwrap_or(i32::MAX))
                .set_exclusive_start_key(from);
            query = if prefix.is_empty() {
                query.key_condition_expression("pk = :pk")
            } else {
                query
                    .key_condition_expression("pk = :pk AND begins_with(severity_rank, :prefix)")
                    .expression_attribute_values(":prefix", s(prefix))
            };
            query = match analysis {
                None => query,
                Some(AnalysisFilter::None) => {
                    query.filter_expression("attribute_not_exists(analysis_status)")
                }
                Some(analysis) => query
                    .filter_expression("analysis_status = :analysis")
                    .expression_attribute_values(":analysis", s(analysis.as_str())),
            };
            let page = query
                .send()
                .await
                .map_err(|error| FindingsError::Unread(error.into()))?;
            for item in page.items() {
                ranks.push(
                    item.text_owned("severity_rank")
                        .map_err(super::unreadable)?,
                );
            }
            from = page.last_evaluated_key;
            if from.is_none() || ranks.len() >= limit {
                return Ok(());
            }
        }
    }

    /// A page of open findings of a severity that were never analysed, or that automation deferred, and that are new
    /// since `since`. A finding may change after the query, so the guard of
    /// [`Analyses::begin`](super::analyses::Analyses::begin) decides.
    pub async fn unanalysed(
        &self,
        owner: &Owner,
        severity: Severity,
        since: Timestamp,
        limit: u32,
        after: Option<Item>,
    ) -> Result<UnanalysedPage, FindingsError> {
        let last = Timestamp::from_millis(999_999_999_999_999);
        let page = self
            .table
            .client
            .query()
            .table_name(&self.table.name)
            .index_name("unanalysed")
            .consistent_read(true)
            .key_condition_expression("pk = :pk AND unanalysed BETWEEN :first AND :last")
            .expression_attribute_values(":pk", Partition::Findings.of(owner))
            .expression_attribute_values(":first", s(super::unanalysed(severity, since)))
            .expression_attribute_values(":last", s(super::unanalysed(severity, last)))
            .limit(i32::try_from(limit).unwrap_or(i32::MAX))
            .set_exclusive_start_key(after)
            .send()
            .await
            .map_err(|error| FindingsError::Unread(error.into()))?;
        let ids = page.items().iter().filter_map(|item| {
            let key = item.text("sk").ok()?;
            super::id_in(key)
        });
        Ok(UnanalysedPage {
            findings: ids.collect(),
            next: page.last_evaluated_key,
        })
    }

    /// Counts the open findings past or near the end of their SLA, in eight queries that read only the counted entries.
    pub async fn overdue(
        &self,
        owner: &Owner,
        sla: &SlaDays,
        now: Timestamp,
    ) -> Result<Overdue, FindingsError> {
        let counts = try_join_all(Severity::ALL.iter().map(async |&severity| {
            let late = now - sla.of(severity);
            let overdue = self
                .open_between(owner, severity, Timestamp::from_millis(0), late)
                .await?;
            let next = Timestamp::from_millis(late.as_millis() + 1);
            let due_soon = self
                .open_between(owner, severity, next, late + DUE_SOON)
                .await?;
            Ok(Overdue { overdue, due_soon })
        }))
        .await?;
        Ok(counts
            .into_iter()
            .fold(Overdue::default(), |sum, more| Overdue {
                overdue: sum.overdue + more.overdue,
                due_soon: sum.due_soon + more.due_soon,
            }))
    }

    async fn open_between(
        &self,
        owner: &Owner,
        severity: Severity,
        first: Timestamp,
        last: Timestamp,
    ) -> Result<u64, FindingsError> {
        let mut count = 0;
        let mut from = None;
        loop {
            let page = self
                .table
                .client
                .query()
                .table_name(&self.table.name)
                .index_name("open")
                .select(Select::Count)
                .key_condition_expression("pk = :pk AND open_since BETWEEN :first AND :last")
                .expression_attribute_values(":pk", Partition::Findings.of(owner))
                .expression_attribute_values(":first", s(super::open_since(severity, first)))
                .expression_attribute_values(":last", s(super::open_since(severity, last)))
                .set_exclusive_start_key(from)
                .send()
                .await
                .map_err(|error| FindingsError::Unread(error.into()))?;
            count += u64::try_from(page.count).unwrap_or(0);
            from = page.last_evaluated_key;
            if from.is_none() {
                return Ok(count);
            }
        }
    }
}

/// The prefixes of the ranks that can match, in order. The empty prefix is the whole index.
fn prefixes(filter: &FindingFilter) -> Vec<String> {
    let severities: Vec<Severity> = filter
        .severity
        .map_or_else(|| Severity::ALL.to_vec(), |severity| vec![severity]);
    let statuses: Vec<Option<FindingStatus>> = match (filter.status, filter.repository) {
        (Some(status), _) => vec![Some(status)],
        (None, Some(_)) => FindingStatus::ALL.iter().copied().map(Some).collect(),
        (None, None) if filter.severity.is_none() => return vec![String::new()],
        (None, None) => vec![None],
    };
    let mut prefixes: Vec<String> = severities
        .iter()
        .flat_map(|severity| {
            statuses
                .iter()
                .map(|status| rank_prefix(*severity, *status, filter.repository))
        })
        .collect();
    prefixes.sort_unstable();
    prefixes
}

/// The index key at a position.
fn start(owner: &Owner, position: &FindingPosition) -> Option<Item> {
    let text = |value: String| AttributeValue::S(value);
    Some(Item::from([
        ("pk".to_owned(), Partition::Findings.of(owner)),
        ("sk".to_owned(), text(sort_key(position.id()?))),
        ("severity_rank".to_owned(), text(position.0.clone())),
    ]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::finding::Source;

    #[test]
    fn ranks_put_the_most_severe_open_findings_first() {
        let id = FindingId {
            source: Source::Dependabot,
            repository: RepositoryId::new(7),
            number: AlertNumber::new(12).expect("not zero"),
        };
        let rank = |severity, status| super::super::severity_rank(severity, status, id);
        assert!(
            rank(Severity::Critical, FindingStatus::Closed)
                < rank(Severity::High, FindingStatus::Open)
        );
        assert!(
            rank(Severity::High, FindingStatus::Open) < rank(Severity::High, FindingStatus::Fixed)
        );
        let position =
            FindingPosition::parse(&rank(Severity::Low, FindingStatus::Open)).expect("a rank");
        assert_eq!(position.id(), Some(id));
        assert_eq!(FindingPosition::parse("0#0#x"), None);
    }

    #[test]
    fn a_filter_queries_only_prefixes_that_can_match() {
        assert_eq!(prefixes(&FindingFilter::default()), [""]);
        let open = FindingFilter {
            status: Some(FindingStatus::Open),
            ..FindingFilter::default()
        };
        assert_eq!(prefixes(&open), ["0#0#", "1#0#", "2#0#", "3#0#"]);
        let of = FindingFilter {
            repository: Some(RepositoryId::new(7)),
            ..FindingFilter::default()
        };
        assert_eq!(prefixes(&of).len(), 16);
    }
}
