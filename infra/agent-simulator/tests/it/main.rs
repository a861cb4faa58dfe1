//! The simulator through a real listener, with a receiver for its callbacks.

mod callbacks;
mod faults;
mod local;
mod receiver;
mod restarts;
mod server;
mod sessions;
