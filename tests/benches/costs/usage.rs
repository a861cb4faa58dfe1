//! Requests and capacity, as the stack counts them.

use std::collections::BTreeMap;

use serde_json::Value;

/// The AWS requests of a function.
#[derive(Default)]
pub(crate) struct Usage {
    /// Requests by operation, for DynamoDB and SQS.
    pub(crate) dynamodb: BTreeMap<String, u64>,
    pub(crate) sqs: BTreeMap<String, u64>,
    pub(crate) read_units: f64,
    pub(crate) write_units: f64,
}

impl Usage {
    /// Reads the stack's counters of one function.
    pub(crate) fn read(counted: &Value) -> Self {
        let sum = |name: &str| -> f64 {
            let operations = counted["dynamodb"].as_object();
            operations
                .into_iter()
                .flat_map(serde_json::Map::values)
                .filter_map(|operation| operation[name].as_f64())
                .sum()
        };
        Self {
            dynamodb: requests(&counted["dynamodb"]),
            sqs: requests(&counted["sqs"]),
            read_units: sum("readUnits"),
            write_units: sum("writeUnits"),
        }
    }

    pub(crate) fn requests(&self) -> u64 {
        self.dynamodb.values().chain(self.sqs.values()).sum()
    }
}

fn requests(operations: &Value) -> BTreeMap<String, u64> {
    let operations = operations.as_object().into_iter().flatten();
    operations
        .filter_map(|(name, operation)| Some((name.clone(), operation["requests"].as_u64()?)))
        .collect()
}

/// Formats operations and their counts as a table cell.
pub(crate) fn listed(operations: &BTreeMap<String, u64>) -> String {
    if operations.is_empty() {
        return "–".to_owned();
    }
    let listed: Vec<_> = operations
        .iter()
        .map(|(name, requests)| format!("{requests} {name}"))
        .collect();
    listed.join(", ")
}
