//! The one guarded write behind every move, and how it recognises its own earlier try.

use aws_sdk_dynamodb::{
    operation::update_item::UpdateItemError,
    types::{ReturnValue, ReturnValuesOnConditionCheckFailure},
};

use super::{Ledger, LedgerError, Notes, Outcome, Together, item, new_token};
use crate::cause::WriteError as _;
use crate::table::{Cause, Expression, Item, Refusal, Transacted, Writes, ms, n, s, token};
use domain::{
    Timestamp,
    command::{Command, CommandId, CommandKey, Ended},
    lifecycle::{Move, Token},
    result_code::Effect,
};
use telemetry::metrics::{self, Metric};

/// A move as DynamoDB expressions.
struct Rendered {
    writer: Token,
    expression: Expression,
    condition: String,
}

impl Ledger {
    /// Renders the guard and the changes of a move.
    fn render(&self, id: CommandId, made: &Move, notes: Notes, now: Timestamp) -> Rendered {
        // Generated before the first try, because the AWS SDK repeats a call on its own: every try of this write must
        // store the same writer, or `refused` would take its own success for another writer's.
        let writer = made.own_token().unwrap_or_else(new_token);
        let mut expression = Expression::default();
        let condition = item::condition(&made.guard(), &mut expression);
        for change in made.changes(&self.timeouts) {
            item::update(change, id, &mut expression);
        }
        self.note(made, notes, now, &mut expression);
        expression.set("writer", token(writer));
        expression.set("updated_at", ms(now));
        Rendered {
            writer,
            expression,
            condition,
        }
    }

    #[expect(clippy::disallowed_methods, reason = "the one guarded write")]
    pub(super) async fn apply(
        &self,
        key: &CommandKey,
        made: Move,
        notes: Notes,
        now: Timestamp,
    ) -> Result<Outcome, LedgerError> {
        let Rendered {
            writer,
            expression,
            condition,
        } = self.render(key.id, &made, notes, now);
        let write = || {
            self.table
                .client
                .update_item()
                .table_name(&self.table.name)
                .set_key(Some(item::key(key)))
                .update_expression(expression.update())
                .condition_expression(&condition)
                .set_expression_attribute_names(Some(expression.names.clone()))
                .set_expression_attribute_values(Some(expression.values.clone()))
                .return_values(match made {
                    // Only the row before the claim shows whether another worker's lease was taken over.
                    Move::Claim { .. } => ReturnValue::AllOld,
                    _ => ReturnValue::AllNew,
                })
                .return_values_on_condition_check_failure(
                    ReturnValuesOnConditionCheckFailure::AllOld,
                )
                .send()
        };
        // A transaction on the same row rejects this write without evaluating its condition.
        let outcome = match self.table.retry(write).await {
            Ok(written) => {
                let row = item::command(&written.attributes.unwrap_or_default())?;
                Outcome::Applied(match made {
                    Move::Claim { .. } => self.as_claimed(row, &made, now),
                    _ => row,
                })
            }
            Err(error) => match error.into_service_error() {
                UpdateItemError::ConditionalCheckFailedException(refusal) => {
                    refused(refusal.item, &made, writer, now)?
                }
                other => return Err(unwritten(key.id, &made, other.into_cause())),
            },
        };
        measure(&made, &outcome);
        Ok(outcome)
    }

    /// The row after a claim, computed from the row before it, which is what the write returns.
    fn as_claimed(&self, before: Command, made: &Move, now: Timestamp) -> Command {
        if before.was_left_claimed() {
            metrics::record(Metric::Takeover);
        }
        let mut command = before;
        for change in made.changes(&self.timeouts) {
            change.make(&mut command.state);
        }
        command.started_at = command.started_at.or(Some(now));
        command.updated_at = now;
        command
    }

    /// Makes a move and other writes in one transaction. `claimed` is the row as this worker claimed it. The move's
    /// guard demands the lease's token, so if the guard holds, no other writer has changed the row since.
    pub(super) async fn apply_with(
        &self,
        claimed: &Command,
        made: Move,
        notes: Notes,
        beside: Writes,
        now: Timestamp,
    ) -> Result<Together, LedgerError> {
        let key = &claimed.key;
        let Rendered {
            writer,
            expression,
            condition,
        } = self.render(key.id, &made, notes, now);
        let row = self
            .table
            .update(item::key(key), expression, Some(condition));
        let transacted = self.table.transact(&row.and(beside)).await;
        let outcome = match transacted.map_err(|source| unwritten(key.id, &made, source))? {
            Transacted::Written => Outcome::Applied(self.as_ended(claimed, &made, notes, now)),
            // The command's row is the first write. If its condition failed, the other answers do not matter: an
            // earlier try may have made the whole transaction.
            Transacted::Refused(refusals) => match refusals.into_iter().next() {
                Some(Refusal::Condition(row)) => refused(row, &made, writer, now)?,
                Some(Refusal::None) | None => return Ok(Together::Unsettled),
            },
        };
        measure(&made, &outcome);
        Ok(Together::Command(Box::new(outcome)))
    }

    /// The row after the move that ended the command. A transaction does not return rows.
    fn as_ended(&self, claimed: &Command, made: &Move, notes: Notes, now: Timestamp) -> Command {
        let mut command = claimed.clone();
        for change in made.changes(&self.timeouts) {
            change.make(&mut command.state);
        }
        command.updated_at = now;
        command.progress = notes.progress.or(command.progress);
        command.last_error = notes.last_error.map(|error| error.to_string());
        command.ended = notes.ended.map(|(code, effect)| Ended {
            code,
            effect: effect.unwrap_or(Effect::Unknown),
            completed_at: now,
            expires_at: now + self.timeouts.retention,
        });
        command
    }

    fn note(&self, made: &Move, notes: Notes, now: Timestamp, expression: &mut Expression) {
        match made {
            Move::Claim { .. } => expression.set_once("started_at", ms(now)),
            Move::Readmit { .. } => {
                expression.set("accepted_at", ms(now));
                // A row that still had `expires_at` would be deleted by DynamoDB's TTL while the command runs.
                for gone in ["code", "effect", "completed_at", "expires_at"] {
                    expression.remove(gone);
                }
            }
            // The worker has an outcome, so errors of earlier attempts no longer matter.
            Move::Settle { .. } if notes.last_error.is_none() => expression.remove("last_error"),
            Move::FailAdmission { .. }
            | Move::Resend { .. }
            | Move::Heartbeat { .. }
            | Move::Continue { .. }
            | Move::Release { .. }
            | Move::Settle { .. }
            | Move::Exhaust { .. }
            | Move::Stall { .. } => {}
        }
        if let Some(progress) = notes.progress {
            expression.set("done", n(progress.done));
            expression.set("total", n(progress.total));
        }
        if let Some(error) = notes.last_error {
            expression.set("last_error", s(error.to_string()));
        }
        if let Some((code, effect)) = notes.ended {
            expression.set("code", s(code.as_str()));
            if let Some(effect) = effect {
                expression.set("effect", s(effect.as_str()));
            }
            expression.set("completed_at", ms(now));
            expression.set(
                "expires_at",
                n((now + self.timeouts.retention).as_seconds()),
            );
        }
    }
}

/// Counts a command that has ended. Every end passes here.
fn measure(made: &Move, outcome: &Outcome) {
    let command = match outcome {
        Outcome::Applied(command) | Outcome::AlreadyApplied(command) => command,
        Outcome::Refused(_) | Outcome::Missing => return,
    };
    // The row returned after a lost answer may have ended since by another writer's move, which that writer counted.
    if let (Some(_), Some(ended)) = (made.ends_as(), command.ended) {
        let kind = command.action.command_type();
        let time = ended.completed_at.since(command.accepted_at);
        metrics::record(Metric::CommandSettled(kind, ended.code));
        metrics::record(Metric::TimeToTerminal(kind, time));
    }
}

/// The outcome of a write whose condition failed; `row` is the row that failed it.
fn refused(
    row: Option<Item>,
    made: &Move,
    writer: Token,
    now: Timestamp,
) -> Result<Outcome, LedgerError> {
    let Some(row) = row else {
        return Ok(Outcome::Missing);
    };
    // Race: DynamoDB applied the first try, its answer was lost, and the SDK repeated the write. The repeat fails the
    // condition that the first try changed. Our own token on the row turns that refusal into success.
    let wrote_last = row.get("writer") == Some(&token(writer));
    let found = item::command(&row)?;
    let own = made.is_shown_by(&found.state, wrote_last);
    Ok(answer(found, own, now))
}

fn unwritten(id: CommandId, made: &Move, source: Cause) -> LedgerError {
    LedgerError::Unwritten {
        attempted: made.name(),
        id,
        source,
    }
}

fn answer(found: Command, own: bool, now: Timestamp) -> Outcome {
    if own {
        Outcome::AlreadyApplied(found)
    // The row has expired, but DynamoDB's TTL has not deleted it yet.
    } else if found.expired(now) {
        Outcome::Missing
    } else {
        Outcome::Refused(found)
    }
}
