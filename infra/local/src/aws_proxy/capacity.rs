//! Consumed capacity: the proxy requests it with every DynamoDB call, adds it up, and removes it from the answer
//! unless the caller requested it too.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::{RawValue, to_raw_value};

/// A JSON object whose values stay as they were written.
type Members = BTreeMap<String, Box<RawValue>>;

/// Whether the caller itself requested the consumed capacity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asked {
    ByCaller,
    ByProxy,
}

/// Adds `ReturnConsumedCapacity` to the request. Returns `None` if the operation does not support it.
pub(super) fn ask(operation: &str, body: &Bytes) -> Option<(Bytes, Asked)> {
    /// Operations that accept `ReturnConsumedCapacity`.
    const CAPABLE: [&str; 13] = [
        "BatchExecuteStatement",
        "BatchGetItem",
        "BatchWriteItem",
        "DeleteItem",
        "ExecuteStatement",
        "ExecuteTransaction",
        "GetItem",
        "PutItem",
        "Query",
        "Scan",
        "TransactGetItems",
        "TransactWriteItems",
        "UpdateItem",
    ];
    if !CAPABLE.contains(&operation) {
        return None;
    }
    let mut members: Members = serde_json::from_slice(body).ok()?;
    if members.contains_key("ReturnConsumedCapacity") {
        return Some((body.clone(), Asked::ByCaller));
    }
    members.insert(
        "ReturnConsumedCapacity".to_owned(),
        to_raw_value("INDEXES").ok()?,
    );
    Some((serde_json::to_vec(&members).ok()?.into(), Asked::ByProxy))
}

/// The units that a call has consumed.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Units {
    /// All of them.
    pub(super) total: f64,
    /// Those of global indexes, which have partitions of their own.
    pub(super) global: f64,
}

impl Units {
    /// Those of the partitions of the base table, which local indexes share.
    pub(super) const fn of_partitions(self) -> f64 {
        self.total - self.global
    }
}

/// Returns the units that an answer reports, if it does, and the answer to pass on to the caller.
pub(super) fn read(answer: &Bytes, asked: Asked) -> (Option<Units>, Bytes) {
    let Ok(mut members) = serde_json::from_slice::<Members>(answer) else {
        return (None, answer.clone());
    };
    let Some(consumed) = members.remove("ConsumedCapacity") else {
        return (None, answer.clone());
    };
    let units = units(&consumed);
    let shown = match asked {
        Asked::ByCaller => None,
        Asked::ByProxy => serde_json::to_vec(&members).ok().map(Bytes::from),
    };
    (Some(units), shown.unwrap_or_else(|| answer.clone()))
}

/// Adds up the capacity of one table or of a list of tables.
fn units(consumed: &RawValue) -> Units {
    #[derive(Default, Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Consumed {
        #[serde(default)]
        capacity_units: f64,
        #[serde(default)]
        global_secondary_indexes: BTreeMap<String, Consumed>,
    }
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum OneOrMany {
        Many(Vec<Consumed>),
        One(Consumed),
    }
    let tables = match serde_json::from_str(consumed.get()) {
        Ok(OneOrMany::One(one)) => vec![one],
        Ok(OneOrMany::Many(many)) => many,
        Err(_) => Vec::new(),
    };
    let indexes = tables
        .iter()
        .flat_map(|table| table.global_secondary_indexes.values());
    Units {
        total: tables.iter().map(|table| table.capacity_units).sum(),
        global: indexes.map(|index| index.capacity_units).sum(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capacity_is_hidden_from_a_caller_that_did_not_request_it() {
        let request = Bytes::from_static(br#"{"TableName":"Table","Key":{"n":{"N":"1.0"}}}"#);
        let (sent, asked) = ask("GetItem", &request).expect("GetItem reports capacity");
        assert_eq!(asked, Asked::ByProxy);
        assert!(String::from_utf8_lossy(&sent).contains(r#""ReturnConsumedCapacity":"INDEXES""#));

        let answer = Bytes::from_static(
            br#"{"ConsumedCapacity":{"TableName":"Table","CapacityUnits":2.5},"Item":{"n":{"N":"1.0"}}}"#,
        );
        let (units, shown) = read(&answer, asked);
        let (total, global) = (2.5, 0.0);
        assert_eq!(units, Some(Units { total, global }));
        assert_eq!(&shown[..], br#"{"Item":{"n":{"N":"1.0"}}}"#);
    }

    #[test]
    fn a_caller_that_requested_capacity_receives_it() {
        let request = Bytes::from_static(br#"{"ReturnConsumedCapacity":"TOTAL"}"#);
        let (sent, asked) = ask("BatchGetItem", &request).expect("BatchGetItem reports capacity");
        assert_eq!((&sent, asked), (&request, Asked::ByCaller));

        let answer = Bytes::from_static(
            br#"{"ConsumedCapacity":[{"CapacityUnits":1.0},{"CapacityUnits":3.5,
                "GlobalSecondaryIndexes":{"due":{"CapacityUnits":2.0}},
                "LocalSecondaryIndexes":{"active":{"CapacityUnits":0.5}}}]}"#,
        );
        let (units, shown) = read(&answer, asked);
        let (total, global) = (4.5, 2.0);
        assert_eq!(units, Some(Units { total, global }));
        assert_eq!(shown, answer);
    }

    #[test]
    fn operations_without_capacity_are_not_modified() {
        assert!(ask("DescribeTable", &Bytes::from_static(b"{}")).is_none());
    }
}
