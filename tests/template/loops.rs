//! Recursive loops: functions whose messages lead back to themselves.
//!
//! Lambda drops an invocation after about sixteen in one chain of requests. A continuation is such a loop, so its
//! function must allow it. No other function may: there, a loop is a defect that Lambda should stop.

use std::collections::BTreeSet;

use local::template::{Function, RecursiveLoop};

use crate::TOPOLOGY;

/// The queues to which the function's role lets it send.
fn sends_to(function: &Function) -> impl Iterator<Item = &'static str> {
    let grants = TOPOLOGY.roles[&function.role].grants.iter();
    let sends = grants.filter(|grant| grant.action == "sqs:SendMessage");
    sends.filter_map(|grant| grant.resource.rsplit(':').next())
}

/// The functions that a message in this queue can invoke, there or as a dead letter.
fn read_by(queue: &str) -> Vec<&'static Function> {
    let redrives = TOPOLOGY.queues.iter().find(|found| found.name == queue);
    let dead = redrives.and_then(|found| found.dead_letter_queue.as_deref());
    let mappings = TOPOLOGY.mappings.iter();
    let readers =
        mappings.filter(|mapping| mapping.queue == queue || Some(&*mapping.queue) == dead);
    readers
        .filter_map(|mapping| TOPOLOGY.function(&mapping.function))
        .collect()
}

/// Whether a message of the function can cause its next invocation, directly or through other functions.
fn loops(function: &Function) -> bool {
    let mut reached = BTreeSet::new();
    let mut next: Vec<&Function> = sends_to(function).flat_map(read_by).collect();
    while let Some(found) = next.pop() {
        if reached.insert(found.name.as_str()) {
            next.extend(sends_to(found).flat_map(read_by));
        }
    }
    reached.contains(function.name.as_str())
}

#[test]
fn exactly_the_functions_that_loop_may_be_invoked_recursively() {
    let functions = || TOPOLOGY.functions.iter();
    let looping: BTreeSet<&str> = functions()
        .filter(|function| loops(function))
        .map(|function| function.name.as_str())
        .collect();
    let allowed: BTreeSet<&str> = functions()
        .filter(|function| function.recursive_loop == RecursiveLoop::Allow)
        .map(|function| function.name.as_str())
        .collect();
    assert!(looping.contains("sync"), "{looping:?}");
    assert_eq!(allowed, looping);
}
