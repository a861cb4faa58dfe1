//! The local stack: the real function binaries behind a Lambda runtime API, wired as `template.yaml` says.

pub mod arguments;
pub mod aws_proxy;
pub mod compile;
pub mod connect;
pub mod data_directory;
pub mod demo;
pub mod functions;
pub mod gateway;
mod guard;
mod idle;
mod listen;
mod mapping;
pub mod queues;
pub mod schedule;
mod services;
pub mod shutdown;
pub mod simulators;
pub mod stack;
pub mod start_error;
pub mod tables;
pub mod template;

pub use telemetry::chain;
