//! The function and all the services that it calls, in one process.

mod calls;
pub(crate) mod event;
pub(crate) mod github;
mod services;
pub(crate) mod template;

use agent::callback_token::CallbackTokens;
use api::{App, cursor::Cursors};
use aws_sdk_dynamodb::config::{BehaviorVersion, Credentials, Region};
use axum::Router;
use domain::installation::InstallationId;
use domain::{Timestamp, command::PausedCommands, lifecycle::Timeouts, owner::Owner};
use dynoxide::Database;
use outbound::secrets::{SecretName, Secrets};
use runtime::queue::{CommandQueues, Sender};
use serde_json::json;
use std::convert::Infallible;
use std::time::Duration;
use store::{
    analyses::Analyses, audit::Audit, erasure::Erasures, findings::Findings, ledger::Ledger,
    owners::Owners, repositories::Repositories, table::Table,
};
use tokio::net::TcpListener;

pub(crate) use calls::Calls;
pub(crate) use event::{Answer, Call, get, post, put};
pub(crate) use services::{Queue, Services};

/// The default time of a request.
pub(crate) const NOON: Timestamp = Timestamp::from_seconds(1_795_435_200);
/// The default caller of a request.
pub(crate) const CALLER: &str = "auth0|5f7c";

/// The function and its parts, for tests to set up and inspect.
pub(crate) struct Stack {
    pub(crate) app: App,
    pub(crate) services: Services,
    pub(crate) calls: Calls,
    router: Router,
}

impl Stack {
    pub(crate) async fn start() -> Self {
        let database = Database::memory().expect("a database");
        database
            .create_table(serde_json::from_value(template::table("table")).expect("a table"))
            .expect("a table");
        let dynamodb = listen(|listener| dynoxide::server::serve_on(listener, database.clone()));
        let calls = Calls::default();
        let dynamodb = aws_sdk_dynamodb::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::from_static("us-east-1"))
            .credentials_provider(Credentials::for_tests())
            .endpoint_url(dynamodb.await)
            .interceptor(calls.clone())
            .build();
        let table = Table::new(aws_sdk_dynamodb::Client::from_conf(dynamodb), "table");
        let timeouts = Timeouts {
            accepted: Duration::from_secs(300),
            running: Duration::from_secs(1800),
            retention: Duration::from_secs(30 * 86_400),
        };
        let ledger = Ledger::new(table.clone(), timeouts);

        let services = Services::new(ledger.clone(), database);
        let router = services.router();
        let url = listen(async |listener| {
            axum::serve(listener, router)
                .await
                .expect("serves until the test ends");
        })
        .await;
        let sqs = aws_sdk_sqs::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::from_static("us-east-1"))
            .credentials_provider(Credentials::for_tests())
            .endpoint_url(&url)
            .build();
        let secrets = aws_sdk_secretsmanager::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::from_static("us-east-1"))
            .credentials_provider(Credentials::for_tests())
            .endpoint_url(&url)
            .build();
        let secrets = Secrets::new(aws_sdk_secretsmanager::Client::from_conf(secrets));
        let queue = |name: &str| format!("{url}/{name}").parse().expect("a queue");
        let app = App {
            ledger,
            owners: Owners::new(table.clone()),
            repositories: Repositories::new(table.clone()),
            findings: Findings::new(table.clone()),
            analyses: Analyses::new(table.clone()),
            audit: Audit::new(table.clone()),
            erasures: Erasures::new(table),
            sender: Sender::new(aws_sdk_sqs::Client::from_conf(sqs)),
            queues: CommandQueues::each(|which| Ok::<_, Infallible>(queue(which.function())))
                .expect("no queue is missing"),
            callback_queue: queue("callback"),
            erase_queue: queue("erase"),
            callback_tokens: CallbackTokens::new(secrets.clone(), SecretName::new("callback-keys")),
            paused: PausedCommands::default(),
            cursors: Cursors::new(secrets, SecretName::new("cursor-key")),
        };
        Self {
            router: api::router(app.clone()),
            app,
            services,
            calls,
        }
    }

    /// Starts a stack whose caller is connected to an installation with all permissions.
    pub(crate) async fn connected() -> Self {
        let stack = Self::start().await;
        stack.connect(true).await;
        stack
    }

    pub(crate) async fn connect(&self, can_read_alerts: bool) {
        let installation = InstallationId::new(51_000_001);
        self.app
            .owners
            .connect(&owner(), installation, can_read_alerts, NOON)
            .await
            .expect("connected");
    }

    /// Sends a request at noon.
    pub(crate) async fn call(&self, call: Call) -> Answer {
        self.call_at(call, NOON).await
    }

    pub(crate) async fn call_at(&self, call: Call, now: Timestamp) -> Answer {
        call.send(self.router.clone(), now).await
    }

    /// Admits a sync and returns its id.
    pub(crate) async fn sync(&self, now: Timestamp) -> String {
        let call = post("/v1/owners/{owner}/commands").body(json!({"type": "sync"}));
        let answer = self.call_at(call, now).await;
        assert_eq!(answer.status, 202, "{}", answer.body);
        answer.body["id"].as_str().expect("an id").to_owned()
    }
}

/// The caller as an owner.
pub(crate) fn owner() -> Owner {
    format!("user:{CALLER}").parse().expect("an owner")
}

/// Serves on a free port until the test's runtime ends. Returns the URL.
async fn listen<F>(serve: impl FnOnce(TcpListener) -> F) -> String
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("bound"));
    tokio::spawn(serve(listener));
    url
}
