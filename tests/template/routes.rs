//! What invokes functions from outside: requests and schedules.

use std::collections::{BTreeMap, BTreeSet};

use local::template::{Access, Route};
use reqwest::Method;
use serde_json::Value;

use crate::{PLACE, TEMPLATE, TOPOLOGY, functions, named, resources, text};

/// The gateway does not authorize these: the function itself does, or nobody.
const OPEN: [(&str, &str); 3] = [
    ("GET", "/v1/health"),
    ("GET", "/v1/openapi.json"),
    ("POST", "/v1/callbacks/analysis"),
];
/// What an owner's operations are routed by if the id contains `/`.
const ANY_ID: &str = "/v1/owners/{proxy+}";
/// A page beside the API. It fetches its data from the API, with a token.
const DASHBOARD: [&str; 3] = ["/", "/assets/{version}/{file+}", "/dashboard.json"];

fn key(route: &Route) -> (String, String) {
    let method = route.method.as_ref().map_or("ANY", Method::as_str);
    (method.to_owned(), route.path.clone())
}

/// Who may call an operation of the API.
fn fitting(method: &str, path: &str) -> Access {
    if OPEN.contains(&(method, path)) {
        Access::Open
    } else if method == "GET" {
        Access::Token("Readers".to_owned())
    } else {
        Access::Token("Writers".to_owned())
    }
}

#[test]
fn the_gateway_routes_exactly_the_documented_operations() {
    let document: Value = serde_json::from_str(&text("docs/openapi.json")).expect("it is JSON");
    let methods = ["get", "put", "post", "delete", "patch", "head", "options"];
    let paths = document["paths"].as_object().expect("paths");
    let documented: BTreeMap<(String, String), Access> = paths
        .iter()
        .flat_map(|(path, item)| {
            let methods = methods.iter().filter(|method| item.get(**method).is_some());
            methods.map(|method| (method.to_uppercase(), path.clone()))
        })
        .flat_map(|(method, path)| {
            // An owner's id with `/`, once decoded, fits only a greedy route.
            let greedy = path.starts_with("/v1/owners/").then_some(ANY_ID);
            let greedy = greedy.map(|greedy| (method.clone(), greedy.to_owned()));
            std::iter::once((method, path)).chain(greedy)
        })
        .map(|(method, path)| {
            let access = fitting(&method, &path);
            ((method, path), access)
        })
        .collect();
    let (dashboard, api): (Vec<&Route>, Vec<&Route>) = TOPOLOGY
        .routes
        .iter()
        .partition(|route| route.function == "dashboard");
    let routed: BTreeMap<_, _> = api
        .iter()
        .map(|route| (key(route), route.access.clone()))
        .collect();
    assert_eq!(routed, documented);
    assert!(api.iter().all(|route| route.function == "api"));
    for route in dashboard {
        assert_eq!(route.method, Some(Method::GET), "{}", route.path);
        assert_eq!(route.access, Access::Open, "{}", route.path);
        assert!(DASHBOARD.contains(&route.path.as_str()), "{}", route.path);
    }
}

#[test]
fn a_failed_scheduled_run_is_retried_and_then_kept() {
    let queues = resources("AWS::SQS::Queue");
    let mut schedules = 0;
    for (id, function) in functions() {
        let events = function["Events"].as_object().into_iter().flatten();
        let by_the_clock = events.filter(|(_, event)| event["Type"] == "ScheduleV2");
        for (event, schedule) in by_the_clock {
            schedules += 1;
            let properties = &schedule["Properties"];
            for limit in ["MaximumEventAgeInSeconds", "MaximumRetryAttempts"] {
                let limit = &properties["RetryPolicy"][limit];
                assert!(
                    limit.as_u64().is_some_and(|limit| limit > 0),
                    "{id}.{event}"
                );
            }
            let missed = named(&properties["DeadLetterConfig"]["Arn"]);
            assert!(queues.contains_key(missed), "{id}.{event}: {missed}");
            // The scheduler's retries end once Lambda has accepted the run; a failed run has its own destination.
            let failed = &function["EventInvokeConfig"]["DestinationConfig"]["OnFailure"];
            assert_eq!(named(&failed["Destination"]), missed, "{id}");
        }
    }
    assert_eq!(schedules, TOPOLOGY.schedules.len());
    assert!(schedules > 0);
}

#[test]
fn every_route_without_a_token_has_limits_of_its_own() {
    let api = &resources("AWS::Serverless::HttpApi")["HttpApi"]["Properties"];
    let limits = api["RouteSettings"].as_object().expect("a map");
    let open = TOPOLOGY
        .routes
        .iter()
        .filter(|it| it.access == Access::Open);
    let open: BTreeSet<String> = open
        .map(key)
        .map(|(method, path)| format!("{method} {path}"))
        .collect();
    let limited: BTreeSet<String> = limits.keys().cloned().collect();
    assert_eq!(
        limited, open,
        "RouteSettings, and the routes without a token"
    );
    let parameter = |settings: &Value, limit: &str| {
        let parameter = named(&settings[limit]).to_owned();
        let default = &TEMPLATE.document()["Parameters"][&parameter]["Default"];
        (parameter, default.as_u64().expect("a number"))
    };
    for limit in ["ThrottlingRateLimit", "ThrottlingBurstLimit"] {
        let (of_callers, for_callers) = parameter(&api["DefaultRouteSettings"], limit);
        for (route, settings) in limits {
            let (of_anybody, for_anybody) = parameter(settings, limit);
            assert_ne!(of_anybody, of_callers, "{route}");
            assert!(for_anybody < for_callers, "{route}: {of_anybody}");
        }
    }
}

/// Field and variable of the access log.
fn access_log() -> BTreeMap<String, String> {
    let api = &resources("AWS::Serverless::HttpApi")["HttpApi"]["Properties"];
    let format = api["AccessLogSettings"]["Format"].as_str();
    serde_json::from_str(format.expect("a text")).expect("a flat line of JSON")
}

#[test]
fn access_and_function_logs_name_a_request_by_the_same_id() {
    let log = access_log();
    // API Gateway's own id is another one, which no function knows.
    assert_eq!(log["requestId"], "$context.integration.requestId");
    assert_eq!(log["gatewayRequestId"], "$context.requestId");
    let tracing = text("docs/operating/tracing.md");
    for field in log.keys() {
        assert!(
            tracing.contains(&format!("`{field}`")),
            "tracing.md lacks {field}"
        );
    }
}

#[test]
fn with_a_domain_the_analysis_service_calls_back_there() {
    let chosen = [
        ("DomainName".to_owned(), "security.example.com".to_owned()),
        (
            "DomainCertificateArn".to_owned(),
            "arn:aws:acm:us-east-1:000000000000:certificate/1".to_owned(),
        ),
    ];
    let parameters = TEMPLATE.parameters(&chosen.into());
    let parameters = parameters.expect("both are valid");
    let topology = TEMPLATE.topology(&parameters, &PLACE).expect("it is whole");
    let analyse = topology.function("analyse").expect("it is there");
    let url = "https://security.example.com/v1/callbacks/analysis";
    assert_eq!(analyse.environment["CALLBACK_URL"], url);
    let output = &TEMPLATE.document()["Outputs"]["ApiUrl"]["Value"]["Fn::If"];
    assert_eq!(output[0], "HasDomain");
}
