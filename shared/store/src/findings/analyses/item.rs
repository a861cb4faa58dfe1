//! Converts an analysis to attributes of its finding's row and back, and reads the owner's row.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::{AnalysisCounts, OwnerAnalyses};
use crate::table::{Attributes, DueKind, Expression, Item, Unreadable, ms, s};
use aws_sdk_dynamodb::types::AttributeValue;
use domain::{
    Timestamp,
    analysis::{
        Analysis, AnalysisOutcome, AnalysisResult, AnalysisStatus, BegunBy, Callback, FailureCode,
        SessionId,
    },
    finding::FindingId,
};

/// Attributes of later states, which a new analysis must not have.
const LATER: [&str; 7] = [
    "analysis_started_at",
    "analysis_completed_at",
    "analysis_session",
    "analysis_cli_session",
    "analysis_failure",
    "analysis_result",
    "analysis_called_back",
];

/// Writes a new analysis.
pub(super) fn set(begun: &Analysis, finding: FindingId, e: &mut Expression) {
    let flag = |is: bool| is.then_some(AttributeValue::Bool(true));
    e.set("analysis_attempt", s(begun.attempt.to_string()));
    e.set("analysis_status", s(begun.status.as_str()));
    e.set("analysis_begun_at", ms(begun.begun_at));
    e.put(
        "analysis_automatic",
        flag(begun.begun_by == BegunBy::Automation),
    );
    e.put("analysis_restart", flag(begun.restart));
    let replaces = begun.replaces.as_ref().map(|session| s(session.as_str()));
    e.put("analysis_replaces", replaces);
    for later in LATER {
        e.remove(later);
    }
    e.put("due_at", begun.due_at.map(ms));
    let shard = begun.due_at.map(|_| s(shard(finding)));
    e.put("due_shard", shard);
}

/// Spreads evenly enough, because repository ids and alert numbers both count up.
fn shard(finding: FindingId) -> String {
    DueKind::Analysis.shard_of((finding.repository.get() as u32) ^ finding.number.get())
}

/// Writes the outcome of an analysis.
pub(super) fn outcome(outcome: &AnalysisOutcome, now: Timestamp, e: &mut Expression) {
    match outcome {
        AnalysisOutcome::Completed(result) => {
            e.set("analysis_status", s(AnalysisStatus::Completed.as_str()));
            e.set("analysis_result", s(json(result)));
        }
        AnalysisOutcome::Failed(code) => {
            e.set("analysis_status", s(AnalysisStatus::Failed.as_str()));
            e.set("analysis_failure", s(code.as_str()));
        }
    }
    e.set("analysis_completed_at", ms(now));
    for over in [
        "analysis_called_back",
        "analysis_replaces",
        "due_at",
        "due_shard",
    ] {
        e.remove(over);
    }
}

/// Adds to the owner's counts.
pub(super) fn count(counts: &AnalysisCounts, e: &mut Expression) {
    for (name, amount) in named(counts) {
        if amount != 0 {
            e.add(name, amount);
        }
    }
}

const fn named(counts: &AnalysisCounts) -> [(&'static str, i64); 6] {
    [
        ("pending", counts.pending),
        ("running", counts.running),
        ("completed", counts.completed),
        ("failed", counts.failed),
        ("exploitable", counts.exploitable),
        ("not_exploitable", counts.not_exploitable),
    ]
}

/// Reads the analysis on a finding's row, if there is one.
pub(crate) fn analysis(item: &Item) -> Result<Option<Analysis>, Unreadable> {
    let Some(attempt) = item.maybe("analysis_attempt", parsed)? else {
        return Ok(None);
    };
    let result = item.maybe("analysis_result", |item, name| {
        item.parsed(name, |text| serde_json::from_str(text).ok())
    })?;
    let called_back = item.maybe("analysis_called_back", |item, name| {
        item.parsed(name, callback)
    })?;
    Ok(Some(Analysis {
        attempt,
        status: parsed(item, "analysis_status")?,
        begun_by: if item.has("analysis_automatic") {
            BegunBy::Automation
        } else {
            BegunBy::Request
        },
        restart: item.has("analysis_restart"),
        replaces: session(item, "analysis_replaces")?,
        begun_at: item.time("analysis_begun_at")?,
        started_at: item.maybe("analysis_started_at", Attributes::time)?,
        completed_at: item.maybe("analysis_completed_at", Attributes::time)?,
        cloud_session: session(item, "analysis_session")?,
        cli_session: session(item, "analysis_cli_session")?,
        failure: item.maybe("analysis_failure", parsed)?,
        result,
        called_back,
        due_at: item.maybe("due_at", Attributes::time)?,
    }))
}

fn parsed<T: std::str::FromStr>(item: &Item, name: &'static str) -> Result<T, Unreadable> {
    item.parsed(name, |text| text.parse().ok())
}

/// Reads a session's id. One that only an earlier version accepted counts as absent: it must not get into a URL, and
/// must not make the finding unreadable.
fn session(item: &Item, name: &'static str) -> Result<Option<SessionId>, Unreadable> {
    let stored = item.maybe(name, Attributes::text_owned)?;
    Ok(stored.and_then(|text| text.parse().ok()))
}

/// The agent's sessions that a finding's row names: of its analysis, of the one that this replaces, and of a callback
/// that came before the launch was recorded. Whether the analysis itself can be read does not matter.
pub(crate) fn sessions(item: &Item) -> Vec<SessionId> {
    let named = |name| item.text(name).ok()?.parse().ok();
    let called_back = item.text("analysis_called_back").ok().and_then(callback);
    let sessions = [named("analysis_session"), named("analysis_replaces")];
    let sessions = sessions.into_iter().flatten();
    sessions
        .chain(called_back.map(|callback| callback.session))
        .collect()
}

/// Reads the owner's row.
pub(crate) fn owner_analyses(item: &Item) -> Result<OwnerAnalyses, Unreadable> {
    let number = |name| Ok(item.maybe(name, Attributes::number)?.unwrap_or(0));
    Ok(OwnerAnalyses {
        in_flight: findings(item, "in_flight")?,
        automatic: findings(item, "automatic")?,
        counts: AnalysisCounts {
            pending: number("pending")?,
            running: number("running")?,
            completed: number("completed")?,
            failed: number("failed")?,
            exploitable: number("exploitable")?,
            not_exploitable: number("not_exploitable")?,
        },
        automation_due: item.maybe("due_at", Attributes::time)?,
    })
}

fn findings(item: &Item, name: &'static str) -> Result<BTreeSet<FindingId>, Unreadable> {
    match item.get(name) {
        None => Ok(BTreeSet::new()),
        Some(AttributeValue::Ss(texts)) => texts
            .iter()
            .map(|text| text.parse().map_err(|_| Unreadable::attribute(name)))
            .collect(),
        Some(_) => Err(Unreadable::attribute(name)),
    }
}

/// A callback as stored until it is recorded.
#[derive(Serialize, Deserialize)]
struct Kept {
    session: SessionId,
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<AnalysisResult>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<FailureCode>,
}

pub(super) fn callback_text(callback: &Callback) -> String {
    let session = callback.session.clone();
    let (result, failure) = match &callback.outcome {
        AnalysisOutcome::Completed(result) => (Some((**result).clone()), None),
        AnalysisOutcome::Failed(code) => (None, Some(code.clone())),
    };
    json(&Kept {
        session,
        result,
        failure,
    })
}

fn callback(text: &str) -> Option<Callback> {
    let kept: Kept = serde_json::from_str(text).ok()?;
    let outcome = match (kept.result, kept.failure) {
        (Some(result), _) => AnalysisOutcome::Completed(Box::new(result)),
        (None, Some(code)) => AnalysisOutcome::Failed(code),
        (None, None) => return None,
    };
    Some(Callback {
        session: kept.session,
        outcome,
    })
}

fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("plain data always serialises")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stored_session_id_that_is_none_counts_as_absent() {
        let read = |id: &str| {
            let item = Item::from([("analysis_session".to_owned(), s(id))]);
            session(&item, "analysis_session").expect("a text")
        };
        assert_eq!(read("ses-1").expect("an id").as_str(), "ses-1");
        assert_eq!(read(".."), None);
        assert_eq!(session(&Item::new(), "analysis_session").ok(), Some(None));
    }

    #[test]
    fn analyses_of_one_and_of_many_repositories_use_all_shards() {
        let of = |repository: u32, number: u32| {
            let finding = format!("dependabot-{repository}-{number}");
            shard(finding.parse().expect("an id"))
        };
        let shards = u32::from(DueKind::Analysis.shards());
        let of_one: BTreeSet<_> = (1..=shards).map(|number| of(51_000_003, number)).collect();
        let of_many: BTreeSet<_> = (1..=shards).map(|id| of(id, 1)).collect();
        assert_eq!(of_one.len(), of_many.len());
        assert_eq!(of_one.len(), shards as usize);
    }
}
