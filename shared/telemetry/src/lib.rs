//! Telemetry of the functions: log lines, metrics, and the trace that both belong to.

mod log;
pub mod metrics;
pub mod trace;

pub use log::{about, about_row, chain, init, work};
