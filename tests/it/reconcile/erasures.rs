//! Erasures that are overdue.

use store::erasure::{Erasures, RESUMED_AFTER};

use super::*;

fn too_long() -> Timestamp {
    NOON + RESUMED_AFTER
}

async fn begin(scene: &Scene) -> (Erasures, Owner) {
    let (erasures, owner) = (Erasures::new(scene.table.table()), owner());
    let begun = erasures.begin(&owner, NOON).await;
    assert_eq!(begun.expect("the table answers").requested_at, NOON);
    (erasures, owner)
}

#[tokio::test]
async fn an_unfinished_erasure_is_resent_every_90_seconds() {
    let scene = Scene::set(too_long).await;
    let (_, owner) = begin(&scene).await;
    let expected = Report {
        nominated: 1,
        resumed: 1,
        ..Report::default()
    };
    assert_eq!(scene.run().await, expected);
    let message = Message::Erase {
        owner,
        requested_at: NOON,
    };
    let sent = [message.body()];
    assert_eq!(scene.queues.take(&scene.sync).await, sent);
    assert_eq!(scene.run().await, Report::default(), "there is time");
    let at = |clock: fn() -> Timestamp| Reconciler {
        clock: Clock::new(clock),
        ..scene.function.clone()
    };
    let just_before = at(|| too_long() + RESUMED_AFTER - Duration::from_secs(1));
    assert_eq!(just_before.reconcile(a_minute()).await, Report::default());
    let then = at(|| too_long() + RESUMED_AFTER);
    assert_eq!(then.reconcile(a_minute()).await, expected);
    assert_eq!(scene.queues.take(&scene.sync).await, sent);
}

#[tokio::test]
async fn a_completed_or_postponed_erasure_is_left_alone() {
    let scene = Scene::set(too_long).await;
    let (erasures, owner) = begin(&scene).await;
    scene.proxy.freeze("Query");
    assert_eq!(scene.run().await.resumed, 1);
    let raced = Report {
        nominated: 1,
        raced: 1,
        ..Report::default()
    };
    assert_eq!(scene.run().await, raced, "the index lags");
    let completed = erasures.complete(&owner, NOON, too_long()).await;
    completed.expect("the table answers");
    assert_eq!(scene.run().await, raced);
    assert_eq!(scene.queues.bodies(&scene.sync).await.len(), 1);
}

#[tokio::test]
async fn a_failed_erasure_resend_is_counted_and_retried() {
    let scene = Scene::set(too_long).await;
    begin(&scene).await;
    // The SDK makes three attempts.
    for _ in 0..3 {
        scene.proxy.plan("TransactWriteItems", Fault::Fail);
    }
    let failed = Report {
        nominated: 1,
        errors: 1,
        ..Report::default()
    };
    assert_eq!(scene.run().await, failed);
    for _ in 0..3 {
        scene.queues.proxy.plan("SendMessage", Fault::Fail);
    }
    let unsent = Report {
        nominated: 1,
        unsent: 1,
        ..Report::default()
    };
    assert_eq!(scene.run().await, unsent);
    assert_eq!(scene.queues.bodies(&scene.sync).await, [""; 0]);
}
