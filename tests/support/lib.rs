//! Shared parts of the tests: a table as `template.yaml` defines it, queues, a fault-injecting proxy, the local stack
//! and samples.
//!
//! By default everything is embedded and in memory. With `TEST_DYNAMODB_ENDPOINT` set, each test creates its own table
//! at that endpoint.

mod backstage;
mod client;
mod consumers;
mod functions;
pub mod oracle;
mod proxy;
mod queues;
mod rows;
mod samples;
mod stack;
mod table;

pub use backstage::{Backstage, batch, command_id, failures, message};
pub use client::{Answer, Caller, is_over};
pub use consumers::Consumer;
pub use functions::{automation, cleaned_up, command_queues, quarantine, reconciler, worker};
pub use proxy::{Break, Fault, Proxy};
pub use queues::TestQueues;
pub use rows::row;
pub use samples::{
    ACCEPTED_TIMEOUT, Holder, NOON, RETENTION, RUNNING_TIMEOUT, TIMEOUTS, actor, command, finding,
    key, key_in_shard, noon, owner, repository, states, sync_of, unhurried,
};
pub use stack::{Launch, Stack, TIMEOUT, bench_binaries, binaries, eventually, is_alive};
pub use table::{TestTable, embedded};

use aws_credential_types::Credentials;

/// The emulators check no signature, but the clients must sign.
pub fn credentials() -> Credentials {
    Credentials::new("test", "test", None, None, "tests")
}
