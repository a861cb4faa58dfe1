//! The functions' queues.

use runtime::queue::{CommandQueues, QueueUrl};
use tests::TestQueues;

/// All of them, in memory.
#[derive(Clone, Debug)]
pub(crate) struct Queues {
    pub(crate) all: TestQueues,
    pub(crate) commands: CommandQueues,
    pub(crate) scheduled: QueueUrl,
    pub(crate) callback: QueueUrl,
    pub(crate) erase: QueueUrl,
    pub(crate) dead: QueueUrl,
    pub(crate) malformed: QueueUrl,
}

impl Queues {
    pub(crate) async fn create() -> Self {
        let all = TestQueues::create().await;
        Self {
            commands: CommandQueues {
                sync: all.queue("sync").await,
                dismiss: all.queue("dismiss").await,
                analyse: all.queue("analyse").await,
            },
            scheduled: all.queue("scheduled").await,
            callback: all.queue("callback").await,
            erase: all.queue("erase").await,
            dead: all.queue("dead").await,
            malformed: all.queue("malformed").await,
            all,
        }
    }

    /// How many messages were sent so far.
    pub(crate) fn sent(&self) -> usize {
        let operations = ["SendMessage", "SendMessageBatch"];
        let sent = operations.map(|operation| self.all.proxy.count(operation));
        sent.iter().sum()
    }
}
