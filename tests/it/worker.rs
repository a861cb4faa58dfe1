//! What every worker does around its effect: when a message is redelivered, what happens to the command, and what is
//! acknowledged.

mod lost;

use std::{cell::RefCell, ops::RangeInclusive, time::Duration};

use domain::{
    Timestamp,
    command::{Command, CommandKind as _, LastError, SyncFindings},
    lifecycle::{CommandState, Stage, Status, Waits},
    result_code::{Effect, ResultCode},
};
use runtime::{
    queue::{Message, QueueUrl},
    sqs::{Delivery, Disposition},
    worker::{Effected, Invocation, Work, Worker},
};
use store::{
    clock::Clock,
    ledger::{Claim, Ending},
    table::Writes,
};
use tests::{Fault, Holder, NOON, Proxy, TestQueues, TestTable, noon, states, worker};

use crate::{audit::refused_writes, ledger::ending};

/// The maximum receive count of a message.
const RECEIVES: u32 = 5;

struct Scene {
    table: TestTable,
    proxy: Proxy,
    queues: TestQueues,
    queue: QueueUrl,
    worker: Worker,
}

/// A worker with this effect.
struct Doing<F> {
    effect: F,
}

fn doing<F: AsyncFn(&Claim, &Command) -> Effected>(effect: F) -> Doing<F> {
    Doing { effect }
}

impl<F: AsyncFn(&Claim, &Command) -> Effected> Work for Doing<F> {
    async fn effect(&self, claim: &Claim, command: &Command, _: Invocation) -> Effected {
        (self.effect)(claim, command).await
    }
}

impl Scene {
    async fn set() -> Self {
        let table = TestTable::create().await;
        let (proxy, through) = table.through(&[]).await;
        let queues = TestQueues::create().await;
        let queue = queues.queue("sync").await;
        let malformed = queues.queue("malformed").await;
        let clock = Clock::new(|| NOON);
        let worker = worker(through, &queues, &queue, &malformed, clock);
        assert_eq!(worker.max_receives, RECEIVES);
        Self {
            table,
            proxy,
            queues,
            queue,
            worker,
        }
    }

    async fn seed(&self, name: &str) -> Command {
        self.table.seed(state(name)).await
    }

    /// Makes the n-th delivery of this stage's message, to an invocation of thirty seconds.
    async fn deliver(
        &self,
        work: &impl Work,
        row: &Command,
        stage: Stage,
        receives: u32,
    ) -> Disposition {
        let key = row.key.clone();
        let body = Message::Command { key, stage }.body();
        self.queues.send(&self.queue, &body).await;
        let batch = self.queues.batch(&self.queue).await;
        let mut delivery = Delivery::of(&batch.records[0]);
        delivery.receives = receives;
        let invocation = Invocation::until(noon(30), NOON);
        self.worker.deliver(work, &delivery, invocation).await
    }

    /// Makes the first delivery of the message that the row waits for.
    async fn first(&self, work: &impl Work, row: &Command) -> Disposition {
        self.deliver(work, row, row.state.stage, 1).await
    }

    /// Makes the first delivery of a new command, with this effect.
    async fn with(
        &self,
        effect: impl AsyncFn(&Claim, &Command) -> Effected,
    ) -> (Disposition, Command) {
        let row = self.seed("accepted").await;
        let verdict = self.first(&doing(effect), &row).await;
        (verdict, row)
    }

    async fn stored(&self, row: &Command) -> Command {
        let stored = self.table.ledger().read(&row.key, NOON).await;
        stored.expect("the table answers").expect("it is there")
    }

    /// Returns the visibility timeouts set so far, in seconds, oldest first.
    fn pauses(&self) -> Vec<u64> {
        let requests = self.queues.proxy.requests("ChangeMessageVisibility");
        let seconds = |request: &serde_json::Value| request["VisibilityTimeout"].as_u64();
        requests.iter().filter_map(seconds).collect()
    }

    fn last_pause(&self) -> u64 {
        *self.pauses().last().expect("a visibility timeout was set")
    }

    /// Fails all three attempts that the SDK makes of the write with this text.
    fn fail(&self, text: &str) {
        for _ in 0..3 {
            self.proxy.plan_about("UpdateItem", text, Fault::Fail);
        }
    }
}

fn state(name: &str) -> CommandState {
    let mut all = states(Holder::Another).into_iter();
    all.find(|(known, _)| *known == name).expect("a state").1
}

/// The backoff after the first delivery has failed.
const FIRST_BACKOFF: RangeInclusive<u64> = 5..=7;

const fn transient(after: Option<Duration>) -> Effected {
    Effected::Transient {
        error: LastError::GithubUnreachable,
        after,
    }
}

fn done() -> Effected {
    Effected::Ended(ending(ResultCode::SyncCompleted))
}

const fn continues(at: Timestamp) -> Effected {
    Effected::Continues {
        at,
        waits: Waits::UntilThen,
        progress: None,
        error: None,
    }
}

fn until(row: &Command) -> Option<Timestamp> {
    row.state.lease.map(|lease| lease.until)
}

#[tokio::test]
async fn a_message_stays_hidden_until_its_workers_lease_ends() {
    let scene = Scene::set().await;
    let (verdict, row) = scene
        .with(async |claim, _| {
            assert_eq!(scene.pauses(), [37], "after the invocation and the lease");
            let until = claim.until();
            assert!(noon(34) < until && until <= noon(35), "{until}");
            done()
        })
        .await;
    assert_eq!(verdict, Disposition::Ack);
    let stored = scene.stored(&row).await;
    assert_eq!(
        (stored.status(), stored.state.attempt),
        (Status::Succeeded, 1)
    );
    assert_eq!(scene.pauses(), [37]);
}

#[tokio::test]
async fn a_leased_or_waiting_command_is_redelivered_when_claimable() {
    let scene = Scene::set().await;
    let nothing = doing(async |_: &Claim, _: &Command| panic!("it cannot be claimed"));
    for (name, pause) in [
        ("running", 31),
        ("running, past its deadline", 31),
        ("waiting", 61),
    ] {
        let row = scene.seed(name).await;
        assert_eq!(
            scene.first(&nothing, &row).await,
            Disposition::Retry,
            "{name}"
        );
        assert_eq!(scene.last_pause(), pause, "{name}");
        assert_eq!(scene.stored(&row).await, row, "{name}");
    }
}

#[tokio::test]
async fn a_late_delivery_is_acknowledged() {
    let scene = Scene::set().await;
    let nothing = doing(async |_: &Claim, _: &Command| panic!("it is too late"));
    for name in ["succeeded", "failed", "no_op", "never queued", "handed on"] {
        let row = scene.seed(name).await;
        let verdict = scene.deliver(&nothing, &row, Stage(0), 1).await;
        assert_eq!(verdict, Disposition::Ack, "{name}");
        assert_eq!(scene.stored(&row).await, row, "{name}");
    }
    let row = scene.seed("accepted").await;
    let gone = Command {
        key: tests::key(row.key.owner.clone()),
        ..row
    };
    assert_eq!(scene.first(&nothing, &gone).await, Disposition::Ack);
}

#[tokio::test]
async fn a_transient_failure_retries_until_the_last_delivery() {
    let scene = Scene::set().await;
    let backoffs = [FIRST_BACKOFF, 15..=19, 45..=57, 90..=113];
    for (receives, backoff) in (1..).zip(backoffs) {
        for after in [None, Some(Duration::from_secs(400))] {
            let row = scene.seed("accepted").await;
            let work = doing(async |_: &Claim, _: &Command| transient(after));
            let verdict = scene.deliver(&work, &row, Stage(0), receives).await;
            assert_eq!(verdict, Disposition::Retry);
            let pause = scene.last_pause();
            match after {
                Some(_) => assert_eq!(pause, 400),
                None => assert!(backoff.contains(&pause), "{receives}: {pause}"),
            }
            let stored = scene.stored(&row).await;
            assert_eq!(
                (stored.status(), until(&stored)),
                (Status::Running, Some(NOON))
            );
            let said = LastError::GithubUnreachable.to_string();
            assert_eq!(stored.last_error, Some(said));
        }
    }

    let row = scene.seed("accepted").await;
    let work = doing(async |_: &Claim, _: &Command| transient(None));
    let verdict = scene.deliver(&work, &row, Stage(0), RECEIVES).await;
    assert_eq!(verdict, Disposition::Ack);
    let stored = scene.stored(&row).await;
    let ended = stored.ended.expect("it has ended");
    assert_eq!(
        (ended.code, ended.effect),
        (ResultCode::QueueRetriesExhausted, Effect::Unknown)
    );
    let said = LastError::GithubUnreachable.to_string();
    assert_eq!(stored.last_error.as_ref(), Some(&said));
}

#[tokio::test]
async fn a_continuation_is_sent_with_a_delay_and_acknowledged() {
    let scene = Scene::set().await;
    // SQS delays a message by at most fifteen minutes.
    for (seconds, delay) in [(90, 90), (1_200, 900)] {
        let (verdict, row) = scene.with(async |_, _| continues(noon(seconds))).await;
        assert_eq!(verdict, Disposition::Ack);
        let stored = scene.stored(&row).await.state;
        assert_eq!(
            (stored.stage, stored.waiting_until),
            (Stage(1), Some(noon(seconds)))
        );
        let sent = scene.queues.proxy.requests("SendMessage");
        let sent = sent.last().expect("it was sent");
        let key = row.key.clone();
        let body = Message::Command {
            key,
            stage: Stage(1),
        }
        .body();
        assert_eq!(sent["MessageBody"], body.as_str());
        assert_eq!(sent["DelaySeconds"], delay);
    }
    // If the message cannot be sent, the reconciler resends it.
    let (verdict, row) = scene
        .with(async |_, _| {
            for _ in 0..3 {
                scene.queues.proxy.plan("SendMessage", Fault::Fail);
            }
            continues(noon(90))
        })
        .await;
    assert_eq!(verdict, Disposition::Ack);
    assert_eq!(scene.stored(&row).await.state.stage, Stage(1));
}

#[tokio::test]
async fn a_failed_write_causes_redelivery_and_leaves_no_lease() {
    let scene = Scene::set().await;
    let nothing = doing(async |_: &Claim, _: &Command| panic!("it is not claimed"));
    let row = scene.seed("accepted").await;
    scene.fail(&row.key.id.to_string());
    assert_eq!(scene.first(&nothing, &row).await, Disposition::Retry);
    assert!(FIRST_BACKOFF.contains(&scene.last_pause()));
    assert_eq!(scene.stored(&row).await, row);

    type Say = fn() -> Effected;
    for say in [done as Say, || continues(noon(90))] {
        let (verdict, row) = scene
            .with(async |_, claimed| {
                scene.fail(&claimed.key.id.to_string());
                say()
            })
            .await;
        assert_eq!(verdict, Disposition::Retry);
        assert!(FIRST_BACKOFF.contains(&scene.last_pause()));
        let stored = scene.stored(&row).await;
        assert_eq!(
            (stored.status(), until(&stored)),
            (Status::Running, Some(NOON)),
            "released at once"
        );
        assert_eq!(stored.state.stage, Stage(0));
    }
}

#[tokio::test]
async fn a_command_ends_together_with_its_side_writes() {
    let scene = Scene::set().await;
    let (_, _, refused) = refused_writes(&scene.table).await;
    let of = |ending: Ending| Ending {
        effect: Effect::None,
        ..ending
    };
    let ends = of(ending(ResultCode::ConfigDisabled));
    let (verdict, row) = scene
        .with(async |claim, claimed| {
            let beside = refused.clone();
            let settled = scene.worker.settle(claim, claimed, ends, beside).await;
            assert!(settled.is_none(), "{settled:?}");
            let none = Writes::default();
            let settled = scene.worker.settle(claim, claimed, ends, none).await;
            settled.expect("nothing prevents it")
        })
        .await;
    assert_eq!(verdict, Disposition::Ack);
    let ended = scene.stored(&row).await.ended.expect("it has ended");
    assert_eq!(
        (ended.code, ended.effect),
        (ResultCode::ConfigDisabled, Effect::None)
    );
}

#[tokio::test]
async fn a_rate_limit_is_waited_for_only_within_the_budget() {
    let scene = Scene::set().await;
    let resumes_at = |until, began| {
        scene
            .worker
            .resumes_at(noon(until), noon(began), SyncFindings::BUDGET)
    };
    // A second later than GitHub says, and within thirty minutes.
    assert_eq!(resumes_at(90, 0), Some(noon(91)));
    assert_eq!(resumes_at(1_798, 0), Some(noon(1_799)));
    assert_eq!(resumes_at(1_799, 0), None);
    assert_eq!(resumes_at(5_000, 0), None);
    // All deliveries of a command together have two hours.
    assert_eq!(resumes_at(90, 92 - 7_200), Some(noon(91)));
    assert_eq!(resumes_at(90, 91 - 7_200), None);
    assert_eq!(resumes_at(90, -10_000), None);
}
