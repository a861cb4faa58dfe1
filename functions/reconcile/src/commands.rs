//! Due commands: sends the message of an unclaimed command again, and fails a command whose deadline has passed.

use std::time::Duration;

use domain::{
    Timestamp,
    command::Command,
    lifecycle::{Need, Status},
    result_code::ResultCode,
};
use runtime::queue::Message;
use store::ledger::{Abandoned, Candidate, Outcome};
use telemetry::{
    chain,
    metrics::{self, Metric},
    trace::TraceParent,
};
use tracing::{Instrument, error, info, warn};

use crate::{PAGE, Reconciler, Run, each_page};

impl Reconciler {
    /// Handles one shard's due commands, oldest first.
    pub(crate) async fn commands(&self, run: &Run, shard: u8) {
        let read = async |after| self.ledger.due(shard, PAGE, after, run.now).await;
        each_page(run, read, async |candidates| {
            for candidate in candidates {
                if !run.has_time() {
                    return;
                }
                match candidate {
                    Ok(candidate) => {
                        let trace = TraceParent::start(candidate.key.id.into());
                        let span = telemetry::work(&candidate.key.owner, trace.id());
                        let attended = async {
                            telemetry::about(&candidate.key);
                            self.attend(run, &candidate).await;
                        };
                        trace.follow(attended.instrument(span)).await;
                    }
                    Err(error) => {
                        error!(error = %chain(&error), "cannot read a due command");
                        run.count(|report| report.errors += 1);
                    }
                }
            }
        })
        .await;
    }

    async fn attend(&self, run: &Run, candidate: &Candidate) {
        let now = self.clock.now();
        let age = now.since(candidate.key.id.admitted_at());
        match candidate.status {
            Status::Accepted => metrics::record(Metric::OldestAcceptedAge(age)),
            Status::Running => metrics::record(Metric::OldestRunningAge(age)),
            // Race: the index lags behind the row, which has left it.
            Status::Succeeded | Status::Failed | Status::NoOp => {}
        }
        let attended = match candidate.seen.need(now) {
            Need::Resend => match self.ledger.resend(candidate, now).await {
                Ok(resent) => Ok(self.resent(run, resent).await),
                Err(error) => Err(error),
            },
            Need::Stall => match self.ledger.stall(&candidate.key, now).await {
                Ok(stalled) => Ok(self.stalled(run, stalled, now).await),
                Err(error) => Err(error),
            },
            Need::Nothing => Ok(None),
        };
        match attended {
            Ok(Some(())) => {}
            // Race: claimed, settled, handled by an overlapping run, or erased since the index was written.
            Ok(None) => run.count(|report| report.raced += 1),
            Err(error) => {
                error!(error = %chain(&error), "cannot handle a due command; the next run retries it");
                run.count(|report| report.errors += 1);
            }
        }
    }

    /// Returns `None` if the row has changed since the index was written.
    async fn resent(&self, run: &Run, resent: Outcome) -> Option<()> {
        self.send_again(run, resent.made()?).await;
        Some(())
    }

    async fn stalled(&self, run: &Run, stalled: Outcome<Abandoned>, now: Timestamp) -> Option<()> {
        let command = self.cleaner.clean_up(stalled.made()?, now).await;
        telemetry::about_row(&command);
        log_stalled(&command);
        metrics::record(Metric::CommandStalled);
        run.count(|report| report.stalled += 1);
        Some(())
    }

    /// Sends the message of the command's current stage. If that fails, the row is already due again later.
    async fn send_again(&self, run: &Run, command: Command) {
        let resends = command.state.resends;
        let queue = self.queues.of(command.action.command_type());
        let message = Message::of(&command);
        match self.sender.send(queue, &message, Duration::ZERO).await {
            Ok(()) => {
                info!(
                    command.resends = resends,
                    "no worker has claimed the command; its message is sent again"
                );
                metrics::record(Metric::CommandResent);
                run.count(|report| report.resent += 1);
            }
            Err(error) => {
                error!(command.resends = resends, error = %chain(&error), "cannot send the command's message again");
                run.count(|report| report.unsent += 1);
            }
        }
    }
}

fn log_stalled(command: &Command) {
    // Only a claim counts an attempt: with none, the command was still waiting for its first worker.
    let previous = match command.state.attempt {
        0 => Status::Accepted,
        _ => Status::Running,
    };
    let age = command.updated_at.since(command.accepted_at);
    warn!(
        previous_status = previous.as_str(),
        command.status = command.status().as_str(),
        command.code = ResultCode::CommandStalled.as_str(),
        age_ms = u64::try_from(age.as_millis()).unwrap_or(u64::MAX),
        "the command has failed: its deadline has passed"
    );
}
