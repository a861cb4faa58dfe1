//! The deadline passes without a live lease: the reconciler fails the command.

use domain::{command::CommandKey, result_code::ResultCode};
use serde_json::json;

use super::{Subject, Trial};

impl<S: Subject> Trial<S> {
    /// Checks that the reconciler fails the command now, and logs its previous status.
    async fn stalls(&self, key: &CommandKey, previous: &str, effect: &str) {
        assert_eq!(self.scene.stack.reconcile().await["stalled"], 1);
        self.fails(key, ResultCode::CommandStalled, effect).await;
        let told = self.told(key, "the command has failed: its deadline has passed");
        let [line] = &told[..] else {
            panic!("{told:?}");
        };
        assert_eq!(line["command.type_name"], S::TYPE.as_str());
        assert_eq!(line["previous_status"], previous);
        assert!(line["age_ms"].is_u64() && line["owner"].is_string());
    }
}

/// No worker received the message: effect `none`.
pub(super) async fn stalled_before_a_claim<S: Subject>() {
    let trial = Trial::<S>::start().await;
    let key = trial.unsent().await;
    let backstage = &trial.scene.stack.backstage;
    backstage.let_pass(&key, &["due_at", "deadline"]).await;
    trial.stalls(&key, "accepted", "none").await;
    trial.comes_late(&key).await;
    trial.requested(0).await;
    trial.holds().await;
}

/// A live lease prevents the failure. After it the effect is `unknown`.
pub(super) async fn stalled_after_its_worker_died<S: Subject>() {
    let trial = Trial::<S>::start().await;
    let key = trial.orphan().await;
    let backstage = &trial.scene.stack.backstage;
    backstage.let_pass(&key, &["due_at", "deadline"]).await;
    let early = trial.scene.stack.reconcile().await;
    assert_eq!((&early["raced"], &early["stalled"]), (&json!(1), &json!(0)));
    trial.claim_lapses(&key).await;
    trial.stalls(&key, "running", "unknown").await;
    trial.comes_late(&key).await;
    trial.requested(1).await;
    trial.holds().await;
}
