//! The limit of a partition: 1,000 write units and 3,000 read units a second for each partition key, which the base table
//! and its local indexes share. A request beyond it is answered as DynamoDB does.
//!
//! Strict: no burst capacity, no adaptive capacity, and no limit of the table as a whole or of a global index.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use http::{Response, StatusCode};
use http_body_util::Full;
use serde_json::{Map, Value, json};
use tokio::time::Instant;

use super::call::{Call, Service};
use super::capacity::Units;
use super::refusal;

/// Of a partition, on demand or not:
/// <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/bp-partition-key-design.html>.
const WRITES_PER_SECOND: f64 = 1_000.0;
const READS_PER_SECOND: f64 = 3_000.0;
/// More buckets than this are cleared of full ones.
const MANY: usize = 10_000;

/// The message of `ThrottlingError` and `ThrottlingException`, as the API reference of `TransactWriteItems` has it.
const MESSAGE: &str = "Throughput exceeds the current capacity of your table or index. DynamoDB is automatically scaling \
    your table or index so please try again shortly. If exceptions persist, check if you have a hot key: \
    https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/bp-partition-key-design.html.";

/// The partitions of the tables.
#[derive(Debug)]
pub struct Partitions {
    /// The name of each table's partition key.
    keys: HashMap<String, String>,
    buckets: Mutex<HashMap<Partition, Bucket>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Direction {
    Read,
    Write,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Partition {
    direction: Direction,
    table: String,
    key: String,
}

/// The units that a partition still has.
#[derive(Debug)]
struct Bucket {
    units: f64,
    at: Instant,
}

/// One item of a request, and the least that it costs.
#[derive(Clone, Debug, PartialEq)]
struct Share {
    partition: Partition,
    units: f64,
}

/// A request that may be performed, perhaps in part.
#[derive(Debug, Default)]
pub(super) struct Admitted {
    shares: Vec<Share>,
    /// The request without what its partitions had no units for, and that: `UnprocessedKeys` or `UnprocessedItems`.
    reduced: Option<(Bytes, Map<String, Value>)>,
}

/// A request that a partition has too few units for.
#[derive(Debug)]
pub(super) enum Throttled {
    /// The request as a whole.
    Request,
    /// A transaction, and for each of its items whether it had units.
    Transaction { had_units: Vec<bool> },
}

impl Throttled {
    /// DynamoDB's answer.
    pub(super) fn answer(&self) -> Response<Full<Bytes>> {
        match self {
            Self::Request => {
                let code = "ThrottlingException";
                refusal(Service::Dynamodb, StatusCode::BAD_REQUEST, code, MESSAGE)
            }
            Self::Transaction { had_units } => {
                let code = |had_units: &bool| {
                    if *had_units {
                        "None"
                    } else {
                        "ThrottlingError"
                    }
                };
                cancelled(&had_units.iter().map(code).collect::<Vec<_>>())
            }
        }
    }
}

impl Partitions {
    /// Partitions of tables with these names, each with the name of its partition key.
    pub fn new(keys: HashMap<String, String>) -> Self {
        Self {
            keys,
            buckets: Mutex::default(),
        }
    }

    /// Takes the least that a call costs from its partitions. Returns DynamoDB's answer if one of them has too little.
    pub(super) fn admit(&self, call: &Call, now: Instant) -> Result<Admitted, Throttled> {
        let body: Value = match serde_json::from_slice(&call.body) {
            Ok(body) if call.service == Service::Dynamodb => body,
            // DynamoDB itself refuses what is no JSON.
            Ok(_) | Err(_) => return Ok(Admitted::default()),
        };
        match call.operation.as_str() {
            "BatchGetItem" | "BatchWriteItem" => self.admit_batch(body, now),
            "TransactWriteItems" => self.admit_transaction(&body, now),
            operation => match self.single(operation, &body) {
                Some(share) if !self.take(&share, now) => Err(Throttled::Request),
                share => Ok(Admitted {
                    shares: share.into_iter().collect(),
                    reduced: None,
                }),
            },
        }
    }

    /// Takes the rest of what a performed call has cost, or returns what it did not cost. A partition may then owe units:
    /// DynamoDB, too, learns what a read costs by reading. `consumed` is `None` if the call failed: what it took stays
    /// taken, as a failed condition costs its units.
    pub(super) fn settle(&self, admitted: &Admitted, consumed: Option<Units>, now: Instant) {
        let taken: f64 = admitted.shares.iter().map(|share| share.units).sum();
        let Some(consumed) = consumed.filter(|_| taken > 0.0) else {
            return;
        };
        // The answer has the sum only. What each item writes to local indexes grows with it.
        let each = (consumed.of_partitions() - taken) / taken;
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        for share in &admitted.shares {
            let bucket = buckets.entry(share.partition.clone());
            let bucket = bucket.or_insert_with(|| Bucket::full(share.partition.direction, now));
            bucket.refill(share.partition.direction, now);
            bucket.units -= share.units * each;
        }
    }

    fn admit_transaction(&self, body: &Value, now: Instant) -> Result<Admitted, Throttled> {
        let items = body["TransactItems"].as_array().into_iter().flatten();
        let mut shares = Vec::new();
        let mut had_units = Vec::new();
        for item in items {
            let action = item.as_object().and_then(|item| item.values().next());
            let share = action.and_then(|action| self.written(action, 2.0));
            let has_units = share.as_ref().is_none_or(|share| self.take(share, now));
            had_units.push(has_units);
            shares.extend(share);
        }
        if had_units.iter().all(|has_units| *has_units) {
            return Ok(Admitted {
                shares,
                reduced: None,
            });
        }
        Err(Throttled::Transaction { had_units })
    }

    fn admit_batch(&self, mut body: Value, now: Instant) -> Result<Admitted, Throttled> {
        let mut shares = Vec::new();
        let mut left = Map::new();
        let tables = body["RequestItems"].as_object_mut().into_iter().flatten();
        for (table, asked) in tables {
            let consistent = asked["ConsistentRead"] == true;
            let Some(entries) = entries(asked) else {
                continue;
            };
            let mut without = Vec::new();
            entries.retain(|entry| {
                let share = match entry
                    .get("PutRequest")
                    .or_else(|| entry.get("DeleteRequest"))
                {
                    Some(write) => {
                        let item = write.get("Item").or_else(|| write.get("Key"));
                        item.and_then(|item| self.share(Direction::Write, table, item, 1.0))
                    }
                    None => self.share(Direction::Read, table, entry, least_read(consistent)),
                };
                let has_units = share.as_ref().is_none_or(|share| self.take(share, now));
                if has_units {
                    shares.extend(share);
                } else {
                    without.push(entry.clone());
                }
                has_units
            });
            if !without.is_empty() {
                let unprocessed = match asked {
                    Value::Array(_) => Value::Array(without),
                    asked => {
                        let mut unprocessed = asked.clone();
                        unprocessed["Keys"] = Value::Array(without);
                        unprocessed
                    }
                };
                left.insert(table.clone(), unprocessed);
            }
        }
        if left.is_empty() {
            return Ok(Admitted {
                shares,
                reduced: None,
            });
        }
        if shares.is_empty() {
            return Err(Throttled::Request);
        }
        // DynamoDB refuses an empty list.
        if let Some(tables) = body["RequestItems"].as_object_mut() {
            tables.retain(|_, asked| entries(asked).is_none_or(|entries| !entries.is_empty()));
        }
        Ok(Admitted {
            shares,
            reduced: Some((body.to_string().into(), left)),
        })
    }

    /// The share of a request about one partition. `None` if it has no limit: a request of a global index, or of no rows.
    fn single(&self, operation: &str, body: &Value) -> Option<Share> {
        let consistent = body["ConsistentRead"] == true;
        match operation {
            "PutItem" | "UpdateItem" | "DeleteItem" => self.written(body, 1.0),
            "GetItem" => {
                let table = body["TableName"].as_str()?;
                self.share(Direction::Read, table, &body["Key"], least_read(consistent))
            }
            "Query" => {
                let table = body["TableName"].as_str()?;
                let (name, value) = body["KeyConditionExpression"].as_str()?.split_once('=')?;
                let (name, value) = (name.trim(), value.split_whitespace().next()?);
                let name = body["ExpressionAttributeNames"][name]
                    .as_str()
                    .unwrap_or(name);
                let value = &body["ExpressionAttributeValues"][value];
                self.share(
                    Direction::Read,
                    table,
                    &json!({ name: value }),
                    least_read(consistent),
                )
            }
            _ => None,
        }
    }

    /// The share of a write of one item, whose base costs this much for each KB.
    fn written(&self, action: &Value, each: f64) -> Option<Share> {
        let table = action["TableName"].as_str()?;
        let item = action.get("Item").or_else(|| action.get("Key"))?;
        let values = action.get("ExpressionAttributeValues");
        let size = item.to_string().len() + values.map_or(0, |values| values.to_string().len());
        let kilobytes = size.div_ceil(1_024);
        self.share(Direction::Write, table, item, each * kilobytes as f64)
    }

    /// The share of the item with this key, which may have further attributes.
    fn share(&self, direction: Direction, table: &str, item: &Value, units: f64) -> Option<Share> {
        let key = item.get(self.keys.get(table)?)?.to_string();
        let table = table.to_owned();
        Some(Share {
            partition: Partition {
                direction,
                table,
                key,
            },
            units,
        })
    }

    /// Takes the units, if the partition has them.
    fn take(&self, share: &Share, now: Instant) -> bool {
        let direction = share.partition.direction;
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() > MANY {
            buckets.retain(|partition, bucket| {
                bucket.refill(partition.direction, now);
                bucket.units < partition.direction.per_second()
            });
        }
        let bucket = buckets.entry(share.partition.clone());
        let bucket = bucket.or_insert_with(|| Bucket::full(direction, now));
        bucket.refill(direction, now);
        // A full bucket takes any request, or an item of more than a second's units could never be written.
        let enough = bucket.units >= share.units.min(direction.per_second());
        if enough {
            bucket.units -= share.units;
        }
        enough
    }
}

impl Admitted {
    /// The body to forward, if it is not the caller's.
    pub(super) fn body(&self) -> Option<Bytes> {
        self.reduced.as_ref().map(|(body, _)| body.clone())
    }

    /// The answer with what was left out of the request.
    pub(super) fn complete(&self, operation: &str, answer: Bytes) -> Bytes {
        let Some((_, left)) = &self.reduced else {
            return answer;
        };
        let Ok(Value::Object(mut answer)) = serde_json::from_slice(&answer) else {
            return answer;
        };
        let name = match operation {
            "BatchGetItem" => "UnprocessedKeys",
            _ => "UnprocessedItems",
        };
        // The embedded DynamoDB leaves nothing unprocessed.
        answer.insert(name.to_owned(), Value::Object(left.clone()));
        Value::Object(answer).to_string().into()
    }
}

impl Direction {
    const fn per_second(self) -> f64 {
        match self {
            Self::Read => READS_PER_SECOND,
            Self::Write => WRITES_PER_SECOND,
        }
    }
}

impl Bucket {
    const fn full(direction: Direction, at: Instant) -> Self {
        Self {
            units: direction.per_second(),
            at,
        }
    }

    fn refill(&mut self, direction: Direction, now: Instant) {
        let per_second = direction.per_second();
        let regained = now.saturating_duration_since(self.at).as_secs_f64() * per_second;
        self.units = (self.units + regained).min(per_second);
        self.at = self.at.max(now);
    }
}

/// A table's part of a batch: requests to write, or keys to read, which lie beside their projection.
fn entries(asked: &mut Value) -> Option<&mut Vec<Value>> {
    let list = if asked.is_array() {
        asked
    } else {
        asked.get_mut("Keys")?
    };
    list.as_array_mut()
}

/// The least that a read costs.
const fn least_read(consistent: bool) -> f64 {
    if consistent { 1.0 } else { 0.5 }
}

/// A transaction that was cancelled for these reasons.
pub(super) fn cancelled(codes: &[&str]) -> Response<Full<Bytes>> {
    let reason = |code: &&str| match *code {
        "None" => json!({ "Code": code }),
        "ThrottlingError" => json!({ "Code": code, "Message": MESSAGE }),
        code => json!({ "Code": code, "Message": "an injected fault" }),
    };
    let reasons: Vec<_> = codes.iter().map(reason).collect();
    let code = "TransactionCanceledException";
    let message = format!(
        "Transaction cancelled, please refer cancellation reasons for specific reasons [{}]",
        codes.join(", ")
    );
    let mut answer = refusal(Service::Dynamodb, StatusCode::BAD_REQUEST, code, &message);
    let body = json!({
        "__type": format!("com.amazonaws.dynamodb.v20120810#{code}"),
        "Message": message,
        "CancellationReasons": reasons,
    });
    *answer.body_mut() = Full::new(body.to_string().into());
    answer
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::{HeaderMap, Method, Uri};
    use http_body_util::BodyExt as _;

    use super::*;

    fn partitions() -> Partitions {
        Partitions::new(HashMap::from([("Table".to_owned(), "pk".to_owned())]))
    }

    fn call(operation: &str, body: &Value) -> Call {
        Call {
            service: Service::Dynamodb,
            operation: operation.to_owned(),
            access_key: None,
            method: Method::POST,
            uri: Uri::from_static("/"),
            headers: HeaderMap::new(),
            body: body.to_string().into(),
        }
    }

    fn put(pk: &str) -> Call {
        call(
            "PutItem",
            &json!({"TableName": "Table", "Item": {"pk": {"S": pk}}}),
        )
    }

    fn units(total: f64) -> Option<Units> {
        Some(Units { total, global: 0.0 })
    }

    async fn body(answer: Response<Full<Bytes>>) -> Value {
        let bytes = answer.into_body().collect().await.expect("it is whole");
        serde_json::from_slice(&bytes.to_bytes()).expect("it is JSON")
    }

    #[tokio::test]
    async fn a_partition_without_units_is_throttled_and_regains_them() {
        let (partitions, now) = (partitions(), Instant::now());
        let admitted = partitions.admit(&put("a"), now).expect("it is full");
        partitions.settle(&admitted, units(1_500.0), now);
        let refused = partitions.admit(&put("a"), now).expect_err("it owes 500");
        assert_eq!(refused.answer().status(), StatusCode::BAD_REQUEST);
        let refused = body(refused.answer()).await;
        assert_eq!(
            refused["__type"],
            "com.amazonaws.dynamodb.v20120810#ThrottlingException"
        );
        assert!(
            partitions.admit(&put("b"), now).is_ok(),
            "another partition"
        );
        let read = json!({"TableName": "Table", "Key": {"pk": {"S": "a"}}});
        assert!(
            partitions.admit(&call("GetItem", &read), now).is_ok(),
            "reads have their own"
        );
        assert!(
            partitions
                .admit(&put("a"), now + Duration::from_millis(499))
                .is_err()
        );
        assert!(
            partitions
                .admit(&put("a"), now + Duration::from_millis(502))
                .is_ok()
        );
    }

    #[tokio::test]
    async fn a_throttled_transaction_is_cancelled_with_its_reasons_in_order() {
        let (partitions, now) = (partitions(), Instant::now());
        let admitted = partitions.admit(&put("a"), now).expect("it is full");
        partitions.settle(&admitted, units(998.0), now);
        let check = json!({"ConditionCheck": {"TableName": "Table", "Key": {"pk": {"S": "b"}}}});
        let write = json!({"Update": {"TableName": "Table", "Key": {"pk": {"S": "a"}}}});
        let items = json!({"TransactItems": [check, write, write]});
        let refused = partitions.admit(&call("TransactWriteItems", &items), now);
        let refused = body(refused.expect_err("one write has units").answer()).await;
        assert_eq!(
            refused["Message"],
            "Transaction cancelled, please refer cancellation reasons for specific reasons [None, None, ThrottlingError]"
        );
        let codes: Vec<_> = (0..3)
            .map(|place| &refused["CancellationReasons"][place]["Code"])
            .collect();
        assert_eq!(codes, ["None", "None", "ThrottlingError"]);
    }

    #[test]
    fn a_batch_leaves_unprocessed_what_its_partitions_have_no_units_for() {
        let (partitions, now) = (partitions(), Instant::now());
        let get = json!({"TableName": "Table", "Key": {"pk": {"S": "a"}}});
        let admitted = partitions
            .admit(&call("GetItem", &get), now)
            .expect("it is full");
        partitions.settle(&admitted, units(3_000.0), now);
        let (spent, fresh) = (json!({"pk": {"S": "a"}}), json!({"pk": {"S": "b"}}));
        let batch = |keys: &[&Value]| json!({"RequestItems": {"Table": {"Keys": keys}}});
        let both = call("BatchGetItem", &batch(&[&spent, &fresh]));
        let admitted = partitions.admit(&both, now).expect("one is answered");
        let asked: Value = serde_json::from_slice(&admitted.body().expect("less")).expect("JSON");
        assert_eq!(asked, batch(&[&fresh]));
        let answer = admitted.complete("BatchGetItem", Bytes::from_static(b"{\"Responses\":{}}"));
        let answer: Value = serde_json::from_slice(&answer).expect("JSON");
        assert_eq!(answer["UnprocessedKeys"], batch(&[&spent])["RequestItems"]);
        assert!(
            partitions
                .admit(&call("BatchGetItem", &batch(&[&spent])), now)
                .is_err()
        );
    }

    #[test]
    fn local_indexes_share_their_partition_and_global_ones_do_not() {
        let (partitions, now) = (partitions(), Instant::now());
        let query = |key: &str| {
            call(
                "Query",
                &json!({"TableName": "Table", "IndexName": "any",
                "KeyConditionExpression": format!("{key} = :v"), "ExpressionAttributeValues": {":v": {"S": "a"}}}),
            )
        };
        let admitted = partitions.admit(&query("pk"), now).expect("it is full");
        partitions.settle(
            &admitted,
            Some(Units {
                total: 5_000.0,
                global: 2_000.0,
            }),
            now,
        );
        assert!(
            partitions.admit(&query("pk"), now).is_err(),
            "3,000 were its own"
        );
        assert!(partitions.admit(&query("due_shard"), now).is_ok());
    }
}
