//! The one table. Each row belongs to one store here, and only that store's guarded writes change it.

pub mod abandon;
pub mod audit;
mod cause;
pub mod clock;
pub mod erasure;
pub mod findings;
pub mod ledger;
pub mod owners;
pub mod pace;
pub mod repositories;
pub mod table;

pub use findings::analyses;
