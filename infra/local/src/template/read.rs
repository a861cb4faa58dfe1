//! From resources to the topology.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::time::Duration;

use http::Method;
use serde::Deserialize;
use serde_json::Value;

use super::parameters::text;
use super::resolve::Resolver;
use super::{
    Access, Answers, Function, JwtAuthorizer, Mapping, Place, Queue, RawResource, Route, Schedule,
    Table, Template, TemplateError, Topology, shaped,
};

/// Reads every resource that the local stack runs.
pub(super) fn topology(
    template: &Template,
    parameters: &BTreeMap<String, String>,
    place: &Place,
) -> Result<Topology, TemplateError> {
    let reader = Reader {
        resolver: Resolver {
            parameters,
            declared: &template.parameters,
            resources: &template.resources,
            place,
        },
        template,
        place,
    };
    let mut topology = Topology {
        functions: Vec::new(),
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
    // Routes need to know the API's authorizers.
    for (id, resource) in &template.resources {
        if resource.r#type == "AWS::Serverless::HttpApi" {
            reader.authorizers(id, resource, &mut topology)?;
        }
    }
    for (id, resource) in &template.resources {
        match resource.r#type.as_str() {
            "AWS::Serverless::Function" => reader.function(id, resource, &mut topology)?,
            "AWS::SQS::Queue" => topology.queues.push(reader.queue(id, resource)?),
            "AWS::DynamoDB::Table" => topology.tables.push(reader.table(id, resource)?),
            _ => {}
        }
    }
    topology.routes.sort_by_key(specificity);
    Ok(topology)
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

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Event {
    r#type: String,
    properties: Value,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct HttpEvent {
    method: String,
    path: String,
    auth: Option<HttpAuth>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct HttpAuth {
    authorizer: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct QueueEvent {
    queue: String,
    batch_size: Option<NonZeroU32>,
    #[serde(default)]
    maximum_batching_window_in_seconds: u64,
    #[serde(default)]
    function_response_types: Vec<String>,
    scaling_config: Option<ScalingConfig>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ScalingConfig {
    maximum_concurrency: NonZeroU32,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ScheduleEvent {
    schedule_expression: String,
    input: Option<String>,
}

impl Reader<'_> {
    fn function(
        &self,
        id: &str,
        resource: &RawResource,
        topology: &mut Topology,
    ) -> Result<(), TemplateError> {
        // As SAM does it, maps are merged with those of the defaults.
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
            merged
                .map(|value| self.resolver.resolve(&value))
                .transpose()
        };
        let required = |name: &str| {
            property(name)?.ok_or_else(|| TemplateError::Unsupported {
                place: id.to_owned(),
                reason: format!("a function needs {name}"),
            })
        };
        let code: String = shaped(&format!("{id}.CodeUri"), required("CodeUri")?)?;
        let name = code.rsplit('/').next().unwrap_or(&code).to_owned();
        let build: Build = shaped(&format!("{id}.Metadata"), resource.metadata.clone())?;
        let seconds: u64 = shaped(&format!("{id}.Timeout"), required("Timeout")?)?;
        let memory = shaped(&format!("{id}.MemorySize"), required("MemorySize")?)?;
        let logging = property("LoggingConfig")?.unwrap_or_default();
        topology.functions.push(Function {
            arn: self.place.arn("lambda", &format!("function:{name}")),
            binary: build.properties.binary,
            timeout: Duration::from_secs(seconds),
            memory,
            environment: self.environment(id, resource)?,
            log_format: logging.get("LogFormat").map(text),
            log_level: logging.get("ApplicationLogLevel").map(text),
            name: name.clone(),
        });
        let events = property("Events")?.unwrap_or_else(|| Value::Object(serde_json::Map::new()));
        let events: BTreeMap<String, Event> = shaped(&format!("{id}.Events"), events)?;
        for (event_id, event) in events {
            self.event(&format!("{id}.{event_id}"), &name, event, topology)?;
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

    fn event(
        &self,
        place: &str,
        function: &str,
        event: Event,
        topology: &mut Topology,
    ) -> Result<(), TemplateError> {
        match event.r#type.as_str() {
            "HttpApi" => {
                let read: HttpEvent = shaped(place, event.properties)?;
                let default = topology.default_authorizer.as_deref();
                topology.routes.push(route(place, function, read, default)?);
            }
            "SQS" => {
                let read: QueueEvent = shaped(place, event.properties)?;
                topology.mappings.push(mapping(function, read));
            }
            "ScheduleV2" | "Schedule" => {
                let read: ScheduleEvent = shaped(place, event.properties)?;
                topology.schedules.push(Schedule {
                    name: place.replace('.', ""),
                    function: function.to_owned(),
                    period: period(place, &read.schedule_expression)?,
                    input: read.input,
                });
            }
            other => {
                return Err(TemplateError::Unsupported {
                    place: place.to_owned(),
                    reason: format!("events of type {other} are not run locally"),
                });
            }
        }
        Ok(())
    }

    fn queue(&self, id: &str, resource: &RawResource) -> Result<Queue, TemplateError> {
        /// Encryption and tags mean nothing to a queue on this machine.
        const NOT_LOCAL: [&str; 4] = [
            "SqsManagedSseEnabled",
            "KmsMasterKeyId",
            "KmsDataKeyReusePeriodSeconds",
            "Tags",
        ];
        if let Some(name) = ["QueueName", "FifoQueue"]
            .into_iter()
            .find(|name| resource.properties.contains_key(*name))
        {
            return Err(TemplateError::Unsupported {
                place: id.to_owned(),
                reason: format!("{name} is not supported locally: a queue is named by its id"),
            });
        }
        let attributes = resource
            .properties
            .iter()
            .filter(|(name, _)| !NOT_LOCAL.contains(&name.as_str()))
            .map(|(name, value)| Ok((name.clone(), text(&self.resolver.resolve(value)?))))
            .collect::<Result<_, TemplateError>>()?;
        let redrive = resource.properties.get("RedrivePolicy");
        let target = redrive
            .map(|policy| self.resolver.resolve(policy))
            .transpose()?;
        let dead_letter_queue = target
            .as_ref()
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
        let properties = resource
            .properties
            .iter()
            .map(|(name, value)| Ok((name.clone(), self.resolver.resolve(value)?)))
            .collect::<Result<_, TemplateError>>()?;
        let mut table: Table = shaped(id, Value::Object(properties))?;
        id.clone_into(&mut table.name);
        Ok(table)
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
        let auth: Auth = shaped(&format!("{id}.Auth"), self.resolver.resolve(auth)?)?;
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

/// The route as it is written; without an authorizer of its own it has the API's.
fn route(
    place: &str,
    function: &str,
    event: HttpEvent,
    default: Option<&str>,
) -> Result<Route, TemplateError> {
    let unsupported = |reason: String| TemplateError::Unsupported {
        place: place.to_owned(),
        reason,
    };
    let method = match event.method.to_ascii_uppercase().as_str() {
        "ANY" | "*" => None,
        method => Some(
            Method::from_bytes(method.as_bytes())
                .map_err(|_| unsupported(format!("{method} is no HTTP method")))?,
        ),
    };
    let named = event.auth.map(|auth| auth.authorizer);
    let access = match named.as_deref().or(default) {
        Some("NONE") => Access::Open,
        Some(authorizer) => Access::Token(authorizer.to_owned()),
        None => return Err(unsupported("it has no authorizer".to_owned())),
    };
    Ok(Route {
        method,
        path: event.path,
        function: function.to_owned(),
        access,
    })
}

fn mapping(function: &str, event: QueueEvent) -> Mapping {
    /// Lambda's default.
    const BATCH_SIZE: NonZeroU32 = NonZeroU32::new(10).expect("ten is not zero");
    let reports = event
        .function_response_types
        .iter()
        .any(|kind| kind == "ReportBatchItemFailures");
    Mapping {
        function: function.to_owned(),
        queue: event
            .queue
            .rsplit(':')
            .next()
            .unwrap_or_default()
            .to_owned(),
        queue_arn: event.queue,
        batch_size: event.batch_size.unwrap_or(BATCH_SIZE),
        batching_window: Duration::from_secs(event.maximum_batching_window_in_seconds),
        maximum_concurrency: event
            .scaling_config
            .map(|scaling| scaling.maximum_concurrency),
        answers: if reports {
            Answers::BatchItemFailures
        } else {
            Answers::WholeBatch
        },
    }
}

/// `rate(5 minutes)`.
fn period(place: &str, expression: &str) -> Result<Duration, TemplateError> {
    let parsed = expression
        .strip_prefix("rate(")
        .and_then(|rest| rest.strip_suffix(')'))
        .and_then(|rest| rest.split_once(' '))
        .and_then(|(count, unit)| {
            let count: NonZeroU32 = count.parse().ok()?;
            let seconds = match unit.strip_suffix('s').unwrap_or(unit) {
                "minute" => 60,
                "hour" => 3_600,
                "day" => 86_400,
                _ => return None,
            };
            Some(Duration::from_secs(u64::from(count.get()) * seconds))
        });
    parsed.ok_or_else(|| TemplateError::Unsupported {
        place: place.to_owned(),
        reason: format!("{expression} is not run locally, only rate(…) is"),
    })
}

/// Orders routes so that the first match is the one API Gateway picks: a fixed segment before a parameter, a
/// parameter before a greedy one, a method before `ANY`.
fn specificity(route: &Route) -> (Vec<u8>, bool) {
    let segments = route
        .path
        .split('/')
        .map(|segment| match segment.strip_prefix('{') {
            None => 0,
            Some(name) if !name.ends_with("+}") => 1,
            Some(_) => 2,
        })
        .collect();
    (segments, route.method.is_none())
}
