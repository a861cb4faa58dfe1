//! The services around the functions: DynamoDB, SQS, GitHub and the agent, embedded or external.

use std::fmt::Debug;
use std::path::{Path, PathBuf};
use std::time::Duration;

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use axum::Router;
use axum::serve::Listener;
use dynoxide::Database;
use github_simulator::{AppKey, Simulator};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tracing::warn;

use crate::data_directory::DataDirectory;
use crate::guard::{Serves, guarded};
use crate::idle::Forgetful;
use crate::listen::{self, loopback};
use crate::start_error::StartError;

/// How often expired items are deleted. DynamoDB itself takes up to a few days.
const EXPIRY_SWEEP: Duration = Duration::from_secs(60);

/// Whether an embedded service keeps its data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keep {
    InDirectory,
    InMemory,
}

impl Keep {
    /// The file of a service that keeps its data.
    fn place(self, path: PathBuf) -> Option<PathBuf> {
        match self {
            Self::InDirectory => Some(path),
            Self::InMemory => None,
        }
    }
}

/// Starts the embedded DynamoDB and returns its address.
pub(crate) async fn dynamodb(
    data: &DataDirectory,
    keep: Keep,
    tasks: &mut JoinSet<()>,
) -> Result<String, StartError> {
    let path = data.file("dynamodb.db");
    let database = match keep {
        Keep::InDirectory => Database::new(&data.database("dynamodb.db")?.to_string_lossy()),
        Keep::InMemory => Database::memory(),
    };
    let database = database.map_err(|source| StartError::Embedded {
        service: "the embedded DynamoDB",
        place: keep.place(path),
        source: Box::new(source),
    })?;
    let (listener, url) = listen("DynamoDB").await?;
    let sweeper = database.clone();
    tasks.spawn(async move {
        loop {
            tokio::time::sleep(EXPIRY_SWEEP).await;
            let database = sweeper.clone();
            match tokio::task::spawn_blocking(move || database.sweep_ttl()).await {
                Ok(Ok(_)) => {}
                Ok(Err(error)) => warn!("cannot delete expired items: {error}"),
                Err(error) => warn!("the sweep of expired items failed: {error}"),
            }
        }
    });
    tasks.spawn(async move {
        let forever = std::future::pending();
        if let Err(error) = dynoxide::server::serve_with_shutdown(listener, database, forever).await
        {
            warn!("the embedded DynamoDB ended: {error}");
        }
    });
    Ok(url)
}

/// Starts the embedded SQS and returns its address.
pub(crate) async fn sqs(
    data: &DataDirectory,
    keep: Keep,
    tasks: &mut JoinSet<()>,
) -> Result<String, StartError> {
    let path = data.file("sqs.db");
    let queues = match keep {
        Keep::InDirectory => local_sqs::Queues::open(&data.database("sqs.db")?),
        Keep::InMemory => local_sqs::Queues::memory(),
    };
    let queues = queues.map_err(|source| StartError::Embedded {
        service: "the embedded SQS",
        place: keep.place(path),
        source: Box::new(source),
    })?;
    let (listener, url) = listen("SQS").await?;
    serve("SQS", listener, queues.router(), tasks);
    Ok(url)
}

/// GitHub as the functions see it.
pub(crate) struct Github {
    pub(crate) url: String,
    pub(crate) private_key: String,
    /// `None` if GitHub is not simulated.
    pub(crate) simulator: Option<Simulator>,
}

/// Starts the GitHub simulator.
pub(crate) async fn github_simulator(
    dataset: &Path,
    data: &DataDirectory,
    keep: Keep,
    tasks: &mut JoinSet<()>,
) -> Result<(Github, Simulator), StartError> {
    let embedded = |place, source: Box<dyn std::error::Error + Send + Sync>| StartError::Embedded {
        service: "the GitHub simulator",
        place,
        source,
    };
    let path = data.file("github-app.pem");
    let key = match keep {
        Keep::InDirectory => AppKey::load_or_generate(&path),
        Keep::InMemory => AppKey::generate(),
    };
    let key = key.map_err(|source| embedded(keep.place(path), Box::new(source)))?;
    let state: Option<PathBuf> = match keep {
        Keep::InDirectory => Some(data.file("github.json")),
        Keep::InMemory => None,
    };
    let simulator = Simulator::open(dataset, state.as_deref(), &key)
        .map_err(|source| embedded(Some(dataset.to_owned()), Box::new(source)))?;
    let (listener, url) = listen("the GitHub simulator").await?;
    let router = simulator.router();
    serve("the GitHub simulator", Forgetful(listener), router, tasks);
    let github = Github {
        url,
        private_key: key.private_key_pem().to_owned(),
        simulator: Some(simulator.clone()),
    };
    Ok((github, simulator))
}

/// The analysis service as the functions see it.
pub(crate) struct Agent {
    pub(crate) url: String,
    pub(crate) token: String,
    /// `None` if the agent is not simulated.
    pub(crate) simulator: Option<agent_simulator::Simulator>,
}

/// The simulated duration of an analysis.
const ANALYSIS: Duration = Duration::from_millis(1_500);

/// Starts the simulator of the analysis service.
pub(crate) async fn agent_simulator(
    token: &str,
    data: &DataDirectory,
    keep: Keep,
    tasks: &mut JoinSet<()>,
) -> Result<(Agent, agent_simulator::Simulator), StartError> {
    let state: Option<PathBuf> = match keep {
        Keep::InDirectory => Some(data.file("agent.json")),
        Keep::InMemory => None,
    };
    let simulator = agent_simulator::Simulator::open(state.as_deref(), token, ANALYSIS);
    let simulator = simulator.map_err(|source| StartError::Embedded {
        service: "the agent simulator",
        place: state,
        source: Box::new(source),
    })?;
    let (listener, url) = listen("the agent simulator").await?;
    let router = simulator.router();
    serve("the agent simulator", Forgetful(listener), router, tasks);
    let agent = Agent {
        url,
        token: token.to_owned(),
        simulator: Some(simulator.clone()),
    };
    Ok((agent, simulator))
}

/// AWS SDK configuration for the stack's own calls.
pub(crate) fn sdk(region: &str, endpoint: &str) -> SdkConfig {
    let credentials = Credentials::new("local", "local", None, None, "local");
    SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(region.to_owned()))
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .endpoint_url(endpoint)
        .build()
}

async fn listen(service: &'static str) -> Result<(TcpListener, String), StartError> {
    let (listener, address) = listen::listen(service, loopback()).await?;
    Ok((listener, format!("http://{address}")))
}

pub(crate) fn serve<L>(service: &'static str, listener: L, router: Router, tasks: &mut JoinSet<()>)
where
    L: Listener,
    L::Addr: Debug,
{
    let router = guarded(router, Serves::Programs);
    tasks.spawn(async move {
        if let Err(error) = axum::serve(listener, router).await {
            warn!("{service} ended: {error}");
        }
    });
}
