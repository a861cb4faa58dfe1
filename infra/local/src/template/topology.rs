//! What a template describes, with every reference resolved: the types that the rest of the stack uses.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::time::Duration;

use http::Method;
use serde::Deserialize;

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
    /// Memory in megabytes; passed to the function, not enforced.
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
    /// The concurrency that is reserved for it, which also limits it.
    pub reserved: Option<u32>,
    /// What Lambda does with its invocations that a recursive loop causes.
    pub recursive_loop: RecursiveLoop,
}

/// What Lambda does with an invocation that it takes for a part of a recursive loop.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub enum RecursiveLoop {
    /// Drops it.
    #[default]
    Terminate,
    /// Runs it.
    Allow,
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
    /// The dead-letter queue of the redrive policy.
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
    /// The most messages per invocation.
    pub batch_size: NonZeroU32,
    /// How long to wait for a fuller batch.
    pub batching_window: Duration,
    /// The most concurrent invocations.
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

/// A function that runs on a schedule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    /// The schedule's logical id.
    pub name: String,
    /// The function's name.
    pub function: String,
    /// The time between two runs.
    pub period: Duration,
    /// The function's input, if the template sets one.
    pub input: Option<String>,
    /// How long Lambda tries to invoke the function while it is throttled.
    pub maximum_age: Duration,
}

/// The JWT authorizer of the HTTP API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JwtAuthorizer {
    /// The issuer that tokens must name.
    pub issuer: String,
    /// The accepted audiences; a token must name one of them.
    pub audience: Vec<String>,
    /// The accepted scopes; a token must have one of them. If empty, every token is accepted.
    pub scopes: Vec<String>,
}

impl Topology {
    /// Returns the function of this name.
    pub fn function(&self, name: &str) -> Option<&Function> {
        self.functions.iter().find(|function| function.name == name)
    }
}
