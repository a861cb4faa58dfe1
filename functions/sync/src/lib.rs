//! The sync function: refreshes an owner's findings from GitHub, for a command or on schedule.
//!
//! `deliver` takes one message to its verdict. `pass` goes over the repositories in scope, `repository` lists one of
//! them, and what they found is concluded in one place, `Pass::conclude`.

mod config;
mod pass;
mod repository;

use std::time::Duration;

pub use config::Config;

use security_agent::{
    Timestamp,
    command::{Action, Command},
    findings::Findings,
    github::Github,
    ledger::Claim,
    owners::Owners,
    queue::{MAX_DELAY, Message, QueueUrl, ScheduledSync},
    repositories::Repositories,
    sqs::{Delivery, Verdict},
    telemetry::chain,
    worker::{Effected, Invocation, Worker},
};
use tracing::{error, info, warn};
use uuid::Uuid;

use pass::{Pass, Reporter};

/// For how long all deliveries of one sync together may go on.
pub const BUDGET: Duration = Duration::from_secs(2 * 3600);

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
    /// GitHub.
    pub github: Github,
}

impl Sync {
    /// Takes one delivery to its verdict.
    pub async fn deliver(&self, delivery: &Delivery, invocation: Invocation) -> Verdict {
        self.worker
            .deliver(
                delivery,
                invocation,
                async |claim, command| self.command(claim, command, invocation).await,
                async |message| self.scheduled(delivery, message, invocation).await,
            )
            .await
    }

    async fn command(&self, claim: &Claim, command: &Command, invocation: Invocation) -> Effected {
        let Action::Sync { repository } = &command.action;
        let pass = Pass {
            sync: self,
            owner: &command.key.owner,
            only: repository.as_ref(),
            id: Uuid::from_u128(command.key.id.as_u128()),
            began: command.started_at.unwrap_or(command.accepted_at),
            invocation,
            reporter: Reporter::Command(claim),
        };
        pass.run().await
    }

    /// A scheduled sync has no row: what it could not do now it does in a later message, or in the next cycle.
    async fn scheduled(
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
        let hashed = owner.hashed();
        let effected = tokio::time::timeout_at(invocation.work_until(), run.run())
            .await
            .unwrap_or_else(|_| {
                warn!(owner = hashed, "the scheduled sync did not end in time");
                Effected::Continues {
                    at: self.worker.clock.now(),
                    waits: security_agent::lifecycle::Waits::No,
                    progress: security_agent::command::Progress { done: 0, total: 0 },
                    error: None,
                }
            });
        match effected {
            Effected::Ended(ending) => {
                info!(
                    owner = hashed,
                    command.code = ending.code.as_str(),
                    "a scheduled sync has ended"
                );
                Verdict::Done
            }
            Effected::Continues { at, .. } => self.continue_scheduled(delivery, sync, at).await,
            Effected::Transient { error, .. } => {
                warn!(owner = hashed, error = %error, "a scheduled sync failed and comes again");
                let pause = Duration::from_secs(60 * u64::from(delivery.receives));
                self.worker.inbox.come_again_after(delivery, pause).await;
                Verdict::Again
            }
            Effected::Fenced => Verdict::Done,
        }
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
