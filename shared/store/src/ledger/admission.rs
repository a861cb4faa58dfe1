//! Admission: the write that creates a command, with or without an idempotency key.

use std::collections::HashMap;

use aws_sdk_dynamodb::operation::put_item::PutItemError;

use super::{Ledger, LedgerError, Notes, Outcome, item, new_token};
use crate::cause::WriteError as _;
use crate::table::{
    Attributes, Cause, Expression, Item, Partition, Refusal, Transacted, Writes, batch_get, n, s,
};
use crate::{erasure, findings};
use domain::{
    Timestamp,
    command::{Action, Actor, Command, CommandId, CommandKey, IdempotencyKey, Origin, fingerprint},
    lifecycle::{Move, Token, admitted},
    owner::Owner,
};
use telemetry::metrics::{self, Metric};

/// A command to admit.
#[derive(Clone, Debug)]
pub struct NewCommand {
    /// The owner.
    pub owner: Owner,
    /// What to do.
    pub action: Action,
    /// What caused the request.
    pub origin: Origin,
    /// Who makes the request.
    pub actor: Actor,
    /// The idempotency key, if the client sent one.
    pub key: Option<IdempotencyKey>,
}

/// The answer of an admission.
#[must_use]
#[derive(Debug)]
pub enum Admission {
    /// The command is stored; the caller must send its message now. The token names this admission.
    Admitted(Command, Token),
    /// The same request was admitted before. Carries the command's current state; the caller sends nothing.
    Replayed(Command),
    /// The key was used for a different request.
    KeyReused,
}

impl Admission {
    /// The answer for a command that this call stored.
    const fn new(command: Command) -> Self {
        let admission = command.state.admission;
        Self::Admitted(command, admission)
    }
}

/// Whether a command may be admitted.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admissible {
    /// It may.
    Yes,
    /// The owner is being erased: the command would be deleted.
    BeingErased,
    /// The owner does not have the finding that the command names.
    NoFinding,
}

impl Ledger {
    /// Reads, strongly consistent, what an admission needs to know: a command that the owner's erasure would delete, or
    /// about a finding that the owner does not have, leaves no row. One read.
    ///
    /// Race: the erasure is requested between this read and the admission's write. Its last sweep, which no admission
    /// outlasts, deletes the command.
    pub async fn admissible(&self, new: &NewCommand) -> Result<Admissible, LedgerError> {
        let tombstone = erasure::tombstone(&new.owner);
        let found = match new.action.finding() {
            None => self.table.get(tombstone).await.map(Vec::from_iter),
            Some(finding) => {
                let keys = vec![tombstone, findings::key(&new.owner, finding)];
                let names = [
                    ("#requested", "requested_at"),
                    ("#completed", "completed_at"),
                ];
                let names = names.map(|(name, attribute)| (name.to_owned(), attribute.to_owned()));
                let projection = ("pk, #requested, #completed", HashMap::from(names));
                batch_get(&self.table, keys, Some(projection)).await
            }
        };
        let found = found.map_err(|source| LedgerError::Unread {
            what: "what the admission of a command depends on",
            source,
        })?;
        if found.iter().any(erasure::is_running) {
            return Ok(Admissible::BeingErased);
        }
        let is_finding = |item: &Item| {
            let pk = item.text("pk");
            pk.is_ok_and(|pk| Partition::Findings.owner(pk).is_some())
        };
        Ok(match new.action.finding() {
            Some(_) if !found.iter().any(is_finding) => Admissible::NoFinding,
            Some(_) | None => Admissible::Yes,
        })
    }

    /// Stores a new command as `accepted`: one write, or one transaction with the idempotency key's record. A known key
    /// returns the first command. If that command was never queued it is readmitted, and of concurrent requests exactly
    /// one gets [`Admission::Admitted`] and sends.
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

    /// A command that automation admits in the transaction that led to it: the row, and the write that stores it. After
    /// the transaction the caller sends the message; if the send fails, the reconciler sends it.
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
            state: admitted(new_token(), now, &self.timeouts),
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
        match self.table.retry(write).await {
            Ok(_) => {}
            Err(error) => match error.into_service_error() {
                // This call generated the id, so a row with it is our own earlier try, whose answer was lost.
                PutItemError::ConditionalCheckFailedException(_) => {}
                other => return Err(unwritten(&command, other.into_cause())),
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
                id: "named by an idempotency key".to_owned(),
                source,
            };
            let first = record
                .parsed("command", |id| id.parse().ok())
                .map_err(unreadable)?;
            if first == command.key.id {
                // The record names our new id: our own earlier try succeeded, and its answer was lost.
                return Ok(Admission::new(command));
            }
            let key = CommandKey {
                owner: command.key.owner.clone(),
                id: first,
            };
            let found = self.read(&key, now).await?;
            // Another version may compute the fingerprint differently, so a mismatch is checked against the row itself.
            let asks_for_the_same = |found: &Command| {
                (&found.action, found.origin) == (&command.action, command.origin)
            };
            let same = record.text("request").map_err(unreadable)? == wanted
                || found.as_ref().is_some_and(asks_for_the_same);
            if !same {
                return Ok(Admission::KeyReused);
            }
            let Some(found) = found else {
                // The key's record outlived its command (an erasure deletes commands first). It must not block the
                // request until it expires, so the next round may replace the record of exactly this command.
                if lost == Some(first) {
                    return Err(unwritten(
                        &command,
                        "the idempotency key's record names a missing command twice".into(),
                    ));
                }
                lost = Some(first);
                continue;
            };
            let admission = new_token();
            return match found.state.readmission(admission, now) {
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
            // Race: a concurrent request with this key readmitted the command first, and sends.
            Outcome::Refused(found) => Ok(Admission::Replayed(found)),
            Outcome::Missing => Err(LedgerError::Unwritten {
                attempted: made.name(),
                id: key.id,
                source: "the command was deleted during the readmission".into(),
            }),
        }
    }

    /// Writes the command and the key's record, or neither. Returns the existing record if it prevents the write. A
    /// record that has expired, or that names the `lost` command, is replaced.
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
        // The record expires before its command: the command's retention starts at its end, which is later.
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
                _ => Err(unwritten(
                    command,
                    "DynamoDB cancelled the transaction without the key's record".into(),
                )),
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
