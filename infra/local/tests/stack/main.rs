//! Tests of the whole stack with a function that follows the orders in its events.

mod faults;
mod functions;
mod gateway;
mod life;
mod permissions;
mod queues;
mod simulators;
mod starting;
mod support;
