//! Messages that name a command and cannot be used.

use domain::{command::CommandKey, result_code::ResultCode};
use runtime::queue::VERSION;
use serde_json::json;
use tests::message;

use super::{Subject, Trial};
use crate::messages::with;

/// A command's message of which only the names can be read.
fn malformed(key: &CommandKey) -> String {
    with(&message(key, 0), &json!({"stage": "zero"}))
}

impl<S: Subject> Trial<S> {
    /// Checks that exactly this body is kept for an operator, who sees where it came from.
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

/// It is kept, and fails the command that nobody has taken up.
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

/// It is kept, and fails what a dead worker left.
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

/// It waits for a worker of its version. If none comes, its command fails, and the message is kept.
pub(super) async fn newer_message<S: Subject>() {
    let trial = Trial::<S>::start().await;
    let key = trial.unsent().await;
    let newer = with(&message(&key, 0), &json!({"version": VERSION + 1}));
    assert!(!trial.deliver(newer.clone(), 1).await, "it is given back");
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
