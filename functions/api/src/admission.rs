//! Admission: stores the command, sends its message, and compensates if that fails. The row is the outbox: if the
//! process dies in between, the reconciler sends the message.

use std::time::Duration;

use domain::{
    Timestamp,
    command::{Command, CommandType},
    lifecycle::Token,
};
use runtime::queue::{Message, SendError};
use store::ledger::{self, Admissible, LedgerError, NewCommand, Outcome};
use telemetry::{
    chain,
    metrics::{self, Metric},
};

use crate::App;

/// How an admission ended.
#[must_use]
#[derive(Debug)]
pub enum Admission {
    /// The command is stored and queued.
    Accepted(Command),
    /// The same request was admitted earlier; nothing was sent.
    Replayed(Command),
    /// The idempotency key was used for another request.
    KeyReused,
    /// Commands of this type are paused. Nothing was read or written.
    Paused(CommandType),
    /// The owner is being erased. Nothing was written.
    BeingErased,
    /// The owner does not have the finding that the command names. Nothing was written.
    NoFinding,
    /// The command could not be queued, so it failed. If that could not be written either, the reconciler sends it
    /// again.
    NotQueued(Command),
}

/// Admits a command: one read, one write, one message.
pub async fn admit(app: &App, new: NewCommand, now: Timestamp) -> Result<Admission, LedgerError> {
    let kind = new.action.command_type();
    if app.paused.contain(kind) {
        return Ok(Admission::Paused(kind));
    }
    match app.ledger.admissible(&new).await? {
        Admissible::Yes => {}
        Admissible::BeingErased => return Ok(Admission::BeingErased),
        Admissible::NoFinding => return Ok(Admission::NoFinding),
    }
    let (command, token) = match app.ledger.admit(new, now).await? {
        ledger::Admission::Admitted(command, token) => (command, token),
        ledger::Admission::Replayed(command) => {
            about(&command);
            log(&command, "the command was admitted earlier");
            return Ok(Admission::Replayed(command));
        }
        ledger::Admission::KeyReused => return Ok(Admission::KeyReused),
    };
    about(&command);
    match send(app, &command).await {
        Ok(()) => {
            log(&command, "the command was admitted");
            Ok(Admission::Accepted(command))
        }
        Err(error) => {
            tracing::warn!(
                error = %chain(&error),
                "cannot send the command's message"
            );
            let kind = command.action.command_type();
            let compensated = compensate(app, command, token, now).await;
            if let Admission::NotQueued(_) = compensated {
                metrics::record(Metric::AdmissionFailed(kind));
            }
            Ok(compensated)
        }
    }
}

async fn send(app: &App, command: &Command) -> Result<(), SendError> {
    let queue = app.queues.of(command.action.command_type());
    let message = Message::of(command);
    app.sender.send(queue, &message, Duration::ZERO).await
}

async fn compensate(app: &App, command: Command, token: Token, now: Timestamp) -> Admission {
    match app.ledger.fail_admission(&command.key, token, now).await {
        Ok(Outcome::Applied(failed) | Outcome::AlreadyApplied(failed)) => {
            log(&failed, "the command failed: it could not be queued");
            Admission::NotQueued(failed)
        }
        // Race: a request with the same key readmitted the command and could not queue it either.
        Ok(Outcome::Refused(found)) if found.state.never_queued => Admission::NotQueued(found),
        // Race: the message arrived although its answer was lost, or another request has readmitted the command.
        Ok(Outcome::Refused(found)) => {
            log(&found, "the command was queued after all");
            Admission::Accepted(found)
        }
        Ok(Outcome::Missing) => {
            tracing::warn!("the command was deleted during its admission");
            Admission::NotQueued(command)
        }
        Err(error) => {
            tracing::error!(
                error = %chain(&error),
                "the command could neither be queued nor failed; the reconciler will send it"
            );
            Admission::NotQueued(command)
        }
    }
}

/// Adds the command to the request's log lines.
fn about(command: &Command) {
    telemetry::about(&command.key);
    telemetry::about_row(command);
}

fn log(command: &Command, decision: &'static str) {
    tracing::info!(
        command.origin = command.origin.as_str(),
        command.status = command.status().as_str(),
        command.code = command.ended.map(|ended| ended.code.as_str()),
        "{decision}"
    );
}
