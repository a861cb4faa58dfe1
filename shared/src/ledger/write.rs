//! The one guarded write that every move is.

use aws_sdk_dynamodb::{
    operation::update_item::UpdateItemError,
    types::{ReturnValue, ReturnValuesOnConditionCheckFailure},
};

use super::{Ledger, LedgerError, Notes, Outcome, item, new_token};
use crate::{
    Timestamp,
    command::{Command, CommandKey},
    lifecycle::{Move, Token},
    table::{Expression, ms, n, retry_conflicts, s, token},
};

impl Ledger {
    #[expect(clippy::disallowed_methods, reason = "the one guarded write")]
    pub(super) async fn apply(
        &self,
        key: &CommandKey,
        made: Move,
        notes: Notes,
        now: Timestamp,
    ) -> Result<Outcome, LedgerError> {
        // Made before the first try: the client library may repeat the call by itself.
        let writer = writer(&made);
        let mut expression = Expression::default();
        let condition = item::condition(&made.guard(), &mut expression);
        for change in made.changes(&self.timeouts) {
            item::update(change, key.id, &mut expression);
        }
        self.note(&made, notes, now, &mut expression);
        expression.set("writer", token(writer));
        expression.set("updated_at", ms(now));

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
                .return_values(ReturnValue::AllNew)
                .return_values_on_condition_check_failure(
                    ReturnValuesOnConditionCheckFailure::AllOld,
                )
                .send()
        };
        let conflicts = |error: &UpdateItemError| error.is_transaction_conflict_exception();
        let unwritten = |source: Box<dyn std::error::Error + Send + Sync>| LedgerError::Unwritten {
            attempted: made.name(),
            id: key.id,
            source,
        };
        match retry_conflicts(write, conflicts).await {
            Ok(written) => {
                let row = written.attributes.unwrap_or_default();
                Ok(Outcome::Applied(item::command(&row)?))
            }
            Err(error) => match error.into_service_error() {
                UpdateItemError::ConditionalCheckFailedException(refusal) => {
                    let Some(row) = refusal.item else {
                        return Ok(Outcome::Missing);
                    };
                    let own = row.get("writer") == Some(&token(writer));
                    let found = item::command(&row)?;
                    Ok(answer(found, own || stands(&made, &row), now))
                }
                other => Err(unwritten(Box::new(other))),
            },
        }
    }

    fn note(&self, made: &Move, notes: Notes, now: Timestamp, expression: &mut Expression) {
        match made {
            Move::Claim { .. } => expression.set_once("started_at", ms(now)),
            Move::Readmit { .. } => {
                expression.set("accepted_at", ms(now));
                for gone in ["code", "effect", "completed_at", "expires_at"] {
                    expression.remove(gone);
                }
            }
            _ => {}
        }
        if let Some(progress) = notes.progress {
            expression.set("done", n(progress.done));
            expression.set("total", n(progress.total));
        }
        match (notes.last_error, made) {
            (Some(error), _) => expression.set("last_error", s(error.to_string())),
            // A worker that ends the command knows best: what went wrong on the way to it is over.
            (None, Move::Settle { .. }) => expression.remove("last_error"),
            (None, _) => {}
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

/// A claim's and a readmission's own token names the write; any other write gets a new one.
fn writer(made: &Move) -> Token {
    match made {
        Move::Claim { hold, .. } => hold.token,
        Move::Readmit { admission, .. } => *admission,
        _ => new_token(),
    }
}

/// Whether the row still shows this write although somebody has written since: a claim or an admission stays on it.
fn stands(made: &Move, row: &crate::table::Item) -> bool {
    match made {
        Move::Readmit { admission, .. } => row.get("admission") == Some(&token(*admission)),
        _ => false,
    }
}

fn answer(found: Command, own: bool, now: Timestamp) -> Outcome {
    if own {
        Outcome::AlreadyApplied(found)
    } else if found.expired(now) {
        Outcome::Missing
    } else {
        Outcome::Refused(found)
    }
}
