//! The simulators of GitHub and the analysis service, for a template.yaml that is deployed elsewhere.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use aws_config::BehaviorVersion;
use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use bytes::Bytes;
use clap::Parser;
use domain::owner::Owner;
use http::StatusCode;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::json;
use store::table::Table;
use tokio::task::JoinSet;

use crate::connect::Connector;
use crate::data_directory::DataDirectory;
use crate::gateway::problem::{failed, invalid};
use crate::listen::listen;
use crate::services::{self, Keep};
use crate::stack::AGENT_TOKEN;
use crate::start_error::StartError;

/// Serves the simulators of GitHub and of the analysis service to functions that run elsewhere on this machine.
///
/// Prints the deployment's settings as one line of JSON: the addresses, the App's id and key, the agent's token.
/// Serves the simulators' own endpoints under /local, and POST /local/owners {"owner","table"}, which connects an
/// owner in that table. Finds DynamoDB through the environment (AWS_ENDPOINT_URL_DYNAMODB and so on).
#[derive(Debug, Parser)]
#[command(name = "simulators", version)]
pub struct Arguments {
    /// Address of the endpoints for tests; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8788")]
    pub listen: SocketAddr,

    /// Dataset of the GitHub simulator
    #[arg(long, value_name = "DIR")]
    pub github: PathBuf,
}

/// The settings of a deployment. The key and the token are created for this run.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Announcement {
    /// The address of the endpoints for tests.
    url: String,
    /// Value of the parameter `GithubApiUrl`.
    github_url: String,
    /// Value of the parameter `GithubAppId`.
    github_app_id: u64,
    /// Text of the secret that `GithubPrivateKeySecretArn` names.
    github_private_key: String,
    /// Value of the parameter `AgentUrl`.
    agent_url: String,
    /// Text of the secret that `AgentTokenSecretArn` names.
    agent_token: String,
}

/// The running simulators. They keep no data.
#[derive(Debug)]
pub struct Simulators {
    announcement: String,
    agent: agent_simulator::Simulator,
    servers: JoinSet<()>,
    _data: DataDirectory,
}

/// What `POST /local/owners` needs.
#[derive(Debug)]
struct Onboarding {
    simulator: github_simulator::Simulator,
    dynamodb: aws_sdk_dynamodb::Client,
}

impl Simulators {
    /// Starts the simulators and returns when all of them are served.
    pub async fn start(arguments: &Arguments) -> Result<Self, StartError> {
        let data = DataDirectory::temporary()?;
        let mut servers = JoinSet::new();
        let (github, github_simulator) =
            services::github_simulator(&arguments.github, &data, Keep::InMemory, &mut servers)
                .await?;
        let token = data.secret(AGENT_TOKEN)?;
        let (agent, agent_simulator) =
            services::agent_simulator(&token, &data, Keep::InMemory, &mut servers).await?;
        let (listener, address) = listen("the endpoints for tests", arguments.listen).await?;
        let aws = aws_config::load_defaults(BehaviorVersion::latest()).await;
        let onboarding = Onboarding {
            simulator: github_simulator.clone(),
            dynamodb: aws_sdk_dynamodb::Client::new(&aws),
        };
        let router = Router::new()
            .route("/local/owners", post(connect))
            .with_state(Arc::new(onboarding))
            .merge(github_simulator.local_router())
            .merge(agent_simulator.local_router());
        services::serve("the endpoints for tests", listener, router, &mut servers);
        let announcement = Announcement {
            url: format!("http://{address}"),
            github_url: github.url,
            github_app_id: github_simulator.app_id(),
            github_private_key: github.private_key,
            agent_url: agent.url,
            agent_token: agent.token,
        };
        Ok(Self {
            announcement: json!(announcement).to_string(),
            agent: agent_simulator,
            servers,
            _data: data,
        })
    }

    /// The deployment's settings as one line of JSON. Contains this run's secrets.
    pub fn announcement(&self) -> &str {
        &self.announcement
    }

    /// Stops the simulators; no callback is in progress when it returns.
    pub async fn stop(mut self) {
        self.agent.stop().await;
        self.servers.shutdown().await;
    }
}

/// The body of `POST /local/owners`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Connection {
    owner: Owner,
    table: String,
}

async fn connect(State(onboarding): State<Arc<Onboarding>>, body: Bytes) -> Response {
    let connection: Connection = match serde_json::from_slice(&body) {
        Ok(connection) => connection,
        Err(error) => return invalid(&error),
    };
    let table = Table::new(onboarding.dynamodb.clone(), connection.table);
    let connector = match Connector::simulated(&onboarding.simulator, table) {
        Ok(connector) => connector,
        Err(error) => return failed("CONNECT_FAILED", &error),
    };
    let now = domain::Timestamp::from_millis(Timestamp::now().as_millisecond());
    match connector.connect(&connection.owner, None, now).await {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(error) => failed("CONNECT_FAILED", &error),
    }
}
