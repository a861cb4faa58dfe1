//! One run of a fault: its own stack, and the steps that the faults share.

use std::marker::PhantomData;

use domain::{
    command::{CommandId, CommandKey},
    result_code::ResultCode,
};
use reqwest::StatusCode;
use serde_json::{Value, json};
use store::ledger::NewCommand;
use tests::{Answer, Consumer, batch, command_id, eventually, failures, message, sync_of};

use super::{Subject, Write};
use crate::scene::Scene;

/// An attribute that only the claim sets.
pub(super) const CLAIM: Write = ("UpdateItem", "started_at");

/// The worker's log message for a delivery after the end.
pub(super) const LATE: &str = "late delivery of a command that has ended";

pub(super) struct Trial<S> {
    pub(super) scene: Scene,
    subject: PhantomData<S>,
}

impl<S: Subject> Trial<S> {
    pub(super) const CONSUMER: Consumer = Consumer::of(S::TYPE);

    pub(super) async fn start() -> Self {
        Self {
            scene: S::scene().await,
            subject: PhantomData,
        }
    }

    /// Requests a command.
    pub(super) async fn post(&self, key: Option<&str>) -> Answer {
        self.scene.ada.post(&S::request(), key).await
    }

    /// Admits a command and sends its message.
    pub(super) async fn admit(&self) -> CommandKey {
        let answer = self.post(None).await;
        assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.body);
        self.scene.ada.key(command_id(&answer.body))
    }

    /// Admits a command whose message is never sent.
    pub(super) async fn unsent(&self) -> CommandKey {
        let new = NewCommand {
            action: S::action(),
            ..sync_of(self.scene.ada.owner())
        };
        self.scene.stack.backstage.admit_command(new).await
    }

    /// Injects a fault into the worker's calls of a data service, until the faults are cleared.
    pub(super) async fn befalls(&self, service: &str, effect: &str, (operation, text): Write) {
        let fault = json!({"service": service, "operation": operation, "contains": text,
            "function": Self::CONSUMER.function, "effect": effect});
        self.scene.stack.fault(&fault).await;
    }

    /// Injects a fault into one write of the worker.
    pub(super) async fn befalls_once(&self, effect: &str, (operation, text): Write) {
        let fault = json!({"service": "dynamodb", "operation": operation, "contains": text,
            "function": Self::CONSUMER.function, "effect": effect, "times": 1});
        self.scene.stack.fault(&fault).await;
    }

    /// Injects a fault into the API's sends.
    pub(super) async fn sends(&self, effect: &str) {
        let fault = json!({"service": "sqs", "operation": "SendMessage", "function": "api",
            "effect": effect});
        self.scene.stack.fault(&fault).await;
    }

    /// Waits until the worker's process has died.
    pub(super) async fn worker_dies(&self) {
        self.scene.dies(Self::CONSUMER.function, 1).await;
    }

    /// A command whose worker died between effect and settlement. Its lease is live.
    pub(super) async fn orphan(&self) -> CommandKey {
        self.befalls_once("kill_before", S::SETTLEMENT).await;
        let key = self.admit().await;
        self.worker_dies().await;
        self.is("running", 1, &key).await;
        assert_eq!(S::effects(&self.scene).await, 1);
        S::is_unsettled(&self.scene).await;
        key
    }

    /// Lets the worker's lease expire.
    pub(super) async fn claim_lapses(&self, key: &CommandKey) {
        let backstage = &self.scene.stack.backstage;
        backstage.let_pass(key, &["claim_until"]).await;
    }

    /// Delivers this body, as the n-th receive. Returns whether it is acknowledged.
    pub(super) async fn deliver(&self, body: String, receives: u32) -> bool {
        let Consumer {
            function, queue, ..
        } = Self::CONSUMER;
        let mut batch = batch(queue, &[body]);
        batch["Records"][0]["attributes"]["ApproximateReceiveCount"] = json!(receives.to_string());
        self.invoke(function, &batch).await
    }

    /// Delivers this body as a dead letter. Returns whether it is acknowledged.
    pub(super) async fn bury(&self, body: String) -> bool {
        let batch = batch(Self::CONSUMER.dead_letters, &[body]);
        self.invoke("dead-letter", &batch).await
    }

    async fn invoke(&self, function: &str, batch: &Value) -> bool {
        let answer = self.scene.stack.invoke(function, batch).await;
        failures(&answer.expect("it ends")).is_empty()
    }

    /// Redelivers a command's message without waiting for its queue. Returns whether it is acknowledged.
    pub(super) async fn redeliver(&self, key: &CommandKey) -> bool {
        self.deliver(message(key, 0), 1).await
    }

    /// Checks that another delivery changes nothing about an ended command.
    pub(super) async fn comes_late(&self, key: &CommandKey) {
        let (ended, asked) = (self.view(key.id).await, self.asked().await);
        assert!(self.redeliver(key).await, "it is acknowledged");
        assert_eq!(self.view(key.id).await, ended);
        assert_eq!(self.asked().await, asked, "no request upstream");
    }

    /// The number of requests upstream.
    pub(super) async fn asked(&self) -> usize {
        self.scene.stack.github_requests().await.len() + S::requests(&self.scene).await
    }

    pub(super) async fn view(&self, id: CommandId) -> Value {
        self.scene.ada.command(id).await
    }

    /// Checks a command's status.
    pub(super) async fn is(&self, status: &str, attempts: u32, key: &CommandKey) {
        let view = self.view(key.id).await;
        assert_eq!(
            (&view["status"], &view["attempts"]),
            (&json!(status), &json!(attempts)),
            "{view}"
        );
    }

    /// Checks that a command succeeds in this attempt, with one effect.
    pub(super) async fn succeeds(&self, key: &CommandKey, attempts: u32) -> Value {
        let view = self.scene.ada.ends_as(key.id, S::SUCCESS.as_str()).await;
        assert_eq!(
            (&view["status"], &view["attempts"], &view["effect"]),
            (&json!("succeeded"), &json!(attempts), &json!("applied")),
            "{view}"
        );
        assert_eq!(view["lastError"], Value::Null, "the last error is cleared");
        assert_eq!(S::effects(&self.scene).await, 1);
        S::has_succeeded(&self.scene, key.id).await;
        view
    }

    /// Checks that a command fails with this code and effect, and the store after it.
    pub(super) async fn fails(&self, key: &CommandKey, code: ResultCode, effect: &str) -> Value {
        let view = self.scene.ada.ends_as(key.id, code.as_str()).await;
        assert_eq!(
            (&view["status"], &view["effect"]),
            (&json!("failed"), &json!(effect)),
            "{view}"
        );
        assert_eq!(view["message"].as_str(), code.sentence(), "{view}");
        S::has_failed(&self.scene, &view).await;
        view
    }

    /// Checks the number of requests for the effect.
    pub(super) async fn requested(&self, times: usize) {
        assert_eq!(S::requests(&self.scene).await, times);
    }

    /// Waits until a queue is empty.
    pub(super) async fn is_empty(&self, queue: &str) {
        eventually("the message is acknowledged", async || {
            self.scene.stack.depth(queue).await == 0
        })
        .await;
    }

    /// The log lines about a command with this message.
    pub(super) fn told(&self, key: &CommandKey, message: &str) -> Vec<Value> {
        let id = key.id.to_string();
        let mut lines = self.scene.stack.logged(message);
        lines.retain(|line| line["command.id"] == id);
        lines
    }

    /// Checks the invariants.
    pub(super) async fn holds(&self) {
        S::holds(&self.scene).await;
    }
}
