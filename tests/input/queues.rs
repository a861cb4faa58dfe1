//! The functions' queues.

use std::collections::BTreeMap;

use domain::command::CommandQueue;
use runtime::queue::{CommandQueues, QueueUrl};
use tests::{TestQueues, command_queues};

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
        let mut each = BTreeMap::new();
        for queue in CommandQueue::ALL {
            each.insert(queue, all.queue(queue.function()).await);
        }
        let commands = command_queues(|queue| each[&queue].clone());
        Self {
            commands,
            scheduled: all.queue("scheduled").await,
            callback: all.queue("callback").await,
            erase: all.queue("erase").await,
            dead: all.queue("dead").await,
            malformed: all.queue("malformed").await,
            all,
        }
    }

    /// Counts the messages sent so far.
    pub(crate) fn sent(&self) -> usize {
        let operations = ["SendMessage", "SendMessageBatch"];
        let sent = operations.map(|operation| self.all.proxy.count(operation));
        sent.iter().sum()
    }
}
