//! The simulator through a real listener, with a receiver of callbacks beside it.

mod callbacks;
mod faults;
mod local;
mod receiver;
mod restarts;
mod server;
mod sessions;
