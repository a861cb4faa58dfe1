//! Counts the functions' calls and the capacity they consume.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use serde::Serialize;

use super::call::{Call, Service};

/// The counters of one operation.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Operation {
    /// Number of calls.
    pub requests: u64,
    /// How many of them a partition's limit has refused or cancelled.
    #[serde(skip_serializing_if = "is_zero")]
    pub throttled: u64,
    /// Read capacity units consumed; absent if the operation consumes none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub read_units: Option<f64>,
    /// Write capacity units consumed; absent if the operation consumes none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub write_units: Option<f64>,
}

/// Counters by service and operation.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Services {
    /// DynamoDB's operations.
    pub dynamodb: BTreeMap<String, Operation>,
    /// SQS's operations.
    pub sqs: BTreeMap<String, Operation>,
}

/// The answer to `GET /local/aws/requests`.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Usage {
    /// All functions together.
    #[serde(flatten)]
    pub total: Services,
    /// Each function.
    pub functions: BTreeMap<String, Services>,
}

/// The counters.
#[derive(Debug, Default)]
pub(super) struct Counters(Mutex<Usage>);

impl Counters {
    /// Counts a call and the capacity it consumed.
    pub(super) fn count(&self, call: &Call, units: f64) {
        let mut usage = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        usage.total.count(call, units);
        if let Some(function) = call.function() {
            let services = usage.functions.entry(function.to_owned()).or_default();
            services.count(call, units);
        }
    }

    /// Counts a call that a partition's limit has refused or cancelled.
    pub(super) fn throttle(&self, call: &Call) {
        self.count(call, 0.0);
        let mut usage = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        usage.total.throttle(call);
        if let Some(function) = call.function() {
            let services = usage.functions.entry(function.to_owned()).or_default();
            services.throttle(call);
        }
    }

    pub(super) fn usage(&self) -> Usage {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub(super) fn reset(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Usage::default();
    }
}

impl Services {
    fn throttle(&mut self, call: &Call) {
        let operation = self.dynamodb.entry(call.operation.clone()).or_default();
        operation.throttled += 1;
    }

    fn count(&mut self, call: &Call, units: f64) {
        match call.service {
            Service::Dynamodb => {
                let operation = self.dynamodb.entry(call.operation.clone()).or_default();
                operation.requests += 1;
                let reads = operation.read_units.get_or_insert(0.0);
                let writes = operation.write_units.get_or_insert(0.0);
                *if is_read(&call.operation) {
                    reads
                } else {
                    writes
                } += units;
            }
            Service::Sqs => {
                let operation = self.sqs.entry(call.operation.clone()).or_default();
                operation.requests += 1;
            }
            // Each process reads its secrets once; nobody needs the count.
            Service::SecretsManager => {}
        }
    }
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
const fn is_zero(number: &u64) -> bool {
    *number == 0
}

fn is_read(operation: &str) -> bool {
    [
        "BatchGetItem",
        "GetItem",
        "Query",
        "Scan",
        "TransactGetItems",
    ]
    .contains(&operation)
}
