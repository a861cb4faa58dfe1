//! The faults that must do no harm. Each test runs the real binaries in a local stack of its own, injects one fault and
//! then checks, beside what that fault must lead to, the seven points that always hold: [`oracle::check`].
//!
//! `docs/faults.md` lists them.

mod acceptance;
mod admission;
mod analysing;
mod analysis;
mod automation;
mod configuration;
mod conformance;
mod delivery;
mod dismissal;
mod documented;
mod erasure;
mod fairness;
mod github;
mod isolation;
mod measuring;
mod messages;
mod operating;
mod oracle;
mod power;
mod reconciling;
mod reopening;
mod result_codes;
mod roles;
mod scene;
mod storage;
mod tracing;
mod workers;
