//! Rows that are due for the reconciler, and rows that are not.

use aws_sdk_dynamodb::types::AttributeValue::{N, S};
use domain::{
    Timestamp,
    lifecycle::{CommandState, Status, Token, admitted},
    settings::Settings,
};
use store::{
    owners::{OwnerRecord, Saved},
    table::{DueKind, Item, Writes},
};
use tests::{NOON, TIMEOUTS, TestTable, command, noon, owner, row};

use crate::Result;

/// A kind of due work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    /// Commands past their deadline.
    Stalled,
    /// Commands whose message no worker has claimed.
    Unclaimed,
    /// Owners whose scheduled sync is due.
    Scheduled,
}

impl Due {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Stalled => "stalled commands",
            Self::Unclaimed => "unclaimed messages",
            Self::Scheduled => "scheduled syncs",
        }
    }

    /// This many rows that are due at noon.
    pub(crate) async fn rows(self, count: usize) -> Result<Vec<Item>> {
        match self {
            Self::Stalled => Ok(commands(count, &accepted(noon(-600)))),
            Self::Unclaimed => Ok(commands(count, &accepted(noon(-90)))),
            Self::Scheduled => turns(count).await,
        }
    }
}

/// This many rows that are not due: ended commands, and as many that were just admitted.
pub(crate) fn others(count: usize) -> Vec<Item> {
    let ended = CommandState {
        status: Status::Succeeded,
        queued_at: None,
        due: None,
        ..accepted(noon(-90))
    };
    let mut rows = commands(count / 2, &ended);
    rows.extend(commands(count - rows.len(), &accepted(NOON)));
    rows
}

fn accepted(at: Timestamp) -> CommandState {
    admitted(Token(1), at, &TIMEOUTS)
}

fn commands(count: usize, state: &CommandState) -> Vec<Item> {
    let row = || row(&command(owner(), state.clone()));
    std::iter::repeat_with(row).take(count).collect()
}

/// The settings of this many owners whose scheduled sync is due, spread over the shards: copies of saved ones.
async fn turns(count: usize) -> Result<Vec<Item>> {
    let enabled = Settings {
        enabled: true,
        ..Settings::default()
    };
    let table = TestTable::create().await;
    let (owners, first, seen) = (table.owners(), owner(), OwnerRecord::default());
    let saved = owners.save(&first, &enabled, &seen, Writes::default(), NOON);
    let Saved::Saved { .. } = saved.await? else {
        return Err("the settings of the first owner were not saved".into());
    };
    let items = table.items().await;
    let saved = items
        .into_iter()
        .find(|item| item.contains_key("due_shard"))
        .ok_or("a saved configuration plans no sync")?;
    let shards = (0..DueKind::Schedule.shards()).cycle();
    let turn = |shard| {
        let mut turn = saved.clone();
        turn.insert("pk".to_owned(), S(format!("owner#{}", owner())));
        turn.insert("due_shard".to_owned(), S(DueKind::Schedule.shard(shard)));
        turn.insert("due_at".to_owned(), N(noon(-600).as_millis().to_string()));
        turn
    };
    Ok(shards.take(count).map(turn).collect())
}
