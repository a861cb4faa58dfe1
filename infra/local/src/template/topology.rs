//! What a template describes, every reference resolved: the types that the rest of the stack works with.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::time::Duration;

use http::Method;

use super::role::Role;
use super::table::Table;

/// Everything the local stack runs.
#[derive(Debug, Clone)]
pub struct Topology {
    /// The functions, by logical id.
    pub functions: Vec<Function>,
    /// The roles, by logical id: those of functions, and others.
    pub roles: BTreeMap<String, Role>,
    /// The queues.
    pub queues: Vec<Queue>,
    /// Which queue invokes which function.
    pub mappings: Vec<Mapping>,
    /// Which request invokes which function, most specific path first.
    pub routes: Vec<Route>,
    /// Which function runs how often.
    pub schedules: Vec<Schedule>,
    /// The tables.
    pub tables: Vec<Table>,
    /// The authorizer of routes that name none.
    pub default_authorizer: Option<String>,
    /// Whose tokens the HTTP API accepts, and with which scopes, by name.
    pub authorizers: BTreeMap<String, JwtAuthorizer>,
    /// Secret id to the parameter that names it.
    pub secrets: BTreeMap<String, String>,
}

/// One Lambda function.
#[derive(Debug, Clone)]
pub struct Function {
    /// The folder under `functions/`; the name everywhere in the local stack.
    pub name: String,
    /// The binary that implements it.
    pub binary: String,
    /// How long one invocation may take.
    pub timeout: Duration,
    /// Megabytes, as told to the function.
    pub memory: u32,
    /// Its environment.
    pub environment: BTreeMap<String, String>,
    /// `AWS_LAMBDA_LOG_FORMAT`, if the template sets it.
    pub log_format: Option<String>,
    /// `AWS_LAMBDA_LOG_LEVEL`, if the template sets it.
    pub log_level: Option<String>,
    /// Its ARN.
    pub arn: String,
    /// The logical id of its role, which is one of the topology's.
    pub role: String,
}

/// One SQS queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Queue {
    /// Its logical id, which is also its name.
    pub name: String,
    /// Its ARN.
    pub arn: String,
    /// Queue attributes as SQS takes them.
    pub attributes: BTreeMap<String, String>,
    /// The name of the queue to which messages go that were received too often.
    pub dead_letter_queue: Option<String>,
}

/// A queue that invokes a function.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mapping {
    /// The function's name.
    pub function: String,
    /// The queue's name.
    pub queue: String,
    /// The queue's ARN.
    pub queue_arn: String,
    /// Messages per invocation, at most.
    pub batch_size: NonZeroU32,
    /// How long to wait for a fuller batch.
    pub batching_window: Duration,
    /// Invocations at a time, at most.
    pub maximum_concurrency: Option<NonZeroU32>,
    /// How the function's answer is read.
    pub answers: Answers,
}

/// What a batch function's answer means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answers {
    /// The answer lists the messages that failed.
    BatchItemFailures,
    /// No error means that every message succeeded.
    WholeBatch,
}

/// A request that invokes a function.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// The method; `None` for `ANY`.
    pub method: Option<Method>,
    /// The path as the template writes it, `/v1/owners/{owner}/commands`.
    pub path: String,
    /// The function's name.
    pub function: String,
    /// Who may call it.
    pub access: Access,
}

/// Who may call a route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Access {
    /// Callers with a token that this authorizer accepts.
    Token(String),
    /// Everyone.
    Open,
}

/// A function that runs by the clock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    /// The schedule's logical id.
    pub name: String,
    /// The function's name.
    pub function: String,
    /// The time between two runs.
    pub period: Duration,
    /// What the function is given, if the template says so.
    pub input: Option<String>,
}

/// The JWT authorizer of the HTTP API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JwtAuthorizer {
    /// The issuer that tokens must name.
    pub issuer: String,
    /// The audiences of which tokens must name one.
    pub audience: Vec<String>,
    /// The scopes of which tokens must have one; every token will do if there are none.
    pub scopes: Vec<String>,
}

impl Topology {
    /// The function of this name.
    pub fn function(&self, name: &str) -> Option<&Function> {
        self.functions.iter().find(|function| function.name == name)
    }
}
