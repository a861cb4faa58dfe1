//! The queues: their settings, their consumers, and their access.

use std::{collections::BTreeSet, time::Duration};

use domain::command::CommandType;
use local::template::{Answers, Mapping, Queue};
use serde_json::{Value, json};
use tests::Consumer;

use crate::{TEMPLATE, TOPOLOGY, functions, named, resources};

/// The retention of messages that a person must look at: SQS's maximum.
const FOURTEEN_DAYS: &str = "1209600";

fn queue(name: &str) -> &'static Queue {
    let queue = TOPOLOGY.queues.iter().find(|queue| queue.name == name);
    queue.unwrap_or_else(|| panic!("there is no queue {name}"))
}

/// Whether the messages of commands are sent there.
pub(crate) fn carries_commands(queue: &str) -> bool {
    let mut types = CommandType::ALL.iter();
    types.any(|command| Consumer::of(*command).queue == queue)
}

/// Queues that only operators read: quarantined messages, and scheduled runs that failed.
fn for_operators() -> BTreeSet<&'static str> {
    let malformed = TOPOLOGY.functions.iter().filter_map(|function| {
        let url = function.environment.get("MALFORMED_QUEUE_URL")?;
        url.rsplit('/').next()
    });
    let events = functions().into_values().filter_map(|function| {
        let events = function["Events"].as_object()?;
        Some(events.values())
    });
    let missed = events
        .flatten()
        .filter(|event| event["Type"] == "ScheduleV2")
        .map(|schedule| named(&schedule["Properties"]["DeadLetterConfig"]["Arn"]));
    malformed.chain(missed).collect()
}

/// The queues that receive other queues' dead letters.
fn dead_letter_queues() -> BTreeSet<&'static str> {
    let queues = TOPOLOGY.queues.iter();
    queues
        .filter_map(|queue| queue.dead_letter_queue.as_deref())
        .collect()
}

/// The work queues: neither dead-letter queues nor those for operators.
pub(crate) fn work_queues() -> BTreeSet<&'static str> {
    let (dead, kept) = (dead_letter_queues(), for_operators());
    let queues = TOPOLOGY.queues.iter().map(|queue| queue.name.as_str());
    queues
        .filter(|name| !dead.contains(name) && !kept.contains(name))
        .collect()
}

/// The consumers of the queue.
fn consumers(queue: &Queue) -> Vec<&'static Mapping> {
    let mappings = TOPOLOGY.mappings.iter();
    mappings
        .filter(|mapping| mapping.queue == queue.name)
        .collect()
}

fn ids(references: &Value) -> BTreeSet<&str> {
    let references = references.as_array().expect("a list");
    references.iter().map(named).collect()
}

fn seconds(number: &str) -> Duration {
    Duration::from_secs(number.parse().expect("a whole number"))
}

/// The maximum receive count of a message. `None` without a dead-letter queue.
fn most_receives(queue: &Queue) -> Option<u32> {
    let policy = queue.attributes.get("RedrivePolicy")?;
    let policy: Value = serde_json::from_str(policy).expect("it is JSON");
    let receives = policy["maxReceiveCount"].to_string();
    Some(receives.trim_matches('"').parse().expect("a count"))
}

/// The longest time that all deliveries of one message take, in any queue.
pub(crate) fn longest_redelivery() -> Duration {
    let queues = TOPOLOGY.queues.iter();
    let all = queues.filter_map(|queue| {
        let receives = most_receives(queue)?;
        Some(seconds(&queue.attributes["VisibilityTimeout"]) * receives)
    });
    all.max().expect("some are redelivered")
}

#[test]
fn no_command_stalls_while_a_delivery_is_outstanding() {
    let works_on_commands: BTreeSet<&str> = TOPOLOGY
        .mappings
        .iter()
        .filter(|mapping| carries_commands(&mapping.queue))
        .map(|mapping| mapping.function.as_str())
        .collect();
    let mut redriven = BTreeSet::new();
    for mapping in &TOPOLOGY.mappings {
        let function = TOPOLOGY.function(&mapping.function).expect("it is there");
        let queue = queue(&mapping.queue);
        let visibility = seconds(&queue.attributes["VisibilityTimeout"]);
        assert!(visibility >= function.timeout * 6, "{}", mapping.queue);
        let Some(receives) = most_receives(queue) else {
            continue;
        };
        redriven.insert(mapping.queue.as_str());
        let running = seconds(&function.environment["RUNNING_TIMEOUT_SECONDS"]);
        assert!(visibility * receives < running, "{}", mapping.queue);
        // A worker settles a command on its last delivery, so it must know which that is.
        let told = function.environment.get("MAX_RECEIVES");
        let receives = receives.to_string();
        let expected = works_on_commands.contains(mapping.function.as_str());
        assert_eq!(told, expected.then_some(&receives), "{}", mapping.queue);
    }
    assert_eq!(redriven, work_queues());
}

#[test]
fn every_queue_has_one_consumer_except_operator_queues() {
    let mappings = TOPOLOGY.mappings.iter();
    let mut read: Vec<&str> = mappings.map(|mapping| mapping.queue.as_str()).collect();
    read.sort_unstable();
    let (work, dead) = (work_queues(), dead_letter_queues());
    let expected: Vec<&str> = work.union(&dead).copied().collect();
    assert_eq!(read, expected);
}

#[test]
fn every_command_type_has_a_work_queue() {
    for command in CommandType::ALL {
        let queue = Consumer::of(*command).queue;
        assert!(work_queues().contains(queue), "{command}: {queue}");
    }
}

#[test]
fn mappings_report_item_failures_and_limit_concurrency() {
    for mapping in &TOPOLOGY.mappings {
        let Mapping {
            queue,
            answers,
            maximum_concurrency,
            ..
        } = mapping;
        assert_eq!(*answers, Answers::BatchItemFailures, "{queue}");
        assert!(maximum_concurrency.is_some(), "{queue}");
    }
}

#[test]
fn a_concurrency_parameter_says_what_an_invocation_takes() {
    let events = functions().into_values().filter_map(|function| {
        let events = function["Events"].as_object()?;
        Some(events.values())
    });
    let mut described = 0;
    for event in events.flatten().filter(|event| event["Type"] == "SQS") {
        let source = &event["Properties"];
        let limit = &source["ScalingConfig"]["MaximumConcurrency"];
        let Some(parameter) = limit["Ref"].as_str() else {
            continue;
        };
        let description = &TEMPLATE.document()["Parameters"][parameter]["Description"];
        let description = description.as_str().expect("a text");
        let takes = match source["BatchSize"].as_u64().expect("a number") {
            1 => "Each takes 1".to_owned(),
            most => format!("Each takes up to {most} "),
        };
        assert!(
            description.starts_with("Invocations at a time") && description.contains(&takes),
            "{parameter}: {description}"
        );
        described += 1;
    }
    assert!(described > 0, "no parameter limits an event source");
}

#[test]
fn undeliverable_messages_reach_another_consumer() {
    let (for_operators, dead_letter_queues) = (for_operators(), dead_letter_queues());
    for queue in &TOPOLOGY.queues {
        let readers: BTreeSet<&str> = consumers(queue)
            .iter()
            .map(|mapping| mapping.function.as_str())
            .collect();
        let kept = queue.attributes["MessageRetentionPeriod"].as_str();
        let name = queue.name.as_str();
        if for_operators.contains(name) {
            assert!(
                readers.is_empty() && queue.dead_letter_queue.is_none(),
                "{name}"
            );
            assert_eq!(kept, FOURTEEN_DAYS, "{name}");
        } else if dead_letter_queues.contains(name) {
            assert_eq!(readers, BTreeSet::from(["dead-letter"]), "{name}");
            assert_eq!(kept, FOURTEEN_DAYS, "{name}");
        } else {
            assert_eq!(readers.len(), 1, "{name}");
            assert!(!readers.contains("dead-letter"), "{name}");
            assert!(queue.dead_letter_queue.is_some(), "{name}");
        }
    }
}

#[test]
fn a_queue_takes_dead_letters_of_its_own_source_only() {
    let queues = resources("AWS::SQS::Queue");
    for (id, queue) in &queues {
        let arn = |source: &&Queue| {
            let name = &queues[source.name.as_str()]["Properties"]["QueueName"]["Fn::Sub"];
            let name = name.as_str().expect("a source has a name");
            let prefix = "arn:${AWS::Partition}:sqs:${AWS::Region}:${AWS::AccountId}";
            json!({"Fn::Sub": format!("{prefix}:{name}")})
        };
        let all = TOPOLOGY.queues.iter();
        let sources = all.filter(|source| source.dead_letter_queue.as_deref() == Some(*id));
        let sources: Vec<Value> = sources.collect::<Vec<_>>().iter().map(arn).collect();
        let expected = if sources.is_empty() {
            json!({"redrivePermission": "denyAll"})
        } else {
            json!({"redrivePermission": "byQueue", "sourceQueueArns": sources})
        };
        assert_eq!(queue["Properties"]["RedriveAllowPolicy"], expected, "{id}");
    }
}

#[test]
fn every_queue_is_encrypted_and_requires_tls() {
    let queues = resources("AWS::SQS::Queue");
    for (id, queue) in &queues {
        assert_eq!(queue["Properties"]["SqsManagedSseEnabled"], true, "{id}");
    }
    let queues: BTreeSet<&str> = queues.into_keys().collect();
    let policies = resources("AWS::SQS::QueuePolicy");
    let [policy] = policies.values().collect::<Vec<_>>()[..] else {
        panic!("one policy for all queues, not {}", policies.len());
    };
    let policy = &policy["Properties"];
    assert_eq!(ids(&policy["Queues"]), queues);
    let mut statements = policy["PolicyDocument"]["Statement"].clone();
    let resources = statements[0]
        .as_object_mut()
        .and_then(|statement| statement.remove("Resource"));
    assert_eq!(ids(&resources.expect("it has resources")), queues);
    let tls_only = json!([{
        "Sid": "TlsOnly", "Effect": "Deny", "Principal": "*", "Action": "sqs:*",
        "Condition": {"Bool": {"aws:SecureTransport": false}},
    }]);
    assert_eq!(statements, tls_only);
}
