//! More than one delivery.

use std::time::Duration;

use futures::future::join;
use tests::{Stack, eventually, message};

use super::{Subject, Trial, trial::LATE};

/// How long upstream takes. The test acts in this time.
const HELD_UP: Duration = Duration::from_secs(3);

/// Each delivery is acknowledged and logged, without another effect.
pub(super) async fn delivered_after_the_end<S: Subject>() {
    let trial = Trial::<S>::start().await;
    let queue = Trial::<S>::CONSUMER.queue;
    let key = trial.admit().await;
    let ended = trial.succeeds(&key, 1).await;
    let asked = trial.asked().await;
    for _ in 0..3 {
        let backstage = &trial.scene.stack.backstage;
        backstage.send(queue, &message(&key, 0)).await;
    }
    trial.is_empty(queue).await;
    assert_eq!(trial.told(&key, LATE).len(), 3);
    assert_eq!(trial.view(key.id).await, ended);
    assert_eq!(trial.asked().await, asked);
    trial.holds().await;
}

/// One delivery claims the command, the other is returned to the queue.
pub(super) async fn delivered_twice_at_once<S: Subject>() {
    let trial = Trial::<S>::start().await;
    let key = trial.unsent().await;
    S::hold_up(&trial.scene, HELD_UP).await;
    let acknowledged = join(trial.redeliver(&key), trial.redeliver(&key)).await;
    assert!(
        acknowledged.0 != acknowledged.1,
        "one is acknowledged, the other returned to the queue: {acknowledged:?}"
    );
    trial.succeeds(&key, 1).await;
    trial.requested(1).await;
    trial.holds().await;
}

/// A worker is suspended until its lease has expired. When it resumes, another worker has settled: it is fenced.
pub(super) async fn taken_over_from_a_zombie<S: Subject>() {
    let trial = Trial::<S>::start().await;
    let key = trial.unsent().await;
    S::hold_up(&trial.scene, HELD_UP).await;
    let others = async {
        eventually("upstream is asked", async || {
            S::is_held_up(&trial.scene).await
        })
        .await;
        let stack = &trial.scene.stack;
        let asleep = stack.freeze(Trial::<S>::CONSUMER.function).await;
        assert!(!trial.redeliver(&key).await, "the lease is live");
        trial.claim_lapses(&key).await;
        assert!(trial.redeliver(&key).await);
        let ended = trial.succeeds(&key, 2).await;
        Stack::thaw(&asleep);
        ended
    };
    let (_, ended) = join(trial.redeliver(&key), others).await;
    assert_eq!(trial.view(key.id).await, ended);
    // It is refused at its heartbeat, or when it settles.
    let fenced = [
        "another worker has taken the command over",
        "another writer has ended the command",
    ];
    let fenced = fenced.map(|why| trial.told(&key, &format!("fenced: {why}")).len());
    assert_eq!(fenced.iter().sum::<usize>(), 1, "{fenced:?}");
    assert_eq!(trial.told(&key, "the command has ended").len(), 1);
    trial.succeeds(&key, 2).await;
    trial.holds().await;
}
