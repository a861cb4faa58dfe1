//! Reads the template's resources into the topology.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use super::conditions::{self, Conditions};
use super::parameters::text;
use super::resolve::Resolver;
use super::{
    Function, JwtAuthorizer, Place, Queue, RawResource, Table, Template, TemplateError, Topology,
    shaped,
};
use super::{events, role};

/// Reads every resource that the local stack runs.
pub(super) fn topology(
    template: &Template,
    parameters: &BTreeMap<String, String>,
    place: &Place,
) -> Result<Topology, TemplateError> {
    let conditions = conditions::evaluate(&template.conditions, parameters)?;
    let resources = present(template, &conditions)?;
    let reader = Reader {
        resolver: Resolver {
            parameters,
            declared: &template.parameters,
            resources: &resources,
            conditions: &conditions,
            place,
        },
        template,
        place,
    };
    let mut topology = Topology {
        functions: Vec::new(),
        roles: BTreeMap::new(),
        queues: Vec::new(),
        mappings: Vec::new(),
        routes: Vec::new(),
        schedules: Vec::new(),
        tables: Vec::new(),
        default_authorizer: None,
        authorizers: BTreeMap::new(),
        secrets: parameters
            .iter()
            .filter(|(name, _)| name.ends_with("SecretArn"))
            .map(|(name, arn)| (arn.clone(), name.clone()))
            .collect(),
    };
    // First the authorizers and roles, which routes and functions refer to.
    for (&id, &resource) in &resources {
        match resource.r#type.as_str() {
            "AWS::Serverless::HttpApi" => reader.authorizers(id, resource, &mut topology)?,
            "AWS::IAM::Role" => {
                let role = role::read(id, reader.properties(resource)?)?;
                topology.roles.insert(id.to_owned(), role);
            }
            _ => {}
        }
    }
    for (&id, &resource) in &resources {
        match resource.r#type.as_str() {
            "AWS::Serverless::Function" => reader.function(id, resource, &mut topology)?,
            "AWS::SQS::Queue" => topology.queues.push(reader.queue(id, resource)?),
            "AWS::DynamoDB::Table" => topology.tables.push(reader.table(id, resource)?),
            _ => {}
        }
    }
    topology.routes.sort_by_key(events::specificity);
    Ok(topology)
}

/// The resources without a condition, and those whose condition holds.
fn present<'a>(
    template: &'a Template,
    conditions: &Conditions,
) -> Result<BTreeMap<&'a str, &'a RawResource>, TemplateError> {
    let mut present = BTreeMap::new();
    for (id, resource) in &template.resources {
        let holds = match &resource.condition {
            None => true,
            Some(name) => *conditions
                .get(name)
                .ok_or_else(|| TemplateError::Unresolved {
                    reference: name.clone(),
                })?,
        };
        if holds {
            present.insert(id.as_str(), resource);
        }
    }
    Ok(present)
}

struct Reader<'a> {
    resolver: Resolver<'a>,
    template: &'a Template,
    place: &'a Place,
}

#[derive(Deserialize)]
struct Build {
    #[serde(rename = "BuildProperties")]
    properties: BuildProperties,
}

#[derive(Deserialize)]
struct BuildProperties {
    #[serde(rename = "Binary")]
    binary: String,
}

impl Reader<'_> {
    fn function(
        &self,
        id: &str,
        resource: &RawResource,
        topology: &mut Topology,
    ) -> Result<(), TemplateError> {
        // Like SAM, merge a map with the map of the defaults.
        let property = |name: &str| {
            let default = self.template.function_defaults.get(name);
            let merged = match (default, resource.properties.get(name)) {
                (Some(Value::Object(default)), Some(Value::Object(own))) => {
                    let mut merged = default.clone();
                    merged.extend(own.clone());
                    Some(Value::Object(merged))
                }
                (default, own) => own.or(default).cloned(),
            };
            match merged {
                Some(value) => self.resolver.resolve(&value),
                None => Ok(None),
            }
        };
        let required = |name: &str| {
            property(name)?.ok_or_else(|| TemplateError::Unsupported {
                place: id.to_owned(),
                reason: format!("a function must have {name}"),
            })
        };
        let code: String = shaped(&format!("{id}.CodeUri"), required("CodeUri")?)?;
        let name = code.rsplit('/').next().unwrap_or(&code).to_owned();
        let build: Build = shaped(&format!("{id}.Metadata"), resource.metadata.clone())?;
        let seconds: u64 = shaped(&format!("{id}.Timeout"), required("Timeout")?)?;
        let memory = shaped(&format!("{id}.MemorySize"), required("MemorySize")?)?;
        let logging = property("LoggingConfig")?.unwrap_or_default();
        let reserved = property("ReservedConcurrentExecutions")?
            .map(|value| shaped(&format!("{id}.ReservedConcurrentExecutions"), value))
            .transpose()?;
        let recursive_loop = property("RecursiveLoop")?
            .map(|value| shaped(&format!("{id}.RecursiveLoop"), value))
            .transpose()?
            .unwrap_or_default();
        topology.functions.push(Function {
            arn: self.place.arn("lambda", &format!("function:{name}")),
            binary: build.properties.binary,
            timeout: Duration::from_secs(seconds),
            memory,
            environment: self.environment(id, resource)?,
            log_format: logging.get("LogFormat").map(text),
            log_level: logging.get("ApplicationLogLevel").map(text),
            role: role_of(id, resource, topology)?,
            reserved,
            recursive_loop,
            name: name.clone(),
        });
        let events = property("Events")?.unwrap_or_else(|| Value::Object(serde_json::Map::new()));
        let events: BTreeMap<String, events::Event> = shaped(&format!("{id}.Events"), events)?;
        let asynchronous = property("EventInvokeConfig")?
            .map(|value| shaped(&format!("{id}.EventInvokeConfig"), value))
            .transpose()?
            .unwrap_or_default();
        for (event_id, event) in events {
            let place = format!("{id}.{event_id}");
            events::add(&place, &name, event, &asynchronous, topology)?;
        }
        Ok(())
    }

    fn environment(
        &self,
        id: &str,
        resource: &RawResource,
    ) -> Result<BTreeMap<String, String>, TemplateError> {
        let mut environment = BTreeMap::new();
        for properties in [&self.template.function_defaults, &resource.properties] {
            let variables = properties
                .get("Environment")
                .and_then(|environment| environment.get("Variables"));
            if let Some(variables) = variables {
                let variables = shaped(&format!("{id}.Environment"), variables.clone())?;
                environment.extend(self.resolver.texts(&variables)?);
            }
        }
        Ok(environment)
    }

    fn queue(&self, id: &str, resource: &RawResource) -> Result<Queue, TemplateError> {
        /// These have no effect on a local queue, which is named after its logical id.
        const NOT_LOCAL: [&str; 6] = [
            "QueueName",
            "RedriveAllowPolicy",
            "SqsManagedSseEnabled",
            "KmsMasterKeyId",
            "KmsDataKeyReusePeriodSeconds",
            "Tags",
        ];
        if resource.properties.contains_key("FifoQueue") {
            return Err(TemplateError::Unsupported {
                place: id.to_owned(),
                reason: "the local stack does not support FIFO queues".to_owned(),
            });
        }
        let properties = self.resolver.members(&resource.properties)?;
        let attributes = properties
            .iter()
            .filter(|(name, _)| !NOT_LOCAL.contains(&name.as_str()))
            .map(|(name, value)| (name.clone(), text(value)))
            .collect();
        let dead_letter_queue = properties
            .get("RedrivePolicy")
            .and_then(|policy| {
                policy
                    .get("deadLetterTargetArn")?
                    .as_str()?
                    .rsplit(':')
                    .next()
            })
            .map(str::to_owned);
        Ok(Queue {
            name: id.to_owned(),
            arn: self.place.arn("sqs", id),
            attributes,
            dead_letter_queue,
        })
    }

    fn table(&self, id: &str, resource: &RawResource) -> Result<Table, TemplateError> {
        let mut table: Table = shaped(id, self.properties(resource)?)?;
        id.clone_into(&mut table.name);
        Ok(table)
    }

    fn properties(&self, resource: &RawResource) -> Result<Value, TemplateError> {
        self.resolver
            .members(&resource.properties)
            .map(Value::Object)
    }

    fn authorizers(
        &self,
        id: &str,
        resource: &RawResource,
        topology: &mut Topology,
    ) -> Result<(), TemplateError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Auth {
            default_authorizer: String,
            authorizers: BTreeMap<String, Authorizer>,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Authorizer {
            #[serde(default)]
            authorization_scopes: Vec<String>,
            jwt_configuration: JwtConfiguration,
        }
        #[derive(Deserialize)]
        struct JwtConfiguration {
            issuer: String,
            audience: Vec<String>,
        }
        let Some(auth) = resource.properties.get("Auth") else {
            return Ok(());
        };
        let auth: Auth = shaped(
            &format!("{id}.Auth"),
            self.resolver.resolve(auth)?.unwrap_or_default(),
        )?;
        topology.default_authorizer = Some(auth.default_authorizer);
        topology.authorizers = auth
            .authorizers
            .into_iter()
            .map(|(name, authorizer)| {
                let JwtConfiguration { issuer, audience } = authorizer.jwt_configuration;
                let authorizer = JwtAuthorizer {
                    issuer,
                    audience,
                    scopes: authorizer.authorization_scopes,
                };
                (name, authorizer)
            })
            .collect();
        Ok(())
    }
}

/// The logical id of the role that the function names. A function without one is an error: SAM would create a role
/// that the template does not show.
fn role_of(id: &str, resource: &RawResource, topology: &Topology) -> Result<String, TemplateError> {
    let named = resource
        .properties
        .get("Role")
        .and_then(|role| role.get("Fn::GetAtt")?.get(0)?.as_str())
        .filter(|name| topology.roles.contains_key(*name));
    named
        .map(str::to_owned)
        .ok_or_else(|| TemplateError::Unsupported {
            place: id.to_owned(),
            reason: "Role must be the Arn of a role in this template".to_owned(),
        })
}
