//! How the functions reach AWS: the platform's credentials and region, and no call without an end.

use std::time::Duration;

use aws_config::{BehaviorVersion, SdkConfig, timeout::TimeoutConfig};

/// How long calls may take.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// One try.
    pub per_try: Duration,
    /// A call with its retries.
    pub per_call: Duration,
}

impl Patience {
    /// For functions that nobody waits for: an answer that takes longer will not come.
    pub const BACKGROUND: Self = Self {
        per_try: Duration::from_secs(3),
        per_call: Duration::from_secs(8),
    };
}

/// The configuration that every client is made from.
pub async fn load(patience: Patience) -> SdkConfig {
    let timeouts = TimeoutConfig::builder()
        .operation_attempt_timeout(patience.per_try)
        .operation_timeout(patience.per_call)
        .build();
    aws_config::defaults(BehaviorVersion::latest())
        .timeout_config(timeouts)
        .load()
        .await
}
