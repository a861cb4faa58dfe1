//! A command as the API shows it.

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

/// A command: the request and its outcome.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Command)]
pub struct CommandView {
    /// A UUIDv7: ids sort by time of admission.
    #[schema(value_type = String, format = "uuid")]
    id: CommandId,
    /// `user:<id>` or `org:<uuid>`.
    #[schema(value_type = String, example = "user:auth0|5f7c")]
    owner: Owner,
    /// What the command does.
    #[schema(schema_with = schema::command_type)]
    r#type: &'static str,
    /// What caused the command.
    #[schema(value_type = String, example = "manual")]
    origin: Origin,
    /// The repository, if the command is about one.
    #[schema(value_type = Option<String>)]
    repository: Option<RepositoryName>,
    /// The finding, if the command is about one.
    #[schema(value_type = Option<String>)]
    finding_id: Option<FindingId>,
    /// The command's status; `succeeded`, `failed` and `no_op` are terminal.
    #[schema(schema_with = schema::command_status)]
    status: Status,
    /// Why the command ended as it did.
    #[schema(schema_with = schema::result_code)]
    result_code: Option<ResultCode>,
    /// The command's known effect, once it has ended.
    #[schema(schema_with = schema::effect)]
    effect: Option<Effect>,
    /// The result in a sentence: what happened and what to do next.
    message: Option<&'static str>,
    /// The last error, without secrets or personal data.
    last_error: Option<String>,
    /// Progress, in repositories.
    #[schema(value_type = Option<ProgressView>)]
    progress: Option<Progress>,
    /// When the command continues that waits for a limit: GitHub's rate limit, or what the data store takes in a second.
    #[schema(value_type = Option<String>, format = DateTime)]
    waiting_until: Option<Timestamp>,
    /// The number of attempts: how often a worker claimed the command.
    attempts: u32,
    /// When the command was admitted.
    #[schema(value_type = String, format = DateTime)]
    accepted_at: Timestamp,
    /// When a worker first claimed the command.
    #[schema(value_type = Option<String>, format = DateTime)]
    started_at: Option<Timestamp>,
    /// When it ended.
    #[schema(value_type = Option<String>, format = DateTime)]
    completed_at: Option<Timestamp>,
    /// When the command last changed.
    #[schema(value_type = String, format = DateTime)]
    updated_at: Timestamp,
    /// When the command's retention ends; it is absent from then on.
    #[schema(value_type = Option<String>, format = DateTime)]
    expires_at: Option<Timestamp>,
}

/// A command's progress.
#[derive(Debug, ToSchema)]
#[schema(as = Progress)]
#[expect(
    dead_code,
    reason = "describes the domain's type, which knows no schemas"
)]
struct ProgressView {
    /// Repositories finished, whatever their outcome.
    done: u32,
    /// Repositories in total.
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
            waiting_until: command.state.waiting_until,
            attempts: command.state.attempt,
            accepted_at: command.accepted_at,
            started_at: command.started_at,
            completed_at: command.ended.map(|ended| ended.completed_at),
            updated_at: command.updated_at,
            expires_at: command.ended.map(|ended| ended.expires_at),
        }
    }
}
