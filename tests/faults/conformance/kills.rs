//! A worker dies, or an answer is lost, at each step. Then the message is redelivered.

use super::{
    Subject, Trial,
    trial::{CLAIM, LATE},
};

/// The next delivery is the first attempt.
pub(super) async fn killed_before_the_claim<S: Subject>() {
    let trial = Trial::<S>::start().await;
    trial.befalls_once("kill_before", CLAIM).await;
    let key = trial.admit().await;
    trial.worker_dies().await;
    trial.is("accepted", 0, &key).await;
    trial.requested(0).await;
    assert!(trial.redeliver(&key).await);
    trial.succeeds(&key, 1).await;
    trial.requested(1).await;
    trial.holds().await;
}

/// While the lease is live the message is returned to the queue; the delivery after that makes the effect.
pub(super) async fn killed_after_the_claim<S: Subject>() {
    let trial = Trial::<S>::start().await;
    trial.befalls_once("kill_after", CLAIM).await;
    let key = trial.admit().await;
    trial.worker_dies().await;
    trial.is("running", 1, &key).await;
    assert!(!trial.redeliver(&key).await, "the lease is live");
    trial.requested(0).await;
    trial.claim_lapses(&key).await;
    assert!(trial.redeliver(&key).await);
    trial.succeeds(&key, 2).await;
    trial.requested(1).await;
    trial.holds().await;
}

/// The next delivery finds the command's own effect.
pub(super) async fn killed_after_the_effect<S: Subject>() {
    let trial = Trial::<S>::start().await;
    let key = trial.orphan().await;
    trial.claim_lapses(&key).await;
    assert!(trial.redeliver(&key).await);
    trial.succeeds(&key, 2).await;
    trial.requested(S::REQUESTS_IF_FOUND_DONE).await;
    trial.holds().await;
}

/// The next delivery does nothing.
pub(super) async fn killed_after_the_settlement<S: Subject>() {
    let trial = Trial::<S>::start().await;
    trial.befalls_once("kill_after", S::SETTLEMENT).await;
    let key = trial.admit().await;
    trial.worker_dies().await;
    trial.succeeds(&key, 1).await;
    trial.comes_late(&key).await;
    assert_eq!(trial.told(&key, LATE).len(), 1);
    trial.requested(1).await;
    trial.holds().await;
}

/// The worker recognises the repeated write as its own, not as another worker's claim.
pub(super) async fn claim_unanswered<S: Subject>() {
    let trial = Trial::<S>::start().await;
    trial.befalls_once("drop_response", CLAIM).await;
    let key = trial.admit().await;
    trial.succeeds(&key, 1).await;
    trial.is_empty(Trial::<S>::CONSUMER.queue).await;
    trial.requested(1).await;
    trial.holds().await;
}

/// The worker recognises the repeated write as its own, and acknowledges the message.
pub(super) async fn settlement_unanswered<S: Subject>() {
    let trial = Trial::<S>::start().await;
    trial.befalls_once("drop_response", S::SETTLEMENT).await;
    let key = trial.admit().await;
    trial.succeeds(&key, 1).await;
    trial.is_empty(Trial::<S>::CONSUMER.queue).await;
    assert_eq!(trial.told(&key, "the command has ended").len(), 1);
    trial.requested(1).await;
    trial.holds().await;
}
