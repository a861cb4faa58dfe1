//! What the stores and the functions above them promise, kept against a database.

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
