//! The sync function: refreshes an owner's findings from GitHub, for a command or on schedule.
//!
//! `Work` takes one message to its verdict. `pass` goes over the repositories in scope, `repository` lists one of
//! them, and what they found is concluded in one place, `Pass::conclude`.

mod config;
mod pass;
mod repository;

use std::time::Duration;

pub use config::Config;

use security_agent::{
    Timestamp,
    audit::{Audit, AuditAction, AuditEvent, ResourceType},
    automation::Automation,
    command::{Action, Command, LastError},
    finding::RepositoryName,
    findings::Findings,
    github::Github,
    ledger::{Claim, Ending},
    owners::Owners,
    queue::{MAX_DELAY, Message, QueueUrl, ScheduledSync},
    repositories::Repositories,
    result_code::ResultCode,
    sqs::{Delivery, Verdict},
    telemetry::chain,
    worker::{Effected, Invocation, Work, Worker},
};
use tracing::{error, info, warn};
use uuid::Uuid;

use pass::{Pass, Reporter};

/// The function's surroundings.
#[derive(Clone, Debug)]
pub struct Sync {
    /// What every worker does around its effect.
    pub worker: Worker,
    /// Where scheduled syncs are queued.
    pub scheduled_queue: QueueUrl,
    /// Configuration and integration.
    pub owners: Owners,
    /// What is known of the repositories.
    pub repositories: Repositories,
    /// The findings.
    pub findings: Findings,
    /// What was done, by whom.
    pub audit: Audit,
    /// What starts by itself.
    pub automation: Automation,
    /// GitHub.
    pub github: Github,
}

impl Work for Sync {
    async fn effect(&self, claim: &Claim, command: &Command, invocation: Invocation) -> Effected {
        let Action::Sync { repository } = &command.action else {
            error!("a command of another worker's type");
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
        match pass.run().await {
            Effected::Ended(ending) if ending.code == ResultCode::SyncCompleted => {
                let event = self.completed(command, repository.as_ref(), &ending);
                let event = self.audit.record(&command.key.owner, &event);
                let settled = self.worker.settle(claim, command, ending, event).await;
                settled.unwrap_or(Effected::Ended(ending))
            }
            effected => effected,
        }
    }

    /// A scheduled sync has no row: what it could not do now it does in a later message, or in the next cycle.
    async fn other(
        &self,
        delivery: &Delivery,
        message: Message,
        invocation: Invocation,
    ) -> Verdict {
        let Message::ScheduledSync(sync) = message else {
            error!(
                sqs.message_id = delivery.message_id,
                "a message of another worker's kind"
            );
            return Verdict::Again;
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
                    waits: security_agent::lifecycle::Waits::No,
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
                Verdict::Done
            }
            Effected::Continues { at, .. } => self.continue_scheduled(delivery, sync, at).await,
            Effected::Transient { error, .. } => {
                warn!(error = %error, "a scheduled sync failed and comes again");
                let pause = Duration::from_secs(60 * u64::from(delivery.receives));
                self.worker.inbox.come_again_after(delivery, pause).await;
                Verdict::Again
            }
            Effected::Fenced | Effected::Settled { .. } => Verdict::Done,
        }
    }
}

impl Sync {
    fn completed(
        &self,
        command: &Command,
        repository: Option<&RepositoryName>,
        ending: &Ending,
    ) -> AuditEvent {
        let action = AuditAction::SyncCompleted;
        let (actor, now) = (command.actor.clone(), self.worker.clock.now());
        let event = match repository {
            Some(name) => {
                let of = (ResourceType::Repository, name.as_str());
                AuditEvent::of_command(command.key.id, action, actor, of, now)
            }
            None => {
                let of = (ResourceType::Owner, &command.key.owner);
                AuditEvent::of_command(command.key.id, action, actor, of, now)
            }
        };
        let repositories = ending.progress.map(|progress| progress.done);
        event
            .with("repositories", repositories)
            .with("origin", command.origin)
    }

    async fn continue_scheduled(
        &self,
        delivery: &Delivery,
        sync: ScheduledSync,
        at: Timestamp,
    ) -> Verdict {
        let delay = at.since(self.worker.clock.now()).min(MAX_DELAY);
        let message = Message::ScheduledSync(sync);
        match self
            .worker
            .sender
            .send(&self.scheduled_queue, &message, delay)
            .await
        {
            Ok(()) => Verdict::Done,
            Err(error) => {
                error!(sqs.message_id = delivery.message_id, error = %chain(&error), "a scheduled sync's continuation was not sent; this message comes again");
                Verdict::Again
            }
        }
    }
}
