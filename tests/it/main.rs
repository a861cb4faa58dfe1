//! Promises of the stores and of the functions above them, tested against a database.

mod abandon;
mod analyses;
mod audit;
mod automation;
mod dead_letter;
mod dismissal;
mod erasure;
mod findings;
mod ledger;
mod model;
mod owners;
mod reconcile;
mod repositories;
mod sending;
mod worker;
