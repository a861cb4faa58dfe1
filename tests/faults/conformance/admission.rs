//! Faults between a command's row and its message.

use domain::result_code::ResultCode;
use reqwest::StatusCode;
use serde_json::json;
use tests::command_id;

use super::{Subject, Trial, trial::CLAIM};

/// The command fails without any request upstream, and its idempotency key admits it again.
pub(super) async fn send_fails<S: Subject>() {
    let trial = Trial::<S>::start().await;
    trial.sends("error").await;
    let refused = trial.post(Some("again")).await;
    assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(refused.body["code"], "QUEUE_ADMISSION_FAILED");
    let failed = &refused.body["command"];
    let key = trial.scene.ada.key(command_id(failed));
    let shown = trial
        .fails(&key, ResultCode::QueueAdmissionFailed, "none")
        .await;
    assert_eq!(&shown, failed);
    trial.requested(0).await;

    trial.scene.stack.heal().await;
    trial.scene.ada.readmits(key.id);
    let again = trial.post(Some("again")).await;
    assert_eq!(again.status, StatusCode::ACCEPTED, "{}", again.body);
    assert_eq!(command_id(&again.body), key.id);
    trial.succeeds(&key, 1).await;
    trial.requested(1).await;
    trial.holds().await;
}

/// The message is sent, but no worker can claim before the API fails the command: the failure stands.
pub(super) async fn send_unanswered_and_compensated<S: Subject>() {
    let trial = Trial::<S>::start().await;
    trial.befalls("dynamodb", "error", CLAIM).await;
    trial.sends("drop_response").await;
    let refused = trial.post(None).await;
    assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE);
    let key = trial.scene.ada.key(command_id(&refused.body["command"]));
    let stored = trial.scene.stack.depth(Trial::<S>::CONSUMER.queue).await;
    assert!(stored > 0, "the message was sent");
    trial
        .fails(&key, ResultCode::QueueAdmissionFailed, "none")
        .await;
    trial.scene.stack.heal().await;
    trial.comes_late(&key).await;
    trial.requested(0).await;
    trial.holds().await;
}

/// Race: the message is sent, and a worker claims before the API can fail the command: it is accepted.
pub(super) async fn send_unanswered_and_claimed<S: Subject>() {
    let trial = Trial::<S>::start().await;
    let late = json!({"service": "dynamodb", "operation": "UpdateItem", "function": "api",
        "effect": "delay", "delayMs": 1_000});
    trial.scene.stack.fault(&late).await;
    trial.sends("drop_response").await;
    let key = trial.admit().await;
    trial.succeeds(&key, 1).await;
    trial.requested(1).await;
    trial.holds().await;
}

/// The reconciler sends the message when it is due, and not earlier.
pub(super) async fn api_killed_before_the_send<S: Subject>() {
    let trial = Trial::<S>::start().await;
    let ada = &trial.scene.ada;
    trial.sends("kill_before").await;
    let answer = trial.post(None).await;
    assert!(answer.status.is_server_error(), "{answer:?}");
    let active = ada.get("commands?state=active").await.body;
    let key = ada.key(command_id(&active["commands"][0]));
    trial.is("accepted", 0, &key).await;

    let early = trial.scene.stack.reconcile().await;
    assert_eq!(
        (&early["resent"], &early["stalled"]),
        (&json!(0), &json!(0))
    );
    let backstage = &trial.scene.stack.backstage;
    backstage.let_pass(&key, &["due_at"]).await;
    assert_eq!(trial.scene.stack.reconcile().await["resent"], 1);
    trial.succeeds(&key, 1).await;
    trial.requested(1).await;
    trial.holds().await;
}
