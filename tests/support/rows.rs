//! A command's row, written a second time, independently of the ledger: reading it back pins the attributes' names and
//! formats.

use aws_sdk_dynamodb::types::AttributeValue::{Bool, N, S};
use domain::{
    command::{Action, Command, DismissFinding, ReopenFinding, SyncFindings},
    lifecycle::Token,
};
use store::{ledger::due_key, table::Item};

/// The row of a command, as the ledger would have written it.
pub fn row(command: &Command) -> Item {
    let Command { key, state, .. } = command;
    let mut row = Item::new();
    let mut put = |name: &str, value| row.insert(name.to_owned(), value);
    let number = |number: i64| N(number.to_string());
    let token = |Token(token)| S(format!("{token:032x}"));

    put("pk", S(format!("command#{}", key.owner)));
    put("sk", S(key.id.to_string()));
    put("type", S(command.action.type_name().to_owned()));
    match &command.action {
        Action::Sync(SyncFindings {
            repository: Some(name),
        }) => _ = put("repository", S(name.to_string())),
        Action::Sync(SyncFindings { repository: None }) => {}
        Action::DismissFinding(DismissFinding {
            finding,
            reason,
            comment,
        }) => {
            put("finding", S(finding.to_string()));
            put("reason", S(reason.to_string()));
            if let Some(comment) = comment {
                put("comment", S(comment.as_str().to_owned()));
            }
        }
        Action::ReopenFinding(ReopenFinding { finding }) => {
            put("finding", S(finding.to_string()));
        }
        Action::StartAnalysis(options) => {
            put("finding", S(options.finding.to_string()));
            for (name, model) in [
                ("model", &options.model),
                ("triage_model", &options.triage_model),
                ("analysis_model", &options.analysis_model),
            ] {
                if let Some(model) = model {
                    put(name, S(model.as_str().to_owned()));
                }
            }
            for (name, is) in [
                ("force_sandbox", options.force_sandbox),
                ("restart_active", options.restart_active),
            ] {
                if is {
                    put(name, Bool(true));
                }
            }
        }
    }
    put("actor", S(command.actor.to_string()));
    put("origin", S(command.origin.as_str().to_owned()));
    put("status", S(state.status.as_str().to_owned()));
    put("admission", token(state.admission));
    put("writer", token(state.admission));
    put("attempt", number(state.attempt.into()));
    put("stage", number(state.stage.0.into()));
    put("resends", number(state.resends.into()));
    put("deadline", number(state.deadline.as_millis()));
    put("accepted_at", number(command.accepted_at.as_millis()));
    put("updated_at", number(command.updated_at.as_millis()));
    if !state.status.is_terminal() {
        put("active", S(key.id.to_string()));
    }
    if state.never_queued {
        put("never_queued", Bool(true));
    }
    if let Some(lease) = state.lease {
        put("claim", token(lease.token));
        put("claim_until", number(lease.until.as_millis()));
    }
    if let Some(due) = state.due {
        put("due_at", number(due.as_millis()));
        put("due_shard", S(due_key(key.id)));
    }
    let times = [
        ("queued_at", state.queued_at),
        ("waiting_until", state.waiting_until),
        ("started_at", command.started_at),
    ];
    for (name, time) in times {
        if let Some(time) = time {
            put(name, number(time.as_millis()));
        }
    }
    if let Some(progress) = command.progress {
        put("done", number(progress.done.into()));
        put("total", number(progress.total.into()));
    }
    if let Some(error) = &command.last_error {
        put("last_error", S(error.clone()));
    }
    if let Some(ended) = command.ended {
        put("code", S(ended.code.as_str().to_owned()));
        put("effect", S(ended.effect.as_str().to_owned()));
        put("completed_at", number(ended.completed_at.as_millis()));
        put("expires_at", number(ended.expires_at.as_seconds()));
    }
    row
}
