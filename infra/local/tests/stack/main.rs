//! The stack as a whole, around a function that does what it is told.

mod faults;
mod functions;
mod gateway;
mod life;
mod permissions;
mod queues;
mod simulators;
mod starting;
mod support;
