//! The domain: commands, owners, findings, analyses and configurations, and the lifecycle, which says which moves of a
//! command are possible. Knows no AWS, no HTTP and no clock.

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
