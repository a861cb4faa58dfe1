//! Admission with and without an idempotency key: repeated, raced, revoked, and after the record has expired.

use aws_sdk_dynamodb::types::AttributeValue;
use domain::{
    Timestamp,
    command::{Action, Command, IdempotencyKey, Origin, SyncFindings},
    lifecycle::{CommandState, Status, Token, admitted},
    owner::Owner,
};
use futures::future::join_all;
use store::ledger::{Admission, Ledger, NewCommand, Outcome};
use tests::{Fault, NOON, RETENTION, TIMEOUTS, TestTable, command, noon, owner, sync_of};

fn keyed(owner: &Owner) -> NewCommand {
    NewCommand {
        key: Some(IdempotencyKey::parse("a-request").expect("a key")),
        ..sync_of(owner)
    }
}

/// Admits a command and expects to have to send its message.
async fn admit(ledger: &Ledger, new: NewCommand, now: Timestamp) -> (Command, Token) {
    match ledger.admit(new, now).await.expect("the table answers") {
        Admission::Admitted(command, admission) => (command, admission),
        other => panic!("{other:?}"),
    }
}

/// Admits a command and expects the first one back.
async fn replayed(ledger: &Ledger, new: NewCommand, now: Timestamp) -> Command {
    match ledger.admit(new, now).await.expect("the table answers") {
        Admission::Replayed(command) => command,
        other => panic!("{other:?}"),
    }
}

async fn stored(ledger: &Ledger, row: &Command) -> Command {
    let stored = ledger.read(&row.key, NOON).await;
    stored.expect("the table answers").expect("it is there")
}

#[tokio::test]
async fn an_admitted_command_is_readable_at_once() {
    let table = TestTable::create().await;
    let ledger = table.ledger();
    let new = NewCommand {
        action: Action::from(SyncFindings {
            repository: Some("octo/app".parse().expect("a name")),
        }),
        origin: Origin::DashboardRefresh,
        ..sync_of(&owner())
    };
    let (command, admission) = admit(&ledger, new.clone(), NOON).await;
    assert_eq!(stored(&ledger, &command).await, command);
    assert_eq!((&command.action, command.origin), (&new.action, new.origin));
    assert_eq!(command.state, admitted(admission, NOON, &TIMEOUTS));
    let (second, _) = admit(&ledger, new, NOON).await;
    assert_ne!(
        second.key, command.key,
        "without a key each request makes a command"
    );
}

#[tokio::test]
async fn an_admission_with_a_lost_response_counts_once() {
    for (new, operation, rows) in [
        (sync_of(&owner()), "PutItem", 1),
        (keyed(&owner()), "TransactWriteItems", 2),
    ] {
        let table = TestTable::create().await;
        let (proxy, through) = table.through(&[(operation, Fault::LoseAnswer)]).await;
        let ledger = Ledger::new(through, TIMEOUTS);
        let (command, _) = admit(&ledger, new, NOON).await;
        assert_eq!(stored(&ledger, &command).await, command);
        assert_eq!((proxy.count(operation), table.count().await), (2, rows));
    }
}

#[tokio::test]
async fn an_idempotency_key_names_one_command() {
    let table = TestTable::create().await;
    let ledger = table.ledger();
    let owner = owner();
    let (first, _) = admit(&ledger, keyed(&owner), NOON).await;
    assert_eq!(replayed(&ledger, keyed(&owner), noon(60)).await, first);
    let other = NewCommand {
        origin: Origin::DashboardRefresh,
        ..keyed(&owner)
    };
    let answer = ledger.admit(other, NOON).await;
    assert!(matches!(answer, Ok(Admission::KeyReused)), "{answer:?}");
    let (foreign, _) = admit(&ledger, keyed(&tests::owner()), NOON).await;
    assert_ne!(
        foreign.key.id, first.key.id,
        "keys are scoped to their owner"
    );
}

#[tokio::test]
async fn an_idempotency_key_survives_a_deployment() {
    let table = TestTable::create().await;
    let ledger = table.ledger();
    let owner = owner();
    let (first, _) = admit(&ledger, keyed(&owner), NOON).await;
    let records = table.items().await;
    let mut record = records
        .into_iter()
        .find(|item| item.contains_key("request"))
        .expect("the key has a record");
    let of_another_form = AttributeValue::S("f00d".to_owned());
    record.insert("request".to_owned(), of_another_form);
    table.put(record).await;
    assert_eq!(replayed(&ledger, keyed(&owner), noon(60)).await, first);
    let other = NewCommand {
        origin: Origin::DashboardRefresh,
        ..keyed(&owner)
    };
    let answer = ledger.admit(other, NOON).await;
    assert!(matches!(answer, Ok(Admission::KeyReused)), "{answer:?}");
}

/// Returns how many were told to send, and all commands.
async fn raced(ledger: &Ledger, owner: &Owner) -> (usize, Vec<Command>) {
    let tasks = (0..20).map(|_| {
        let (ledger, new) = (ledger.clone(), keyed(owner));
        tokio::spawn(async move { ledger.admit(new, noon(1)).await })
    });
    let mut sent = 0;
    let mut commands = Vec::new();
    for task in join_all(tasks).await {
        match task
            .expect("the task does not panic")
            .expect("the table answers")
        {
            Admission::Admitted(command, _) => {
                sent += 1;
                commands.push(command);
            }
            Admission::Replayed(command) => commands.push(command),
            Admission::KeyReused => panic!("it is the same request"),
        }
    }
    (sent, commands)
}

#[tokio::test(flavor = "multi_thread")]
async fn of_concurrent_requests_with_one_key_one_sends() {
    let table = TestTable::create().await;
    let owner = owner();
    let (sent, commands) = raced(&table.ledger(), &owner).await;
    assert_eq!(sent, 1);
    assert!(
        commands
            .iter()
            .all(|command| command.key == commands[0].key)
    );
    assert_eq!(table.count().await, 2, "the command and its key's record");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_was_never_queued_is_readmitted_once() {
    let table = TestTable::create().await;
    let ledger = table.ledger();
    let owner = owner();
    let (first, admission) = admit(&ledger, keyed(&owner), NOON).await;
    let failed = ledger.fail_admission(&first.key, admission, NOON).await;
    assert!(matches!(failed, Ok(Outcome::Applied(_))), "{failed:?}");

    let (sent, commands) = raced(&ledger, &owner).await;
    assert_eq!(sent, 1);
    assert!(commands.iter().all(|command| command.key == first.key));

    let row = stored(&ledger, &first).await;
    assert_eq!((row.status(), row.ended), (Status::Accepted, None));
    let CommandState {
        admission: second, ..
    } = row.state;
    assert_eq!(row.state, admitted(second, noon(1), &TIMEOUTS));
    let late = ledger.fail_admission(&first.key, admission, noon(1)).await;
    assert!(
        matches!(late, Ok(Outcome::Refused(_))),
        "the first send's failure changes nothing: {late:?}"
    );
}

#[tokio::test]
async fn a_readmission_with_a_lost_response_counts_once() {
    let table = TestTable::create().await;
    let owner = owner();
    let (first, admission) = admit(&table.ledger(), keyed(&owner), NOON).await;
    let failed = table
        .ledger()
        .fail_admission(&first.key, admission, NOON)
        .await;
    assert!(matches!(failed, Ok(Outcome::Applied(_))), "{failed:?}");
    let (proxy, through) = table.through(&[("UpdateItem", Fault::LoseAnswer)]).await;
    let (again, _) = admit(&Ledger::new(through, TIMEOUTS), keyed(&owner), NOON).await;
    assert_eq!((again.key, proxy.count("UpdateItem")), (first.key, 2));
}

#[tokio::test]
async fn a_key_with_an_expired_record_can_be_reused() {
    let table = TestTable::create().await;
    let ledger = table.ledger();
    let owner = owner();
    let (first, _) = admit(&ledger, keyed(&owner), NOON).await;
    let last = NOON + RETENTION - std::time::Duration::from_secs(1);
    assert_eq!(replayed(&ledger, keyed(&owner), last).await.key, first.key);
    let (second, _) = admit(&ledger, keyed(&owner), NOON + RETENTION).await;
    assert_ne!(second.key, first.key);
}

#[tokio::test]
async fn a_key_with_an_expired_command_can_be_reused() {
    let table = TestTable::create().await;
    let ledger = table.ledger();
    let owner = owner();
    let (first, _) = admit(&ledger, keyed(&owner), NOON).await;
    let succeeded = CommandState {
        status: Status::Succeeded,
        due: None,
        ..first.state.clone()
    };
    let mut ended = Command {
        key: first.key.clone(),
        ..command(owner.clone(), succeeded)
    };
    if let Some(ended) = &mut ended.ended {
        ended.expires_at = noon(10);
    }
    table.put_command(&ended).await;
    assert_eq!(replayed(&ledger, keyed(&owner), noon(9)).await, ended);
    let (second, _) = admit(&ledger, keyed(&owner), noon(10)).await;
    assert_ne!(second.key, first.key);
    assert_eq!(
        replayed(&ledger, keyed(&owner), noon(11)).await.key,
        second.key
    );
}
