//! The queues: their numbers, who reads them, who may reach them.

use std::{collections::BTreeSet, time::Duration};

use local::template::{Answers, Mapping, Queue};
use serde_json::{Value, json};

use crate::{TOPOLOGY, named, resources};

/// What operators read, and no function.
const FOR_OPERATORS: [&str; 2] = ["MalformedQueue", "MissedRunsQueue"];
/// For how long what somebody must look at is kept: as long as SQS can.
const FOURTEEN_DAYS: &str = "1209600";

fn queue(name: &str) -> &'static Queue {
    let queue = TOPOLOGY.queues.iter().find(|queue| queue.name == name);
    queue.unwrap_or_else(|| panic!("there is no queue {name}"))
}

/// Whoever reads the queue.
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

#[test]
fn no_command_is_failed_as_stalled_while_a_delivery_is_still_to_come() {
    let seconds = |number: &String| Duration::from_secs(number.parse().expect("a whole number"));
    let mut redriven = 0;
    for mapping in &TOPOLOGY.mappings {
        let function = TOPOLOGY.function(&mapping.function).expect("it is there");
        let attributes = &queue(&mapping.queue).attributes;
        let visibility = seconds(&attributes["VisibilityTimeout"]);
        assert!(visibility >= function.timeout * 6, "{}", mapping.queue);
        let Some(policy) = attributes.get("RedrivePolicy") else {
            continue;
        };
        redriven += 1;
        let policy: Value = serde_json::from_str(policy).expect("it is JSON");
        let receives = policy["maxReceiveCount"].to_string();
        let receives: u32 = receives.trim_matches('"').parse().expect("a count");
        let running = seconds(&function.environment["RUNNING_TIMEOUT_SECONDS"]);
        assert!(visibility * receives < running, "{}", mapping.queue);
        // A worker settles a command on its last delivery: it must know which that is.
        let told = function.environment.get("MAX_RECEIVES");
        let works_on_commands = ["sync", "dismiss", "analyse"].contains(&mapping.function.as_str());
        assert_eq!(
            told,
            works_on_commands.then_some(&receives.to_string()),
            "{}",
            mapping.queue
        );
    }
    assert_eq!((TOPOLOGY.mappings.len(), redriven), (12, 6));
}

#[test]
fn one_bad_message_costs_only_itself_and_no_backlog_takes_all_the_account() {
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
fn what_no_delivery_could_deal_with_is_dealt_with_by_somebody_else() {
    for queue in &TOPOLOGY.queues {
        let dead_letters_of =
            |other: &&Queue| other.dead_letter_queue.as_ref() == Some(&queue.name);
        let is_dead_letter_queue = TOPOLOGY.queues.iter().any(|other| dead_letters_of(&other));
        let readers: BTreeSet<&str> = consumers(queue)
            .iter()
            .map(|mapping| mapping.function.as_str())
            .collect();
        let kept = queue.attributes["MessageRetentionPeriod"].as_str();
        let name = queue.name.as_str();
        if FOR_OPERATORS.contains(&name) {
            assert!(
                readers.is_empty() && queue.dead_letter_queue.is_none(),
                "{name}"
            );
            assert_eq!(kept, FOURTEEN_DAYS, "{name}");
        } else if is_dead_letter_queue {
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
fn every_queue_is_encrypted_and_reached_by_tls_only() {
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
