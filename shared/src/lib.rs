//! What Security Agent's functions stand on: the lifecycle of a command, the stores that enforce it, and the
//! services around it. Reads no environment and no clock below a function's `main`.

pub mod agent;
pub mod analyses;
pub mod analysis;
pub mod audit;
pub mod automation;
pub mod aws;
pub mod backoff;
pub mod capability;
pub mod clock;
pub mod command;
pub mod environment;
pub mod erasure;
pub mod finding;
pub mod findings;
pub mod function;
pub mod github;
pub mod giving_up;
pub mod ledger;
pub mod lifecycle;
pub mod metrics;
pub mod outbound;
pub mod owner;
pub mod owners;
pub mod queue;
pub mod repositories;
pub mod result_code;
pub mod secrets;
pub mod settings;
pub mod sqs;
pub mod table;
pub mod telemetry;
mod text;
pub mod timestamp;
pub mod trace;
pub mod worker;

pub use timestamp::Timestamp;
