//! The functions' AWS clients: the platform's credentials and region, and a timeout on every call.

use std::time::Duration;

use aws_config::{BehaviorVersion, SdkConfig, timeout::TimeoutConfig};

use domain::Timestamp;
use outbound::secrets::Secrets;
use store::{clock::Clock, table::Table};

/// The timeouts of AWS calls.
#[derive(Clone, Copy, Debug)]
pub struct CallTimeouts {
    /// One try.
    pub per_try: Duration,
    /// A call with its retries.
    pub per_call: Duration,
}

impl CallTimeouts {
    /// For functions without a waiting client. An answer that takes longer is not expected any more.
    pub const BACKGROUND: Self = Self {
        per_try: Duration::from_secs(3),
        per_call: Duration::from_secs(8),
    };
}

/// The clients that every function starts with.
#[derive(Clone, Debug)]
pub struct Services {
    /// The table.
    pub table: Table,
    /// The queues.
    pub queues: aws_sdk_sqs::Client,
    /// The secrets, each read on first use.
    pub secrets: Secrets,
    /// The clock, which follows DynamoDB's.
    pub clock: Clock,
}

impl Services {
    /// Opens the table with this name and the clock. `machine` is the time until DynamoDB has answered once.
    pub async fn open(
        table: String,
        call_timeouts: CallTimeouts,
        machine: fn() -> Timestamp,
    ) -> Self {
        let aws = load(call_timeouts).await;
        let clock = Clock::new(machine);
        Self {
            table: Table::open(&aws, table, &clock).await,
            queues: aws_sdk_sqs::Client::new(&aws),
            secrets: Secrets::new(aws_sdk_secretsmanager::Client::new(&aws)),
            clock,
        }
    }
}

/// The configuration of every client.
async fn load(call_timeouts: CallTimeouts) -> SdkConfig {
    let timeouts = TimeoutConfig::builder()
        .operation_attempt_timeout(call_timeouts.per_try)
        .operation_timeout(call_timeouts.per_call)
        .build();
    aws_config::defaults(BehaviorVersion::latest())
        .timeout_config(timeouts)
        .load()
        .await
}
