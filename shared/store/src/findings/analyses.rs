//! The analyses: one per finding, on the finding's own row, and one row per owner with the slots in use and the counts.
//!
//! Every change is one transaction over both rows, guarded by the attempt and the status that its writer read. So a
//! slot is in use exactly while its analysis is in flight, and the counts are exact. No write here creates a finding's
//! row: an erased finding stays erased.

mod item;

use std::{collections::BTreeSet, time::Duration};

use super::FindingRecord;
use crate::table::{
    Attributes, Cause, Caused, DueKind, Expression, Item, OwnerRow, Partition, Table, Transacted,
    Updated, Writes, due_items, ms, s, spread,
};
use domain::{
    Timestamp,
    analysis::{
        AUTOMATIC_SLOTS, Analysis, AnalysisOutcome, AnalysisStatus, BegunBy, Callback,
        Exploitability, RUNNING_FOR, SLOTS, SessionId,
    },
    command::CommandId,
    finding::{Finding, FindingId, FindingStatus},
    owner::Owner,
};

pub(crate) use item::{analysis, owner_analyses, sessions};

/// The attribute of the owner's row that keeps every slot from being taken: the owner is being erased.
pub(crate) const CLOSED: &str = "closed";

/// How long after a callback the reconciler looks at it, unless it was recorded.
pub const RECORDED_WITHIN: Duration = Duration::from_secs(75);

/// Automation's cooldown after the agent refused to start one of its analyses.
pub const COOLDOWN: Duration = Duration::from_secs(3600);

/// The analyses' rows.
#[derive(Clone, Debug)]
pub struct Analyses {
    table: Table,
}

/// The slots and counts of an owner's analyses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OwnerAnalyses {
    /// The findings whose analyses are in flight.
    pub in_flight: BTreeSet<FindingId>,
    /// Those of them that automation started.
    pub automatic: BTreeSet<FindingId>,
    /// Findings by the state of their analysis.
    pub counts: AnalysisCounts,
    /// When automation must run next, if it must.
    pub automation_due: Option<Timestamp>,
}

impl OwnerAnalyses {
    /// The number of analyses that automation may still start.
    pub fn automatic_slots_left(&self) -> usize {
        let share = AUTOMATIC_SLOTS.saturating_sub(self.automatic.len());
        share.min(SLOTS.saturating_sub(self.in_flight.len()))
    }
}

/// Findings by the state and result of their analysis.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are those of the states")]
pub struct AnalysisCounts {
    pub pending: i64,
    pub running: i64,
    pub completed: i64,
    pub failed: i64,
    pub exploitable: i64,
    pub not_exploitable: i64,
}

impl AnalysisCounts {
    fn add(&mut self, status: AnalysisStatus, found: Option<Exploitability>, by: i64) {
        match status {
            AnalysisStatus::Pending => self.pending += by,
            AnalysisStatus::Running => self.running += by,
            AnalysisStatus::Completed => self.completed += by,
            AnalysisStatus::Failed => self.failed += by,
        }
        match found {
            Some(Exploitability::Exploitable) => self.exploitable += by,
            Some(Exploitability::NotExploitable) => self.not_exploitable += by,
            Some(Exploitability::Unknown) | None => {}
        }
    }

    fn add_analysis(&mut self, analysis: &Analysis, by: i64) {
        let found = analysis.result.as_ref().map(|result| result.exploitability);
        self.add(analysis.status, found, by);
    }
}

/// An analysis to start.
#[derive(Clone, Copy, Debug)]
pub struct Beginning {
    /// The attempt: the id of the command that launches the analysis.
    pub attempt: CommandId,
    /// Who starts it.
    pub begun_by: BegunBy,
}

/// The outcome of taking a slot.
#[must_use]
#[derive(Debug)]
pub enum Begun {
    /// The analysis is pending and has its slot.
    Taken(Box<Analysis>),
    /// The owner's slots, or automation's share of them, are in use, or the owner is being erased.
    NoSlot,
    /// The finding or its analysis has changed since it was read, or a condition of the other writes failed.
    Changed,
}

/// The outcome of storing a callback.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received {
    /// The callback is stored, by this or an earlier try; the caller must send its message.
    Kept,
    /// The callback belongs to an earlier attempt, another session or an analysis that has ended. Nothing was written.
    Stale,
}

/// An analysis that needs attention according to the `due` index. The index lags, so the guard decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DueAnalysis {
    /// The owner.
    pub owner: Owner,
    /// The finding.
    pub finding: FindingId,
}

/// An owner whose automation must run according to the `due` index. The index lags, so the guard decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DueAutomation {
    /// The owner.
    pub owner: Owner,
}

/// A store's failure. Repeating the call is safe.
#[derive(Debug, thiserror::Error)]
pub enum AnalysesError {
    /// A read failed.
    #[error("cannot read due analyses")]
    Unread(#[source] Cause),
    /// The write may or may not have landed.
    #[error("outcome of writing {what} of finding {finding} is unknown")]
    Unwritten {
        /// What was to be written.
        what: &'static str,
        /// The finding.
        finding: FindingId,
        /// The client's error.
        #[source]
        source: Cause,
    },
}

impl Caused for AnalysesError {
    fn cause(&self) -> Option<&Cause> {
        let (Self::Unread(source) | Self::Unwritten { source, .. }) = self;
        Some(source)
    }
}

impl Analyses {
    /// The analyses in this table.
    pub const fn new(table: Table) -> Self {
        Self { table }
    }

    /// Takes a slot for an open finding and replaces the analysis that was `seen` on it. If that analysis is in flight,
    /// the new one takes its slot over. The writes of `beside` are in the same transaction.
    pub async fn begin(
        &self,
        owner: &Owner,
        seen: &FindingRecord,
        beginning: Beginning,
        beside: Writes,
        now: Timestamp,
    ) -> Result<Begun, AnalysesError> {
        let finding = seen.finding.id;
        let before = seen.analysis.as_ref();
        let replaced = before.filter(|before| before.status.in_flight());
        let begun = Analysis {
            restart: replaced.is_some(),
            replaces: replaced.and_then(|replaced| replaced.cloud_session.clone()),
            ..Analysis::begun(beginning.attempt, beginning.begun_by, now)
        };

        let mut e = Expression::default();
        let open = e.compare("status", "=", s(FindingStatus::Open.as_str()));
        let condition = format!("{open} AND {}", unchanged(before, &mut e));
        item::set(&begun, finding, &mut e);
        e.remove("unanalysed");
        let on_finding = self
            .table
            .update(super::key(owner, finding), e, Some(condition));

        let mut counts = AnalysisCounts::default();
        if let Some(before) = before {
            counts.add_analysis(before, -1);
        }
        counts.add_analysis(&begun, 1);
        let mut e = Expression::default();
        item::count(&counts, &mut e);
        let mut free = vec![e.absent(CLOSED)];
        match (replaced, beginning.begun_by) {
            (None, begun_by) => {
                free.push(e.fewer_than("in_flight", SLOTS));
                e.insert("in_flight", finding.to_string());
                if begun_by == BegunBy::Automation {
                    free.push(e.fewer_than("automatic", AUTOMATIC_SLOTS));
                    e.insert("automatic", finding.to_string());
                }
            }
            // The new analysis takes over the slot of the one it replaces, and no longer counts towards automation's
            // share.
            (Some(_), BegunBy::Request | BegunBy::Automation) => {
                e.take("automatic", finding.to_string());
            }
        }
        let on_owner = self.table.update(row(owner), e, Some(free.join(" AND ")));

        let writes = on_finding.and(on_owner).and(beside);
        let transacted = self.table.transact(&writes).await;
        let transacted = transacted.map_err(|source| AnalysesError::Unwritten {
            what: "the beginning of an analysis",
            finding,
            source,
        })?;
        Ok(match transacted {
            Transacted::Written => Begun::Taken(Box::new(begun)),
            Transacted::Refused(refusals) => match refusals.as_slice() {
                [on_finding, on_owner, ..] if on_finding.held() && !on_owner.held() => {
                    Begun::NoSlot
                }
                _ => Begun::Changed,
            },
        })
    }

    /// The writes that set a pending analysis to running in these sessions. If the analysis is no longer pending, only
    /// the sessions are stored.
    pub fn launched(
        &self,
        owner: &Owner,
        finding: FindingId,
        seen: &Analysis,
        cloud_session: &SessionId,
        cli_session: Option<&SessionId>,
        now: Timestamp,
    ) -> Writes {
        let mut e = Expression::default();
        let condition = unchanged(Some(seen), &mut e);
        e.set("analysis_session", s(cloud_session.as_str()));
        if let Some(cli_session) = cli_session {
            e.set("analysis_cli_session", s(cli_session.as_str()));
        }
        e.remove("analysis_replaces");
        if seen.status != AnalysisStatus::Pending {
            return self
                .table
                .update(super::key(owner, finding), e, Some(condition));
        }
        e.set("analysis_status", s(AnalysisStatus::Running.as_str()));
        e.set("analysis_started_at", ms(now));
        let due = match &seen.called_back {
            // Race: the agent's callback was stored before this write. The callback's earlier due time stays.
            Some(_) => seen.due_at,
            None => Some(now + RUNNING_FOR),
        };
        e.put("due_at", due.map(ms));
        let on_finding = self
            .table
            .update(super::key(owner, finding), e, Some(condition));
        let mut counts = AnalysisCounts::default();
        counts.add(AnalysisStatus::Pending, None, -1);
        counts.add(AnalysisStatus::Running, None, 1);
        let mut e = Expression::default();
        item::count(&counts, &mut e);
        on_finding.and(self.table.update(row(owner), e, None))
    }

    /// The writes that end an analysis in flight: they store the outcome, free the slot and make automation due.
    pub fn ended(
        &self,
        owner: &Owner,
        finding: FindingId,
        seen: &Analysis,
        outcome: &AnalysisOutcome,
        now: Timestamp,
    ) -> Writes {
        let (e, condition) = end(seen, outcome, now);
        self.free(owner, finding, seen, outcome, (e, condition), now)
    }

    /// Like [`Analyses::ended`], for an automatic analysis that the agent did not start: automation may try the finding
    /// again if it is still open, after a cooldown.
    pub fn defer(
        &self,
        owner: &Owner,
        record: &FindingRecord,
        seen: &Analysis,
        outcome: &AnalysisOutcome,
        now: Timestamp,
    ) -> Writes {
        let (mut e, mut condition) = end(seen, outcome, now);
        let FindingRecord {
            finding: Finding {
                status, severity, ..
            },
            new_since,
            ..
        } = record;
        if *status == FindingStatus::Open {
            // Race: a sync closes the finding or changes its severity between the read and this write. The index entry
            // below would then be wrong, so both are part of the condition.
            let open = e.compare("status", "=", s(status.as_str()));
            let as_severe = e.compare("severity", "=", s(severity.as_str()));
            condition = format!("{condition} AND {open} AND {as_severe}");
            e.set("unanalysed", s(super::unanalysed(*severity, *new_since)));
        }
        let finding = record.finding.id;
        self.free(
            owner,
            finding,
            seen,
            outcome,
            (e, condition),
            now + COOLDOWN,
        )
    }

    fn free(
        &self,
        owner: &Owner,
        finding: FindingId,
        seen: &Analysis,
        outcome: &AnalysisOutcome,
        (e, condition): (Expression, String),
        look_at: Timestamp,
    ) -> Writes {
        let on_finding = self
            .table
            .update(super::key(owner, finding), e, Some(condition));
        let mut counts = AnalysisCounts::default();
        counts.add_analysis(seen, -1);
        match outcome {
            AnalysisOutcome::Completed(result) => {
                counts.add(AnalysisStatus::Completed, Some(result.exploitability), 1);
            }
            AnalysisOutcome::Failed(_) => counts.add(AnalysisStatus::Failed, None, 1),
        }
        let mut e = Expression::default();
        item::count(&counts, &mut e);
        e.take("in_flight", finding.to_string());
        e.take("automatic", finding.to_string());
        look(owner, Some(look_at), &mut e);
        on_finding.and(self.table.update(row(owner), e, None))
    }

    /// Makes the writes that [`Analyses::ended`] and the like returned. `false` if a row has changed since it was read.
    pub async fn write(
        &self,
        finding: FindingId,
        what: &'static str,
        writes: Writes,
    ) -> Result<bool, AnalysesError> {
        match self.table.transact(&writes).await {
            Ok(Transacted::Written) => Ok(true),
            Ok(Transacted::Refused(_)) => Ok(false),
            Err(source) => Err(AnalysesError::Unwritten {
                what,
                finding,
                source,
            }),
        }
    }

    /// Stores an agent's callback on its finding's row, until `record-analysis` records it. Only the first callback of
    /// an attempt is stored, and none for an earlier attempt, another session or an erased owner. One write.
    pub async fn receive(
        &self,
        owner: &Owner,
        finding: FindingId,
        attempt: CommandId,
        callback: &Callback,
        now: Timestamp,
    ) -> Result<Received, AnalysesError> {
        let text = item::callback_text(callback);
        let mut e = Expression::default();
        let mine = e.compare("analysis_attempt", "=", s(attempt.to_string()));
        let pending = e.compare("analysis_status", "=", s(AnalysisStatus::Pending.as_str()));
        let running = e.compare("analysis_status", "=", s(AnalysisStatus::Running.as_str()));
        // Race: the agent's callback arrives before the launch has stored its session. Any session is accepted then, because
        // the callback's token names the attempt.
        let none = e.absent("analysis_session");
        let same = e.compare("analysis_session", "=", s(callback.session.as_str()));
        let first = e.absent("analysis_called_back");
        let condition =
            format!("{mine} AND ({pending} OR {running}) AND ({none} OR {same}) AND {first}");
        e.set("analysis_called_back", s(&text));
        e.set("due_at", ms(now + RECORDED_WITHIN));
        let unwritten = |source: Cause| AnalysesError::Unwritten {
            what: "a callback",
            finding,
            source,
        };
        let key = super::key(owner, finding);
        let updated = self.table.update_row(key, &e, &condition).await;
        let row = match updated.map_err(unwritten)? {
            Updated::Written => return Ok(Received::Kept),
            Updated::Refused(row) => row.unwrap_or_default(),
        };
        let found = analysis(&row).map_err(|source| unwritten(source.into()))?;
        // The row shows this very callback: our own earlier try, or the agent's repeat of a callback that is not
        // recorded yet. Once it is recorded the row no longer holds it, and a repeat is stale.
        let waits = found.is_some_and(|found| {
            found.attempt == attempt && found.called_back.as_ref() == Some(callback)
        });
        Ok(if waits {
            Received::Kept
        } else {
            Received::Stale
        })
    }

    /// Postpones the reconciler's next look at an analysis in flight. `false` if it has changed since it was read, so
    /// of overlapping reconcilers only one goes on.
    pub async fn postpone(
        &self,
        owner: &Owner,
        finding: FindingId,
        seen: &Analysis,
        until: Timestamp,
    ) -> Result<bool, AnalysesError> {
        let mut e = Expression::default();
        let same = unchanged(Some(seen), &mut e);
        let unmoved = match seen.due_at {
            Some(due) => e.compare("due_at", "=", ms(due)),
            None => e.absent("due_at"),
        };
        e.set("due_at", ms(until));
        let condition = Some(format!("{same} AND {unmoved}"));
        let update = self.table.update(super::key(owner, finding), e, condition);
        self.write(finding, "the next look at an analysis", update)
            .await
    }

    /// Clears the due time of automation after a run, unless another writer has set a new one since `seen`.
    pub async fn looked(&self, owner: &Owner, seen: Timestamp) -> Result<(), AnalysesError> {
        let mut e = Expression::default();
        let unmoved = e.compare("due_at", "=", ms(seen));
        look(owner, None, &mut e);
        let update = self.table.update(row(owner), e, Some(unmoved));
        self.table
            .transact(&update)
            .await
            .map(|_| ())
            .map_err(AnalysesError::Unread)
    }

    /// The write that makes automation due. It would create the owner's row, so the caller makes it in the transaction
    /// that saves the settings.
    pub(crate) fn look_for_more(&self, owner: &Owner, now: Timestamp) -> Writes {
        let mut e = Expression::default();
        look(owner, Some(now), &mut e);
        self.table.update(row(owner), e, None)
    }

    /// The analyses of one shard that need attention by `now`, oldest first.
    pub async fn due(
        &self,
        shard: u8,
        limit: u32,
        after: Option<Item>,
        now: Timestamp,
    ) -> Result<(Vec<DueAnalysis>, Option<Item>), AnalysesError> {
        let (items, next) = due_items(&self.table, DueKind::Analysis, shard, limit, after, now)
            .await
            .map_err(AnalysesError::Unread)?;
        let due = items.iter().filter_map(|item| {
            Some(DueAnalysis {
                owner: Partition::Findings.owner(item.text("pk").ok()?)?,
                finding: super::id_in(item.text("sk").ok()?)?,
            })
        });
        Ok((due.collect(), next))
    }

    /// The owners of one shard whose automation was due by `now`, oldest first.
    pub async fn due_automation(
        &self,
        shard: u8,
        limit: u32,
        after: Option<Item>,
        now: Timestamp,
    ) -> Result<(Vec<DueAutomation>, Option<Item>), AnalysesError> {
        let (items, next) = due_items(&self.table, DueKind::Automation, shard, limit, after, now)
            .await
            .map_err(AnalysesError::Unread)?;
        let due = items.iter().filter_map(|item| {
            Some(DueAutomation {
                owner: Partition::Owner.owner(item.text("pk").ok()?)?,
            })
        });
        Ok((due.collect(), next))
    }
}

/// The condition that the analysis has not changed since it was read: same attempt, same status, and a callback as
/// before or none.
fn unchanged(seen: Option<&Analysis>, e: &mut Expression) -> String {
    let Some(seen) = seen else {
        // `digest` must exist: with only the absence condition, the update would create the row of an erased finding.
        return format!(
            "{} AND {}",
            e.exists("digest"),
            e.absent("analysis_attempt")
        );
    };
    let attempt = e.compare("analysis_attempt", "=", s(seen.attempt.to_string()));
    let status = e.compare("analysis_status", "=", s(seen.status.as_str()));
    let called_back = match seen.called_back {
        Some(_) => e.exists("analysis_called_back"),
        None => e.absent("analysis_called_back"),
    };
    format!("{attempt} AND {status} AND {called_back}")
}

fn end(seen: &Analysis, outcome: &AnalysisOutcome, now: Timestamp) -> (Expression, String) {
    let mut e = Expression::default();
    let condition = unchanged(Some(seen), &mut e);
    item::outcome(outcome, now, &mut e);
    // Race: the agent's callback arrived before the launch stored its session. The callback names it.
    if let (Some(callback), None) = (&seen.called_back, &seen.cloud_session) {
        e.set("analysis_session", s(callback.session.as_str()));
    }
    (e, condition)
}

/// Sets or clears the due time of automation.
fn look(owner: &Owner, at: Option<Timestamp>, e: &mut Expression) {
    e.put("due_at", at.map(ms));
    let shard = || s(DueKind::Automation.shard_of(spread(owner)));
    e.put("due_shard", at.map(|_| shard()));
}

/// The key of the owner's row.
fn row(owner: &Owner) -> Item {
    OwnerRow::Analyses.key(owner)
}
