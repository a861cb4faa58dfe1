//! The API against an embedded DynamoDB and a stub of the other services, driven by events as API Gateway sends them.

mod admission;
mod audit_events;
mod callback;
mod commands;
mod configuration;
mod cursors;
mod erasure;
mod finding_commands;
mod findings;
mod overview;
mod requests;
mod routes;
mod scoping;
mod support;
