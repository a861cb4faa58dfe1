//! The one table: the spelling of keys, and how items and expressions are built and read. Knows no row's meaning.

use backoff::{Backoff, Jitter};
use std::{collections::HashMap, time::Duration};

use aws_config::{SdkConfig, timeout::TimeoutConfig};
use aws_sdk_dynamodb::{
    Client,
    error::SdkError,
    operation::{transact_write_items::TransactWriteItemsError, update_item::UpdateItemError},
    types::{
        AttributeValue, ConditionCheck, Put, ReturnConsumedCapacity,
        ReturnValuesOnConditionCheckFailure, TransactWriteItem, Update,
    },
};
use sha2::{Digest as _, Sha256};
use tokio::time::Instant;
use tracing::warn;

pub use crate::cause::{Cause, Caused};
use crate::{
    cause::{Meaning, WriteError},
    clock::{Clock, Dated},
};
use domain::{Timestamp, lifecycle::Token, owner::Owner};
use telemetry::chain;

/// An item as DynamoDB returns it.
pub type Item = HashMap<String, AttributeValue>;

/// The table and the client that reaches it.
#[derive(Clone, Debug)]
pub struct Table {
    pub(crate) client: Client,
    pub(crate) name: String,
    /// How long a throttled transaction is repeated: as long as any other call of this client.
    call_timeout: Duration,
}

impl Table {
    /// The table with this name. One read while the function starts sets `clock` to DynamoDB's time before the first
    /// write, and opens the first connection.
    pub async fn open(aws: &SdkConfig, name: impl Into<String>, clock: &Clock) -> Self {
        let config = aws_sdk_dynamodb::config::Builder::from(aws);
        let client = Client::from_conf(config.interceptor(Dated(clock.clone())).build());
        let table = Self::new(client, name);
        let asked = table.client.get_item().table_name(&table.name);
        let asked = asked
            .key("pk", s("clock"))
            .key("sk", s("clock"))
            .send()
            .await;
        if let Err(error) = asked {
            warn!(error = %chain(&error), "DynamoDB's time could not be read; using the machine's until the first answer");
        }
        table
    }

    /// The table with this name.
    pub fn new(client: Client, name: impl Into<String>) -> Self {
        let timeouts = client.config().timeout_config();
        let call_timeout = timeouts.and_then(TimeoutConfig::operation_timeout);
        Self {
            call_timeout: call_timeout.unwrap_or(THROTTLED_FOR),
            client,
            name: name.into(),
        }
    }
}

/// The kinds of rows, each in a partition of its own per owner: a burst of findings must not slow a command's poll.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Partition {
    Commands,
    IdempotencyKeys,
    /// Configuration, integration, analyses in flight, erasure.
    Owner,
    Repositories,
    Findings,
    AuditEvents,
}

impl Partition {
    const fn prefix(self) -> &'static str {
        match self {
            Self::Commands => "command#",
            Self::IdempotencyKeys => "key#",
            Self::Owner => "owner#",
            Self::Repositories => "repository#",
            Self::Findings => "finding#",
            Self::AuditEvents => "audit#",
        }
    }

    /// The partition key. The fixed prefix comes first: an owner's id may hold any character.
    pub(crate) fn of(self, owner: &Owner) -> AttributeValue {
        AttributeValue::S(format!("{}{owner}", self.prefix()))
    }

    /// The key of one row of an owner. Only the row's own store knows the sort key.
    pub(crate) fn key(self, owner: &Owner, sort_key: impl Into<String>) -> Item {
        Item::from([
            ("pk".to_owned(), self.of(owner)),
            ("sk".to_owned(), s(sort_key)),
        ])
    }

    /// The owner in a partition key of this kind.
    pub(crate) fn owner(self, pk: &str) -> Option<Owner> {
        pk.strip_prefix(self.prefix())?.parse().ok()
    }
}

/// The single rows of an owner's own partition. Each belongs to the store that its comment names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OwnerRow {
    /// `owners`: the configuration.
    Settings,
    /// `owners`: the connection to GitHub.
    Integration,
    /// `analyses`: the slots that are taken, and the counts.
    Analyses,
    /// `erasure`: the tombstone.
    Erasure,
}

impl OwnerRow {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Settings => "settings",
            Self::Integration => "integration",
            Self::Analyses => "analyses",
            Self::Erasure => "erasure",
        }
    }

    /// The row with this sort key.
    pub(crate) fn of(sort_key: &str) -> Option<Self> {
        [
            Self::Settings,
            Self::Integration,
            Self::Analyses,
            Self::Erasure,
        ]
        .into_iter()
        .find(|row| row.as_str() == sort_key)
    }

    pub(crate) fn key(self, owner: &Owner) -> Item {
        Partition::Owner.key(owner, self.as_str())
    }
}

/// A hash of the owner, evenly distributed.
pub(crate) fn spread(owner: &Owner) -> u32 {
    let digest = Sha256::digest(owner.to_string().as_bytes());
    u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]])
}

/// The kinds of rows in the reconciler's `due` index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DueKind {
    /// A command: a re-send, then its deadline.
    Command,
    /// An owner's scheduled sync.
    Schedule,
    /// A finding's analysis: a callback that was not recorded, or its deadline.
    Analysis,
    /// An owner whose automation must run.
    Automation,
    /// An owner whose erasure is not done.
    Erasure,
}

impl DueKind {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Command => "command",
            Self::Schedule => "schedule",
            Self::Analysis => "analysis",
            Self::Automation => "automation",
            Self::Erasure => "erasure",
        }
    }

    /// The number of `due` index partitions for this kind. DynamoDB accepts 1,000 writes a second per partition; each
    /// partition costs the reconciler one query a run.
    pub const fn shards(self) -> u8 {
        match self {
            Self::Command | Self::Schedule => 16,
            Self::Analysis | Self::Automation => 4,
            Self::Erasure => 1,
        }
    }

    /// The index partition of this shard.
    pub fn shard(self, shard: u8) -> String {
        format!("{}#{:02}", self.as_str(), shard % self.shards())
    }

    /// The index partition of a row with this evenly distributed number.
    pub(crate) fn shard_of(self, number: u32) -> String {
        let shard = number % u32::from(self.shards());
        self.shard(u8::try_from(shard).expect("less than the number of shards"))
    }
}

/// An item that this version cannot read: written by a newer version, or damaged.
#[derive(Debug, thiserror::Error)]
#[error("attribute {attribute:?} is missing or invalid")]
pub struct Unreadable {
    attribute: &'static str,
}

impl Unreadable {
    pub(crate) const fn attribute(attribute: &'static str) -> Self {
        Self { attribute }
    }
}

impl From<Unreadable> for Cause {
    fn from(error: Unreadable) -> Self {
        Self::other(error)
    }
}

/// Typed reading of an item's attributes.
pub(crate) trait Attributes {
    fn text(&self, name: &'static str) -> Result<&str, Unreadable>;
    fn number<N: std::str::FromStr>(&self, name: &'static str) -> Result<N, Unreadable>;
    fn has(&self, name: &'static str) -> bool;

    fn text_owned(&self, name: &'static str) -> Result<String, Unreadable> {
        self.text(name).map(str::to_owned)
    }
    fn time(&self, name: &'static str) -> Result<Timestamp, Unreadable> {
        self.number(name).map(Timestamp::from_millis)
    }
    fn token(&self, name: &'static str) -> Result<Token, Unreadable> {
        u128::from_str_radix(self.text(name)?, 16)
            .map(Token)
            .map_err(|_| Unreadable::attribute(name))
    }
    fn parsed<T>(
        &self,
        name: &'static str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Result<T, Unreadable> {
        parse(self.text(name)?).ok_or(Unreadable::attribute(name))
    }
    /// `None` if the attribute is absent.
    fn maybe<T>(
        &self,
        name: &'static str,
        read: impl Fn(&Self, &'static str) -> Result<T, Unreadable>,
    ) -> Result<Option<T>, Unreadable> {
        if self.has(name) {
            read(self, name).map(Some)
        } else {
            Ok(None)
        }
    }
}

impl Attributes for Item {
    fn text(&self, name: &'static str) -> Result<&str, Unreadable> {
        match self.get(name) {
            Some(AttributeValue::S(text)) => Ok(text),
            _ => Err(Unreadable::attribute(name)),
        }
    }
    fn number<N: std::str::FromStr>(&self, name: &'static str) -> Result<N, Unreadable> {
        match self.get(name) {
            Some(AttributeValue::N(text)) => text.parse().map_err(|_| Unreadable::attribute(name)),
            _ => Err(Unreadable::attribute(name)),
        }
    }
    fn has(&self, name: &'static str) -> bool {
        self.contains_key(name)
    }
}

/// A text attribute.
pub(crate) fn s(text: impl Into<String>) -> AttributeValue {
    AttributeValue::S(text.into())
}

/// A number attribute.
pub(crate) fn n(number: impl ToString) -> AttributeValue {
    AttributeValue::N(number.to_string())
}

/// A point in time, in milliseconds.
pub(crate) fn ms(time: Timestamp) -> AttributeValue {
    n(time.as_millis())
}

/// A writer's token.
pub(crate) fn token(token: Token) -> AttributeValue {
    s(format!("{:032x}", token.0))
}

/// An update and its condition under construction. Every name is a placeholder, so none can be a reserved word.
#[derive(Debug, Default)]
pub(crate) struct Expression {
    pub(crate) names: HashMap<String, String>,
    pub(crate) values: HashMap<String, AttributeValue>,
    set: Vec<String>,
    remove: Vec<String>,
    insert: Vec<String>,
    take: Vec<String>,
}

impl Expression {
    /// A placeholder for an attribute.
    pub(crate) fn name(&mut self, attribute: &str) -> String {
        let placeholder = format!("#{attribute}");
        self.names.insert(placeholder.clone(), attribute.to_owned());
        placeholder
    }

    /// A placeholder for a value.
    pub(crate) fn value(&mut self, value: AttributeValue) -> String {
        let placeholder = format!(":v{}", self.values.len());
        self.values.insert(placeholder.clone(), value);
        placeholder
    }

    /// `attribute <op> value`.
    pub(crate) fn compare(
        &mut self,
        attribute: &str,
        operator: &str,
        value: AttributeValue,
    ) -> String {
        let (name, value) = (self.name(attribute), self.value(value));
        format!("{name} {operator} {value}")
    }

    /// Assigns a value.
    pub(crate) fn set(&mut self, attribute: &str, value: AttributeValue) {
        let assignment = self.compare(attribute, "=", value);
        self.set.push(assignment);
    }

    /// Assigns a value unless the attribute has one.
    pub(crate) fn set_once(&mut self, attribute: &str, value: AttributeValue) {
        let (name, value) = (self.name(attribute), self.value(value));
        self.set
            .push(format!("{name} = if_not_exists({name}, {value})"));
    }

    /// Adds to a number that may be absent.
    pub(crate) fn add(&mut self, attribute: &str, amount: i64) {
        let (name, zero, amount) = (
            self.name(attribute),
            self.value(n(0)),
            self.value(n(amount)),
        );
        self.set
            .push(format!("{name} = if_not_exists({name}, {zero}) + {amount}"));
    }

    /// Removes an attribute.
    pub(crate) fn remove(&mut self, attribute: &str) {
        let name = self.name(attribute);
        self.remove.push(name);
    }

    /// Adds a text to a set that may be absent.
    pub(crate) fn insert(&mut self, attribute: &str, text: String) {
        let (name, text) = (
            self.name(attribute),
            self.value(AttributeValue::Ss(vec![text])),
        );
        self.insert.push(format!("{name} {text}"));
    }

    /// Removes a text from a set. DynamoDB removes a set that becomes empty.
    pub(crate) fn take(&mut self, attribute: &str, text: String) {
        let (name, text) = (
            self.name(attribute),
            self.value(AttributeValue::Ss(vec![text])),
        );
        self.take.push(format!("{name} {text}"));
    }

    /// `attribute` is a set of fewer than `count` texts, or absent.
    pub(crate) fn fewer_than(&mut self, attribute: &str, count: usize) -> String {
        let (name, count) = (self.name(attribute), self.value(n(count)));
        format!("(attribute_not_exists({name}) OR size({name}) < {count})")
    }

    /// `attribute` exists.
    pub(crate) fn exists(&mut self, attribute: &str) -> String {
        format!("attribute_exists({})", self.name(attribute))
    }

    /// `attribute` does not exist.
    pub(crate) fn absent(&mut self, attribute: &str) -> String {
        format!("attribute_not_exists({})", self.name(attribute))
    }

    /// Assigns the value, or removes the attribute if there is none.
    pub(crate) fn put(&mut self, attribute: &str, value: Option<AttributeValue>) {
        match value {
            Some(value) => self.set(attribute, value),
            None => self.remove(attribute),
        }
    }

    /// The update expression collected so far.
    pub(crate) fn update(&self) -> String {
        let clauses = [
            ("SET", &self.set),
            ("REMOVE", &self.remove),
            ("ADD", &self.insert),
            ("DELETE", &self.take),
        ];
        let clauses: Vec<String> = clauses
            .into_iter()
            .filter(|(_, parts)| !parts.is_empty())
            .map(|(clause, parts)| format!("{clause} {}", parts.join(", ")))
            .collect();
        clauses.join(" ")
    }
}

/// Writes to any rows, for one transaction. Each store returns its own; the caller combines them and runs the
/// transaction.
#[derive(Clone, Debug, Default)]
pub struct Writes(Vec<TransactWriteItem>);

impl Writes {
    /// Both sets of writes.
    #[must_use]
    pub fn and(mut self, more: Self) -> Self {
        self.0.extend(more.0);
        self
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many rows they write or check.
    pub const fn len(&self) -> usize {
        self.0.len()
    }
}

/// The outcome of a guarded update of one row.
#[derive(Debug)]
pub(crate) enum Updated {
    /// The row is updated.
    Written,
    /// The condition failed. Carries the current row, or `None` if there is none.
    Refused(Option<Item>),
}

/// The outcome of a transaction.
#[derive(Debug)]
pub(crate) enum Transacted {
    /// All writes were made.
    Written,
    /// No write was made. One answer per write, in order.
    Refused(Vec<Refusal>),
}

/// The answer for one write of a refused transaction.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// Its condition held.
    None,
    /// Its condition failed. Carries the current row, or `None` if there is none.
    Condition(Option<Item>),
}

impl Refusal {
    /// Whether the condition held.
    pub(crate) const fn held(&self) -> bool {
        matches!(self, Self::None)
    }
}

const EVERY_FIELD: &str = "every required field is set";

impl Table {
    /// The row with this key, strongly consistent. One read.
    pub(crate) async fn get(&self, key: Item) -> Result<Option<Item>, Cause> {
        let request = self.client.get_item().table_name(&self.name);
        let answer = request
            .set_key(Some(key))
            .consistent_read(true)
            .send()
            .await?;
        Ok(answer.item)
    }

    /// An update, for a transaction.
    pub(crate) fn update(&self, key: Item, e: Expression, condition: Option<String>) -> Writes {
        let values = (!e.values.is_empty()).then_some(e.values.clone());
        let update = Update::builder()
            .table_name(&self.name)
            .set_key(Some(key))
            .update_expression(e.update())
            .set_condition_expression(condition)
            .set_expression_attribute_names(Some(e.names))
            .set_expression_attribute_values(values)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .build()
            .expect(EVERY_FIELD);
        Writes(vec![TransactWriteItem::builder().update(update).build()])
    }

    /// A new row, for a transaction. It replaces an existing row if the condition allows it.
    pub(crate) fn put(&self, item: Item, e: Expression, condition: Option<String>) -> Writes {
        let put = Put::builder()
            .table_name(&self.name)
            .set_item(Some(item))
            .set_condition_expression(condition)
            .set_expression_attribute_names((!e.names.is_empty()).then_some(e.names))
            .set_expression_attribute_values((!e.values.is_empty()).then_some(e.values))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .build()
            .expect(EVERY_FIELD);
        Writes(vec![TransactWriteItem::builder().put(put).build()])
    }

    /// A condition on a row that the transaction does not write.
    pub(crate) fn check(&self, key: Item, e: Expression, condition: String) -> Writes {
        let check = ConditionCheck::builder()
            .table_name(&self.name)
            .set_key(Some(key))
            .condition_expression(condition)
            .set_expression_attribute_names(Some(e.names))
            .set_expression_attribute_values((!e.values.is_empty()).then_some(e.values))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .build()
            .expect(EVERY_FIELD);
        Writes(vec![
            TransactWriteItem::builder().condition_check(check).build(),
        ])
    }

    /// A guarded update of one row, outside a transaction.
    #[expect(
        clippy::disallowed_methods,
        reason = "the one guarded update: every store's goes through here"
    )]
    pub(crate) async fn update_row(
        &self,
        key: Item,
        e: &Expression,
        condition: &str,
    ) -> Result<Updated, Cause> {
        let update = e.update();
        let values = (!e.values.is_empty()).then_some(&e.values);
        let write = || {
            self.client
                .update_item()
                .table_name(&self.name)
                .set_key(Some(key.clone()))
                .update_expression(&update)
                .condition_expression(condition)
                .set_expression_attribute_names(Some(e.names.clone()))
                .set_expression_attribute_values(values.cloned())
                .return_values_on_condition_check_failure(
                    ReturnValuesOnConditionCheckFailure::AllOld,
                )
                .send()
        };
        match self.retry(write).await {
            Ok(_) => Ok(Updated::Written),
            Err(error) => match error.into_service_error() {
                UpdateItemError::ConditionalCheckFailedException(refusal) => {
                    Ok(Updated::Refused(refusal.item))
                }
                other => Err(other.into_cause()),
            },
        }
    }

    /// Makes all the writes, at most 100, or none.
    pub(crate) async fn transact(&self, writes: &Writes) -> Result<Transacted, Cause> {
        let made = self
            .transact_until(writes, Instant::now() + self.call_timeout)
            .await?;
        Ok(made.outcome)
    }

    /// Likewise, with its cost. A throttled transaction is left to the caller, who paces it.
    pub(crate) async fn transact_once(&self, writes: &Writes) -> Result<Made, Cause> {
        self.transact_until(writes, Instant::now()).await
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "the one transaction of guarded writes"
    )]
    async fn transact_until(&self, writes: &Writes, until: Instant) -> Result<Made, Cause> {
        // The AWS SDK repeats no cancelled transaction: it does not look at the reasons, of which throttling is one.
        // The AWS SDK adds a ClientRequestToken before the first try. When it repeats a try whose answer was lost,
        // DynamoDB returns the first try's success instead of writing twice.
        let write = || {
            self.client
                .transact_write_items()
                .set_transact_items(Some(writes.0.clone()))
                .return_consumed_capacity(ReturnConsumedCapacity::Indexes)
                .send()
        };
        let error = match retry_until(write, until).await {
            Ok(answer) => {
                let consumed = answer.consumed_capacity.unwrap_or_default();
                return Ok(Made {
                    outcome: Transacted::Written,
                    units: consumed.iter().filter_map(|it| it.capacity_units).sum(),
                });
            }
            Err(error) => error.into_service_error(),
        };
        match (error.meaning(), error) {
            (
                Meaning::Refused,
                TransactWriteItemsError::TransactionCanceledException(cancelled),
            ) => {
                let reasons = cancelled.cancellation_reasons.unwrap_or_default();
                let refusals = reasons.into_iter().map(|reason| match reason.code() {
                    Some("ConditionalCheckFailed") => Refusal::Condition(reason.item),
                    _ => Refusal::None,
                });
                Ok(Made {
                    outcome: Transacted::Refused(refusals.collect()),
                    units: 0.0,
                })
            }
            (meaning, error) => Err(meaning.cause(error)),
        }
    }

    /// Repeats a guarded write that conflicts with a concurrent transaction on the same item. The AWS SDK does not, because
    /// it cannot know that the write is guarded; throttled requests of one item it repeats itself.
    pub(crate) async fn retry<Output, E, Sent>(
        &self,
        write: impl Fn() -> Sent,
    ) -> Result<Output, SdkError<E>>
    where
        E: WriteError,
        Sent: Future<Output = Result<Output, SdkError<E>>>,
    {
        retry_until(write, Instant::now()).await
    }
}

/// Repeats a guarded write that conflicts with a concurrent transaction on the same item and, until this time, one that
/// DynamoDB throttles.
async fn retry_until<Output, E, Sent>(
    write: impl Fn() -> Sent,
    until: Instant,
) -> Result<Output, SdkError<E>>
where
    E: WriteError,
    Sent: Future<Output = Result<Output, SdkError<E>>>,
{
    let (mut conflicts, mut throttles) = (0, 0);
    loop {
        let error = match write().await {
            Err(SdkError::ServiceError(error)) => error,
            answer => return answer,
        };
        let pause = match error.err().meaning() {
            Meaning::Conflict => {
                conflicts += 1;
                Some(CONFLICT_BACKOFF.after(conflicts)).filter(|_| conflicts < CONFLICT_TRIES)
            }
            Meaning::Throttled => {
                throttles += 1;
                let pause = THROTTLE_BACKOFF.after(throttles);
                Some(pause).filter(|pause| Instant::now() + *pause < until)
            }
            Meaning::Refused | Meaning::Full | Meaning::Other => None,
        };
        match pause {
            Some(pause) => tokio::time::sleep(pause).await,
            None => return Err(SdkError::ServiceError(error)),
        }
    }
}

/// A transaction and its cost.
#[derive(Debug)]
pub(crate) struct Made {
    pub(crate) outcome: Transacted,
    /// The write units that it consumed, local and global indexes included.
    pub(crate) units: f64,
}

/// The tries for keys that DynamoDB leaves unprocessed, and the backoff between them.
const MOST_READS: u32 = 6;
const READ_BACKOFF: Backoff = Backoff::doubling(Duration::from_millis(40), Jitter::Quarter);

/// The tries for a write that conflicts with a concurrent transaction, and the backoff between them.
const CONFLICT_TRIES: u32 = 7;
const CONFLICT_BACKOFF: Backoff = Backoff::doubling(Duration::from_millis(20), Jitter::Half);

/// The backoff of a throttled transaction: a partition that is out of units has a whole second's again after a second.
pub(crate) const THROTTLE_BACKOFF: Backoff = Backoff {
    first: Duration::from_millis(600),
    factor: 2,
    longest: Duration::from_secs(5),
    jitter: Jitter::Half,
};
/// How long a throttled transaction is repeated by a client without a timeout of its own.
const THROTTLED_FOR: Duration = Duration::from_secs(8);

/// Reads up to 100 items by key, strongly consistent. Keys that DynamoDB leaves unprocessed are read again, so a key
/// that is missing from the result does not exist.
pub(crate) async fn batch_get(
    table: &Table,
    keys: Vec<Item>,
    projection: Option<(&str, HashMap<String, String>)>,
) -> Result<Vec<Item>, Cause> {
    use aws_sdk_dynamodb::types::KeysAndAttributes;

    let mut found = Vec::with_capacity(keys.len());
    let mut wanted = keys;
    let mut tries = 0;
    while !wanted.is_empty() {
        let mut request = KeysAndAttributes::builder()
            .consistent_read(true)
            .set_keys(Some(wanted));
        if let Some((expression, names)) = &projection {
            request = request
                .projection_expression(*expression)
                .set_expression_attribute_names(Some(names.clone()));
        }
        let answer = table
            .client
            .batch_get_item()
            .request_items(&table.name, request.build()?)
            .send()
            .await?;
        found.extend(
            answer
                .responses
                .into_iter()
                .flatten()
                .flat_map(|(_, items)| items),
        );
        wanted = answer
            .unprocessed_keys
            .into_iter()
            .flatten()
            .flat_map(|(_, unprocessed)| unprocessed.keys)
            .collect();
        if !wanted.is_empty() {
            tries += 1;
            if tries == MOST_READS {
                // DynamoDB leaves keys unprocessed when their partitions are out of read units.
                return Err(Meaning::Throttled
                    .cause("DynamoDB left keys unprocessed in six reads in a row"));
            }
            warn!(
                unprocessed = wanted.len(),
                "DynamoDB left keys of a batch read unprocessed; reading them again"
            );
            tokio::time::sleep(READ_BACKOFF.after(tries)).await;
        }
    }
    Ok(found)
}

/// A page of one shard of the `due` index.
pub(crate) async fn due_items(
    table: &Table,
    kind: DueKind,
    shard: u8,
    limit: u32,
    after: Option<Item>,
    now: Timestamp,
) -> Result<(Vec<Item>, Option<Item>), Cause> {
    let page = table
        .client
        .query()
        .table_name(&table.name)
        .index_name("due")
        .key_condition_expression("due_shard = :shard AND due_at <= :now")
        .expression_attribute_values(":shard", s(kind.shard(shard)))
        .expression_attribute_values(":now", ms(now))
        .limit(i32::try_from(limit).unwrap_or(i32::MAX))
        .set_exclusive_start_key(after)
        .send()
        .await?;
    Ok((page.items.unwrap_or_default(), page.last_evaluated_key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_owner_with_any_characters_is_read_back_from_its_key() {
        let owner: Owner = "user:a#command#user:b".parse().expect("valid");
        let AttributeValue::S(pk) = Partition::Commands.of(&owner) else {
            panic!("a text")
        };
        assert_eq!(Partition::Commands.owner(&pk), Some(owner));
        assert_eq!(Partition::Findings.owner(&pk), None);
    }

    #[test]
    fn expressions_name_every_placeholder_they_use() {
        let mut expression = Expression::default();
        expression.set("status", s("running"));
        expression.add("attempt", 1);
        expression.remove("queued_at");
        assert_eq!(
            expression.update(),
            "SET #status = :v0, #attempt = if_not_exists(#attempt, :v1) + :v2 REMOVE #queued_at"
        );
        assert_eq!((expression.names.len(), expression.values.len()), (3, 3));
    }
}
