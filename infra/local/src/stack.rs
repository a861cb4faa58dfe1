//! The whole stack: the order in which its parts start and stop.

use std::collections::BTreeMap;
use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use store::table::Table;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::arguments::{self, Arguments};
use crate::aws_proxy::{AwsProxy, Partitions, Permissions, Secrets};
use crate::compile::compile;
use crate::connect::Connector;
use crate::data_directory::{DataDirectory, DataError};
use crate::functions::{Functions, Surroundings};
use crate::gateway::{Authorizers, Gateway, Parts, SignIn};
use crate::guard::{Serves, guarded};
use crate::listen::{listen, loopback};
use crate::mapping::Poller;
use crate::queues::Queues;
use crate::schedule::Schedules;
use crate::services::{self, Agent, Github, Keep};
use crate::start_error::{GITHUB_KEY_FILE, StartError};
use crate::tables;
use crate::template::{self, ACCOUNT, Place, REGION, Template, Topology};

/// How long running invocations may continue after the stack is asked to stop.
const STOP_TIMEOUT: Duration = Duration::from_secs(3);
/// The parameter whose secret is the GitHub App's private key; other secrets are random strings.
const GITHUB_KEY: &str = "GithubPrivateKeySecretArn";
/// The parameter whose secret is the token for the analysis service.
pub(crate) const AGENT_TOKEN: &str = "AgentTokenSecretArn";
/// The parameter whose secret holds the keys that sign callback capabilities.
const CALLBACK_KEYS: &str = "CallbackKeysSecretArn";
/// The variable that names the file with the agent's token if the agent is not simulated.
const AGENT_TOKEN_FILE: &str = "LOCAL_AGENT_TOKEN_FILE";

/// The variable that names the file to which the stack appends every permission that a function uses.
const PERMISSIONS_FILE: &str = "LOCAL_PERMISSIONS_FILE";

/// The folders of the sources and of the binaries.
#[derive(Debug, Clone)]
pub struct Layout {
    /// The root of the workspace, which contains template.yaml.
    pub workspace: PathBuf,
    /// The folder of the binaries, `<target>/<profile>`.
    pub binaries: PathBuf,
}

impl Layout {
    /// Derives the layout of the running program from this package's manifest directory at build time.
    pub fn of(manifest: &Path) -> Result<Self, StartError> {
        let binary = std::env::current_exe().map_err(StartError::Program)?;
        let workspace = manifest.ancestors().nth(2).unwrap_or(manifest);
        let workspace = workspace
            .canonicalize()
            .map_err(|source| StartError::Checkout {
                path: workspace.to_owned(),
                source,
            })?;
        Ok(Self {
            workspace,
            binaries: binary.parent().map(PathBuf::from).unwrap_or_default(),
        })
    }
}

/// A running stack.
#[derive(Debug)]
pub struct Stack {
    address: SocketAddr,
    functions: Arc<Functions>,
    stop: CancellationToken,
    pollers: TaskTracker,
    invocations: TaskTracker,
    servers: JoinSet<()>,
    agent: Option<agent_simulator::Simulator>,
    _data: DataDirectory,
}

impl Stack {
    /// Starts everything and returns when requests are served. `progress` receives status lines.
    pub async fn start(
        arguments: &Arguments,
        layout: &Layout,
        progress: impl Fn(&str),
    ) -> Result<Self, StartError> {
        // Checks that fail fast come before steps that take time.
        let (data, keep) = data_directory(arguments)?;
        let template_file = layout.workspace.join("template.yaml");
        let template = template(&template_file)?;
        let chosen = arguments
            .parameters
            .iter()
            .cloned()
            .collect::<BTreeMap<_, _>>();
        let values = template
            .parameters(&chosen)
            .map_err(StartError::Parameter)?;
        for warning in template.warnings(&values) {
            progress(&warning);
        }
        let (gateway_listener, address) = listen("the gateway", arguments.listen).await?;
        let binaries = arguments.binaries.as_ref().unwrap_or(&layout.binaries);
        if !arguments.no_build && arguments.binaries.is_none() {
            progress("building the functions");
            compile(&layout.workspace, &layout.binaries).await?;
        }

        let mut servers = JoinSet::new();
        let dynamodb = match &arguments.dynamodb {
            Some(url) => url.trim_end_matches('/').to_owned(),
            None => services::dynamodb(&data, keep, &mut servers).await?,
        };
        let sqs = match &arguments.sqs {
            Some(url) => url.trim_end_matches('/').to_owned(),
            None => services::sqs(&data, keep, &mut servers).await?,
        };
        let github = github(arguments, layout, &data, keep, &mut servers).await?;
        let (proxy_listener, proxy_address) = listen("the AWS proxy", loopback()).await?;

        let place = Place::local(
            format!("http://{proxy_address}"),
            format!("http://{address}"),
        );
        let agent = agent(arguments, &data, keep, &mut servers).await?;
        let known = overrides(&template, arguments, &github, &agent);
        let parameters = template.parameters(&known).map_err(StartError::Parameter)?;
        let topology = template.topology(&parameters, &place);
        let topology = topology.map_err(|source| StartError::Template {
            path: template_file.clone(),
            source: Box::new(source),
        })?;
        let table = topology.tables.first().ok_or(StartError::NoTable {
            path: template_file,
        })?;
        built(&topology, binaries)?;

        progress(&format!(
            "DynamoDB at {dynamodb}, SQS at {sqs}, GitHub at {}, the agent at {}",
            github.url, agent.url
        ));
        let dynamodb_client = aws_sdk_dynamodb::Client::new(&services::sdk(REGION, &dynamodb));
        tables::prepare(&dynamodb_client, &topology)
            .await
            .map_err(|source| StartError::Table {
                endpoint: dynamodb.clone(),
                source: Box::new(source),
            })?;
        let sqs_client = aws_sdk_sqs::Client::new(&services::sdk(REGION, &sqs));
        let queues = Queues::prepare(sqs_client.clone(), &topology)
            .await
            .map_err(|source| StartError::Queue {
                endpoint: sqs.clone(),
                source: Box::new(source),
            })?;

        let secrets = secrets(&topology, &github, &agent, &data)?;
        let permissions = Permissions::new(&topology, place.clone(), permissions_file()?);
        let partitions = arguments.partition_limits.then(|| {
            let tables = topology.tables.iter();
            Partitions::new(tables.filter_map(template::Table::partition).collect())
        });
        let proxy = AwsProxy::new(dynamodb, sqs, secrets, Some(permissions), partitions);
        let proxy = Arc::new(proxy);
        servers.spawn(Arc::clone(&proxy).serve(proxy_listener));
        let logs = data.directory("logs")?;
        progress(&format!("the functions log to {}", logs.display()));
        let surroundings = Surroundings {
            binaries: binaries.clone(),
            logs: logs.clone(),
            region: REGION.to_owned(),
            aws: format!("http://{proxy_address}"),
            concurrency: arguments.concurrency,
        };
        let functions =
            Functions::new(&topology, &surroundings).map_err(|source| StartError::Embedded {
                service: "the functions",
                place: None,
                source: Box::new(source),
            })?;
        let functions = Arc::new(functions);
        proxy.serve_functions(Arc::clone(&functions));
        functions
            .warm_up()
            .await
            .map_err(|source| StartError::Function {
                logs,
                source: Box::new(source),
            })?;

        let table = Table::new(dynamodb_client, table.name.clone());
        let schedules = Schedules::new(&topology.schedules, place, Arc::clone(&functions));
        let schedules = Arc::new(schedules);
        let pollers = pollers(&topology, &queues, &sqs_client, &functions);
        let parts = Parts {
            functions: Arc::clone(&functions),
            proxy,
            queues,
            schedules: Arc::clone(&schedules),
            connector: connector(&github, Arc::clone(&functions), table)?,
        };
        let mut authorizers = Authorizers::new(&topology.authorizers, &data.secret("token-key")?);
        // The stack's own issuer has no discovery documents to fetch keys from.
        if chosen.contains_key("TokenIssuer") {
            authorizers = authorizers.trusting_issuer();
        }
        let gateway = Gateway::new(
            topology.routes.clone(),
            authorizers,
            ACCOUNT.to_owned(),
            address,
            sign_in(&parameters),
            parts,
        );
        let mut router = gateway.router();
        if let Some(simulator) = &github.simulator {
            router = router.merge(simulator.local_router());
        }
        if let Some(simulator) = &agent.simulator {
            router = router.merge(simulator.local_router());
        }
        let router = guarded(router, Serves::People);
        servers.spawn(async move {
            let service = router.into_make_service_with_connect_info::<SocketAddr>();
            // Serves until the task is aborted.
            let _ = axum::serve(gateway_listener, service).await;
        });
        if let Some(simulator) = &agent.simulator {
            // Only now can the gateway receive the callbacks that an earlier run still owes.
            simulator.resume();
        }
        if !arguments.no_schedules {
            servers.spawn(schedules.run_by_the_clock());
        }

        let stack = Self {
            address,
            functions,
            stop: CancellationToken::new(),
            pollers: TaskTracker::new(),
            invocations: TaskTracker::new(),
            servers,
            agent: agent.simulator,
            _data: data,
        };
        for poller in pollers {
            let run = Arc::new(poller).run(stack.stop.clone(), stack.invocations.clone());
            stack.pollers.spawn(run);
        }
        Ok(stack)
    }

    /// The address of the API.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Stops everything; no process is left when it returns.
    pub async fn stop(mut self) {
        self.stop.cancel();
        if let Some(agent) = &self.agent {
            agent.stop().await;
        }
        self.pollers.close();
        self.pollers.wait().await;
        self.functions.stop(STOP_TIMEOUT).await;
        // Wait for the pollers' deletes: messages that succeeded in time must not be redelivered.
        self.invocations.close();
        self.invocations.wait().await;
        self.servers.shutdown().await;
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

fn data_directory(arguments: &Arguments) -> Result<(DataDirectory, Keep), StartError> {
    if arguments.ephemeral {
        Ok((DataDirectory::temporary()?, Keep::InMemory))
    } else {
        Ok((DataDirectory::open(&arguments.data)?, Keep::InDirectory))
    }
}

fn template(path: &Path) -> Result<Template, StartError> {
    let text = read(path, "the template that describes the stack")?;
    Template::parse(&text).map_err(|source| StartError::Template {
        path: path.to_owned(),
        source: Box::new(source),
    })
}

/// Reads a text file. `what` describes its content for the error.
fn read(path: &Path, what: &'static str) -> Result<String, StartError> {
    std::fs::read_to_string(path).map_err(|source| StartError::Read {
        what,
        path: path.to_owned(),
        source,
    })
}

/// Checks that every function has a binary.
fn built(topology: &Topology, folder: &Path) -> Result<(), StartError> {
    let binaries = topology.functions.iter().map(|function| &function.binary);
    let missing: Vec<String> = binaries
        .filter(|binary| !folder.join(binary).is_file())
        .cloned()
        .collect();
    if missing.is_empty() {
        Ok(())
    } else {
        Err(StartError::NoBinaries {
            folder: folder.to_owned(),
            missing,
        })
    }
}

async fn github(
    arguments: &Arguments,
    layout: &Layout,
    data: &DataDirectory,
    keep: Keep,
    servers: &mut JoinSet<()>,
) -> Result<Github, StartError> {
    if let Some(arguments::Github::Api(url)) = &arguments.github {
        let path = std::env::var_os(GITHUB_KEY_FILE).ok_or(StartError::NoGithubKey)?;
        let private_key = read(
            Path::new(&path),
            "the App's private key that LOCAL_GITHUB_PRIVATE_KEY_FILE names",
        )?;
        return Ok(Github {
            url: url.clone(),
            private_key,
            simulator: None,
        });
    }
    let dataset = arguments.dataset(&layout.workspace).unwrap_or_default();
    let (github, _) = services::github_simulator(&dataset, data, keep, servers).await?;
    Ok(github)
}

async fn agent(
    arguments: &Arguments,
    data: &DataDirectory,
    keep: Keep,
    servers: &mut JoinSet<()>,
) -> Result<Agent, StartError> {
    let Some(url) = &arguments.agent else {
        let token = data.secret(AGENT_TOKEN)?;
        let (agent, _) = services::agent_simulator(&token, data, keep, servers).await?;
        return Ok(agent);
    };
    let token = match std::env::var_os(AGENT_TOKEN_FILE).map(PathBuf::from) {
        Some(path) => {
            let what = "the agent's token that LOCAL_AGENT_TOKEN_FILE names";
            read(&path, what)?.trim().to_owned()
        }
        None => data.secret(AGENT_TOKEN)?,
    };
    Ok(Agent {
        url: url.trim_end_matches('/').to_owned(),
        token,
        simulator: None,
    })
}

/// The parameter values that the stack itself sets, overridden by the command line's.
fn overrides(
    template: &Template,
    arguments: &Arguments,
    github: &Github,
    agent: &Agent,
) -> BTreeMap<String, String> {
    let mut known = vec![
        ("GithubApiUrl", github.url.clone()),
        ("AgentUrl", agent.url.clone()),
    ];
    if let Some(simulator) = &github.simulator {
        known.push(("GithubAppId", simulator.app_id().to_string()));
    }
    known
        .into_iter()
        .filter(|(name, _)| template.has_parameter(name))
        .map(|(name, value)| (name.to_owned(), value))
        .chain(arguments.parameters.iter().cloned())
        .collect()
}

fn secrets(
    topology: &Topology,
    github: &Github,
    agent: &Agent,
    data: &DataDirectory,
) -> Result<Secrets, StartError> {
    let secrets = topology
        .secrets
        .iter()
        .map(|(arn, parameter)| {
            let text = match parameter.as_str() {
                GITHUB_KEY => github.private_key.clone(),
                AGENT_TOKEN => agent.token.clone(),
                CALLBACK_KEYS => {
                    let key = data.secret(parameter)?;
                    json!({"active": "local", "keys": {"local": key}}).to_string()
                }
                _ => data.secret(parameter)?,
            };
            Ok((arn.clone(), text))
        })
        .collect::<Result<_, DataError>>()?;
    Ok(Secrets::new(secrets))
}

fn permissions_file() -> Result<Option<File>, StartError> {
    let path = std::env::var_os(PERMISSIONS_FILE).map(PathBuf::from);
    path.map(|path| {
        let opened = File::options().append(true).create(true).open(&path);
        opened.map_err(|source| StartError::Write {
            what: "the permissions file that LOCAL_PERMISSIONS_FILE names",
            path,
            source,
        })
    })
    .transpose()
}

/// A configured client id means that users sign in with that issuer.
fn sign_in(parameters: &BTreeMap<String, String>) -> SignIn {
    match parameters.get("DashboardClientId").map(String::as_str) {
        None | Some("") => SignIn::ByChoice,
        Some(_) => SignIn::WithIssuer,
    }
}

fn connector(
    github: &Github,
    functions: Arc<Functions>,
    table: Table,
) -> Result<Connector, StartError> {
    match &github.simulator {
        Some(simulator) => {
            Connector::simulated(simulator, table).map_err(|source| StartError::Embedded {
                service: "the connection to the GitHub simulator",
                place: None,
                source: Box::new(source),
            })
        }
        None => Ok(Connector::real(functions, table)),
    }
}

fn pollers(
    topology: &Topology,
    queues: &Queues,
    client: &aws_sdk_sqs::Client,
    functions: &Arc<Functions>,
) -> Vec<Poller> {
    topology
        .mappings
        .iter()
        .filter_map(|mapping| {
            Some(Poller {
                mapping: mapping.clone(),
                queue_url: queues.url(&mapping.queue)?.to_owned(),
                region: REGION.to_owned(),
                client: client.clone(),
                functions: Arc::clone(functions),
            })
        })
        .collect()
}
