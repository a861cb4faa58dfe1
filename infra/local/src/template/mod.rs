//! `template.yaml`, read into the topology that the local stack runs.
//!
//! Only what the stack runs is read: functions and their roles, queues, tables, the HTTP API and schedules. Alarms and
//! the like are left alone. What is read and not understood is an error, never ignored.

mod error;
mod events;
mod parameters;
mod read;
mod resolve;
mod role;
mod table;
#[cfg(test)]
mod tests;
mod topology;
mod yaml;

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

pub use error::TemplateError;
pub use role::{Permission, Role};
pub use table::{CreateTable, Table};
pub use topology::{
    Access, Answers, Function, JwtAuthorizer, Mapping, Queue, Route, Schedule, Topology,
};

/// The region that this machine is.
pub const REGION: &str = "us-east-1";
/// The account that this machine is.
pub const ACCOUNT: &str = "000000000000";

/// A template, parsed and not yet resolved.
#[derive(Debug)]
pub struct Template {
    parameters: BTreeMap<String, parameters::Declaration>,
    function_defaults: BTreeMap<String, Value>,
    resources: BTreeMap<String, RawResource>,
    document: Value,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Document {
    #[serde(default)]
    parameters: BTreeMap<String, parameters::Declaration>,
    #[serde(default)]
    globals: Globals,
    resources: BTreeMap<String, RawResource>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Globals {
    #[serde(default)]
    function: BTreeMap<String, Value>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RawResource {
    r#type: String,
    #[serde(default)]
    metadata: Value,
    #[serde(default)]
    properties: BTreeMap<String, Value>,
}

/// Where the stack runs: what turns a logical id into an address or an ARN.
#[derive(Debug, Clone)]
pub struct Place {
    /// The region in ARNs and in the functions' environment.
    pub region: String,
    /// The account in ARNs and queue URLs.
    pub account: String,
    /// Where functions reach SQS, without a slash at the end.
    pub queues: String,
    /// Where the HTTP API is, without a slash at the end.
    pub api: String,
}

impl Place {
    /// This machine, whose functions reach SQS and the HTTP API there.
    pub fn local(queues: impl Into<String>, api: impl Into<String>) -> Self {
        Self {
            region: REGION.to_owned(),
            account: ACCOUNT.to_owned(),
            queues: queues.into(),
            api: api.into(),
        }
    }

    /// The queue's URL as functions know it.
    pub fn queue_url(&self, name: &str) -> String {
        format!("{}/{}/{name}", self.queues, self.account)
    }

    /// An ARN of this place.
    pub fn arn(&self, service: &str, resource: &str) -> String {
        format!(
            "arn:aws:{service}:{}:{}:{resource}",
            self.region, self.account
        )
    }
}

impl Template {
    /// Parses the text of a template.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        let document = yaml::parse(text).map_err(TemplateError::Yaml)?;
        let Document {
            parameters,
            globals,
            resources,
        } = shaped("the top level", document.clone())?;
        Ok(Self {
            parameters,
            function_defaults: globals.function,
            resources,
            document,
        })
    }

    /// The whole of it as JSON, with the long forms of its references: also what the stack does not run.
    pub fn document(&self) -> &Value {
        &self.document
    }

    /// Whether the template declares this parameter.
    pub fn has_parameter(&self, name: &str) -> bool {
        self.parameters.contains_key(name)
    }

    /// The value of every parameter, given what overrides the defaults.
    pub fn parameters(
        &self,
        overrides: &BTreeMap<String, String>,
    ) -> Result<BTreeMap<String, String>, TemplateError> {
        parameters::values(&self.parameters, overrides)
    }

    /// A line for each of these values that is taken on this machine and that a deployment would refuse.
    pub fn warnings(&self, values: &BTreeMap<String, String>) -> Vec<String> {
        parameters::warnings(&self.parameters, values)
    }

    /// What the template describes, at this place and with these values of its parameters.
    pub fn topology(
        &self,
        parameters: &BTreeMap<String, String>,
        place: &Place,
    ) -> Result<Topology, TemplateError> {
        read::topology(self, parameters, place)
    }
}

/// The value as a type, or an error that says where it stood.
fn shaped<T: DeserializeOwned>(place: &str, value: Value) -> Result<T, TemplateError> {
    serde_json::from_value(value).map_err(|source| TemplateError::Shape {
        place: place.to_owned(),
        source,
    })
}
