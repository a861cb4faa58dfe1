//! The events of a function, each parsed into a route, a mapping or a schedule.

use std::num::NonZeroU32;
use std::time::Duration;

use http::Method;
use serde::Deserialize;
use serde_json::Value;

use super::{Access, Answers, Mapping, Route, Schedule, TemplateError, Topology, shaped};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Event {
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

/// How Lambda invokes a function for events that nobody waits for.
#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Asynchronous {
    maximum_event_age_in_seconds: Option<u64>,
}

impl Asynchronous {
    /// Lambda's default: six hours.
    const MAXIMUM_AGE: Duration = Duration::from_hours(6);

    fn maximum_age(&self) -> Duration {
        self.maximum_event_age_in_seconds
            .map_or(Self::MAXIMUM_AGE, Duration::from_secs)
    }
}

/// Adds the event to the topology.
pub(super) fn add(
    place: &str,
    function: &str,
    event: Event,
    asynchronous: &Asynchronous,
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
                maximum_age: asynchronous.maximum_age(),
            });
        }
        other => {
            return Err(TemplateError::Unsupported {
                place: place.to_owned(),
                reason: format!("the local stack does not support events of type {other}"),
            });
        }
    }
    Ok(())
}

/// Parses a route; without its own authorizer it gets the API's default.
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
                .map_err(|_| unsupported(format!("{method} is not an HTTP method")))?,
        ),
    };
    let named = event.auth.map(|auth| auth.authorizer);
    let access = match named.as_deref().or(default) {
        Some("NONE") => Access::Open,
        Some(authorizer) => Access::Token(authorizer.to_owned()),
        None => return Err(unsupported("the route has no authorizer".to_owned())),
    };
    Ok(Route {
        method,
        path: event.path,
        function: function.to_owned(),
        access,
    })
}

fn mapping(function: &str, event: QueueEvent) -> Mapping {
    /// Lambda's default batch size.
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

/// Parses an expression such as `rate(5 minutes)`.
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
        reason: format!("the local stack supports only rate(…), not {expression}"),
    })
}

/// Sort key that puts the route API Gateway would pick first: any other before a greedy one, a fixed segment before a
/// parameter, a method before `ANY`.
pub(super) fn specificity(route: &Route) -> (bool, Vec<u8>, bool) {
    let segments: Vec<u8> = route
        .path
        .split('/')
        .map(|segment| match segment.strip_prefix('{') {
            None => 0,
            Some(name) if !name.ends_with("+}") => 1,
            Some(_) => 2,
        })
        .collect();
    (segments.contains(&2), segments, route.method.is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_greedy_route_is_picked_last_however_long_its_path() {
        let route = |path: &str| Route {
            method: Some(Method::GET),
            path: path.to_owned(),
            function: "api".to_owned(),
            access: Access::Open,
        };
        let mut routes = ["/{proxy+}", "/a/{proxy+}", "/{b}/c", "/a/c"].map(route);
        routes.sort_by_key(specificity);
        let paths = routes.map(|route| route.path);
        assert_eq!(paths, ["/a/c", "/{b}/c", "/a/{proxy+}", "/{proxy+}"]);
    }
}
