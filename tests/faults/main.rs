//! Fault injection. Each test runs the real binaries in its own local stack, injects one fault, asserts its outcome,
//! and then checks the seven points that always hold: [`oracle::check`].
//!
//! `docs/faults.md` lists the faults and their tests.

mod acceptance;
mod admission;
mod analysing;
mod analysis;
mod automation;
mod concurrency;
mod configuration;
mod conformance;
mod delivery;
mod dismissal;
mod documented;
mod erasure;
mod fairness;
mod github;
mod isolation;
mod loops;
mod measuring;
mod messages;
mod operating;
mod oracle;
mod power;
mod queries;
mod reconciling;
mod reopening;
mod result_codes;
mod roles;
mod scene;
mod storage;
mod throttling;
mod tracing;
mod workers;
