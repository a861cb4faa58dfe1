//! Writing findings: compare, then write what differs, guarded by what was compared with.

use std::collections::HashMap;

use tracing::debug;

use super::{
    FindingRecord, Findings, FindingsError, Head, head, key, open_since, severity_rank, sort_key,
    unanalysed,
};
use crate::{
    pace::Pace,
    repositories::Counts,
    table::{
        Attributes, Cause, Expression, Refusal, THROTTLE_BACKOFF, Transacted, Writes, batch_get,
        ms, s,
    },
};
use domain::{
    Timestamp,
    command::CommandId,
    finding::{Finding, FindingDigest, FindingId, FindingStatus, RepositoryId},
    owner::Owner,
};

/// A transaction holds 100 items; one is the repository's row.
const CHUNK: usize = 99;
/// A transaction holds 4 MB, but consumes its units at once, and its partition has 1,000 a second: one that asked for
/// more would be cancelled each time. A single finding costs less than this.
const CHUNK_UNITS: usize = 500;
/// An item holds 400 KB, of which an analysis's result and a call back take up to 64 each. GitHub's own limit for an
/// advisory's text is far below.
const FINDING_BYTES: usize = 250_000;
/// How often the same findings may change between our read and our write.
const TRIES: usize = 6;
/// How often a transaction is throttled before its caller hands the rest on: some nine seconds.
const THROTTLED_TRIES: u32 = 5;

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

/// Why a finding is stored for the first time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// It was there when its repository was looked at for the first time.
    Backlog,
    /// It came up since.
    New,
}

/// A finding with what is derived from it once, however often it is compared and written.
#[derive(Debug)]
struct Pending {
    finding: Finding,
    /// As it is stored.
    text: String,
    /// The write units that it is expected to consume.
    units: usize,
    digest: FindingDigest,
}

impl Pending {
    fn new(finding: Finding, text: String) -> Self {
        let digest = finding.digest();
        // In a transaction a KB of the row is two units. Its entries in three indexes are short.
        let units = 2 * (text.len() + 1_000).div_ceil(1_024) + 3;
        Self {
            finding,
            units,
            text,
            digest,
        }
    }
}

impl Findings {
    /// Stores findings of one repository: each is written only if it is new, or differs from the row and is not older
    /// than it. The row must still be the one compared with, so a page fetched before a dismissal never overwrites it,
    /// and the repository's counts change together with the findings. `pace` says when each transaction may be made, and
    /// how long a throttled one is repeated.
    pub async fn store(
        &self,
        owner: &Owner,
        repository: RepositoryId,
        findings: Vec<Finding>,
        (arrival, now): (Arrival, Timestamp),
        pace: &Pace,
    ) -> Result<Stored, FindingsError> {
        let mut stored = Stored::default();
        let mut latest: HashMap<FindingId, Pending> = HashMap::new();
        for finding in findings {
            let text = serde_json::to_string(&finding)
                .map_err(|error| FindingsError::Unread(error.into()))?;
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
            let chunk = self
                .store_chunk(owner, repository, chunk, (arrival, now), pace)
                .await?;
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
        (arrival, now): (Arrival, Timestamp),
        pace: &Pace,
    ) -> Result<Stored, FindingsError> {
        for _ in 0..TRIES {
            let heads = self
                .heads(owner, pending.iter().map(|pending| pending.finding.id))
                .await?;
            let mut stored = Stored::default();
            let mut delta = Counts::default();
            let mut writes = Writes::default();
            let mut units = 4;
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
                units += pending.units;
                writes = writes.and(self.write(owner, pending, seen, arrival, now));
            }
            if writes.is_empty() {
                return Ok(stored);
            }
            // Even if no count changes: findings are kept only of a repository that the owner still has.
            let counts = self.repositories.count(owner, repository, &delta);
            let transacted = self
                .paced(repository, &counts.and(writes), units, pace)
                .await?;
            match transacted {
                Transacted::Written => return Ok(stored),
                Transacted::Refused(refusals) => {
                    if let Some(Refusal::Condition(_)) = refusals.first() {
                        return Err(FindingsError::RepositoryGone { repository });
                    }
                }
            }
            debug!(repository.id = %repository, "findings changed between read and write; comparing again");
        }
        Err(FindingsError::Contended { repository })
    }

    /// Makes a transaction when its turn comes. While DynamoDB throttles the owner's findings, all of its turns wait.
    async fn paced(
        &self,
        repository: RepositoryId,
        writes: &Writes,
        units: usize,
        pace: &Pace,
    ) -> Result<Transacted, FindingsError> {
        let unwritten = |source| FindingsError::Unwritten {
            repository,
            count: writes.len() - 1,
            source,
        };
        let mut throttled = None;
        for tries in 1..=THROTTLED_TRIES {
            let Some(turn) = pace.turn(units).await else {
                return Err(throttled.map_or(FindingsError::OutOfTime { repository }, unwritten));
            };
            match self.table.transact_once(writes).await {
                Ok(made) => {
                    turn.consumed(made.units);
                    return Ok(made.outcome);
                }
                Err(cause @ Cause::Throttled(_)) => {
                    debug!(repository.id = %repository, tries, "DynamoDB throttles an owner's findings");
                    pace.rest(THROTTLE_BACKOFF.after(tries));
                    throttled = Some(cause);
                }
                Err(cause) => return Err(unwritten(cause)),
            }
        }
        Err(throttled.map_or(FindingsError::Contended { repository }, unwritten))
    }

    /// What is stored of these findings, by sort key.
    async fn heads(
        &self,
        owner: &Owner,
        ids: impl Iterator<Item = FindingId>,
    ) -> Result<HashMap<String, Head>, FindingsError> {
        let keys: Vec<_> = ids.map(|id| key(owner, id)).collect();
        let names = [("#status".to_owned(), "status".to_owned())].into();
        let projection = (
            "sk, digest, severity, #status, source_updated_at, new_since, analysis_attempt, unanalysed",
            names,
        );
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
        arrival: Arrival,
        now: Timestamp,
    ) -> Writes {
        let finding = &pending.finding;
        let mut e = Expression::default();
        // Whoever wrote since the comparison, a dismissal or another sync, has left another digest.
        let mut condition = match seen {
            None => e.absent("pk"),
            Some(seen) => e.compare("digest", "=", s(seen.digest.to_string())),
        };
        let first_seen = match arrival {
            Arrival::Backlog => finding.first_detected_at,
            Arrival::New => now,
        };
        let new_since = seen
            .map_or(Some(first_seen), |seen| seen.new_since)
            .unwrap_or(finding.first_detected_at);
        if seen.is_none() {
            e.set("new_since", ms(new_since));
        }
        let (waited, analysed) = seen.map_or((false, false), |seen| (seen.waits, seen.analysed));
        if let Some(as_seen) = wait(finding, waited, analysed, new_since, &mut e) {
            condition = format!("{condition} AND {as_seen}");
        }
        set(pending, now, &mut e);
        if seen.is_some_and(|seen| seen.status != finding.status) {
            // Whoever did this is no command of ours, or a command that has yet to say so.
            e.remove("credited");
        }
        self.table
            .update(key(owner, finding.id), e, Some(condition))
    }

    /// The writes by which a finding that was `seen` becomes what it is now at GitHub, or closed: its row and its
    /// repository's counts. They are refused if anybody has written either since. The command that made the change is
    /// credited with it, and only one can be. What is stored stays if GitHub showed it later than the change: somebody has reopened the
    /// alert since, and a listing that has seen that will not bring it again.
    pub fn change(
        &self,
        owner: &Owner,
        seen: &FindingRecord,
        changed: &Finding,
        credited: Option<CommandId>,
        now: Timestamp,
    ) -> Writes {
        let before = &seen.finding;
        // A closed finding is dated by its last alert: GitHub shows no other any more.
        let closed = changed.status == FindingStatus::Closed;
        if !closed && changed.source_updated_at < before.source_updated_at {
            return Writes::default();
        }
        let text = serde_json::to_string(changed).expect("a finding is plain data");
        let pending = Pending::new(changed.clone(), text);
        let differs = pending.digest != seen.digest;
        if !differs && credited.is_none() {
            return Writes::default();
        }
        let mut e = Expression::default();
        let mut condition = e.compare("digest", "=", s(seen.digest.to_string()));
        if differs {
            set(&pending, now, &mut e);
            let (waited, analysed) = (seen.waits, seen.analysis.is_some());
            if let Some(as_seen) = wait(changed, waited, analysed, seen.new_since, &mut e) {
                condition = format!("{condition} AND {as_seen}");
            }
        }
        if let Some(command) = credited {
            // One command is credited with one change. Another may be with a later one.
            let uncredited = match seen.credited.filter(|_| differs) {
                Some(earlier) => e.compare("credited", "=", s(earlier.to_string())),
                None => e.absent("credited"),
            };
            condition = format!("{condition} AND {uncredited}");
            e.set("credited", s(command.to_string()));
        } else if before.status != changed.status {
            e.remove("credited");
        }
        let finding = self
            .table
            .update(key(owner, changed.id), e, Some(condition));
        let mut delta = Counts::default();
        delta.add(before.severity, before.status, -1);
        delta.add(changed.severity, changed.status, 1);
        let repository = changed.id.repository;
        finding.and(self.repositories.count(owner, repository, &delta))
    }
}

/// Keeps an open finding in automation's index, by its severity, until it is analysed. Returns the condition that no other
/// writer has changed that since: an analysis must not start twice, and a finding deferred meanwhile would keep the place of
/// its earlier severity.
fn wait(
    finding: &Finding,
    waited: bool,
    analysed: bool,
    new_since: Timestamp,
    e: &mut Expression,
) -> Option<String> {
    if finding.status != FindingStatus::Open {
        e.remove("unanalysed");
        return None;
    }
    let as_seen = match (waited, analysed) {
        (true, _) => e.exists("unanalysed"),
        (false, true) => return Some(e.absent("unanalysed")),
        (false, false) => format!(
            "{} AND {}",
            e.absent("unanalysed"),
            e.absent("analysis_attempt")
        ),
    };
    e.set("unanalysed", s(unanalysed(finding.severity, new_since)));
    Some(as_seen)
}

/// What a finding's row says of the finding itself.
fn set(pending: &Pending, now: Timestamp, e: &mut Expression) {
    let finding = &pending.finding;
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
}

/// Splits by number and by cost.
fn chunks(pending: Vec<Pending>) -> Vec<Vec<Pending>> {
    let mut chunks: Vec<Vec<Pending>> = Vec::new();
    let mut units = 0;
    for finding in pending {
        match chunks.last_mut() {
            Some(chunk) if chunk.len() < CHUNK && units + finding.units <= CHUNK_UNITS => {
                units += finding.units;
                chunk.push(finding);
            }
            _ => {
                units = finding.units;
                chunks.push(vec![finding]);
            }
        }
    }
    chunks
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn finding() -> Finding {
        let at = "2026-11-23T12:00:00.000Z";
        let finding = json!({
            "id": "dependabot-7-1", "source": "dependabot", "sourceId": "1", "repository": "octo/app",
            "severity": "low", "status": "open", "package": {"ecosystem": "npm", "name": "semver"},
            "vulnerableVersionRange": "< 7.5.2", "manifestPath": "", "ghsaId": "GHSA-c2qf-rxjj-qqgw", "cweIds": [],
            "title": "", "description": "", "url": "", "firstDetectedAt": at, "sourceUpdatedAt": at
        });
        serde_json::from_value(finding).expect("a finding")
    }

    /// How many findings go into each transaction, of so many whose texts are so long.
    fn split(count: usize, bytes: usize) -> Vec<usize> {
        let pending = (0..count).map(|_| Pending::new(finding(), "x".repeat(bytes)));
        chunks(pending.collect()).iter().map(Vec::len).collect()
    }

    #[test]
    fn a_transaction_costs_at_most_half_a_second_of_a_partition() {
        assert_eq!(split(0, 1_000), [0; 0]);
        // With a thousand for the rest of the row, two KB: seven units.
        assert_eq!(split(71, 1_000), [71]);
        assert_eq!(split(143, 1_000), [71, 71, 1]);
        // Three KB: nine units.
        assert_eq!(split(60, 2_000), [55, 5]);
        // More than all of them: alone.
        assert_eq!(split(2, 250_000), [1, 1]);
    }
}
