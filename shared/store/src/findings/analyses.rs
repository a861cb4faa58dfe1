//! The analyses: one for each finding, on the finding's own row; and for each owner one row with the slots that are taken
//! and the counts.
//!
//! Every change is one transaction over both rows, guarded by the attempt and the status that its maker saw. So a slot is
//! held exactly while its analysis is in flight, and the counts are never off. Nothing here can bring a finding's row into
//! being: what is erased stays erased.

mod item;

use std::{collections::BTreeSet, time::Duration};

use super::FindingRecord;
use crate::table::{
    Attributes, Cause, DueKind, Expression, Item, OwnerRow, Partition, Table, Transacted, Updated,
    Writes, due_items, ms, s, spread,
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

pub(crate) use item::{analysis, owner_analyses};

/// After how long a call back that was received and not recorded is looked at.
pub const RECORDED_WITHIN: Duration = Duration::from_secs(75);

/// For how long automation rests after the agent refused to begin what it asked for.
pub const COOLDOWN: Duration = Duration::from_secs(3600);

/// The analyses' rows.
#[derive(Clone, Debug)]
pub struct Analyses {
    table: Table,
}

/// What an owner's analyses add up to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OwnerAnalyses {
    /// The findings whose analyses are in flight.
    pub in_flight: BTreeSet<FindingId>,
    /// Those of them that automation began.
    pub automatic: BTreeSet<FindingId>,
    /// Findings by the state of their analysis.
    pub counts: AnalysisCounts,
    /// When automation is to look for more, if it is.
    pub automation_due: Option<Timestamp>,
}

impl OwnerAnalyses {
    /// How many more automation may begin.
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

/// What is to begin.
#[derive(Clone, Copy, Debug)]
pub struct Beginning {
    /// Names it: the command that launches it.
    pub attempt: CommandId,
    /// Who begins it.
    pub begun_by: BegunBy,
}

/// What became of a beginning.
#[must_use]
#[derive(Debug)]
pub enum Begun {
    /// It has its slot.
    Taken(Box<Analysis>),
    /// The owner's slots, or automation's share of them, are taken.
    NoSlot,
    /// The finding, its analysis or what was to be written beside is not as it was seen.
    Changed,
}

/// What became of a call back.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received {
    /// It is kept, now or by an earlier try; its message must be sent.
    Kept,
    /// It is of an earlier attempt, of another session, or of an analysis that has ended: it changes nothing.
    Stale,
}

/// An analysis that the reconciler's index says needs attention. Only a nomination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DueAnalysis {
    /// Whose.
    pub owner: Owner,
    /// Of which finding.
    pub finding: FindingId,
}

/// An owner for whom automation is to look for more. Only a nomination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DueAutomation {
    /// Whose.
    pub owner: Owner,
}

/// A store's failure. Repeating the call is safe.
#[derive(Debug, thiserror::Error)]
pub enum AnalysesError {
    /// A read failed.
    #[error("cannot read what analyses are due")]
    Unread(#[source] Cause),
    /// The write may or may not have landed.
    #[error("cannot tell whether {what} of finding {finding} was written")]
    Unwritten {
        /// What was to be written.
        what: &'static str,
        /// Of which finding.
        finding: FindingId,
        /// The client's error.
        #[source]
        source: Cause,
    },
}

impl Analyses {
    /// The analyses in this table.
    pub const fn new(table: Table) -> Self {
        Self { table }
    }

    /// Takes a slot for a finding that is open, in place of the analysis that was `seen` on it. If that one is in flight,
    /// its slot is taken over. What is `beside` is written with it or not at all.
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
        let mut free = Vec::new();
        match (replaced, beginning.begun_by) {
            (None, begun_by) => {
                free.push(e.fewer_than("in_flight", SLOTS));
                e.insert("in_flight", finding.to_string());
                if begun_by == BegunBy::Automation {
                    free.push(e.fewer_than("automatic", AUTOMATIC_SLOTS));
                    e.insert("automatic", finding.to_string());
                }
            }
            // It has the slot that the other had, which counts from now on as asked for.
            (Some(_), BegunBy::Request | BegunBy::Automation) => {
                e.take("automatic", finding.to_string());
            }
        }
        let condition = (!free.is_empty()).then(|| free.join(" AND "));
        let on_owner = self.table.update(row(owner), e, condition);

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

    /// The writes by which a pending analysis runs: the agent has these sessions. If the agent was quicker to call back
    /// than we to write, only the sessions are noted.
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

    /// The writes by which an analysis in flight ends: its outcome is kept, its slot is free, and automation is to look for
    /// more.
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

    /// Likewise for one that automation began and that the agent did not take: the finding waits for another try if it is
    /// still open, and automation rests for a while.
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
            // Only an open finding waits, and in the place of its severity: a sync may have changed either since.
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

    /// Makes the writes that [`Analyses::ended`] or another of them gave. `false` if something was not as it was seen.
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

    /// Keeps an agent's call back on the row of its finding, for the message that will record it. The first one counts.
    /// Nothing is written for an attempt, a session or an owner that is no more. One write.
    pub async fn receive(
        &self,
        owner: &Owner,
        finding: FindingId,
        attempt: CommandId,
        callback: &Callback,
        now: Timestamp,
    ) -> Result<Received, AnalysesError> {
        let text = item::call_back_text(callback);
        let mut e = Expression::default();
        let mine = e.compare("analysis_attempt", "=", s(attempt.to_string()));
        let pending = e.compare("analysis_status", "=", s(AnalysisStatus::Pending.as_str()));
        let running = e.compare("analysis_status", "=", s(AnalysisStatus::Running.as_str()));
        let none = e.absent("analysis_session");
        let same = e.compare("analysis_session", "=", s(callback.session.as_str()));
        let first = e.absent("analysis_called_back");
        let condition =
            format!("{mine} AND ({pending} OR {running}) AND ({none} OR {same}) AND {first}");
        e.set("analysis_called_back", s(&text));
        e.set("due_at", ms(now + RECORDED_WITHIN));
        let unwritten = |source: Cause| AnalysesError::Unwritten {
            what: "a call back",
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
        // One that has ended keeps no call back.
        let waits = found.is_some_and(|found| {
            found.attempt == attempt && found.called_back.as_ref() == Some(callback)
        });
        Ok(if waits {
            Received::Kept
        } else {
            Received::Stale
        })
    }

    /// Puts off the reconciler's next look at an analysis in flight. `false` if it was not as it was seen: of overlapping
    /// reconcilers one is let through.
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

    /// Notes that automation has looked for more and found nothing to do, unless somebody has asked for another look
    /// since `seen`.
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

    /// The write that has automation look for more. Only for an owner with settings: the caller writes it beside them.
    pub(crate) fn look_for_more(&self, owner: &Owner, now: Timestamp) -> Writes {
        let mut e = Expression::default();
        look(owner, Some(now), &mut e);
        self.table.update(row(owner), e, None)
    }

    /// The analyses of one shard that needed attention by `now`, oldest first.
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

    /// The owners of one shard for whom automation was to look for more by `now`, oldest first.
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

/// The analysis is as it was seen: the same attempt in the same status, and the same call back or none.
fn unchanged(seen: Option<&Analysis>, e: &mut Expression) -> String {
    let Some(seen) = seen else {
        // Of a finding that is there: a condition on what is absent alone would bring a row into being.
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
    // The agent may be quicker to call back than whoever launched it to say which session it is.
    if let (Some(callback), None) = (&seen.called_back, &seen.cloud_session) {
        e.set("analysis_session", s(callback.session.as_str()));
    }
    (e, condition)
}

/// Plans automation's next look, or takes it off.
fn look(owner: &Owner, at: Option<Timestamp>, e: &mut Expression) {
    e.put("due_at", at.map(ms));
    let shard = || s(DueKind::Automation.shard_of(spread(owner)));
    e.put("due_shard", at.map(|_| shard()));
}

/// The key of the owner's row.
fn row(owner: &Owner) -> Item {
    OwnerRow::Analyses.key(owner)
}
