//! The dead-letter function: every message ends its command or is accounted for, and changes nothing else.

use aws_lambda_events::event::sqs::SqsBatchResponse;
use dead_letter::DeadLetters;
use domain::{
    command::{Command, CommandKey},
    lifecycle::{Stage, Status},
    result_code::{Effect, ResultCode},
};
use runtime::queue::{Message, QueueUrl, ScheduledSync};
use serde_json::json;
use store::{abandon::Cleaner, clock::Clock, ledger::Ledger};
use tests::{
    Fault, Holder, NOON, Proxy, TIMEOUTS, TestQueues, TestTable, key, owner, quarantine, states,
};
use uuid::Uuid;

struct Scene {
    table: TestTable,
    proxy: Proxy,
    queues: TestQueues,
    dead: QueueUrl,
    malformed: QueueUrl,
    function: DeadLetters,
}

impl Scene {
    async fn set() -> Self {
        let table = TestTable::create().await;
        let (proxy, through) = table.through(&[]).await;
        let queues = TestQueues::create().await;
        let dead = queues.queue("dead").await;
        let malformed = queues.queue("malformed").await;
        let function = DeadLetters {
            ledger: Ledger::new(through.clone(), TIMEOUTS),
            cleaner: Cleaner::new(&through),
            inbox: queues.inbox(vec![dead.clone()]),
            quarantine: quarantine(&through, queues.sender(), &malformed),
            clock: Clock::new(|| NOON),
        };
        Self {
            table,
            proxy,
            queues,
            dead,
            malformed,
            function,
        }
    }

    /// Delivers these bodies as one batch and returns those to be redelivered.
    async fn deliver(&self, bodies: &[String]) -> Vec<String> {
        for body in bodies {
            self.queues.send(&self.dead, body).await;
        }
        let batch = self.queues.batch(&self.dead).await;
        assert_eq!(batch.records.len(), bodies.len());
        let SqsBatchResponse {
            batch_item_failures,
            ..
        } = self.function.settle_each(&batch).await;
        batch_item_failures
            .iter()
            .map(|failure| {
                let id = Some(&failure.item_identifier);
                let mut of = batch
                    .records
                    .iter()
                    .filter(|record| record.message_id.as_ref() == id);
                let record = of.next().expect("it was in the batch");
                record.body.clone().expect("it has a body")
            })
            .collect()
    }

    async fn stored(&self, key: &CommandKey) -> Command {
        let stored = self.table.ledger().read(key, NOON).await;
        stored.expect("the table answers").expect("it is there")
    }
}

fn body(command: &Command) -> String {
    let (key, stage) = (command.key.clone(), command.state.stage);
    Message::Command { key, stage }.body()
}

#[tokio::test]
async fn each_state_is_ended_left_alone_or_retried() {
    let scene = Scene::set().await;
    for (name, state) in states(Holder::Another) {
        let row = scene.table.seed(state).await;
        let again = scene.deliver(&[body(&row)]).await;
        let stored = scene.stored(&row.key).await;
        match name {
            "running" | "running, past its deadline" => {
                assert_eq!((again.len(), &stored), (1, &row), "{name}");
            }
            "accepted"
            | "accepted, past its deadline"
            | "lapsed"
            | "lapsed, past its deadline"
            | "handed on"
            | "waiting" => {
                assert_eq!(again, [""; 0], "{name}");
                let ended = stored.ended.expect("it has ended");
                assert_eq!(ended.code, ResultCode::QueueRetriesExhausted, "{name}");
                let unclaimed = row.status() == Status::Accepted;
                let effect = if unclaimed {
                    Effect::None
                } else {
                    Effect::Unknown
                };
                assert_eq!(ended.effect, effect, "{name}");
                // A second consumer, or a redelivery.
                assert_eq!(scene.deliver(&[body(&row)]).await, [""; 0], "{name}");
                assert_eq!(scene.stored(&row.key).await, stored, "{name}");
            }
            _ => assert_eq!((again.len(), &stored), (0, &row), "{name}"),
        }
    }
    let shown = scene.queues.proxy.requests("ChangeMessageVisibility");
    let waits: Vec<_> = shown
        .iter()
        .map(|request| &request["VisibilityTimeout"])
        .collect();
    assert_eq!(waits, [31, 31], "just after the leases can have expired");
    assert_eq!(scene.queues.bodies(&scene.malformed).await, [""; 0]);
}

#[tokio::test]
async fn a_message_without_a_command_to_end_is_acknowledged() {
    let scene = Scene::set().await;
    let missing = Message::Command {
        key: key(owner()),
        stage: Stage(0),
    };
    let scheduled = Message::ScheduledSync(ScheduledSync {
        owner: owner(),
        pass: Uuid::new_v4(),
        began: NOON,
    });
    let row = scene
        .table
        .seed(states(Holder::Another).swap_remove(6).1)
        .await;
    let superseded = Message::Command {
        key: row.key.clone(),
        stage: Stage(0),
    };
    let bodies = [missing, scheduled, superseded].map(|message| message.body());
    assert_eq!(scene.deliver(&bodies).await, [""; 0]);
    assert_eq!(
        scene.stored(&row.key).await,
        row,
        "a later message belongs to its stage"
    );
    assert_eq!(scene.table.count().await, 1);
}

#[tokio::test]
async fn an_unreadable_message_is_quarantined_and_its_command_ends() {
    let scene = Scene::set().await;
    // Handed on: only the message of stage 1 can end the command.
    let (_, handed_on) = states(Holder::Another).swap_remove(6);
    let about = async |version: u64, kind: &str| {
        let row = scene.table.seed(handed_on.clone()).await;
        let body = json!({
            "version": version, "kind": kind, "owner": row.key.owner, "commandId": row.key.id, "stage": 1,
        });
        (row.key, body.to_string())
    };
    let (newer, newer_body) = about(2, "command").await;
    let (malformed, malformed_body) = about(1, "unheard of").await;
    let bodies = [
        newer_body,
        malformed_body,
        r#"{"version":2,"kind":"other"}"#.to_owned(),
        "no JSON".to_owned(),
    ];
    assert_eq!(scene.deliver(&bodies).await, [""; 0]);
    let mut kept = scene.queues.bodies(&scene.malformed).await;
    let mut expected = bodies.to_vec();
    kept.sort_unstable();
    expected.sort_unstable();
    assert_eq!(kept, expected);
    let code = async |key| scene.stored(key).await.ended.map(|ended| ended.code);
    assert_eq!(code(&newer).await, Some(ResultCode::QueueRetriesExhausted));
    assert_eq!(code(&malformed).await, Some(ResultCode::MalformedMessage));
}

#[tokio::test]
async fn only_the_failed_message_of_a_batch_is_redelivered() {
    let scene = Scene::set().await;
    let (_, accepted) = states(Holder::Another).swap_remove(0);
    let one = scene.table.seed(accepted.clone()).await;
    let other = scene.table.seed(accepted).await;
    // The SDK makes three attempts.
    for _ in 0..3 {
        scene
            .proxy
            .plan_about("UpdateItem", &one.key.id.to_string(), Fault::Fail);
    }
    let again = scene.deliver(&[body(&one), body(&other)]).await;
    assert_eq!(again, [body(&one)]);
    assert_eq!(scene.stored(&one.key).await, one);
    assert_eq!(scene.stored(&other.key).await.status(), Status::Failed);
}

#[tokio::test]
async fn a_message_that_cannot_be_quarantined_is_redelivered() {
    let scene = Scene::set().await;
    for _ in 0..3 {
        let keep = scene.malformed.as_str();
        scene
            .queues
            .proxy
            .plan_about("SendMessage", keep, Fault::Fail);
    }
    let again = scene.deliver(&["no JSON".to_owned()]).await;
    assert_eq!(again, ["no JSON"]);
    assert_eq!(scene.queues.bodies(&scene.malformed).await, [""; 0]);
}
