//! The erase function: it sweeps only for the current erasure, which completes only after all work begun before it has
//! ended.

use agent::{Agent, AgentConfig};
use erase::Eraser;
use outbound::secrets::{SecretName, Secrets};
use runtime::{
    queue::{Message, QueueUrl},
    sqs::{Delivery, Disposition},
    worker::Invocation,
};
use store::clock::Clock;
use stub::{Reply, SecretStore, Stub};
use tests::{Proxy, TestQueues, key, quarantine};

use super::*;

struct Scene {
    table: TestTable,
    proxy: Proxy,
    queues: TestQueues,
    queue: QueueUrl,
    malformed: QueueUrl,
    owner: Owner,
    erasures: Erasures,
    agent: Stub,
    secrets: SecretStore,
}

/// When every admission begun by noon has ended.
fn settled() -> Timestamp {
    noon(20)
}

/// An invocation that has just begun, with a minute.
fn a_minute() -> Invocation {
    Invocation::until(noon(60), NOON)
}

/// An invocation that is almost over.
fn no_time() -> Invocation {
    Invocation::until(NOON, NOON)
}

impl Scene {
    /// Sets up an owner with rows, whose erasure was requested at noon.
    async fn set() -> Self {
        Self::with_agent(Stub::start(|_, _| Reply::text(204, "")).await).await
    }

    async fn with_agent(agent: Stub) -> Self {
        let table = TestTable::create().await;
        let (proxy, through) = table.through(&[]).await;
        let queues = TestQueues::create().await;
        let (owner, _) = owner_with(&table, 3).await;
        begin(&table, &owner, NOON).await;
        Self {
            table,
            proxy,
            queue: queues.queue("erase").await,
            malformed: queues.queue("malformed").await,
            queues,
            owner,
            erasures: Erasures::new(through),
            agent,
            secrets: SecretStore::start("agent-token").await,
        }
    }

    fn function(&self, clock: fn() -> Timestamp) -> Eraser {
        let agent = AgentConfig {
            base_url: self.agent.url.parse().expect("on the loopback interface"),
            token: SecretName::new("agent-token"),
        };
        let secrets = Secrets::new(self.secrets.client());
        Eraser {
            erasures: self.erasures.clone(),
            inbox: self.queues.inbox(vec![self.queue.clone()]),
            sender: self.queues.sender(),
            queue: self.queue.clone(),
            quarantine: quarantine(&self.table.table(), self.queues.sender(), &self.malformed),
            agent: Agent::new(&agent, secrets).expect("a client can be made"),
            clock: Clock::new(clock),
        }
    }

    /// The message about this owner's erasure requested at that time.
    fn message(&self, requested_at: Timestamp) -> Message {
        Message::Erase {
            owner: self.owner.clone(),
            requested_at,
        }
    }

    /// Makes the first delivery of this body.
    async fn deliver(
        &self,
        clock: fn() -> Timestamp,
        body: &str,
        invocation: Invocation,
    ) -> Disposition {
        self.queues.take(&self.queue).await;
        self.queues.send(&self.queue, body).await;
        let batch = self.queues.batch(&self.queue).await;
        let [record] = &batch.records[..] else {
            panic!("one message")
        };
        let delivery = Delivery::of(record);
        self.function(clock).deliver(&delivery, invocation).await
    }

    /// Returns the messages that the function has sent, with their delays in seconds.
    fn sent_on(&self) -> Vec<(String, i64)> {
        let requests = self.queues.proxy.requests("SendMessage").into_iter();
        // Only the function's own messages have a group.
        let own = requests.filter(|request| request["MessageGroupId"].is_string());
        own.map(|request| {
            let body = request["MessageBody"].as_str().expect("it has a body");
            let delay = request["DelaySeconds"].as_i64().unwrap_or(0);
            (body.to_owned(), delay)
        })
        .collect()
    }

    async fn is_done(&self) -> bool {
        let read = self.erasures.read(&self.owner, settled()).await;
        let erasure = read.expect("the table answers").expect("it was asked for");
        erasure.completed_at.is_some()
    }
}

#[tokio::test]
async fn an_erasure_deletes_at_once_and_completes_after_admissions_end() {
    let scene = Scene::set().await;
    let message = scene.message(NOON);
    let early: fn() -> Timestamp = || noon(2);
    let verdict = scene.deliver(early, &message.body(), a_minute()).await;
    assert_eq!(verdict, Disposition::Ack);
    assert_eq!(scene.table.count().await, 1, "the tombstone");
    assert!(!scene.is_done().await);
    assert_eq!(scene.sent_on(), [(message.body(), 18)]);

    // Until then a command may have been admitted.
    let admitted = scene.table.ledger();
    let admitted = admitted.admit(new_command(&scene.owner), noon(3)).await;
    assert!(
        matches!(admitted, Ok(Admission::Admitted(..))),
        "{admitted:?}"
    );
    let just_before: fn() -> Timestamp = || settled() - Duration::from_millis(1);
    let verdict = scene
        .deliver(just_before, &message.body(), a_minute())
        .await;
    assert_eq!(verdict, Disposition::Ack);
    assert!(!scene.is_done().await);
    assert_eq!(scene.sent_on().len(), 2);

    let admitted = scene.table.ledger();
    let admitted = admitted.admit(new_command(&scene.owner), noon(3)).await;
    assert!(
        matches!(admitted, Ok(Admission::Admitted(..))),
        "{admitted:?}"
    );
    let verdict = scene.deliver(settled, &message.body(), a_minute()).await;
    assert_eq!(verdict, Disposition::Ack);
    assert_eq!(scene.table.count().await, 1, "the tombstone");
    assert!(scene.is_done().await);
    assert_eq!(scene.sent_on().len(), 2, "nothing is left to do");
}

/// Starts an analysis of the owner's first finding and records its session.
async fn running(scene: &Scene) {
    let table = &scene.table;
    let id = finding(&repository(), 1, Severity::High, FindingStatus::Open, NOON).id;
    let analysis = take(table, &scene.owner, id, BegunBy::Request).await;
    let session = "ses-1".parse().expect("an id");
    let analyses = table.analyses();
    let launched = analyses.launched(&scene.owner, id, &analysis, &session, None, NOON);
    let written = analyses.write(id, "a launch", launched).await;
    assert!(written.expect("the table answers"));
}

#[tokio::test]
async fn each_session_is_interrupted_before_its_finding_is_deleted() {
    let scene = Scene::set().await;
    running(&scene).await;
    let message = scene.message(NOON).body();
    // The first delivery dies before it deletes anything, so the second names the session again.
    for deliveries in 1..=2 {
        let time = if deliveries == 1 {
            no_time()
        } else {
            a_minute()
        };
        let verdict = scene.deliver(settled, &message, time).await;
        assert_eq!(verdict, Disposition::Ack);
        let asked = scene.agent.seen();
        let asked: Vec<_> = asked
            .iter()
            .map(|seen| (&*seen.method, &*seen.target))
            .collect();
        assert!(asked.len() <= deliveries, "{asked:?}");
        assert!(
            asked
                .iter()
                .all(|asked| *asked == ("DELETE", "/v1/sessions/ses-1"))
        );
    }
    assert!(!scene.agent.seen().is_empty());
    assert!(scene.is_done().await);
}

#[tokio::test]
async fn an_agent_that_fails_does_not_stop_an_erasure() {
    for answer in [Reply::text(503, "no"), Reply::Never] {
        let scene = Scene::with_agent(Stub::start(move |_, _| answer.clone()).await).await;
        running(&scene).await;
        let message = scene.message(NOON).body();
        let begun = Instant::now();
        let verdict = scene.deliver(settled, &message, a_minute()).await;
        assert_eq!(verdict, Disposition::Ack);
        assert!(begun.elapsed() < Duration::from_secs(10));
        assert!(!scene.agent.seen().is_empty() && scene.is_done().await);
    }
}

#[tokio::test]
async fn a_message_for_a_completed_or_other_erasure_deletes_nothing() {
    let scene = Scene::set().await;
    let rows = scene.table.items().await;
    let another = scene.message(noon(-60)).body();
    let verdict = scene.deliver(settled, &another, a_minute()).await;
    assert_eq!(verdict, Disposition::Ack);
    assert_eq!(
        scene.table.items().await,
        rows,
        "the current erasure is a later one"
    );

    let message = scene.message(NOON).body();
    let verdict = scene.deliver(settled, &message, a_minute()).await;
    assert_eq!(verdict, Disposition::Ack);
    assert!(scene.is_done().await);
    // The owner returns, and the message is redelivered.
    scene.table.connect(&scene.owner).await;
    let rows = scene.table.items().await;
    let verdict = scene.deliver(settled, &message, a_minute()).await;
    assert_eq!(verdict, Disposition::Ack);
    assert_eq!(scene.table.items().await, rows);

    // An owner without an erasure.
    let stranger = Message::Erase {
        owner: owner(),
        requested_at: NOON,
    };
    let verdict = scene.deliver(settled, &stranger.body(), a_minute()).await;
    assert_eq!(verdict, Disposition::Ack);
    assert_eq!(scene.table.items().await, rows);
    assert_eq!(scene.sent_on(), []);
}

#[tokio::test]
async fn an_eraser_out_of_time_sends_a_continuation_at_once() {
    let scene = Scene::set().await;
    let message = scene.message(NOON).body();
    let rows = scene.table.count().await;
    let verdict = scene.deliver(settled, &message, no_time()).await;
    assert_eq!(verdict, Disposition::Ack);
    let closed = 1;
    assert_eq!(
        scene.table.count().await,
        rows + closed,
        "nothing is deleted"
    );
    assert!(!scene.is_done().await);
    assert_eq!(scene.sent_on(), [(message.clone(), 0)]);

    // If the continuation cannot be sent, the message itself is redelivered.
    for _ in 0..3 {
        scene
            .queues
            .proxy
            .plan_about("SendMessage", "MessageGroupId", Fault::Fail);
    }
    let verdict = scene.deliver(settled, &message, no_time()).await;
    assert_eq!(verdict, Disposition::Retry);
}

#[tokio::test]
async fn an_erasure_that_the_table_interrupts_is_retried_with_backoff() {
    let scene = Scene::set().await;
    // The SDK makes three attempts.
    for _ in 0..3 {
        scene.proxy.plan("BatchWriteItem", Fault::Fail);
    }
    let message = scene.message(NOON).body();
    let verdict = scene.deliver(settled, &message, a_minute()).await;
    assert_eq!(verdict, Disposition::Retry);
    let asked = scene.queues.proxy.requests("ChangeMessageVisibility");
    let [asked] = &asked[..] else {
        panic!("{asked:?}")
    };
    let seconds = asked["VisibilityTimeout"].as_i64().expect("a number");
    assert!((5..=7).contains(&seconds), "{seconds}");
    assert!(!scene.is_done().await);
}

#[tokio::test]
async fn a_foreign_message_is_quarantined_or_redelivered() {
    let scene = Scene::set().await;
    let rows = scene.table.count().await;
    let body = "{\"v\":1,\"type\":\"erase\"}";
    let verdict = scene.deliver(settled, body, a_minute()).await;
    assert_eq!(verdict, Disposition::Ack);
    assert_eq!(scene.queues.bodies(&scene.malformed).await, [body]);
    let anothers = Message::Command {
        key: key(scene.owner.clone()),
        stage: Stage(0),
    };
    let verdict = scene.deliver(settled, &anothers.body(), a_minute()).await;
    assert_eq!(verdict, Disposition::Retry);
    assert_eq!(scene.table.count().await, rows);
}
