//! Tests the API on an embedded DynamoDB and stubs of the other services, with events as API Gateway sends them.

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
