//! The simulator through a real listener, as the functions call it.

mod changes;
mod credentials;
mod dataset;
mod faults;
mod lists;
mod server;
