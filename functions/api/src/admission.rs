//! Admission: store the command, then send its message, and compensate if that fails. The row comes first, so that a
//! process that dies in between leaves something that the reconciler can send.

use std::time::Duration;

use domain::{
    Timestamp,
    command::{Command, CommandType},
    lifecycle::Token,
};
use runtime::queue::{Message, SendError};
use store::ledger::{self, LedgerError, NewCommand, Outcome};
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
    /// The same request was admitted before; nothing was sent.
    Replayed(Command),
    /// The idempotency key was used for another request.
    KeyReused,
    /// Commands of this type are not admitted for now. Nothing was read or written.
    Paused(CommandType),
    /// The command could not be queued. It has failed, unless even that could not be written: then the reconciler
    /// sends it again.
    NotQueued(Command),
}

/// Admits a command: one write, one message.
pub async fn admit(app: &App, new: NewCommand, now: Timestamp) -> Result<Admission, LedgerError> {
    let kind = new.action.command_type();
    if app.paused.contain(kind) {
        return Ok(Admission::Paused(kind));
    }
    let (command, token) = match app.ledger.admit(new, now).await? {
        ledger::Admission::Admitted(command, token) => (command, token),
        ledger::Admission::Replayed(command) => {
            about(&command);
            log(&command, "the command was admitted before");
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
                "the command's message could not be sent"
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
        // A request with the same key took the command over, and could not queue it either.
        Ok(Outcome::Refused(found)) if found.standing.never_queued => Admission::NotQueued(found),
        // The message had arrived although its answer was lost, or the command was readmitted since.
        Ok(Outcome::Refused(found)) => {
            log(&found, "the command was queued after all");
            Admission::Accepted(found)
        }
        Ok(Outcome::Missing) => {
            tracing::warn!("the command vanished while it was admitted");
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

/// Says in the request's lines which command it is about.
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
