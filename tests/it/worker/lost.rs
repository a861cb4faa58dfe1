//! A worker that has lost its command: taken over, ended, or gone.

use domain::lifecycle::{Lease, Token};

use super::*;

impl Scene {
    /// Another worker takes the command over.
    async fn take_over(&self, row: &Command) -> Command {
        let lease = Lease {
            token: Token(0xa07e4),
            until: noon(60),
        };
        let state = CommandState {
            attempt: row.state.attempt + 1,
            lease: Some(lease),
            ..row.state.clone()
        };
        self.put(row, state).await
    }

    async fn put(&self, row: &Command, state: CommandState) -> Command {
        let key = row.key.clone();
        let owner = key.owner.clone();
        let row = Command {
            key,
            ..tests::command(owner, state)
        };
        self.table.put_command(&row).await;
        row
    }
}

/// Every conclusion of a worker that has lost its lease.
#[tokio::test]
async fn a_fenced_worker_changes_nothing_and_keeps_the_message() {
    let scene = Scene::set().await;
    type Say = fn() -> Effected;
    let says: [(u32, Say); 5] = [
        (1, done),
        (1, || transient(None)),
        (RECEIVES, || transient(None)),
        (1, || continues(noon(90))),
        (1, || Effected::Fenced),
    ];
    for (place, (receives, say)) in says.into_iter().enumerate() {
        let row = scene.seed("accepted").await;
        let theirs = RefCell::new(None);
        let work = doing(async |_: &Claim, claimed: &Command| {
            theirs.replace(Some(scene.take_over(claimed).await));
            say()
        });
        let verdict = scene.deliver(&work, &row, Stage(0), receives).await;
        assert_eq!(verdict, Disposition::Retry, "{place}");
        assert_eq!(Some(scene.stored(&row).await), theirs.take(), "{place}");
    }
    assert_eq!(scene.queues.bodies(&scene.queue).await, [""; 0]);
}

#[tokio::test]
async fn a_worker_whose_command_ended_acknowledges_without_a_write() {
    let scene = Scene::set().await;
    for receives in [1, RECEIVES] {
        for gone in [true, false] {
            let row = scene.seed("accepted").await;
            let rows = RefCell::new(Vec::new());
            let work = doing(async |_: &Claim, claimed: &Command| {
                if gone {
                    let pk = format!("command#{}", claimed.key.owner);
                    scene
                        .table
                        .take_away(&pk, &claimed.key.id.to_string())
                        .await;
                } else {
                    scene.put(claimed, state("failed")).await;
                }
                rows.replace(scene.table.items().await);
                if receives == RECEIVES {
                    transient(None)
                } else {
                    done()
                }
            });
            let verdict = scene.deliver(&work, &row, Stage(0), receives).await;
            assert_eq!(verdict, Disposition::Ack, "{receives} {gone}");
            assert_eq!(scene.table.items().await, rows.take(), "{receives} {gone}");
        }
    }
}
