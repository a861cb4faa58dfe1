//! A table for one test.

use std::{collections::BTreeMap, sync::LazyLock, time::Duration};

use aws_sdk_dynamodb::{
    Client,
    config::{BehaviorVersion, Region, retry::RetryConfig},
    types::{AttributeValue, PutRequest, WriteRequest},
};
use domain::installation::{InstallationId, InstallationRepository};
use domain::{command::Command, lifecycle::CommandState, owner::Owner};
use dynoxide::Database;
use futures::{StreamExt, stream};

use local::template::{Place, Table as Definition, Template};
use store::{
    analyses::Analyses,
    clock::{Clock, Dated},
    findings::Findings,
    ledger::Ledger,
    owners::Owners,
    repositories::{Listing, Repositories},
    table::{Item, Table},
};
use tokio::net::TcpListener;

use crate::{Fault, NOON, Proxy, TIMEOUTS, command, credentials, repository, rows};

/// Names an endpoint for the tables, instead of the embedded one.
const ENDPOINT: &str = "TEST_DYNAMODB_ENDPOINT";

/// A table that no other test uses.
#[derive(Clone, Debug)]
pub struct TestTable {
    endpoint: String,
    client: Client,
    name: String,
}

impl TestTable {
    /// Creates the table as `template.yaml` defines it.
    pub async fn create() -> Self {
        let endpoint = match configured_endpoint() {
            Some(endpoint) => endpoint,
            None => embedded().await,
        };
        let table = Self {
            client: client(&endpoint),
            endpoint,
            name: format!("test-{}", uuid::Uuid::new_v4().simple()),
        };
        table.define().await;
        table
    }

    async fn define(&self) {
        let request = DEFINITION.creation().expect("the template defines a table");
        self.client
            .create_table()
            .table_name(&self.name)
            .set_attribute_definitions(Some(request.attributes))
            .set_key_schema(Some(request.key))
            .set_local_secondary_indexes(request.local_indexes)
            .set_global_secondary_indexes(request.global_indexes)
            .billing_mode(request.billing)
            .send()
            .await
            .expect("the endpoint creates tables");
        for _ in 0..100 {
            let described = self.client.describe_table().table_name(&self.name).send();
            let described = described.await.expect("the table was created");
            let status = described.table.and_then(|table| table.table_status);
            if status.is_some_and(|status| status.as_str() == "ACTIVE") {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("the table does not become active");
    }

    /// The table as the stores take it.
    pub fn table(&self) -> Table {
        Table::new(self.client.clone(), &self.name)
    }

    /// The commands' store.
    pub fn ledger(&self) -> Ledger {
        Ledger::new(self.table(), TIMEOUTS)
    }

    /// The owners' store.
    pub fn owners(&self) -> Owners {
        Owners::new(self.table())
    }

    /// The repositories' store.
    pub fn repositories(&self) -> Repositories {
        Repositories::new(self.table())
    }

    /// The findings' store.
    pub fn findings(&self) -> Findings {
        Findings::new(self.table())
    }

    /// The analyses' store.
    pub fn analyses(&self) -> Analyses {
        Analyses::new(self.table())
    }

    /// Connects an owner and stores the sample repository: without it no finding is stored.
    pub async fn connect(&self, owner: &Owner) {
        let installation = InstallationId::new(51_000_001);
        let connected = self.owners().connect(owner, installation, true, NOON).await;
        connected.expect("the table answers");
        let repository = repository();
        let listing = Listing {
            id: repository.id,
            listed: Some(InstallationRepository {
                repository,
                private: true,
                archived: false,
            }),
            attempt: None,
        };
        let recorded = self.repositories().record(owner, &[listing], NOON).await;
        recorded.expect("the table answers");
    }

    /// The table through a proxy that injects these faults into the operations' next calls.
    pub async fn through(&self, faults: &[(&str, Fault)]) -> (Proxy, Table) {
        let proxy = Proxy::to(&self.endpoint).await;
        for (operation, fault) in faults {
            proxy.plan(operation, *fault);
        }
        let table = Table::new(client(proxy.url()), &self.name);
        (proxy, table)
    }

    /// The table, through a client whose answers set `clock` to the endpoint's time.
    pub async fn following(&self, clock: &Clock) -> Table {
        let config = self.client.config().to_builder();
        let config = config.interceptor(Dated(clock.clone())).build();
        let table = Table::new(Client::from_conf(config), &self.name);
        let asked = Ledger::new(table.clone(), TIMEOUTS);
        let asked = asked.read(&crate::key(crate::owner()), clock.now()).await;
        assert!(matches!(asked, Ok(None)), "{asked:?}");
        table
    }

    /// Writes a command's row, whatever was there.
    pub async fn put_command(&self, command: &Command) {
        self.put(rows::row(command)).await;
    }

    /// Writes a command of a new owner in this state.
    pub async fn seed(&self, state: CommandState) -> Command {
        let command = command(crate::owner(), state);
        self.put_command(&command).await;
        command
    }

    /// Writes any item.
    #[expect(
        clippy::disallowed_methods,
        reason = "tests begin from rows that no guarded write makes"
    )]
    pub async fn put(&self, item: Item) {
        let put = self.client.put_item().table_name(&self.name);
        put.set_item(Some(item))
            .send()
            .await
            .expect("the endpoint takes the item");
    }

    /// The endpoint of the table.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// The table at another address, such as a proxy's.
    pub fn reached_at(&self, endpoint: &str) -> Table {
        Table::new(client(endpoint), &self.name)
    }

    /// Writes any number of items, in batches.
    #[expect(
        clippy::disallowed_methods,
        reason = "tests begin from rows that no guarded write makes"
    )]
    pub async fn put_all(&self, items: &[Item]) {
        let request = |item: &Item| {
            let put = PutRequest::builder().set_item(Some(item.clone())).build();
            let put = put.expect("it has an item");
            WriteRequest::builder().put_request(put).build()
        };
        let batches = stream::iter(items.chunks(25));
        batches
            .for_each_concurrent(4, async |batch| {
                let requests = batch.iter().map(request).collect();
                let write = self.client.batch_write_item();
                let written = write.request_items(&self.name, requests).send().await;
                let left = written.expect("the endpoint takes them").unprocessed_items;
                let left = left.unwrap_or_default();
                assert!(left.is_empty(), "the endpoint took a part of the items");
            })
            .await;
    }

    /// Every item of the table.
    #[expect(clippy::disallowed_methods, reason = "a test's table is small")]
    pub async fn items(&self) -> Vec<Item> {
        let scan = self.client.scan().table_name(&self.name);
        let mut items = scan.consistent_read(true).into_paginator().items().send();
        let mut all = Vec::new();
        while let Some(item) = items.next().await {
            all.push(item.expect("the endpoint scans"));
        }
        all
    }

    /// Deletes any item.
    #[expect(
        clippy::disallowed_methods,
        reason = "tests go back to rows that no guarded write makes"
    )]
    pub async fn take_away(&self, pk: &str, sk: &str) {
        let delete = self.client.delete_item().table_name(&self.name);
        let delete = delete.key("pk", AttributeValue::S(pk.to_owned()));
        let delete = delete.key("sk", AttributeValue::S(sk.to_owned()));
        delete.send().await.expect("the endpoint deletes");
    }

    /// The number of items in the table.
    pub async fn count(&self) -> usize {
        self.items().await.len()
    }
}

fn configured_endpoint() -> Option<String> {
    #[expect(
        clippy::disallowed_methods,
        reason = "chooses what the tests run against"
    )]
    std::env::var(ENDPOINT).ok()
}

/// Serves a database until the test's runtime ends.
pub async fn embedded() -> String {
    let database = Database::memory().expect("SQLite opens a database in memory");
    let listener = TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a free port of the loopback");
    let address = listener.local_addr().expect("it is bound");
    tokio::spawn(dynoxide::server::serve_on(listener, database));
    format!("http://{address}")
}

fn client(endpoint: &str) -> Client {
    let config = aws_sdk_dynamodb::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .credentials_provider(credentials())
        .endpoint_url(endpoint)
        .retry_config(RetryConfig::standard().with_initial_backoff(Duration::from_millis(5)))
        .build();
    Client::from_conf(config)
}

/// The template's table. Parsed once: without optimisation that takes longer than most tests.
static DEFINITION: LazyLock<Definition> = LazyLock::new(|| {
    let template = Template::parse(include_str!("../../template.yaml")).expect("it is valid");
    let parameters = template
        .parameters(&BTreeMap::new())
        .expect("every parameter has a default");
    let place = Place::local("http://127.0.0.1", "http://127.0.0.1:3");
    let topology = template.topology(&parameters, &place).expect("it is whole");
    topology.tables.into_iter().next().expect("it has a table")
});
