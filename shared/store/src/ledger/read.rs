//! Reads of commands. An expired row counts as absent, because DynamoDB's TTL deletes rows late.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;

use super::{Candidate, Ledger, LedgerError, item};
use crate::table::{Attributes, Cause, DueKind, Item, Partition, batch_get, due_items};
use domain::{
    Timestamp,
    command::{Command, CommandId, CommandKey},
    owner::Owner,
};

/// Where a page of an owner's commands ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HistoryPosition(pub CommandId);

/// A page of an owner's commands.
#[derive(Clone, Debug)]
pub struct HistoryPage {
    /// Newest first.
    pub commands: Vec<Command>,
    /// Where the next page begins; `None` at the end.
    pub next: Option<HistoryPosition>,
}

impl Ledger {
    /// One command, strongly consistent. One read.
    pub async fn read(
        &self,
        key: &CommandKey,
        now: Timestamp,
    ) -> Result<Option<Command>, LedgerError> {
        let item = self.table.get(item::key(key)).await;
        let item = item.map_err(|source| unread("a command", source))?;
        let command = item.as_ref().map(item::command).transpose()?;
        Ok(command.filter(|command| !command.expired(now)))
    }

    /// These commands of an owner, at most 100, in the order of `ids`; an id that the owner does not have is left out.
    /// Strongly consistent.
    pub async fn read_each(
        &self,
        owner: &Owner,
        ids: &[CommandId],
        now: Timestamp,
    ) -> Result<Vec<Command>, LedgerError> {
        // DynamoDB rejects a batch read that names a key twice.
        let mut asked = Vec::with_capacity(ids.len());
        for &id in ids {
            if !asked.contains(&id) {
                asked.push(id);
            }
        }
        let key = |id| {
            item::key(&CommandKey {
                owner: owner.clone(),
                id,
            })
        };
        let items = batch_get(&self.table, asked.iter().copied().map(key).collect(), None)
            .await
            .map_err(|source| unread("commands by id", source))?;
        let mut found = HashMap::with_capacity(items.len());
        for command in items.iter().map(item::command) {
            let command = command?;
            if !command.expired(now) {
                found.insert(command.key.id, command);
            }
        }
        Ok(asked.iter().filter_map(|id| found.remove(id)).collect())
    }

    /// A page of the owner's commands that have not ended, newest first, strongly consistent: at most `limit`, fewer if
    /// some end meanwhile. The cost grows with the page, not with the history.
    pub async fn active(
        &self,
        owner: &Owner,
        limit: usize,
        after: Option<HistoryPosition>,
        now: Timestamp,
    ) -> Result<HistoryPage, LedgerError> {
        let mut ids: Vec<CommandId> = Vec::new();
        let mut from = None;
        // One more than the page holds shows whether there is another page.
        while ids.len() <= limit {
            let wanted = limit.saturating_add(1) - ids.len();
            let query = self
                .table
                .client
                .query()
                .table_name(&self.table.name)
                .index_name("active")
                .consistent_read(true)
                .expression_attribute_values(":pk", Partition::Commands.of(owner))
                .scan_index_forward(false)
                .limit(i32::try_from(wanted).unwrap_or(i32::MAX))
                .set_exclusive_start_key(from);
            // An id in the condition, not a start key: the command at which the last page ended may have left the index.
            let query = match after {
                None => query.key_condition_expression("pk = :pk"),
                Some(HistoryPosition(id)) => query
                    .key_condition_expression("pk = :pk AND #active < :after")
                    .expression_attribute_names("#active", "active")
                    .expression_attribute_values(":after", AttributeValue::S(id.to_string())),
            };
            let page = query
                .send()
                .await
                .map_err(|error| unread("the active commands", error.into()))?;
            ids.extend(
                page.items()
                    .iter()
                    .filter_map(|item| item.text("sk").ok()?.parse::<CommandId>().ok()),
            );
            from = page.last_evaluated_key;
            if from.is_none() {
                break;
            }
        }
        let more = ids.len() > limit;
        ids.truncate(limit);
        let mut commands = Vec::with_capacity(ids.len());
        for ids in ids.chunks(100) {
            commands.extend(self.read_each(owner, ids, now).await?);
        }
        // Race: a command may end between the index query and the read of its row.
        commands.retain(|command| !command.status().is_terminal());
        let next = ids.last().filter(|_| more).copied().map(HistoryPosition);
        Ok(HistoryPage { commands, next })
    }

    /// A page of an owner's history.
    pub async fn history(
        &self,
        owner: &Owner,
        limit: usize,
        after: Option<HistoryPosition>,
        now: Timestamp,
    ) -> Result<HistoryPage, LedgerError> {
        let position = |id: CommandId| {
            item::key(&CommandKey {
                owner: owner.clone(),
                id,
            })
        };
        let mut commands: Vec<Command> = Vec::new();
        let mut from = after.map(|HistoryPosition(id)| position(id));
        loop {
            let wanted = limit - commands.len();
            let page = self
                .table
                .client
                .query()
                .table_name(&self.table.name)
                .key_condition_expression("pk = :pk")
                .expression_attribute_values(":pk", Partition::Commands.of(owner))
                .scan_index_forward(false)
                .limit(i32::try_from(wanted).unwrap_or(i32::MAX))
                .set_exclusive_start_key(from)
                .send()
                .await
                .map_err(|error| unread("the history of commands", error.into()))?;
            for item in page.items() {
                let command = item::command(item)?;
                if !command.expired(now) {
                    commands.push(command);
                }
            }
            from = page.last_evaluated_key;
            if from.is_none() || commands.len() >= limit {
                break;
            }
        }
        let next = from
            .and_then(|_| commands.last())
            .map(|last| HistoryPosition(last.key.id));
        Ok(HistoryPage { commands, next })
    }

    /// The commands of one shard that need attention by `now`, oldest first. `after` continues an earlier page. The
    /// index is eventually consistent, so the guard of the next move decides. A row with invalid data is an `Err` entry
    /// and hides no other row.
    pub async fn due(
        &self,
        shard: u8,
        limit: u32,
        after: Option<Item>,
        now: Timestamp,
    ) -> Result<(Vec<Result<Candidate, LedgerError>>, Option<Item>), LedgerError> {
        let (items, next) = due_items(&self.table, DueKind::Command, shard, limit, after, now)
            .await
            .map_err(|source| unread("what is due", source))?;
        Ok((items.iter().map(item::candidate).collect(), next))
    }
}

fn unread(what: &'static str, source: Cause) -> LedgerError {
    LedgerError::Unread { what, source }
}
