//! Messages that name a command and cannot be parsed.

use domain::{command::CommandKey, result_code::ResultCode};
use runtime::queue::VERSION;
use serde_json::json;
use tests::message;

use super::{Subject, Trial};
use crate::messages::with;

/// A message of which only the command's id, owner and stage can be parsed.
fn malformed(key: &CommandKey) -> String {
    with(&message(key, 0), &json!({"stage": "zero"}))
}

impl<S: Subject> Trial<S> {
    /// Checks that exactly this body is quarantined, with its source queue.
    async fn is_kept(&self, body: &str, queue: &str) {
        let kept = self.scene.stack.backstage.peek("MalformedQueue").await;
        let [kept] = &kept[..] else {
            panic!("{kept:?}");
        };
        assert_eq!(kept.body.as_deref(), Some(body));
        let attributes = kept.message_attributes.as_ref();
        let from = attributes.and_then(|all| all.get("from"));
        let from = from.and_then(|from| from.string_value.as_deref());
        assert_eq!(from, Some(queue));
    }
}

/// It is quarantined, and its command, which was never claimed, fails.
pub(super) async fn malformed_before_a_claim<S: Subject>() {
    let trial = Trial::<S>::start().await;
    let key = trial.unsent().await;
    let body = malformed(&key);
    assert!(trial.deliver(body.clone(), 1).await);
    let code = ResultCode::MalformedMessage;
    trial.fails(&key, code, "none").await;
    trial.is_kept(&body, Trial::<S>::CONSUMER.queue).await;
    trial.comes_late(&key).await;
    trial.requested(0).await;
    trial.holds().await;
}

/// It is quarantined, and its command, whose worker is dead, fails.
pub(super) async fn malformed_after_its_worker_died<S: Subject>() {
    let trial = Trial::<S>::start().await;
    let key = trial.orphan().await;
    trial.claim_lapses(&key).await;
    let body = malformed(&key);
    assert!(trial.deliver(body.clone(), 1).await);
    let code = ResultCode::MalformedMessage;
    trial.fails(&key, code, "unknown").await;
    trial.is_kept(&body, Trial::<S>::CONSUMER.queue).await;
    trial.comes_late(&key).await;
    trial.requested(1).await;
    trial.holds().await;
}

/// It is returned to the queue for a newer worker. After the last delivery its command fails, and it is quarantined.
pub(super) async fn newer_message<S: Subject>() {
    let trial = Trial::<S>::start().await;
    let key = trial.unsent().await;
    let newer = with(&message(&key, 0), &json!({"version": VERSION + 1}));
    assert!(
        !trial.deliver(newer.clone(), 1).await,
        "it is returned to the queue"
    );
    trial.is("accepted", 0, &key).await;
    assert_eq!(trial.scene.stack.depth("MalformedQueue").await, 0);
    assert!(trial.bury(newer.clone()).await);
    let code = ResultCode::QueueRetriesExhausted;
    trial.fails(&key, code, "none").await;
    trial
        .is_kept(&newer, Trial::<S>::CONSUMER.dead_letters)
        .await;
    trial.comes_late(&key).await;
    trial.requested(0).await;
    trial.holds().await;
}
