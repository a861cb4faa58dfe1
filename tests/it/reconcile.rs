//! The reconcile function: due work is done once, however many runs there are, and the row decides.

mod analyses;
mod erasures;
mod schedules;

use std::time::Duration;

use domain::{
    Timestamp,
    command::{Command, CommandKey},
    lifecycle::{CommandState, Stage, Status, Token, admitted},
    owner::Owner,
    result_code::{Effect, ResultCode},
};
use reconcile::{Reconciler, Report};
use runtime::{
    queue::{Message, QueueUrl},
    worker::Invocation,
};
use store::{clock::Clock, ledger::Claimed, owners::SYNC_EVERY, table::DueKind};
use tests::{
    Fault, Holder, NOON, Proxy, TIMEOUTS, TestQueues, TestTable, command, key_in_shard, noon,
    owner, reconciler, states,
};

use crate::{ledger::ending, owners::enable};

struct Scene {
    table: TestTable,
    proxy: Proxy,
    queues: TestQueues,
    sync: QueueUrl,
    scheduled: QueueUrl,
    function: Reconciler,
}

/// When every owner's turn has been due at least once, and no second one for long.
fn after_a_cycle() -> Timestamp {
    NOON + SYNC_EVERY
}

impl Scene {
    async fn set(clock: fn() -> Timestamp) -> Self {
        let table = TestTable::create().await;
        let (proxy, through) = table.through(&[]).await;
        let queues = TestQueues::create().await;
        let (sync, scheduled) = (queues.queue("sync").await, queues.queue("scheduled").await);
        let function = Reconciler {
            clock: Clock::new(clock),
            ..reconciler(through, &queues, &sync, &scheduled)
        };
        Self {
            table,
            proxy,
            queues,
            sync,
            scheduled,
            function,
        }
    }

    async fn run(&self) -> Report {
        self.function.reconcile(a_minute()).await
    }

    async fn stored(&self, key: &CommandKey) -> Command {
        let stored = self.table.ledger().read(key, NOON).await;
        stored.expect("the table answers").expect("it is there")
    }

    /// Returns the owners whose scheduled sync is queued.
    async fn dispatched(&self) -> Vec<Owner> {
        let bodies = self.queues.bodies(&self.scheduled).await;
        let mut owners: Vec<Owner> = bodies
            .iter()
            .map(|body| match Message::parse(body).expect("it can be read") {
                Message::ScheduledSync(sync) => sync.owner,
                other => panic!("an unexpected message: {other:?}"),
            })
            .collect();
        owners.sort_unstable();
        owners
    }

    /// Enables this many owners and returns them in order.
    async fn enable(&self, count: usize) -> Vec<Owner> {
        let owners = self.table.owners();
        let mut enabled = Vec::new();
        for _ in 0..count {
            let owner = owner();
            let _ = enable(&owners, &owner).await;
            enabled.push(owner);
        }
        enabled.sort_unstable();
        enabled
    }
}

fn a_minute() -> Invocation {
    Invocation::until(noon(50), NOON)
}

fn state(name: &str) -> CommandState {
    let mut all = states(Holder::Another).into_iter();
    all.find(|(known, _)| *known == name).expect("a state").1
}

#[tokio::test]
async fn each_due_command_is_resent_or_failed() {
    let scene = Scene::set(|| NOON).await;
    let mut rows = Vec::new();
    for (name, state) in states(Holder::Another) {
        rows.push((name, scene.table.seed(state).await));
    }
    let report = scene.run().await;
    let expected = Report {
        // Two accepted, two past their deadline, one handed on.
        nominated: 5,
        resent: 2,
        stalled: 2,
        raced: 1,
        ..Report::default()
    };
    assert_eq!(report, expected);
    let mut sent = Vec::new();
    for (name, row) in &rows {
        let stored = scene.stored(&row.key).await;
        match *name {
            "accepted" | "handed on" => {
                assert_eq!(stored.state.resends, 1, "{name}");
                let (key, stage) = (row.key.clone(), row.state.stage);
                sent.push(Message::Command { key, stage }.body());
            }
            "accepted, past its deadline" | "lapsed, past its deadline" => {
                let ended = stored.ended.expect("it has ended");
                assert_eq!(ended.code, ResultCode::CommandStalled, "{name}");
                let unclaimed = row.status() == Status::Accepted;
                let effect = if unclaimed {
                    Effect::None
                } else {
                    Effect::Unknown
                };
                assert_eq!(ended.effect, effect, "{name}");
            }
            _ => assert_eq!(&stored, row, "{name}"),
        }
    }
    let mut queued = scene.queues.bodies(&scene.sync).await;
    queued.sort_unstable();
    sent.sort_unstable();
    assert_eq!(queued, sent);
}

#[tokio::test]
async fn a_row_not_yet_due_is_left_alone_and_counted() {
    let scene = Scene::set(|| NOON).await;
    let early = CommandState {
        resends: 2,
        due: Some(noon(-1)),
        ..state("accepted")
    };
    let row = scene.table.seed(early).await;
    let report = scene.run().await;
    let expected = Report {
        nominated: 1,
        raced: 1,
        ..Report::default()
    };
    assert_eq!(report, expected);
    assert_eq!(scene.stored(&row.key).await, row);
    assert_eq!(scene.queues.bodies(&scene.sync).await, [""; 0]);
}

#[tokio::test]
async fn a_message_is_resent_twice_and_then_the_command_fails() {
    let scene = Scene::set(|| noon(0)).await;
    let at = |seconds: i64| Reconciler {
        clock: match seconds {
            74 => Clock::new(|| noon(74)),
            76 => Clock::new(|| noon(76)),
            181 => Clock::new(|| noon(181)),
            299 => Clock::new(|| noon(299)),
            _ => Clock::new(|| noon(300)),
        },
        ..scene.function.clone()
    };
    let row = scene.table.seed(admitted(Token(1), NOON, &TIMEOUTS)).await;
    for (seconds, resent, stalled) in [
        (74, 0, 0),
        (76, 1, 0),
        (181, 1, 0),
        (299, 0, 0),
        (300, 0, 1),
    ] {
        let report = at(seconds).reconcile(a_minute()).await;
        assert_eq!(
            (report.resent, report.stalled),
            (resent, stalled),
            "{seconds} s"
        );
    }
    assert_eq!(scene.queues.bodies(&scene.sync).await.len(), 2);
    let ended = scene.stored(&row.key).await.ended.expect("it has ended");
    assert_eq!(
        (ended.code, ended.effect),
        (ResultCode::CommandStalled, Effect::None)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn overlapping_runs_act_as_one() {
    let scene = Scene::set(after_a_cycle).await;
    let enabled = scene.enable(23).await;
    let mut rows = Vec::new();
    for place in 0..40 {
        let mut state = state(if place % 2 == 0 {
            "accepted"
        } else {
            "lapsed, past its deadline"
        });
        if place % 2 == 0 {
            // Due for its first resend, and far from its deadline.
            let now = after_a_cycle();
            state.queued_at = Some(now - Duration::from_secs(80));
            state.deadline = now + Duration::from_secs(220);
        }
        rows.push(scene.table.seed(state).await);
    }
    let runs = [(); 4].map(|()| scene.function.reconcile(a_minute()));
    let reports = futures::future::join_all(runs).await;
    let sum = |count: fn(&Report) -> u32| reports.iter().map(count).sum::<u32>();
    assert_eq!(sum(|report| report.resent), 20);
    assert_eq!(sum(|report| report.stalled), 20);
    assert_eq!(sum(|report| report.dispatched), 23);
    assert_eq!(
        sum(|report| report.errors + report.refused + report.unsent),
        0
    );
    assert_eq!(scene.queues.bodies(&scene.sync).await.len(), 20);
    assert_eq!(scene.dispatched().await, enabled);
    for (place, row) in rows.iter().enumerate() {
        let stored = scene.stored(&row.key).await;
        if place % 2 == 0 {
            assert_eq!(stored.state.resends, 1);
        } else {
            assert_eq!(
                stored.ended.map(|ended| ended.code),
                Some(ResultCode::CommandStalled)
            );
        }
    }
    let quiet = scene.run().await;
    assert_eq!(quiet, Report::default(), "nothing is left");
}

/// The index keeps showing every row as it was before the first run.
#[tokio::test]
async fn a_lagging_index_changes_nothing() {
    let scene = Scene::set(|| NOON).await;
    scene.proxy.freeze("Query");
    let mut rows = Vec::new();
    for (_, state) in states(Holder::Another) {
        rows.push(scene.table.seed(state).await);
    }
    let first = scene.run().await;
    assert_eq!((first.resent, first.stalled), (2, 2));
    // One of the resent commands is claimed and settled in between.
    let ledger = scene.table.ledger();
    let claimed = ledger.claim(&rows[0].key, Stage(0), noon(30), NOON).await;
    let Ok(Claimed::Held(claim, _)) = claimed else {
        panic!("{claimed:?}");
    };
    let settled = ledger
        .settle(&claim, ending(ResultCode::SyncCompleted), NOON)
        .await;
    assert_eq!(
        settled
            .expect("the table answers")
            .made()
            .map(|row| row.status()),
        Some(Status::Succeeded)
    );

    let mut before = Vec::new();
    for row in &rows {
        before.push(scene.stored(&row.key).await);
    }
    let second = scene.run().await;
    let expected = Report {
        nominated: first.nominated,
        raced: first.nominated,
        ..Report::default()
    };
    assert_eq!(second, expected);
    for row in &before {
        assert_eq!(&scene.stored(&row.key).await, row);
    }
    assert_eq!(scene.queues.bodies(&scene.sync).await.len(), 2);
}

#[tokio::test]
async fn a_flooded_shard_is_paged_and_damage_stops_nothing() {
    let scene = Scene::set(|| NOON).await;
    let owner = owner();
    for _ in 0..120 {
        let row = Command {
            key: key_in_shard(&owner, 3),
            ..command(owner.clone(), state("accepted, past its deadline"))
        };
        scene.table.put_command(&row).await;
    }
    let mut damaged = store::table::Item::new();
    for (name, text) in [("pk", "nobody"), ("sk", "x"), ("due_shard", "command#03")] {
        damaged.insert(
            name.to_owned(),
            aws_sdk_dynamodb::types::AttributeValue::S(text.to_owned()),
        );
    }
    damaged.insert(
        "due_at".to_owned(),
        aws_sdk_dynamodb::types::AttributeValue::N("1".to_owned()),
    );
    scene.table.put(damaged).await;
    let report = scene.run().await;
    let expected = Report {
        nominated: 121,
        stalled: 120,
        errors: 1,
        ..Report::default()
    };
    assert_eq!(report, expected);
}

#[tokio::test]
async fn a_shard_that_cannot_be_read_does_not_stop_the_others() {
    let scene = Scene::set(|| NOON).await;
    let mut keys = Vec::new();
    let owner = owner();
    for shard in 0..DueKind::Command.shards() {
        let row = Command {
            key: key_in_shard(&owner, shard),
            ..command(owner.clone(), state("accepted, past its deadline"))
        };
        scene.table.put_command(&row).await;
        keys.push(row.key);
    }
    // The SDK makes three attempts.
    for _ in 0..3 {
        scene.proxy.plan_about("Query", "command#07", Fault::Fail);
        scene
            .proxy
            .plan_about("UpdateItem", &keys[9].id.to_string(), Fault::Fail);
    }
    let report = scene.run().await;
    let expected = Report {
        nominated: 15,
        stalled: 14,
        errors: 2,
        ..Report::default()
    };
    assert_eq!(report, expected);
    assert_eq!(scene.run().await.stalled, 2, "the next run finds them");
}

#[tokio::test]
async fn a_run_out_of_time_starts_nothing_and_reports_it() {
    let scene = Scene::set(|| NOON).await;
    let row = scene.table.seed(state("accepted, past its deadline")).await;
    let report = scene
        .function
        .reconcile(Invocation::until(noon(4), NOON))
        .await;
    assert!(report.out_of_time && report.nominated == 0, "{report:?}");
    assert_eq!(scene.stored(&row.key).await, row);
}

#[tokio::test]
async fn a_resend_that_cannot_be_queued_is_retried_when_next_due() {
    let scene = Scene::set(|| NOON).await;
    let row = scene.table.seed(state("accepted")).await;
    for _ in 0..3 {
        scene.queues.proxy.plan("SendMessage", Fault::Fail);
    }
    let report = scene.run().await;
    assert_eq!((report.unsent, report.resent), (1, 0));
    let stored = scene.stored(&row.key).await;
    assert_eq!(
        stored.state.due,
        Some(noon(100)),
        "180 s after it was queued"
    );
    assert_eq!(scene.queues.bodies(&scene.sync).await, [""; 0]);
}
