//! The one table: every row is written here, by a guarded write of the store it belongs to.

pub mod abandon;
pub mod audit;
pub mod clock;
pub mod erasure;
pub mod findings;
pub mod ledger;
pub mod owners;
pub mod repositories;
pub mod table;

pub use findings::analyses;
