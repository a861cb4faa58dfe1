//! Owners whose scheduled sync is due: each turn is queued once a cycle, whatever fails on the way.

use aws_sdk_dynamodb::types::AttributeValue;
use store::{
    owners::{DueOwner, next_sync},
    table::Item,
};

use super::*;
use crate::owners::due;

#[tokio::test]
async fn a_turn_moves_on_by_one_cycle() {
    let scene = Scene::set(after_a_cycle).await;
    let enabled = scene.enable(13).await;
    let report = scene.run().await;
    let expected = Report {
        nominated: 13,
        dispatched: 13,
        ..Report::default()
    };
    assert_eq!(report, expected);
    assert_eq!(scene.dispatched().await, enabled);
    for DueOwner { owner, due_at } in due(&scene.table.owners()).await {
        assert_eq!(due_at, next_sync(&owner, after_a_cycle()));
    }
    assert_eq!(scene.run().await, Report::default());
}

/// SQS accepts part of a batch and answers 200: only the rest is resent, in the same run.
#[tokio::test]
async fn a_partially_accepted_batch_is_completed() {
    let scene = Scene::set(after_a_cycle).await;
    let enabled = scene.enable(40).await;
    scene
        .queues
        .proxy
        .plan("SendMessageBatch", Fault::TakeOnly(0));
    scene
        .queues
        .proxy
        .plan("SendMessageBatch", Fault::TakeOnly(1));
    let report = scene.run().await;
    assert_eq!((report.dispatched, report.refused), (40, 0));
    assert_eq!(scene.dispatched().await, enabled, "each once");
}

/// SQS rejects every attempt: the turns stay leased for a few minutes and are then due again.
#[tokio::test]
async fn a_turn_that_sqs_rejects_is_due_again_after_its_lease() {
    let scene = Scene::set(after_a_cycle).await;
    let enabled = scene.enable(1).await;
    for _ in 0..4 {
        scene
            .queues
            .proxy
            .plan("SendMessageBatch", Fault::TakeOnly(0));
    }
    let report = scene.run().await;
    assert_eq!((report.dispatched, report.refused), (0, 1));
    assert_eq!(scene.run().await, Report::default(), "leased");
    let almost = Reconciler {
        clock: Clock::new(|| after_a_cycle() + Duration::from_secs(299)),
        ..scene.function.clone()
    };
    assert_eq!(almost.reconcile(a_minute()).await, Report::default());
    let later = Reconciler {
        clock: Clock::new(|| after_a_cycle() + Duration::from_secs(300)),
        ..scene.function.clone()
    };
    assert_eq!(later.reconcile(a_minute()).await.dispatched, 1);
    assert_eq!(scene.dispatched().await, enabled);
}

/// The run dies after SQS accepted the batch and before the turns moved on: they are due again minutes later.
#[tokio::test]
async fn a_crash_during_dispatch_delays_a_turn_by_minutes() {
    let scene = Scene::set(after_a_cycle).await;
    let enabled = scene.enable(1).await;
    let turn = due(&scene.table.owners()).await.remove(0);
    let lease = after_a_cycle() + Duration::from_secs(300);
    let leased = scene
        .table
        .owners()
        .move_turn(&enabled[0], turn.due_at, lease)
        .await;
    assert!(leased.expect("the table answers"));
    assert_eq!(scene.run().await, Report::default());
    let later = Reconciler {
        clock: Clock::new(|| after_a_cycle() + Duration::from_secs(301)),
        ..scene.function.clone()
    };
    assert_eq!(later.reconcile(a_minute()).await.dispatched, 1);
}

/// The index keeps showing the turns as they were.
#[tokio::test]
async fn a_leased_turn_is_not_dispatched_twice() {
    let scene = Scene::set(after_a_cycle).await;
    let enabled = scene.enable(2).await;
    scene.proxy.freeze("Query");
    assert_eq!(scene.run().await.dispatched, 2);
    let raced = Report {
        nominated: 2,
        raced: 2,
        ..Report::default()
    };
    assert_eq!(scene.run().await, raced);
    assert_eq!(scene.dispatched().await, enabled);
}

#[tokio::test]
async fn a_damaged_turn_is_counted_and_stops_no_other() {
    let scene = Scene::set(after_a_cycle).await;
    let enabled = scene.enable(2).await;
    let mut damaged = Item::new();
    for (name, text) in [("pk", "nobody"), ("sk", "x"), ("due_shard", "schedule#03")] {
        damaged.insert(name.to_owned(), AttributeValue::S(text.to_owned()));
    }
    damaged.insert("due_at".to_owned(), AttributeValue::N("1".to_owned()));
    scene.table.put(damaged).await;
    let fail = |text: &str| {
        // The SDK makes three attempts.
        for _ in 0..3 {
            scene.proxy.plan_about("UpdateItem", text, Fault::Fail);
        }
    };
    // One turn cannot be leased.
    fail(&enabled[0].to_string());
    let expected = Report {
        nominated: 3,
        dispatched: 1,
        errors: 2,
        ..Report::default()
    };
    assert_eq!(scene.run().await, expected);
    assert_eq!(scene.dispatched().await, enabled[1..]);

    // The turn can be queued but not moved on, so it stays leased.
    scene.table.take_away("nobody", "x").await;
    let next = next_sync(&enabled[0], after_a_cycle());
    fail(&next.as_millis().to_string());
    let expected = Report {
        nominated: 1,
        dispatched: 1,
        errors: 1,
        ..Report::default()
    };
    assert_eq!(scene.run().await, expected);
    let leased = after_a_cycle() + Duration::from_secs(300);
    let turns = due(&scene.table.owners()).await.into_iter();
    let mut turn = turns.filter(|turn| turn.owner == enabled[0]);
    assert_eq!(turn.next().map(|turn| turn.due_at), Some(leased));
}
