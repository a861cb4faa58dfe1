//! What the stores and the functions above them promise, kept against a database.

mod dead_letter;
mod findings;
mod ledger;
mod owners;
mod reconcile;
mod repositories;
