//! Direct access to a stack's data services, past every injected fault, to stage rows and messages and to check them.

use std::time::Duration;

use aws_sdk_dynamodb::{
    Client,
    config::{BehaviorVersion, Region},
    types::AttributeValue::{self, N, S},
};
use aws_sdk_sqs::types::{
    Message as Received, MessageSystemAttributeNameForSends, MessageSystemAttributeValue,
    QueueAttributeName,
};
use domain::{
    Timestamp,
    command::{Command, CommandId, CommandKey, DismissFinding},
    finding::DismissReason,
    lifecycle::Stage,
    owner::Owner,
    settings::{RepositorySelection, Settings},
};
use runtime::queue::Message;
use serde_json::{Value, json};
use store::{
    ledger::{Admission, Claimed, Ledger, NewCommand},
    owners::{AUTH_INVALID_FOR, Owners, Saved},
    table::{Item, Table, Writes},
};

use crate::{TIMEOUTS, credentials, sync_of};

/// A stack's DynamoDB and SQS.
#[derive(Clone, Debug)]
pub struct Backstage {
    dynamodb: Client,
    sqs: aws_sdk_sqs::Client,
    table: String,
}

impl Backstage {
    /// Connects to the data services at this address.
    pub(crate) async fn open(dynamodb: &str, sqs: &str) -> Self {
        let dynamodb = aws_sdk_dynamodb::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("us-east-1"))
            .credentials_provider(credentials())
            .endpoint_url(dynamodb)
            .build();
        let dynamodb = Client::from_conf(dynamodb);
        let sqs = aws_sdk_sqs::Config::builder()
            .behavior_version(aws_sdk_sqs::config::BehaviorVersion::latest())
            .region(aws_sdk_sqs::config::Region::new("us-east-1"))
            .credentials_provider(credentials())
            .endpoint_url(sqs)
            .build();
        let tables = dynamodb
            .list_tables()
            .send()
            .await
            .expect("a list of tables");
        let table = tables.table_names().first().expect("one table").clone();
        Self {
            dynamodb,
            sqs: aws_sdk_sqs::Client::from_conf(sqs),
            table,
        }
    }

    /// The table as the stores take it.
    pub fn table(&self) -> Table {
        Table::new(self.dynamodb.clone(), &self.table)
    }

    /// Enables an owner with these repositories, without the sync that saving through the API would start.
    pub async fn enable(&self, owner: &Owner, repositories: &[u64]) {
        let settings = Settings {
            enabled: true,
            repository_selection: RepositorySelection::Selected,
            selected_repository_ids: repositories.iter().map(|id| id_of(*id)).collect(),
            ..Settings::default()
        };
        let owners = Owners::new(self.table());
        let seen = owners.read(owner).await.expect("it reads");
        let beside = Writes::default();
        let saved = owners.save(owner, &settings, &seen, beside, now()).await;
        assert!(matches!(saved, Ok(Saved::Saved { .. })), "{saved:?}");
    }

    /// Admits a sync without sending its message.
    pub async fn admit(&self, owner: &Owner) -> CommandKey {
        self.admit_command(sync_of(owner)).await
    }

    /// Admits a dismissal without sending its message.
    pub async fn admit_dismissal(&self, owner: &Owner, finding: &str) -> CommandKey {
        let action = DismissFinding {
            finding: finding.parse().expect("a finding's id"),
            reason: DismissReason::NotUsed,
            comment: None,
        };
        let dismissal = NewCommand {
            action: action.into(),
            ..sync_of(owner)
        };
        self.admit_command(dismissal).await
    }

    /// Admits a command without sending its message.
    pub async fn admit_command(&self, new: NewCommand) -> CommandKey {
        let ledger = Ledger::new(self.table(), TIMEOUTS);
        let admitted = ledger.admit(new, now()).await;
        let Ok(Admission::Admitted(command, _)) = admitted else {
            panic!("not admitted: {admitted:?}");
        };
        command.key
    }

    /// Claims a command for a worker that then dies, with a lease that has expired.
    pub async fn claim_and_die(&self, key: &CommandKey) {
        let ledger = Ledger::new(self.table(), TIMEOUTS);
        let (now, stage) = (now(), Stage::default());
        let claimed = ledger.claim(key, stage, now, now).await;
        assert!(matches!(claimed, Ok(Claimed::Held(..))), "{claimed:?}");
    }

    /// The stored command, even if it has expired.
    pub async fn command(&self, key: &CommandKey) -> Command {
        let ledger = Ledger::new(self.table(), TIMEOUTS);
        let found = ledger.read(key, Timestamp::from_millis(0)).await;
        found.expect("it reads").expect("a stored command")
    }

    /// An item, unparsed.
    pub async fn item(&self, pk: &str, sk: &str) -> Option<Item> {
        let read = self.dynamodb.get_item().table_name(&self.table);
        let read = read.key("pk", S(pk.to_owned())).key("sk", S(sk.to_owned()));
        let read = read.consistent_read(true).send().await;
        read.expect("it reads").item
    }

    /// Every item whose partition key begins like this.
    #[expect(clippy::disallowed_methods, reason = "a test's table is small")]
    pub async fn items(&self, prefix: &str) -> Vec<Item> {
        let scan = self.dynamodb.scan().table_name(&self.table);
        let scan = scan.filter_expression("begins_with(pk, :prefix)");
        let scan = scan.expression_attribute_values(":prefix", S(prefix.to_owned()));
        let mut pages = scan.consistent_read(true).into_paginator().send();
        let mut items = Vec::new();
        while let Some(page) = pages.next().await {
            items.extend(page.expect("it scans").items.unwrap_or_default());
        }
        items
    }

    /// The sort keys of a partition.
    pub async fn partition(&self, pk: &str) -> Vec<String> {
        let query = self.dynamodb.query().table_name(&self.table);
        let query = query.key_condition_expression("pk = :pk");
        let query = query.expression_attribute_values(":pk", S(pk.to_owned()));
        let mut pages = query.consistent_read(true).into_paginator().send();
        let mut keys = Vec::new();
        while let Some(page) = pages.next().await {
            let items = page.expect("it reads").items.unwrap_or_default();
            let items = items.iter().filter_map(|item| item["sk"].as_s().ok());
            keys.extend(items.cloned());
        }
        keys
    }

    /// Sets an attribute of an item, instead of waiting for time to pass.
    #[expect(clippy::disallowed_methods, reason = "moves a row's own clock")]
    async fn set(&self, pk: &str, sk: &str, attribute: &str, value: AttributeValue) {
        let update = self.dynamodb.update_item().table_name(&self.table);
        update
            .key("pk", S(pk.to_owned()))
            .key("sk", S(sk.to_owned()))
            .update_expression("SET #a = :v")
            .condition_expression("attribute_exists(pk)")
            .expression_attribute_names("#a", attribute)
            .expression_attribute_values(":v", value)
            .send()
            .await
            .expect("the item is there");
    }

    /// Deletes an item, as an erasure would.
    #[expect(clippy::disallowed_methods, reason = "what only an erasure does")]
    pub async fn take_away(&self, pk: &str, sk: &str) {
        let delete = self.dynamodb.delete_item().table_name(&self.table);
        delete
            .key("pk", S(pk.to_owned()))
            .key("sk", S(sk.to_owned()))
            .send()
            .await
            .expect("the item is deleted");
    }

    /// Writes an item, whatever was there.
    #[expect(
        clippy::disallowed_methods,
        reason = "rows that no guarded write makes"
    )]
    pub async fn put(&self, item: Item) {
        let put = self.dynamodb.put_item().table_name(&self.table);
        put.set_item(Some(item))
            .send()
            .await
            .expect("the item is written");
    }

    /// Sets times of a command's row into the past, each a millisecond after the one before: `due_at`, `deadline`,
    /// `updated_at`, `claim_until`, `waiting_until`.
    pub async fn let_pass(&self, key: &CommandKey, moments: &[&str]) {
        let past = now().as_millis() - 1_000;
        let pk = format!("command#{}", key.owner);
        for (moment, past) in moments.iter().zip(past..) {
            self.set(&pk, &key.id.to_string(), moment, N(past.to_string()))
                .await;
        }
    }

    /// Makes the reconciler's check of an item due now.
    pub async fn let_be_due(&self, pk: &str, sk: &str) {
        let past = N((now().as_millis() - 1_000).to_string());
        self.set(pk, sk, "due_at", past).await;
    }

    /// Expires items whose partition key begins like this, without deleting them.
    pub async fn expire(&self, prefix: &str) {
        let past = now().as_seconds() - 1;
        for item in self.items(prefix).await {
            let key = |name| item.get(name).and_then(|key| key.as_s().ok()).cloned();
            let (pk, sk) = (key("pk").expect("a key"), key("sk").expect("a key"));
            self.set(&pk, &sk, "expires_at", N(past.to_string())).await;
        }
    }

    /// Makes an owner's scheduled sync due now.
    pub async fn schedule_due(&self, owner: &Owner) {
        self.let_be_due(&format!("owner#{owner}"), "settings").await;
    }

    /// Ends the hour without requests to GitHub after it refused the credentials.
    pub async fn refused_long_ago(&self, owner: &Owner) {
        let long_ago = now() - AUTH_INVALID_FOR - Duration::from_secs(1);
        let at = N(long_ago.as_millis().to_string());
        let pk = format!("owner#{owner}");
        self.set(&pk, "integration", "auth_invalid_at", at).await;
    }

    async fn url(&self, queue: &str) -> String {
        let url = self.sqs.get_queue_url().queue_name(queue).send().await;
        let url = url.expect("the queue exists").queue_url;
        url.expect("a URL")
    }

    /// Sends a message with this body.
    pub async fn send(&self, queue: &str, body: &str) {
        let send = self.sqs.send_message().queue_url(self.url(queue).await);
        let sent = send.message_body(body).send().await;
        sent.expect("the message is queued");
    }

    /// Sends a message with this body as part of a chain of invocations.
    pub async fn send_traced(&self, queue: &str, body: &str, trace_header: &str) {
        let trace = MessageSystemAttributeValue::builder()
            .data_type("String")
            .string_value(trace_header)
            .build()
            .expect("a data type is given");
        let send = self.sqs.send_message().queue_url(self.url(queue).await);
        let sent = send
            .message_body(body)
            .message_system_attributes(MessageSystemAttributeNameForSends::AwsTraceHeader, trace)
            .send()
            .await;
        sent.expect("the message is queued");
    }

    /// Sets a queue's visibility timeout.
    pub async fn hide_for(&self, queue: &str, visibility: Duration) {
        let set = self.sqs.set_queue_attributes();
        set.queue_url(self.url(queue).await)
            .attributes(
                QueueAttributeName::VisibilityTimeout,
                visibility.as_secs().to_string(),
            )
            .send()
            .await
            .expect("the queue takes it");
    }

    /// The visible messages of a queue without a consumer. They stay visible.
    pub async fn peek(&self, queue: &str) -> Vec<Received> {
        let receive = self.sqs.receive_message().queue_url(self.url(queue).await);
        let received = receive
            .max_number_of_messages(10)
            .visibility_timeout(0)
            .message_attribute_names("All")
            .send()
            .await;
        received
            .expect("the queue answers")
            .messages
            .unwrap_or_default()
    }
}

fn id_of(id: u64) -> domain::finding::RepositoryId {
    domain::finding::RepositoryId::new(id)
}

/// The body of a command's message at a stage.
pub fn message(key: &CommandKey, stage: u32) -> String {
    let (key, stage) = (key.clone(), Stage(stage));
    Message::Command { key, stage }.body()
}

/// The event that Lambda passes for these bodies: messages `m0`, `m1`, … from `queue`, each received once.
pub fn batch(queue: &str, bodies: &[String]) -> Value {
    let records: Vec<Value> = bodies
        .iter()
        .enumerate()
        .map(|(index, body)| {
            json!({
                "messageId": format!("m{index}"),
                "receiptHandle": "of a test's own",
                "body": body,
                "attributes": { "ApproximateReceiveCount": "1" },
                "messageAttributes": {},
                "eventSource": "aws:sqs",
                "eventSourceARN": format!("arn:aws:sqs:us-east-1:000000000000:{queue}"),
                "awsRegion": "us-east-1",
            })
        })
        .collect();
    json!({ "Records": records })
}

/// The ids of a batch's failed messages, which the queue redelivers.
pub fn failures(answer: &Value) -> Vec<&str> {
    let failures = answer["batchItemFailures"].as_array();
    let failures = failures.expect("a batch's answer").iter();
    failures
        .map(|failure| failure["itemIdentifier"].as_str().expect("an id"))
        .collect()
}

/// The id in the API's view of a command.
pub fn command_id(view: &Value) -> CommandId {
    let id = view["id"].as_str().expect("a command has an id");
    id.parse().expect("a UUID")
}

#[expect(clippy::disallowed_methods, reason = "the stack lives in real time")]
fn now() -> Timestamp {
    Timestamp::now()
}
