//! Faults that cannot be injected from outside a function: panics, a lagging index, clock skew. These tests call the
//! functions' code directly, with their own table and queues.

use std::{cell::Cell, time::Duration};

use domain::{
    Timestamp,
    command::{Command, CommandKey},
    lifecycle::Status,
    result_code::{Effect, ResultCode},
};
use reconcile::Reconciler;
use runtime::{
    queue::{Message, QueueUrl},
    sqs::{Delivery, Disposition, each_message},
    worker::{Effected, Invocation, Work, Worker},
};
use store::{
    clock::Clock,
    ledger::{Admission, Claim, Ending},
    table::Table,
};
use tests::{
    Holder, NOON, TestQueues, TestTable, noon, owner, reconciler, states, sync_of, worker,
};

fn done() -> Effected {
    Effected::Ended(DONE)
}

const DONE: Ending = Ending {
    code: ResultCode::SyncCompleted,
    effect: Effect::Applied,
    last_error: None,
    progress: None,
};

struct Scene {
    table: TestTable,
    queues: TestQueues,
    sync: QueueUrl,
    malformed: QueueUrl,
}

impl Scene {
    async fn set() -> Self {
        let queues = TestQueues::create().await;
        Self {
            table: TestTable::create().await,
            sync: queues.queue("sync").await,
            malformed: queues.queue("malformed").await,
            queues,
        }
    }

    fn worker(&self, table: Table, clock: Clock) -> Worker {
        worker(table, &self.queues, &self.sync, &self.malformed, clock)
    }

    fn reconciler(&self, table: Table, clock: Clock) -> Reconciler {
        Reconciler {
            clock,
            ..reconciler(table, &self.queues, &self.sync, &self.sync)
        }
    }

    async fn admit(&self, now: Timestamp) -> CommandKey {
        let admitted = self.table.ledger().admit(sync_of(&owner()), now).await;
        let Ok(Admission::Admitted(command, _)) = admitted else {
            panic!("not admitted: {admitted:?}");
        };
        let (key, stage) = (command.key.clone(), command.state.stage);
        self.queues
            .send(&self.sync, &Message::Command { key, stage }.body())
            .await;
        command.key
    }

    async fn stored(&self, key: &CommandKey) -> Command {
        let stored = self
            .table
            .ledger()
            .read(key, Timestamp::from_millis(0))
            .await;
        stored.expect("the table answers").expect("it is there")
    }
}

/// An invocation with a 30 s timeout.
fn invocation() -> Invocation {
    Invocation::until(noon(30), NOON)
}

/// Work whose effect is this closure.
struct Doing<F>(F);

impl<F: AsyncFn(&Command) -> Effected> Work for Doing<F> {
    async fn effect(&self, _: &Claim, command: &Command, _: Invocation) -> Effected {
        self.0(command).await
    }
}

#[tokio::test]
async fn fault_14_a_panic_fails_only_its_own_message() {
    let scene = Scene::set().await;
    let worker = scene.worker(scene.table.table(), Clock::new(|| NOON));
    let mut keys = Vec::new();
    for _ in 0..3 {
        keys.push(scene.admit(NOON).await);
    }
    let batch = scene.queues.batch(&scene.sync).await;
    let unlucky = batch.records.iter().find(|record| {
        let body = record.body.as_deref().unwrap_or_default();
        body.contains(&keys[1].id.to_string())
    });
    let unlucky = unlucky.expect("it is in the batch");
    let panics = Cell::new(true);
    let work = Doing(async |command: &Command| {
        assert!(!(panics.get() && command.key == keys[1]), "a bug");
        done()
    });
    let answer = each_message(&batch, async |delivery| {
        worker.deliver(&work, &delivery, invocation()).await
    })
    .await;
    let again: Vec<_> = answer
        .batch_item_failures
        .iter()
        .map(|failure| &failure.item_identifier)
        .collect();
    assert_eq!(again, [unlucky.message_id.as_ref().expect("an id")]);
    for key in [&keys[0], &keys[2]] {
        assert_eq!(scene.stored(key).await.status(), Status::Succeeded);
    }
    let released = scene.stored(&keys[1]).await;
    assert_eq!(released.status(), Status::Running);
    assert_eq!(
        released.state.lease.map(|lease| lease.until),
        Some(NOON),
        "released at once"
    );

    panics.set(false);
    let verdict = worker
        .deliver(&work, &Delivery::of(unlucky), invocation())
        .await;
    assert_eq!(verdict, Disposition::Ack);
    let ended = scene.stored(&keys[1]).await;
    assert_eq!(
        (ended.status(), ended.state.attempt),
        (Status::Succeeded, 2)
    );
}

#[tokio::test]
async fn fault_20_a_lagging_index_never_overrides_the_row() {
    let scene = Scene::set().await;
    let (proxy, through) = scene.table.through(&[]).await;
    let mut due = Vec::new();
    for (name, state) in states(Holder::Another) {
        if [
            "accepted",
            "accepted, past its deadline",
            "lapsed, past its deadline",
        ]
        .contains(&name)
        {
            due.push(scene.table.seed(state).await.key);
        }
    }
    proxy.freeze("Query");
    let reconciler = scene.reconciler(through, Clock::new(|| NOON));
    let first = reconciler
        .reconcile(Invocation::until(noon(50), NOON))
        .await;
    assert_eq!(
        (first.nominated, first.resent, first.stalled),
        (3, 1, 2),
        "{first:?}"
    );
    let mut rows = Vec::new();
    for key in &due {
        rows.push(scene.stored(key).await);
    }
    // The frozen index still shows all three as before.
    let second = reconciler
        .reconcile(Invocation::until(noon(50), NOON))
        .await;
    assert_eq!((second.nominated, second.raced), (3, 3), "{second:?}");
    assert_eq!((second.resent, second.stalled), (0, 0), "{second:?}");
    for (key, row) in due.iter().zip(&rows) {
        assert_eq!(&scene.stored(key).await, row);
    }
}

/// The skew of each clock.
const OFF: Duration = Duration::from_secs(120);

#[expect(
    clippy::disallowed_methods,
    reason = "the skewed clocks start from the real one"
)]
fn real() -> Timestamp {
    Timestamp::now()
}

fn fast() -> Timestamp {
    real() + OFF
}

fn slow() -> Timestamp {
    real() - OFF
}

#[tokio::test]
async fn fault_27_two_minutes_of_clock_skew_change_no_outcome() {
    for (mine, theirs) in [
        (slow as fn() -> Timestamp, fast as fn() -> Timestamp),
        (fast, slow),
    ] {
        let scene = Scene::set().await;
        let (mine, theirs) = (Clock::new(mine), Clock::new(theirs));
        let worker = scene.worker(scene.table.following(&mine).await, mine);
        let table = scene.table.following(&theirs).await;
        let other = scene.worker(table.clone(), theirs.clone());
        let reconciler = scene.reconciler(table, theirs);
        let tick = async || {
            reconciler
                .reconcile(Invocation::until(noon(50), NOON))
                .await
        };

        // Admitted 200 s ago: due for a resend, and 100 s before its deadline.
        let key = scene.admit(real() - Duration::from_secs(200)).await;
        let report = tick().await;
        assert_eq!((report.resent, report.stalled), (1, 0), "{report:?}");
        let batch = scene.queues.batch(&scene.sync).await;
        let delivery = Delivery::of(&batch.records[0]);
        let work = Doing(async |_: &Command| {
            let nothing = Doing(async |_: &Command| panic!("a second claim"));
            let verdict = other.deliver(&nothing, &delivery, invocation()).await;
            assert_eq!(verdict, Disposition::Retry, "the lease lasts");
            assert_eq!(tick().await.stalled, 0);
            done()
        });
        let verdict = worker.deliver(&work, &delivery, invocation()).await;
        assert_eq!(verdict, Disposition::Ack);
        let ended = scene.stored(&key).await;
        assert_eq!(ended.status(), Status::Succeeded);
        let completed = ended.ended.expect("it has ended").completed_at;
        let apart = real().since(completed).max(completed.since(real()));
        assert!(
            apart < Duration::from_secs(10),
            "the completion time is off by {apart:?}"
        );

        let late = Doing(async |_: &Command| panic!("it has ended"));
        let verdict = other.deliver(&late, &delivery, invocation()).await;
        assert_eq!(verdict, Disposition::Ack);
        assert_eq!(tick().await.stalled, 0);
        assert_eq!(scene.stored(&key).await, ended);
    }
}
