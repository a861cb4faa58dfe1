//! Reads `template.yaml` into the topology that the local stack runs.
//!
//! Reads only what the stack runs: functions and their roles, queues, tables, the HTTP API and schedules. Ignores
//! other resources, such as alarms. Anything that it reads and does not support is an error.

mod conditions;
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
    Access, Answers, Function, JwtAuthorizer, Mapping, Queue, RecursiveLoop, Route, Schedule,
    Topology,
};

/// The region of the local stack.
pub const REGION: &str = "us-east-1";
/// The account of the local stack.
pub const ACCOUNT: &str = "000000000000";

/// A parsed template with unresolved references.
#[derive(Debug)]
pub struct Template {
    parameters: BTreeMap<String, parameters::Declaration>,
    conditions: BTreeMap<String, Value>,
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
    conditions: BTreeMap<String, Value>,
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
    condition: Option<String>,
    #[serde(default)]
    metadata: Value,
    #[serde(default)]
    properties: BTreeMap<String, Value>,
}

/// Where the stack runs: turns logical ids into addresses and ARNs.
#[derive(Debug, Clone)]
pub struct Place {
    /// The region in ARNs and in the functions' environment.
    pub region: String,
    /// The account in ARNs and queue URLs.
    pub account: String,
    /// The address under which functions reach SQS, without a trailing slash.
    pub queues: String,
    /// The address of the HTTP API, without a trailing slash.
    pub api: String,
}

impl Place {
    /// The place of a local stack with these addresses of SQS and the HTTP API.
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

    /// Builds an ARN.
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
            conditions,
            globals,
            resources,
        } = shaped("the top level", document.clone())?;
        Ok(Self {
            parameters,
            conditions,
            function_defaults: globals.function,
            resources,
            document,
        })
    }

    /// The whole document as JSON, including resources that the stack does not run; references are in their long
    /// forms.
    pub fn document(&self) -> &Value {
        &self.document
    }

    /// Reports whether the template declares this parameter.
    pub fn has_parameter(&self, name: &str) -> bool {
        self.parameters.contains_key(name)
    }

    /// Returns the value of every parameter: the default or its override.
    pub fn parameters(
        &self,
        overrides: &BTreeMap<String, String>,
    ) -> Result<BTreeMap<String, String>, TemplateError> {
        parameters::values(&self.parameters, overrides)
    }

    /// Returns a warning for each value that the local stack accepts and a deployment would refuse.
    pub fn warnings(&self, values: &BTreeMap<String, String>) -> Vec<String> {
        parameters::warnings(&self.parameters, values)
    }

    /// Resolves the template for this place and these parameter values.
    pub fn topology(
        &self,
        parameters: &BTreeMap<String, String>,
        place: &Place,
    ) -> Result<Topology, TemplateError> {
        read::topology(self, parameters, place)
    }
}

/// Deserializes the value; the error contains its path.
fn shaped<T: DeserializeOwned>(place: &str, value: Value) -> Result<T, TemplateError> {
    serde_json::from_value(value).map_err(|source| TemplateError::Shape {
        place: place.to_owned(),
        source,
    })
}
