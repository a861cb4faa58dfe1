//! Reading: rows as stored, expired ones as absent, the active list, the history, and due rows.

use domain::{
    Timestamp,
    command::{Action, Command, CommandId, CommandKey, LastError, Progress, SyncFindings},
    lifecycle::{Stage, Status},
    result_code::ResultCode,
};
use store::{
    ledger::{Claimed, HistoryPage, Ledger, LedgerError},
    table::DueKind,
};
use tests::{
    Fault, Holder, NOON, TIMEOUTS, TestTable, command, key_in_shard, noon, owner, row, states,
    sync_of,
};

use super::ending;

/// Stores one command in every state for one owner, oldest first.
async fn one_of_each(table: &TestTable) -> Vec<Command> {
    let owner = owner();
    let mut all = Vec::new();
    for (place, (_, state)) in (0..).zip(states(Holder::Another)) {
        let command = Command {
            key: CommandKey {
                owner: owner.clone(),
                id: CommandId::new(noon(place)),
            },
            ..command(owner.clone(), state)
        };
        table.put_command(&command).await;
        all.push(command);
    }
    all
}

fn ids<'a>(commands: impl IntoIterator<Item = &'a Command>) -> Vec<CommandId> {
    commands.into_iter().map(|command| command.key.id).collect()
}

#[tokio::test]
async fn rows_are_read_as_they_are_stored() {
    let table = TestTable::create().await;
    let ledger = table.ledger();
    let mut all = one_of_each(&table).await;
    let mut full = all[2].clone();
    full.action = Action::from(SyncFindings {
        repository: Some("octo/app".parse().expect("a name")),
    });
    full.progress = Some(Progress { done: 3, total: 8 });
    full.last_error = Some(LastError::GithubStatus(502).to_string());
    table.put_command(&full).await;
    all[2] = full;
    for row in &all {
        let stored = ledger
            .read(&row.key, NOON)
            .await
            .expect("the table answers");
        assert_eq!(stored.as_ref(), Some(row));
    }
    let asked: Vec<CommandId> = ids(all.iter().rev());
    let read = ledger.read_each(&all[0].key.owner, &asked, NOON).await;
    assert_eq!(
        ids(&read.expect("the table answers")),
        asked,
        "in the order asked for"
    );
}

#[tokio::test]
async fn a_row_that_has_expired_is_absent_everywhere() {
    let table = TestTable::create().await;
    let ledger = table.ledger();
    let all = one_of_each(&table).await;
    let owner = &all[0].key.owner;
    let ended: Vec<&Command> = all
        .iter()
        .filter(|command| command.ended.is_some())
        .collect();
    let expires_at = ended[0].ended.expect("it has ended").expires_at;
    let before = expires_at - std::time::Duration::from_millis(1);
    for (now, there) in [(before, true), (expires_at, false)] {
        for row in &ended {
            let read = ledger.read(&row.key, now).await.expect("the table answers");
            assert_eq!(read.is_some(), there);
            let claimed = ledger.claim(&row.key, Stage(0), now, now).await;
            match claimed.expect("the table answers") {
                Claimed::Ended(_) => assert!(there),
                Claimed::Missing => assert!(!there),
                other => panic!("{other:?}"),
            }
        }
        let expected = if there {
            all.len()
        } else {
            all.len() - ended.len()
        };
        let read = ledger
            .read_each(owner, &ids(&all), now)
            .await
            .expect("the table answers");
        assert_eq!(read.len(), expected);
        let history = ledger
            .history(owner, 100, None, now)
            .await
            .expect("the table answers");
        assert_eq!(history.commands.len(), expected);
    }
}

#[tokio::test]
async fn an_owner_cannot_read_another_owners_commands() {
    let table = TestTable::create().await;
    let ledger = table.ledger();
    let all = one_of_each(&table).await;
    let stranger = owner();
    let key = CommandKey {
        owner: stranger.clone(),
        id: all[0].key.id,
    };
    assert_eq!(
        ledger.read(&key, NOON).await.expect("the table answers"),
        None
    );
    let read = ledger.read_each(&stranger, &ids(&all), NOON).await;
    assert!(read.expect("the table answers").is_empty());
    let history = ledger.history(&stranger, 10, None, NOON).await;
    assert!(history.expect("the table answers").commands.is_empty());
}

#[tokio::test]
async fn three_thousand_active_commands_are_paged_to_the_end() {
    let table = TestTable::create().await;
    let owner = owner();
    let (_, accepted) = states(Holder::Another).swap_remove(0);
    let commands: Vec<Command> = (0..3_000)
        .map(|place| Command {
            key: CommandKey {
                owner: owner.clone(),
                id: CommandId::new(noon(place)),
            },
            ..command(owner.clone(), accepted.clone())
        })
        .collect();
    let rows: Vec<_> = commands.iter().map(row).collect();
    table.put_all(&rows).await;
    let ledger = table.ledger();
    let (mut seen, mut sizes, mut after) = (Vec::new(), Vec::new(), None);
    loop {
        let page = ledger.active(&owner, 900, after, NOON).await;
        let page = page.expect("the table answers");
        sizes.push(page.commands.len());
        seen.extend(ids(&page.commands));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(sizes, [900, 900, 900, 300]);
    assert_eq!(seen, ids(commands.iter().rev()));
}

#[tokio::test]
async fn the_active_list_shows_every_write_at_once() {
    let table = TestTable::create().await;
    let ledger = table.ledger();
    let all = one_of_each(&table).await;
    let owner = &all[0].key.owner;
    let active = async || {
        let page = ledger.active(owner, 100, None, NOON).await;
        ids(&page.expect("the table answers").commands)
    };
    let mut expected = ids(all.iter().rev().filter(|row| !row.status().is_terminal()));
    assert_eq!(active().await, expected, "newest first");

    let admitted = ledger.admit(sync_of(owner), noon(60)).await;
    let Ok(store::ledger::Admission::Admitted(new, _)) = admitted else {
        panic!("{admitted:?}");
    };
    expected.insert(0, new.key.id);
    assert_eq!(active().await, expected);
    let claimed = ledger.claim(&new.key, Stage(0), noon(90), noon(60)).await;
    let Ok(Claimed::Held(claim, _)) = claimed else {
        panic!("{claimed:?}");
    };
    assert_eq!(active().await, expected);
    let settled = ledger
        .settle(&claim, ending(ResultCode::SyncCompleted), noon(61))
        .await;
    assert_eq!(
        settled
            .expect("the table answers")
            .made()
            .map(|row| row.status()),
        Some(Status::Succeeded)
    );
    expected.remove(0);
    assert_eq!(active().await, expected);
}

#[tokio::test]
async fn history_pages_are_newest_first_without_expired_rows() {
    let table = TestTable::create().await;
    let ledger = table.ledger();
    let mut all = one_of_each(&table).await;
    for row in all.iter_mut().filter(|row| row.status() == Status::Failed) {
        row.ended.as_mut().expect("it has ended").expires_at = noon(-1);
        table.put_command(row).await;
    }
    let owner = &all[0].key.owner;
    let expected: Vec<CommandId> = ids(all.iter().rev().filter(|row| !row.expired(NOON)));
    assert_eq!(expected.len(), 10);
    let (mut seen, mut sizes, mut after) = (Vec::new(), Vec::new(), None);
    loop {
        let page = ledger.history(owner, 4, after, NOON).await;
        let HistoryPage { commands, next } = page.expect("the table answers");
        sizes.push(commands.len());
        seen.extend(ids(&commands));
        after = next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(seen, expected);
    assert_eq!(sizes, [4, 4, 2]);
}

#[tokio::test]
async fn unprocessed_keys_are_requested_again() {
    let table = TestTable::create().await;
    let all = one_of_each(&table).await;
    let faults = [
        ("BatchGetItem", Fault::TakeOnly(3)),
        ("BatchGetItem", Fault::TakeOnly(0)),
    ];
    let (proxy, through) = table.through(&faults).await;
    let ledger = Ledger::new(through, TIMEOUTS);
    let read = ledger.read_each(&all[0].key.owner, &ids(&all), NOON).await;
    assert_eq!(ids(&read.expect("the table answers")), ids(&all));
    assert_eq!(proxy.count("BatchGetItem"), 3);

    for _ in 0..6 {
        proxy.plan("BatchGetItem", Fault::TakeOnly(0));
    }
    let read = ledger.read_each(&all[0].key.owner, &ids(&all), NOON).await;
    assert!(
        matches!(read, Err(LedgerError::Unread { .. })),
        "never reported as absent: {read:?}"
    );
}

/// Returns the ids due in one shard, page by page, and the number of unreadable rows.
async fn due(ledger: &Ledger, shard: u8, limit: u32, now: Timestamp) -> (Vec<CommandId>, usize) {
    let (mut due, mut damaged, mut after) = (Vec::new(), 0, None);
    loop {
        let (page, next) = ledger
            .due(shard, limit, after, now)
            .await
            .expect("the table answers");
        assert!(page.len() <= limit as usize);
        for candidate in page {
            match candidate {
                Ok(candidate) => due.push(candidate.key.id),
                Err(_) => damaged += 1,
            }
        }
        after = next;
        if after.is_none() {
            return (due, damaged);
        }
    }
}

#[tokio::test]
async fn due_rows_are_paged_oldest_first_and_damage_hides_none() {
    let table = TestTable::create().await;
    let ledger = table.ledger();
    let owner = owner();
    let mut expected = Vec::new();
    for seconds in 0..9 {
        let (_, mut state) = states(Holder::Another).swap_remove(0);
        state.due = Some(noon(seconds));
        let row = Command {
            key: key_in_shard(&owner, 5),
            ..command(owner.clone(), state)
        };
        table.put_command(&row).await;
        expected.push(row.key.id);
    }
    assert_eq!(
        due(&ledger, 5, 4, noon(6)).await,
        (expected[..7].to_vec(), 0)
    );
    assert_eq!(due(&ledger, 5, 50, noon(-1)).await, (Vec::new(), 0));
    for shard in (0..DueKind::Command.shards()).filter(|shard| *shard != 5) {
        assert_eq!(due(&ledger, shard, 50, noon(60)).await, (Vec::new(), 0));
    }

    let damaged = [("pk", "nobody"), ("sk", "x"), ("due_shard", "command#05")];
    let mut damaged: store::table::Item = damaged
        .into_iter()
        .map(|(name, text)| {
            (
                name.to_owned(),
                aws_sdk_dynamodb::types::AttributeValue::S(text.to_owned()),
            )
        })
        .collect();
    let at = noon(3).as_millis().to_string();
    damaged.insert(
        "due_at".to_owned(),
        aws_sdk_dynamodb::types::AttributeValue::N(at),
    );
    table.put(damaged).await;
    assert_eq!(
        due(&ledger, 5, 4, noon(6)).await,
        (expected[..7].to_vec(), 1)
    );
}
