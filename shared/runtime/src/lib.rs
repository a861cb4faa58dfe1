//! What every function shares: the frame of `main`, queues, workers, the environment.

pub mod automation;
pub mod aws;
pub mod environment;
pub mod function;
pub mod quarantine;
pub mod queue;
pub mod sqs;
pub mod worker;
