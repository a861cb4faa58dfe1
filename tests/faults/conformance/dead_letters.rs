//! The last delivery has failed.

use std::time::Duration;

use domain::result_code::ResultCode;
use tests::{is_over, message};

use super::{Subject, Trial};

const EXHAUSTED: ResultCode = ResultCode::QueueRetriesExhausted;

/// No delivery reaches a claim: the dead-letter function fails the command, with effect `none`.
pub(super) async fn dead_letter_never_taken_up<S: Subject>() {
    let trial = Trial::<S>::start().await;
    let consumer = Trial::<S>::CONSUMER;
    // Each worker dies at its first call, and the message is redelivered at once.
    let first_call = ("ChangeMessageVisibility", "");
    trial.befalls("sqs", "kill_before", first_call).await;
    let at_once = Duration::from_secs(1);
    let backstage = &trial.scene.stack.backstage;
    backstage.hide_for(consumer.queue, at_once).await;
    let key = trial.admit().await;
    let call_timeouts = Duration::from_secs(60);
    let ada = &trial.scene.ada;
    ada.until_within(call_timeouts, key.id, "over", is_over)
        .await;
    let ended = trial.fails(&key, EXHAUSTED, "none").await;
    assert_eq!(ended["attempts"], 0);
    trial.requested(0).await;
    trial.is_empty(consumer.dead_letters).await;
    let told = trial.told(
        &key,
        "the command has failed: its message has no delivery left",
    );
    assert_eq!(told[0]["previous_status"], "accepted", "{told:?}");
    trial.holds().await;
}

/// The last worker died after the effect: the dead-letter function waits until the lease expires, then fails the command.
pub(super) async fn dead_letter_of_a_dead_worker<S: Subject>() {
    let trial = Trial::<S>::start().await;
    let key = trial.orphan().await;
    assert!(!trial.bury(message(&key, 0)).await, "the lease is live");
    trial.is("running", 1, &key).await;
    trial.claim_lapses(&key).await;
    assert!(trial.bury(message(&key, 0)).await);
    trial.fails(&key, EXHAUSTED, "unknown").await;
    trial.comes_late(&key).await;
    trial.requested(1).await;
    trial.holds().await;
}

/// A transient failure on the last delivery fails the command.
pub(super) async fn fails_on_the_last_delivery<S: Subject>() {
    let trial = Trial::<S>::start().await;
    S::fail(&trial.scene).await;
    let key = trial.unsent().await;
    assert!(trial.deliver(message(&key, 0), 5).await);
    trial.fails(&key, EXHAUSTED, "unknown").await;
    assert_eq!(S::effects(&trial.scene).await, 0);
    trial.scene.stack.heal().await;
    trial.comes_late(&key).await;
    trial.holds().await;
}
