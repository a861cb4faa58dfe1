//! Admission: the write that makes a command exist, with or without an idempotency key.

use aws_sdk_dynamodb::operation::put_item::PutItemError;

use super::{Ledger, LedgerError, Notes, Outcome, item, new_token};
use crate::table::{
    Attributes, Cause, Expression, Item, Partition, Refusal, Transacted, Writes, n,
    retry_conflicts, s,
};
use domain::{
    Timestamp,
    command::{Action, Actor, Command, CommandId, CommandKey, IdempotencyKey, Origin, fingerprint},
    lifecycle::{Move, Token, admitted},
    owner::Owner,
};
use telemetry::metrics::{self, Metric};

/// What is to be admitted.
#[derive(Clone, Debug)]
pub struct NewCommand {
    /// For whom.
    pub owner: Owner,
    /// What is asked.
    pub action: Action,
    /// What causes it.
    pub origin: Origin,
    /// Who asks.
    pub actor: Actor,
    /// The client's name for the request, if it gave one.
    pub key: Option<IdempotencyKey>,
}

/// The answer of an admission.
#[must_use]
#[derive(Debug)]
pub enum Admission {
    /// The command is stored and its message must be sent now. The token names this admission.
    Admitted(Command, Token),
    /// The same request was admitted before: the command as it stands. Nothing is to be sent.
    Replayed(Command),
    /// The key was used for another request.
    KeyReused,
}

impl Admission {
    /// Of a command that was stored by this very call.
    const fn new(command: Command) -> Self {
        let admission = command.standing.admission;
        Self::Admitted(command, admission)
    }
}

impl Ledger {
    /// Stores a new command as `accepted`: one write, or one transaction with the key's record. With a key seen before
    /// it gives the first command; one that was never queued is readmitted, and of concurrent requests exactly one is
    /// told to send.
    pub async fn admit(&self, new: NewCommand, now: Timestamp) -> Result<Admission, LedgerError> {
        let command = self.accepted(&new, now);
        let admission = match &new.key {
            None => self.put(command).await,
            Some(key) => self.put_with_key(command, key, now).await,
        }?;
        if let Admission::Admitted(command, _) = &admission {
            let kind = command.action.command_type();
            metrics::record(Metric::CommandAdmitted(kind));
        }
        Ok(admission)
    }

    /// A command that automation has admitted together with what led to it: the row, and the write that stores it. Once
    /// that is made, its message must be sent; should that fail, the reconciler sends it.
    pub fn admission(&self, new: &NewCommand, now: Timestamp) -> (Command, Writes) {
        let command = self.accepted(new, now);
        let writes = self.row(&command);
        (command, writes)
    }

    fn row(&self, command: &Command) -> Writes {
        let mut e = Expression::default();
        let condition = e.absent("pk");
        self.table.put(item::admitted(command), e, Some(condition))
    }

    fn accepted(&self, new: &NewCommand, now: Timestamp) -> Command {
        Command {
            key: CommandKey {
                owner: new.owner.clone(),
                id: CommandId::new(now),
            },
            action: new.action.clone(),
            origin: new.origin,
            actor: new.actor.clone(),
            standing: admitted(new_token(), now, &self.timeouts),
            progress: None,
            last_error: None,
            accepted_at: now,
            started_at: None,
            updated_at: now,
            ended: None,
        }
    }

    #[expect(clippy::disallowed_methods, reason = "the write that admits")]
    async fn put(&self, command: Command) -> Result<Admission, LedgerError> {
        let item = item::admitted(&command);
        let write = || {
            self.table
                .client
                .put_item()
                .table_name(&self.table.name)
                .set_item(Some(item.clone()))
                .condition_expression("attribute_not_exists(pk)")
                .send()
        };
        match retry_conflicts(write, PutItemError::is_transaction_conflict_exception).await {
            Ok(_) => {}
            Err(error) => match error.into_service_error() {
                // The id is new with this call: a row of this id is our own earlier try.
                PutItemError::ConditionalCheckFailedException(_) => {}
                other => return Err(unwritten(&command, Box::new(other))),
            },
        }
        Ok(Admission::new(command))
    }

    async fn put_with_key(
        &self,
        command: Command,
        key: &IdempotencyKey,
        now: Timestamp,
    ) -> Result<Admission, LedgerError> {
        let wanted = fingerprint(&command.action, command.origin);
        let mut lost = None;
        loop {
            let Some(record) = self.put_both(&command, key, &wanted, lost, now).await? else {
                return Ok(Admission::new(command));
            };
            let unreadable = |source| LedgerError::Unreadable {
                id: "of an idempotency key".to_owned(),
                source,
            };
            let first = record
                .parsed("command", |id| id.parse().ok())
                .map_err(unreadable)?;
            if first == command.key.id {
                // Our own try, whose answer was lost.
                return Ok(Admission::new(command));
            }
            let key = CommandKey {
                owner: command.key.owner.clone(),
                id: first,
            };
            let found = self.read(&key, now).await?;
            // Another version may have taken the fingerprint in another form: the row itself says what was asked for.
            let asks_for_the_same = |found: &Command| {
                (&found.action, found.origin) == (&command.action, command.origin)
            };
            let same = record.text("request").map_err(unreadable)? == wanted
                || found.as_ref().is_some_and(asks_for_the_same);
            if !same {
                return Ok(Admission::KeyReused);
            }
            let Some(found) = found else {
                // The key outlived its command: it must not block the request for ever.
                if lost == Some(first) {
                    return Err(unwritten(
                        &command,
                        "the key's record keeps changing".into(),
                    ));
                }
                lost = Some(first);
                continue;
            };
            let admission = new_token();
            return match found.standing.readmission(admission, now) {
                None => Ok(Admission::Replayed(found)),
                Some(made) => self.readmit(&key, made, admission, now).await,
            };
        }
    }

    async fn readmit(
        &self,
        key: &CommandKey,
        made: Move,
        admission: Token,
        now: Timestamp,
    ) -> Result<Admission, LedgerError> {
        match self.apply(key, made, Notes::default(), now).await? {
            Outcome::Applied(command) | Outcome::AlreadyApplied(command) => {
                Ok(Admission::Admitted(command, admission))
            }
            // Another request with this key was quicker, and sends.
            Outcome::Refused(found) => Ok(Admission::Replayed(found)),
            Outcome::Missing => Err(LedgerError::Unwritten {
                attempted: made.name(),
                id: key.id,
                source: "the command vanished while it was readmitted".into(),
            }),
        }
    }

    /// Writes the command and the key's record, or neither; then gives the record that stands in the way. A record
    /// that has expired, or that leads to the `lost` command, does not.
    async fn put_both(
        &self,
        command: &Command,
        key: &IdempotencyKey,
        request: &str,
        lost: Option<CommandId>,
        now: Timestamp,
    ) -> Result<Option<Item>, LedgerError> {
        let mut e = Expression::default();
        let mut free = format!(
            "{} OR {}",
            e.absent("pk"),
            e.compare("expires_at", "<=", n(now.as_seconds()))
        );
        if let Some(lost) = lost {
            free = format!(
                "{free} OR {}",
                e.compare("command", "=", s(lost.to_string()))
            );
        }
        // It ends before its command can: the command's own retention starts later.
        let expires_at = (now + self.timeouts.retention).as_seconds();
        let record = [
            ("pk", Partition::IdempotencyKeys.of(&command.key.owner)),
            ("sk", s(key.hashed())),
            ("command", s(command.key.id.to_string())),
            ("request", s(request)),
            ("expires_at", n(expires_at)),
        ];
        let record = record.map(|(name, value)| (name.to_owned(), value));
        let writes = self
            .table
            .put(Item::from(record), e, Some(free))
            .and(self.row(command));
        match self.table.transact(&writes).await {
            Ok(Transacted::Written) => Ok(None),
            Ok(Transacted::Refused(refusals)) => match refusals.into_iter().next() {
                Some(Refusal::Condition(Some(record))) => Ok(Some(record)),
                _ => Err(unwritten(command, "the transaction was cancelled".into())),
            },
            Err(source) => Err(unwritten(command, source)),
        }
    }
}

fn unwritten(command: &Command, source: Cause) -> LedgerError {
    LedgerError::Unwritten {
        attempted: "admit",
        id: command.key.id,
        source,
    }
}
