//! How the functions reach AWS: the platform's credentials and region, and no call without an end.

use std::time::Duration;

use aws_config::{BehaviorVersion, SdkConfig, timeout::TimeoutConfig};

use domain::Timestamp;
use outbound::secrets::Secrets;
use store::{clock::Clock, table::Table};

/// How long calls may take.
#[derive(Clone, Copy, Debug)]
pub struct CallTimeouts {
    /// One try.
    pub per_try: Duration,
    /// A call with its retries.
    pub per_call: Duration,
}

impl CallTimeouts {
    /// For functions that nobody waits for: an answer that takes longer will not come.
    pub const BACKGROUND: Self = Self {
        per_try: Duration::from_secs(3),
        per_call: Duration::from_secs(8),
    };
}

/// What every function starts with.
#[derive(Clone, Debug)]
pub struct Services {
    /// The table.
    pub table: Table,
    /// The queues.
    pub queues: aws_sdk_sqs::Client,
    /// The secrets; none is read before it is needed.
    pub secrets: Secrets,
    /// The time, which follows DynamoDB's.
    pub clock: Clock,
}

impl Services {
    /// Opens the table of this name, and with it the clock, which `machine` is trusted for until DynamoDB has answered.
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

/// The configuration that every client is made from.
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
