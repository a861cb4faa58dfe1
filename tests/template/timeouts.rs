//! How long a command may take, what determines the numbers, and where they are documented.

use std::time::Duration;

use domain::lifecycle::{LEAST_ACCEPTED, RESEND_AFTER};

use crate::{TEMPLATE, TOPOLOGY, queues::longest_redelivery, text};

const DEPLOYING: &str = "docs/operating/deploy.md";

/// The minimum value that a deployment accepts, and the parameter's description.
fn declared(parameter: &str) -> (Duration, &'static str) {
    let declared = &TEMPLATE.document()["Parameters"][parameter];
    let least = declared["MinValue"].as_u64().expect("a whole number");
    let description = declared["Description"].as_str().expect("a text");
    (Duration::from_secs(least), description)
}

#[test]
fn a_deployment_leaves_time_for_every_resend_of_a_lost_message() {
    let (least, description) = declared("AcceptedTimeoutSeconds");
    assert_eq!(least, LEAST_ACCEPTED);
    let reconciler = TOPOLOGY.schedules.iter();
    let mut reconciler = reconciler.filter(|schedule| schedule.function == "reconcile");
    let period = reconciler.next().expect("it runs by the clock").period;
    let last = RESEND_AFTER.iter().max().expect("there is one");
    assert_eq!(least, *last + period);
    for resend in RESEND_AFTER {
        let said = format!("{} s", resend.as_secs());
        assert!(description.contains(&said), "{said}: {description}");
    }
    let said = format!("less than {}", least.as_secs());
    assert!(description.contains(&said), "{said}: {description}");
}

#[test]
fn a_deployment_leaves_time_for_every_delivery_of_a_message() {
    let (least, description) = declared("RunningTimeoutSeconds");
    assert_eq!(least, longest_redelivery() + Duration::from_secs(1));
    let said = format!("less than {}", least.as_secs());
    assert!(description.contains(&said), "{said}: {description}");
}

#[test]
fn the_deployment_guide_states_the_refused_timeouts() {
    let (accepted, _) = declared("AcceptedTimeoutSeconds");
    let (running, _) = declared("RunningTimeoutSeconds");
    let said = format!(
        "less than {} and {} is refused",
        accepted.as_secs(),
        running.as_secs()
    );
    assert!(text(DEPLOYING).contains(&said), "{DEPLOYING}: {said}");
}
