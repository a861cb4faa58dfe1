//! The domain: what a command, an owner, a finding, an analysis and a configuration are, and the lifecycle that says what
//! may happen to a command. Knows no AWS, no HTTP and no clock.

pub mod analysis;
pub mod change;
pub mod command;
pub mod finding;
pub mod installation;
pub mod lifecycle;
pub mod owner;
pub mod page;
pub mod result_code;
pub mod settings;
pub mod text;
pub mod timestamp;

pub use timestamp::Timestamp;
