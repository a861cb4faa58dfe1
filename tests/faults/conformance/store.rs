//! DynamoDB fails during a delivery.

use std::collections::BTreeMap;

use serde_json::json;
use tests::eventually;

use super::{Subject, Trial, trial::CLAIM};

/// A transient failure of DynamoDB.
const FAILURES: [(u16, &str); 3] = [
    (400, "ThrottlingException"),
    (500, "InternalServerError"),
    (400, "ProvisionedThroughputExceededException"),
];

/// Every call fails once, claim and settlement twice: retries within one attempt are enough.
pub(super) async fn store_fails_for_a_moment<S: Subject>() {
    let trial = Trial::<S>::start().await;
    let function = Trial::<S>::CONSUMER.function;
    let mut failures = vec![
        (CLAIM, 400, "ThrottlingException"),
        (CLAIM, 400, "TransactionConflictException"),
        (S::SETTLEMENT, 500, "InternalServerError"),
        (S::SETTLEMENT, 400, "TransactionInProgressException"),
    ];
    for (write, (status, code)) in S::STORE.iter().zip(FAILURES.iter().cycle()) {
        failures.push((*write, *status, code));
    }
    let mut failed: BTreeMap<&str, u64> = BTreeMap::new();
    for ((operation, text), status, code) in failures {
        let fault = json!({"service": "dynamodb", "operation": operation, "function": function,
            "contains": text, "effect": "error", "status": status, "code": code, "times": 1});
        trial.scene.stack.fault(&fault).await;
        *failed.entry(operation).or_default() += 1;
    }
    // A throttled transaction says so in its reasons only.
    let fault = json!({"service": "dynamodb", "operation": "TransactWriteItems", "function": function,
        "contains": S::SETTLEMENT.1, "effect": "error", "reasons": ["ThrottlingError", "None"], "times": 1});
    trial.scene.stack.fault(&fault).await;
    *failed.entry("TransactWriteItems").or_default() += 1;
    trial.scene.stack.forget_calls().await;
    let key = trial.admit().await;
    trial.succeeds(&key, 1).await;
    trial.requested(1).await;
    let calls = trial.scene.stack.calls().await["functions"][function]["dynamodb"].clone();
    for (operation, failed) in failed {
        let requests = calls[operation]["requests"].as_u64();
        assert!(requests > Some(failed), "{operation} did not fail: {calls}");
    }
    trial.holds().await;
}

/// No claim can be written for a while: the message is returned to the queue, and its redelivery is the first attempt.
pub(super) async fn store_is_away_at_the_claim<S: Subject>() {
    let trial = Trial::<S>::start().await;
    trial.befalls("dynamodb", "error", ("*", "")).await;
    let key = trial.admit().await;
    eventually("a delivery fails", async || {
        let again = "the ledger could not be written; the message is redelivered";
        !trial.scene.stack.logged(again).is_empty()
    })
    .await;
    trial.is("accepted", 0, &key).await;
    trial.scene.stack.heal().await;
    assert!(trial.redeliver(&key).await);
    trial.succeeds(&key, 1).await;
    trial.requested(1).await;
    trial.holds().await;
}

/// The settlement cannot be written for a while: the message is redelivered, and the next attempt finds the effect.
pub(super) async fn store_is_away_at_the_settlement<S: Subject>() {
    let trial = Trial::<S>::start().await;
    trial.befalls("dynamodb", "error", S::SETTLEMENT).await;
    let key = trial.admit().await;
    let given_back = trial
        .scene
        .ada
        .until(key.id, "returned to the queue", |view| {
            !view["lastError"].is_null()
        })
        .await;
    assert_eq!(given_back["status"], "running", "{given_back}");
    assert_eq!(S::effects(&trial.scene).await, 1);
    S::is_unsettled(&trial.scene).await;
    trial.scene.stack.heal().await;
    assert!(trial.redeliver(&key).await);
    trial.succeeds(&key, 2).await;
    trial.requested(S::REQUESTS_IF_FOUND_DONE).await;
    trial.holds().await;
}
