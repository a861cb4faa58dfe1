//! A command as callers see it.

use domain::{
    Timestamp,
    command::{Command, CommandId, Origin, Progress},
    finding::{FindingId, RepositoryName},
    lifecycle::Status,
    owner::Owner,
    result_code::{Effect, ResultCode},
};
use serde::Serialize;
use utoipa::ToSchema;

use crate::schema;

/// A command: what was asked, and what became of it.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Command)]
pub struct CommandView {
    /// Sorts by admission.
    #[schema(value_type = String, format = "uuid")]
    id: CommandId,
    /// `user:<id>` or `org:<uuid>`.
    #[schema(value_type = String, example = "user:auth0|5f7c")]
    owner: Owner,
    /// What it does.
    #[schema(schema_with = schema::command_type)]
    r#type: &'static str,
    /// Who caused it.
    #[schema(value_type = String, example = "manual")]
    origin: Origin,
    /// The one repository it is about.
    #[schema(value_type = Option<String>)]
    repository: Option<RepositoryName>,
    /// The finding it is about.
    #[schema(value_type = Option<String>)]
    finding_id: Option<FindingId>,
    /// Where it is; `succeeded`, `failed` and `no_op` are final.
    #[schema(schema_with = schema::command_status)]
    status: Status,
    /// Why it ended as it did.
    #[schema(schema_with = schema::result_code)]
    result_code: Option<ResultCode>,
    /// What is known of its effect, once it has ended.
    #[schema(schema_with = schema::effect)]
    effect: Option<Effect>,
    /// The result code in a sentence: what happened and what to do next.
    message: Option<&'static str>,
    /// What went wrong last, without secrets and personal data.
    last_error: Option<String>,
    /// How far it has come, in repositories.
    #[schema(value_type = Option<ProgressView>)]
    progress: Option<Progress>,
    /// Until when it waits for a rate limit.
    #[schema(value_type = Option<String>, format = DateTime)]
    waiting_until: Option<Timestamp>,
    /// How often a worker took it up.
    attempts: u32,
    /// When it was admitted.
    #[schema(value_type = String, format = DateTime)]
    accepted_at: Timestamp,
    /// When a worker took it up first.
    #[schema(value_type = Option<String>, format = DateTime)]
    started_at: Option<Timestamp>,
    /// When it ended.
    #[schema(value_type = Option<String>, format = DateTime)]
    completed_at: Option<Timestamp>,
    /// When it changed last.
    #[schema(value_type = String, format = DateTime)]
    updated_at: Timestamp,
    /// When it will no longer be shown.
    #[schema(value_type = Option<String>, format = DateTime)]
    expires_at: Option<Timestamp>,
}

/// How far a command has come.
#[derive(Debug, ToSchema)]
#[schema(as = Progress)]
#[expect(
    dead_code,
    reason = "describes the domain's type, which knows no schemas"
)]
struct ProgressView {
    /// Repositories finished, however they ended.
    done: u32,
    /// Repositories in all.
    total: u32,
}

impl From<Command> for CommandView {
    fn from(command: Command) -> Self {
        let status = command.status();
        let r#type = command.action.type_name();
        let finding_id = command.action.finding();
        let repository = command.action.repository().cloned();
        Self {
            id: command.key.id,
            owner: command.key.owner,
            r#type,
            origin: command.origin,
            repository,
            finding_id,
            status,
            result_code: command.ended.map(|ended| ended.code),
            effect: command.ended.map(|ended| ended.effect),
            message: command.ended.and_then(|ended| ended.code.sentence()),
            last_error: command.last_error,
            progress: command.progress,
            waiting_until: command.standing.waiting_until,
            attempts: command.standing.attempt,
            accepted_at: command.accepted_at,
            started_at: command.started_at,
            completed_at: command.ended.map(|ended| ended.completed_at),
            updated_at: command.updated_at,
            expires_at: command.ended.map(|ended| ended.expires_at),
        }
    }
}
