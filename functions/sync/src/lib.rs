//! The sync function: refreshes an owner's findings from GitHub, for a command or on schedule.
//!
//! `Work` handles one message. `pass` refreshes the repositories in `scope` that no `earlier` delivery has finished,
//! and `repository` refreshes one of them, until the `brake` stops it. Decisions are pure: `listing` selects the alerts
//! to store, `refusals` classifies GitHub's failures, and `tally` derives the outcome.

mod barred;
mod brake;
mod config;
mod earlier;
mod listing;
mod pass;
mod refusals;
mod repository;
#[cfg(test)]
mod samples;
mod scope;
mod tally;

use std::time::Duration;

pub use config::Config;

use domain::{
    Timestamp,
    command::{Action, Command, LastError, Progress, SyncFindings},
    finding::RepositoryName,
};
use github::Github;
use runtime::{
    automation::Automation,
    queue::{MAX_DELAY, Message, QueueUrl, ScheduledSync},
    sqs::{Delivery, Disposition},
    worker::{Effected, Invocation, Work, Worker},
};
use store::{
    audit::{Audit, AuditAction, AuditEvent, ResourceType},
    findings::Findings,
    ledger::Claim,
    owners::Owners,
    repositories::Repositories,
};
use telemetry::chain;
use tracing::{error, info, warn};
use uuid::Uuid;

use pass::{Pass, Reporter};

/// The function's dependencies.
#[derive(Clone, Debug)]
pub struct Sync {
    /// The frame that all workers share.
    pub worker: Worker,
    /// The queue of scheduled syncs.
    pub scheduled_queue: QueueUrl,
    /// Configurations and integrations.
    pub owners: Owners,
    /// The repositories.
    pub repositories: Repositories,
    /// The findings.
    pub findings: Findings,
    /// The audit events.
    pub audit: Audit,
    /// Starts automatic analyses.
    pub automation: Automation,
    /// GitHub.
    pub github: Github,
}

impl Work for Sync {
    async fn effect(&self, claim: &Claim, command: &Command, invocation: Invocation) -> Effected {
        let Action::Sync(SyncFindings { repository }) = &command.action else {
            error!("the command is of another worker's type");
            return Effected::Transient {
                error: LastError::Unexpected,
                after: None,
            };
        };
        let pass = Pass {
            sync: self,
            owner: &command.key.owner,
            only: repository.as_ref(),
            id: Uuid::from_u128(command.key.id.as_u128()),
            began: command.started_at.unwrap_or(command.accepted_at),
            invocation,
            reporter: Reporter::Command(claim),
        };
        let effected = pass.run().await;
        let Some(ending) = tally::completed(&effected) else {
            return effected;
        };
        let now = self.worker.clock.now();
        let event = completed(command, repository.as_ref(), ending.progress, now);
        let event = self.audit.record(&command.key.owner, &event);
        let settled = self.worker.settle(claim, command, *ending, event).await;
        settled.unwrap_or(effected)
    }

    /// Handles a scheduled sync. It has no row: unfinished work continues in a later message or in the next cycle.
    async fn other(
        &self,
        delivery: &Delivery,
        message: Message,
        invocation: Invocation,
    ) -> Disposition {
        let Message::ScheduledSync(sync) = message else {
            error!(
                sqs.message_id = delivery.message_id,
                "the message is for another worker"
            );
            return Disposition::Retry;
        };
        let ScheduledSync { owner, pass, began } = &sync;
        let run = Pass {
            sync: self,
            owner,
            only: None,
            id: *pass,
            began: *began,
            invocation,
            reporter: Reporter::Nobody,
        };
        let effected = tokio::time::timeout_at(invocation.work_until(), run.run())
            .await
            .unwrap_or_else(|_| {
                warn!("the scheduled sync did not end in time");
                Effected::Continues {
                    at: self.worker.clock.now(),
                    waits: domain::lifecycle::Waits::No,
                    progress: None,
                    error: None,
                }
            });
        match effected {
            Effected::Ended(ending) => {
                info!(
                    command.code = ending.code.as_str(),
                    "a scheduled sync has ended"
                );
                Disposition::Ack
            }
            Effected::Continues { at, .. } => self.continue_scheduled(delivery, sync, at).await,
            Effected::Transient { error, .. } => {
                warn!(error = %error, "the scheduled sync failed; its message is redelivered");
                let pause = pause(delivery.receives);
                self.worker.inbox.set_visibility(delivery, pause).await;
                Disposition::Retry
            }
            Effected::Fenced | Effected::Settled { .. } => Disposition::Ack,
        }
    }
}

impl Sync {
    async fn continue_scheduled(
        &self,
        delivery: &Delivery,
        sync: ScheduledSync,
        at: Timestamp,
    ) -> Disposition {
        let delay = at.since(self.worker.clock.now()).min(MAX_DELAY);
        let message = Message::ScheduledSync(sync);
        match self
            .worker
            .sender
            .send(&self.scheduled_queue, &message, delay)
            .await
        {
            Ok(()) => Disposition::Ack,
            Err(error) => {
                error!(sqs.message_id = delivery.message_id, error = %chain(&error), "cannot queue the scheduled sync's continuation; this message is redelivered");
                Disposition::Retry
            }
        }
    }
}

/// Returns the visibility timeout after the n-th failed delivery: a minute more each time, because no user waits for a
/// scheduled sync.
fn pause(receives: u32) -> Duration {
    Duration::from_mins(1) * receives
}

/// Returns the audit event of a sync in which every repository was refreshed or skipped.
fn completed(
    command: &Command,
    repository: Option<&RepositoryName>,
    progress: Option<Progress>,
    now: Timestamp,
) -> AuditEvent {
    let (id, action, actor) = (
        command.key.id,
        AuditAction::SyncCompleted,
        command.actor.clone(),
    );
    let event = match repository {
        Some(name) => {
            let of = (ResourceType::Repository, name.as_str());
            AuditEvent::of_command(id, action, actor, of, now)
        }
        None => {
            let of = (ResourceType::Owner, &command.key.owner);
            AuditEvent::of_command(id, action, actor, of, now)
        }
    };
    event
        .with("repositories", progress.map(|progress| progress.done))
        .with("origin", command.origin)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::{name, noon};
    use domain::{
        command::{Actor, CommandId, CommandKey, Origin},
        lifecycle::{CommandState, Stage, Status, Token},
        owner::Owner,
    };
    use serde_json::json;

    #[test]
    fn a_failed_scheduled_syncs_backoff_grows_by_a_minute_each_time() {
        let minutes = [1, 2, 5].map(|receives| pause(receives).as_secs());
        assert_eq!(minutes, [60, 120, 300]);
    }

    fn owner() -> Owner {
        "user:jo".parse().expect("an owner")
    }

    fn command() -> Command {
        Command {
            key: CommandKey {
                owner: owner(),
                id: CommandId::new(noon(0)),
            },
            action: SyncFindings::all().into(),
            origin: Origin::Manual,
            actor: Actor::SecurityAgent,
            state: CommandState {
                status: Status::Running,
                never_queued: false,
                admission: Token(1),
                attempt: 1,
                stage: Stage(0),
                lease: None,
                queued_at: None,
                resends: 0,
                waiting_until: None,
                deadline: noon(1_800),
                due: None,
            },
            progress: None,
            last_error: None,
            accepted_at: noon(0),
            started_at: None,
            updated_at: noon(0),
            ended: None,
        }
    }

    #[test]
    fn the_audit_event_names_actor_resource_and_number_of_repositories() {
        let command = command();
        let progress = Some(Progress { done: 3, total: 3 });
        let event = completed(&command, None, progress, noon(9));
        let details = json!({ "repositories": 3, "origin": command.origin });
        assert_eq!(
            (event.action, event.actor, event.command, event.occurred_at),
            (
                AuditAction::SyncCompleted,
                Actor::SecurityAgent,
                Some(command.key.id),
                noon(9)
            )
        );
        assert_eq!(serde_json::Value::Object(event.details), details);
        assert_eq!(
            (event.resource_type, event.resource_id.as_str()),
            (ResourceType::Owner, "user:jo")
        );
        let name = name("octo/app");
        let event = completed(&command, Some(&name), progress, noon(9));
        assert_eq!(
            (event.resource_type, event.resource_id.as_str()),
            (ResourceType::Repository, "octo/app")
        );
    }
}
