//! One run: a stack of its own, and what the faults do there again and again.

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

/// Only the claim sets it.
pub(super) const CLAIM: Write = ("UpdateItem", "started_at");

/// What a worker logs about a delivery that comes too late.
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

    /// Asks for a command.
    pub(super) async fn post(&self, key: Option<&str>) -> Answer {
        self.scene.ada.post(&S::request(), key).await
    }

    /// Has a command admitted, and its message sent.
    pub(super) async fn admit(&self) -> CommandKey {
        let answer = self.post(None).await;
        assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.body);
        self.scene.ada.key(command_id(&answer.body))
    }

    /// A command that was admitted, and whose message was never sent.
    pub(super) async fn unsent(&self) -> CommandKey {
        let new = NewCommand {
            action: S::action(),
            ..sync_of(self.scene.ada.owner())
        };
        self.scene.stack.backstage.admit_command(new).await
    }

    /// Lets something befall calls of the worker to a data service, until everything heals.
    pub(super) async fn befalls(&self, service: &str, effect: &str, (operation, text): Write) {
        let fault = json!({"service": service, "operation": operation, "contains": text,
            "function": Self::CONSUMER.function, "effect": effect});
        self.scene.stack.fault(&fault).await;
    }

    /// Lets something befall one write of the worker.
    pub(super) async fn befalls_once(&self, effect: &str, (operation, text): Write) {
        let fault = json!({"service": "dynamodb", "operation": operation, "contains": text,
            "function": Self::CONSUMER.function, "effect": effect, "times": 1});
        self.scene.stack.fault(&fault).await;
    }

    /// Lets something befall what the API sends.
    pub(super) async fn sends(&self, effect: &str) {
        let fault = json!({"service": "sqs", "operation": "SendMessage", "function": "api",
            "effect": effect});
        self.scene.stack.fault(&fault).await;
    }

    /// Waits until the worker's process has died.
    pub(super) async fn worker_dies(&self) {
        self.scene.dies(Self::CONSUMER.function, 1).await;
    }

    /// A command whose worker died once the effect was made, and before it was settled. Its claim lives.
    pub(super) async fn orphan(&self) -> CommandKey {
        self.befalls_once("kill_before", S::SETTLEMENT).await;
        let key = self.admit().await;
        self.worker_dies().await;
        self.is("running", 1, &key).await;
        assert_eq!(S::effects(&self.scene).await, 1);
        S::is_unsettled(&self.scene).await;
        key
    }

    /// Lets the claim of a worker lapse.
    pub(super) async fn claim_lapses(&self, key: &CommandKey) {
        let backstage = &self.scene.stack.backstage;
        backstage.let_pass(key, &["claim_until"]).await;
    }

    /// Delivers this body once, for the n-th time; says whether it is acknowledged.
    pub(super) async fn deliver(&self, body: String, receives: u32) -> bool {
        let Consumer {
            function, queue, ..
        } = Self::CONSUMER;
        let mut batch = batch(queue, &[body]);
        batch["Records"][0]["attributes"]["ApproximateReceiveCount"] = json!(receives.to_string());
        self.invoke(function, &batch).await
    }

    /// Delivers this body as a dead letter; says whether it is acknowledged.
    pub(super) async fn bury(&self, body: String) -> bool {
        let batch = batch(Self::CONSUMER.dead_letters, &[body]);
        self.invoke("dead-letter", &batch).await
    }

    async fn invoke(&self, function: &str, batch: &Value) -> bool {
        let answer = self.scene.stack.invoke(function, batch).await;
        failures(&answer.expect("it ends")).is_empty()
    }

    /// Delivers a command's message once more, in place of waiting for its queue to; says whether it is acknowledged.
    pub(super) async fn redeliver(&self, key: &CommandKey) -> bool {
        self.deliver(message(key, 0), 1).await
    }

    /// Checks that a command that has ended is left as it is by another delivery.
    pub(super) async fn comes_late(&self, key: &CommandKey) {
        let (ended, asked) = (self.view(key.id).await, self.asked().await);
        assert!(self.redeliver(key).await, "it is acknowledged");
        assert_eq!(self.view(key.id).await, ended);
        assert_eq!(self.asked().await, asked, "nobody is asked for anything");
    }

    /// How often anybody upstream was asked for anything.
    pub(super) async fn asked(&self) -> usize {
        self.scene.stack.github_requests().await.len() + S::requests(&self.scene).await
    }

    pub(super) async fn view(&self, id: CommandId) -> Value {
        self.scene.ada.command(id).await
    }

    /// Checks where a command stands.
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
        assert_eq!(view["lastError"], Value::Null, "what was overcome is over");
        assert_eq!(S::effects(&self.scene).await, 1);
        S::has_succeeded(&self.scene, key.id).await;
        view
    }

    /// Checks that a command fails so, and what it leaves behind.
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

    /// Checks how often upstream was asked for the effect.
    pub(super) async fn requested(&self, times: usize) {
        assert_eq!(S::requests(&self.scene).await, times);
    }

    /// Waits until nothing is left in a queue.
    pub(super) async fn is_empty(&self, queue: &str) {
        eventually("the message is acknowledged", async || {
            self.scene.stack.depth(queue).await == 0
        })
        .await;
    }

    /// The lines that were logged about a command with this message.
    pub(super) fn told(&self, key: &CommandKey, message: &str) -> Vec<Value> {
        let id = key.id.to_string();
        let mut lines = self.scene.stack.logged(message);
        lines.retain(|line| line["command.id"] == id);
        lines
    }

    /// Checks what always holds.
    pub(super) async fn holds(&self) {
        S::holds(&self.scene).await;
    }
}
