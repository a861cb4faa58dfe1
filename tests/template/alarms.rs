//! Alarms, dashboard, and their documentation.
//!
//! What an alarm or a widget enumerates is compared with the real list, so that a forgotten command type, function or
//! queue fails a test that names it.

use std::collections::{BTreeMap, BTreeSet};

use domain::{command::CommandType, result_code::ResultCode};
use serde_json::Value;

use crate::{
    TEMPLATE, TOPOLOGY, functions, named,
    queues::{carries_commands, work_queues},
    resources, text,
};

/// CloudWatch's limit on the metrics of one alarm.
const MOST_METRICS: usize = 10;
/// What CloudWatch bills a month for each metric of an alarm, in `us-east-1`. An alarm on a sum bills every metric of it.
const DOLLARS_A_METRIC: f64 = 0.10;

/// The alarms' properties by logical id, unresolved.
fn alarms() -> BTreeMap<&'static str, &'static Value> {
    let alarms = resources("AWS::CloudWatch::Alarm").into_iter();
    alarms
        .map(|(id, alarm)| (id, &alarm["Properties"]))
        .collect()
}

/// The entries of `Metrics` that are metrics, without the expression over them.
fn terms(alarm: &'static Value) -> Vec<&'static Value> {
    let entries = alarm["Metrics"].as_array().into_iter().flatten();
    entries
        .filter(|entry| entry.get("Expression").is_none())
        .collect()
}

/// The metrics that an alarm watches: its own, or those that it sums.
fn metrics(alarm: &'static Value) -> Vec<&'static Value> {
    let added = terms(alarm)
        .into_iter()
        .map(|term| &term["MetricStat"]["Metric"]);
    let own = alarm.get("MetricName").map(|_| alarm);
    own.into_iter().chain(added).collect()
}

/// The value of a metric's dimension, if present.
fn dimension(metric: &'static Value, name: &str) -> Option<&'static Value> {
    let dimensions = metric["Dimensions"].as_array()?.iter();
    dimensions
        .filter(|dimension| dimension["Name"] == name)
        .map(|dimension| &dimension["Value"])
        .next()
}

/// Fails with the names that are in only one of `found` and `expected`.
#[track_caller]
fn assert_same<T: Ord + std::fmt::Debug>(whose: &str, found: &BTreeSet<T>, expected: &BTreeSet<T>) {
    let missing: Vec<_> = expected.difference(found).collect();
    let excess: Vec<_> = found.difference(expected).collect();
    assert!(missing.is_empty(), "{whose} leaves out {missing:?}");
    assert!(excess.is_empty(), "{whose} names {excess:?} and must not");
}

fn command_types() -> BTreeSet<&'static str> {
    CommandType::ALL.iter().map(|kind| kind.as_str()).collect()
}

#[test]
fn an_alarm_by_command_type_covers_every_type() {
    let mut by_type = 0;
    for (id, alarm) in alarms() {
        let of_types = metrics(alarm)
            .into_iter()
            .filter_map(|metric| dimension(metric, "Type"));
        let found: BTreeSet<&str> = of_types.filter_map(Value::as_str).collect();
        if !found.is_empty() {
            by_type += 1;
            assert_same(id, &found, &command_types());
        }
    }
    assert!(by_type > 0, "no alarm is by type");
}

#[test]
fn an_alarm_by_result_code_names_an_existing_code() {
    for (id, alarm) in alarms() {
        for metric in metrics(alarm) {
            if let Some(code) = dimension(metric, "Code") {
                let code = code.as_str().expect("a text");
                assert!(ResultCode::parse(code).is_some(), "{id}: {code}");
            }
        }
    }
}

#[test]
fn an_alarm_on_several_metrics_sums_all_of_them() {
    for (id, alarm) in alarms() {
        let terms = terms(alarm);
        if terms.is_empty() {
            continue;
        }
        assert!(terms.len() <= MOST_METRICS, "{id}: {}", terms.len());
        let filled = terms
            .iter()
            .map(|term| format!("FILL({},0)", term["Id"].as_str().expect("a text")));
        let sum = filled.collect::<Vec<_>>().join("+");
        let expressions = alarm["Metrics"].as_array().into_iter().flatten();
        let expressions: Vec<&str> = expressions
            .filter_map(|entry| entry["Expression"].as_str())
            .collect();
        assert_eq!(expressions, [sum], "{id}");
    }
}

/// The functions with an alarm on this metric of Lambda. One alarm takes ten metrics, so they may be spread over several.
fn alarmed_on(name: &str) -> BTreeSet<&'static str> {
    let watched = alarms().into_values().flat_map(metrics);
    let watched = watched
        .filter(|metric| metric["Namespace"] == "AWS/Lambda" && metric["MetricName"] == name);
    watched
        .map(|metric| named(dimension(metric, "FunctionName").expect("it is by function")))
        .collect()
}

#[test]
fn every_function_has_an_alarm_on_its_failures_and_throttles() {
    let every = functions().into_keys().collect();
    for metric in ["Errors", "Throttles"] {
        assert_same(metric, &alarmed_on(metric), &every);
    }
}

#[test]
fn every_function_that_reads_a_queue_has_an_alarm_on_stopped_loops() {
    let readers = functions().into_iter().filter(|(_, function)| {
        let events = function["Events"].as_object().into_iter().flatten();
        events
            .map(|(_, event)| &event["Type"])
            .any(|kind| kind == "SQS")
    });
    let readers = readers.map(|(id, _)| id).collect();
    let metric = "RecursiveInvocationsDropped";
    assert_same(metric, &alarmed_on(metric), &readers);
}

#[test]
fn throttling_of_the_table_and_of_each_global_index_has_an_alarm() {
    let alarmed: BTreeSet<_> = metrics(alarms()["TableThrottledAlarm"])
        .into_iter()
        .map(|metric| {
            let index = dimension(metric, "GlobalSecondaryIndexName").and_then(Value::as_str);
            (metric["MetricName"].as_str().expect("a text"), index)
        })
        .collect();
    // Local indexes have no capacity of their own: they count with the table.
    let table = &resources("AWS::DynamoDB::Table")["Table"]["Properties"];
    let indexes = table["GlobalSecondaryIndexes"].as_array().expect("a list");
    let indexes = indexes.iter().map(|index| index["IndexName"].as_str());
    let expected = indexes.chain([None]).flat_map(|index| {
        ["ReadThrottleEvents", "WriteThrottleEvents"].map(|metric| (metric, index))
    });
    assert_same("TableThrottledAlarm", &alarmed, &expected.collect());
}

#[test]
fn no_metric_by_route_is_bought_and_none_is_watched() {
    let api = &resources("AWS::Serverless::HttpApi")["HttpApi"]["Properties"];
    let routes = api["RouteSettings"].as_object().into_iter().flatten();
    for (key, settings) in routes
        .map(|(key, settings)| (key.as_str(), settings))
        .chain([("default", &api["DefaultRouteSettings"])])
    {
        assert_ne!(settings["DetailedMetricsEnabled"], true, "{key}");
    }
    let http = alarms().into_values().flat_map(metrics);
    for metric in http.filter(|metric| metric["Namespace"] == "AWS/ApiGateway") {
        let by = metric["Dimensions"].as_array().expect("a list").iter();
        let by: Vec<_> = by.map(|dimension| &dimension["Name"]).collect();
        assert_eq!(by, ["ApiId"], "{}", metric["MetricName"]);
    }
}

#[test]
fn a_queue_without_commands_has_an_alarm_on_message_age() {
    let alarmed: BTreeSet<&str> = alarms()
        .into_values()
        .filter(|alarm| alarm["MetricName"] == "ApproximateAgeOfOldestMessage")
        .map(|alarm| {
            let name = &dimension(alarm, "QueueName").expect("it is by queue")["Fn::GetAtt"];
            assert_eq!(name[1], "QueueName");
            name[0].as_str().expect("a logical id")
        })
        .collect();
    // Commands that wait have an alarm on their own age.
    let others = work_queues()
        .into_iter()
        .filter(|queue| !carries_commands(queue))
        .collect();
    assert_same("an alarm on age", &alarmed, &others);
}

#[test]
fn the_dashboard_shows_every_queue_where_messages_may_wait() {
    let dashboard = &resources("AWS::CloudWatch::Dashboard")["Dashboard"];
    let body = dashboard["Properties"]["DashboardBody"]["Fn::Sub"][0].as_str();
    let body: Value = serde_json::from_str(body.expect("a text")).expect("it is JSON");
    let widgets = body["widgets"].as_array().expect("a list");
    let waiting = widgets
        .iter()
        .find(|widget| widget["properties"]["title"] == "Messages waiting");
    let waiting = &waiting.expect("it is there")["properties"]["metrics"];
    let shown: BTreeSet<&str> = waiting
        .as_array()
        .expect("a list")
        .iter()
        .map(|metric| metric[3].as_str().expect("a text"))
        .map(|name| {
            let name = name
                .strip_prefix("${")
                .and_then(|name| name.strip_suffix(".QueueName}"));
            name.expect("it names a queue")
        })
        .collect();
    // The dead-letter function settles dead letters at once.
    let waits = TOPOLOGY.queues.iter().filter(|queue| {
        let mut queues = TOPOLOGY.queues.iter();
        !queues.any(|other| other.dead_letter_queue.as_ref() == Some(&queue.name))
    });
    let waits = waits.map(|queue| queue.name.as_str()).collect();
    assert_same("the dashboard", &shown, &waits);
}

#[test]
fn every_command_type_can_be_paused_as_documented() {
    let pausing = &TEMPLATE.document()["Parameters"]["PausedCommands"];
    let described = pausing["Description"].as_str().expect("a text");
    let documents = ["docs/operating/runbook.md", "docs/operating/tracing.md"];
    for kind in command_types() {
        let chosen = [("PausedCommands".to_owned(), kind.to_owned())];
        let taken = TEMPLATE.parameters(&chosen.into());
        assert!(taken.is_ok(), "PausedCommands does not take {kind}");
        assert!(described.contains(kind), "PausedCommands: {kind}");
        for document in documents {
            let named = text(document).contains(&format!("`{kind}`"));
            assert!(named, "{document} leaves out {kind}");
        }
    }
}

#[test]
fn the_runbook_describes_exactly_the_alarms() {
    let alarms: BTreeSet<_> = alarms()
        .into_keys()
        .map(|id| id.strip_suffix("Alarm").expect("it is named so").to_owned())
        .collect();
    let runbook = text("docs/operating/runbook.md");
    let told: BTreeSet<_> = runbook
        .lines()
        .filter_map(|line| line.strip_prefix("### "))
        .map(str::to_owned)
        .collect();
    assert_same("the runbook", &told, &alarms);
}

#[test]
fn the_runbook_counts_the_billed_alarms_and_mappings() {
    let runbook = text("docs/operating/runbook.md").replace('\n', " ");
    let alarms = alarms();
    // CloudWatch bills each metric that an alarm watches.
    let watched: usize = alarms.values().map(|alarm| metrics(alarm).len()).sum();
    #[expect(clippy::cast_precision_loss, reason = "there are few")]
    let dollars = watched as f64 * DOLLARS_A_METRIC;
    for counted in [
        format!("{} alarms on {watched} metrics ${dollars:.2}", alarms.len()),
        format!("{} event source mappings", TOPOLOGY.mappings.len()),
    ] {
        assert!(runbook.contains(&counted), "it has {counted}");
    }
}
