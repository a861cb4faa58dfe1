//! Faults between the functions and the services they call, as the local endpoints accept them.

use std::time::Duration;

use fastrand::Rng;
use serde_json::{Value, json};

/// The DynamoDB and SQS operations of each function.
const CALLS: [(&str, &[(&str, &str)]); 8] = [
    (
        "api",
        &[
            ("dynamodb", "PutItem"),
            ("dynamodb", "TransactWriteItems"),
            ("dynamodb", "GetItem"),
            ("dynamodb", "UpdateItem"),
            ("sqs", "SendMessage"),
        ],
    ),
    (
        "sync",
        &[
            ("dynamodb", "UpdateItem"),
            ("dynamodb", "TransactWriteItems"),
            ("dynamodb", "Query"),
            ("dynamodb", "BatchGetItem"),
            ("sqs", "ChangeMessageVisibility"),
        ],
    ),
    (
        "dismiss",
        &[
            ("dynamodb", "UpdateItem"),
            ("dynamodb", "TransactWriteItems"),
            ("dynamodb", "BatchGetItem"),
            ("sqs", "ChangeMessageVisibility"),
        ],
    ),
    (
        "analyse",
        &[
            ("dynamodb", "UpdateItem"),
            ("dynamodb", "TransactWriteItems"),
            ("dynamodb", "BatchGetItem"),
            ("sqs", "ChangeMessageVisibility"),
        ],
    ),
    (
        "record-analysis",
        &[
            ("dynamodb", "TransactWriteItems"),
            ("dynamodb", "Query"),
            ("sqs", "SendMessage"),
        ],
    ),
    (
        "reconcile",
        &[
            ("dynamodb", "UpdateItem"),
            ("dynamodb", "Query"),
            ("sqs", "SendMessage"),
        ],
    ),
    ("dead-letter", &[("dynamodb", "UpdateItem")]),
    (
        "erase",
        &[
            ("dynamodb", "BatchWriteItem"),
            ("dynamodb", "Query"),
            ("sqs", "SendMessage"),
        ],
    ),
];
/// How often each function is chosen: those with more calls more often.
const WEIGHTS: [u32; 8] = [20, 25, 25, 15, 5, 4, 2, 4];

/// Where a fault is set.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Place {
    Aws,
    Github,
    Agent,
}

/// A fault, where it is set, and its name in the report.
#[derive(Debug)]
pub(crate) struct Fault {
    pub(crate) at: Place,
    pub(crate) body: Value,
    pub(crate) kind: String,
}

/// A fault that lasts until commands end by it.
#[derive(Debug)]
pub(crate) struct Lasting {
    /// The elapsed share of the run at which it begins.
    pub(crate) begins: f64,
    pub(crate) lasts: Duration,
    /// The lasting fault.
    pub(crate) fault: Fault,
    /// Faults set once, at its beginning.
    pub(crate) at_once: Vec<Fault>,
    pub(crate) kind: &'static str,
}

/// One of each, in order. Messages are lost and not resent, until commands stall. GitHub rejects changes of one
/// repository, until dismissals exhaust their deliveries. One repository's findings kill the worker that reads them,
/// until their messages are dead letters.
pub(crate) fn lasting() -> [Lasting; 3] {
    let fault = |at, body: Value| Fault {
        at,
        body,
        kind: String::new(),
    };
    let lasting = |begins, seconds, fault, kind| Lasting {
        begins,
        lasts: Duration::from_secs(seconds),
        fault,
        at_once: Vec::new(),
        kind,
    };
    let down =
        json!({"repository": "acme-appsec/pygoat", "operation": "update_alert", "status": 503});
    let down = fault(Place::Github, down);
    // The sort keys of this repository's findings.
    let poison = json!({"service": "dynamodb", "operation": "BatchGetItem", "function": "dismiss",
        "contains": "#00000000000700000004#", "effect": "kill_before"});
    let poison = fault(Place::Aws, poison);
    let lost = json!({"service": "sqs", "operation": "SendMessage", "function": "reconcile", "effect": "error"});
    let lost = fault(Place::Aws, lost);
    let dies = json!({"service": "sqs", "operation": "SendMessage", "function": "api", "effect": "kill_before", "times": 5});
    let dies = fault(Place::Aws, dies);
    let silence = "minutes of admissions that die before the send, without resends";
    [
        Lasting {
            at_once: vec![dies],
            ..lasting(0.05, 320, lost, silence)
        },
        lasting(
            0.25,
            220,
            down,
            "minutes of refused changes of one repository at GitHub",
        ),
        lasting(
            0.45,
            270,
            poison,
            "minutes of findings that kill every dismiss worker",
        ),
    ]
}

/// A fault in some calls of a function to DynamoDB or SQS.
pub(crate) fn aws(rng: &mut Rng) -> Fault {
    let (function, calls) = CALLS[weighted(rng)];
    let (service, operation) = calls[rng.usize(..calls.len())];
    let mut body = json!({"service": service, "operation": operation, "function": function, "after": rng.u32(..6)});
    let kind = match rng.u32(..100) {
        0..=34 => {
            let code = if service == "dynamodb" {
                [
                    ("InternalServerError", 500),
                    ("ThrottlingException", 400),
                    ("ProvisionedThroughputExceededException", 400),
                ][rng.usize(..3)]
            } else {
                [
                    ("InternalFailure", 500),
                    ("ServiceUnavailable", 503),
                    ("RequestThrottled", 403),
                ][rng.usize(..3)]
            };
            body["code"] = json!(code.0);
            body["status"] = json!(code.1);
            // The SDK makes three attempts: some faults outlast them.
            body["times"] = json!(rng.u32(1..8));
            with_effect(&mut body, "error")
        }
        35..=59 => {
            body["times"] = json!(rng.u32(1..4));
            with_effect(&mut body, "drop_response")
        }
        60..=77 => {
            body["times"] = json!(rng.u32(1..10));
            body["delayMs"] = json!(rng.u32(50..4_000));
            with_effect(&mut body, "delay")
        }
        78..=88 => {
            body["times"] = json!(1);
            with_effect(&mut body, "kill_before")
        }
        _ => {
            body["times"] = json!(1);
            with_effect(&mut body, "kill_after")
        }
    };
    Fault {
        at: Place::Aws,
        body,
        kind: format!("{service}: {kind}"),
    }
}

/// An outage of DynamoDB or SQS for one function, until all faults are cleared.
pub(crate) fn outage(rng: &mut Rng) -> Fault {
    let (function, _) = CALLS[weighted(rng)];
    let service = ["dynamodb", "sqs"][rng.usize(..2)];
    Fault {
        at: Place::Aws,
        body: json!({"service": service, "operation": "*", "function": function, "effect": "error"}),
        kind: format!("{service}: outage of some seconds for one function"),
    }
}

fn with_effect(body: &mut Value, effect: &str) -> String {
    body["effect"] = json!(effect);
    effect.to_owned()
}

fn weighted(rng: &mut Rng) -> usize {
    let mut ticket = rng.u32(..WEIGHTS.iter().sum::<u32>());
    for (index, weight) in WEIGHTS.iter().enumerate() {
        if ticket < *weight {
            return index;
        }
        ticket -= weight;
    }
    0
}

/// A fault in some calls to GitHub. Faults that would close an integration or a finding for good are left out.
pub(crate) fn github(rng: &mut Rng) -> Fault {
    let operations = [
        "list_alerts",
        "list_alerts",
        "update_alert",
        "update_alert",
        "get_alert",
        "installation_token",
        "list_repositories",
    ];
    let operation = operations[rng.usize(..operations.len())];
    let mut body = json!({"repository": "*", "operation": operation, "times": rng.u32(1..5), "after": rng.u32(..4)});
    let kind = match rng.u32(..100) {
        0..=29 => {
            body["status"] = json!([500, 502, 503][rng.usize(..3)]);
            "5xx, not performed"
        }
        30..=49 if operation == "update_alert" => {
            body["status"] = json!(502);
            body["apply"] = json!(true);
            "502, performed anyway"
        }
        30..=64 => {
            body["effect"] = json!("drop_response");
            "performed, response lost"
        }
        65..=79 => {
            body["delayMs"] = json!(rng.u32(200..6_000));
            "delayed"
        }
        80..=91 => {
            body["status"] = json!([403, 429][rng.usize(..2)]);
            body["headers"] = json!({"Retry-After": rng.u32(1..12).to_string()});
            body["body"] = json!({"message": "You have exceeded a secondary rate limit."});
            "rate limited"
        }
        92..=95 if operation != "installation_token" => {
            body["status"] = json!(401);
            body["times"] = json!(1);
            "401 once"
        }
        96..=97 => {
            body["status"] = json!(404);
            body["times"] = json!(1);
            "404 once"
        }
        _ => {
            body["status"] = json!(200);
            body["body"] = json!("<html>GitHub is down for maintenance</html>");
            "200 with another body"
        }
    };
    Fault {
        at: Place::Github,
        body,
        kind: format!("GitHub: {kind}"),
    }
}

/// A fault in some calls to the agent, or in its callbacks.
pub(crate) fn agent(rng: &mut Rng) -> Fault {
    let mut body = json!({"times": rng.u32(1..4), "after": rng.u32(..3)});
    let kind = match rng.u32(..100) {
        0..=19 => {
            body["operation"] = json!("create_session");
            body["status"] = json!([500, 503][rng.usize(..2)]);
            "launch 5xx, not performed"
        }
        20..=34 => {
            body["operation"] = json!("create_session");
            body["status"] = json!(502);
            body["apply"] = json!(true);
            "launch 502, performed anyway"
        }
        35..=49 => {
            body["operation"] = json!("create_session");
            body["effect"] = json!("drop_response");
            "launch performed, response lost"
        }
        50..=54 => {
            body["operation"] = json!("create_session");
            body["status"] = json!([402, 422][rng.usize(..2)]);
            "launch refused"
        }
        55..=64 => {
            body["operation"] = json!("create_session");
            body["delayMs"] = json!(rng.u32(500..8_000));
            "launch delayed"
        }
        65..=74 => {
            body["operation"] = json!("callback");
            body["status"] = json!(503);
            "callback not made"
        }
        75..=84 => {
            body["operation"] = json!("callback");
            body["effect"] = json!("drop_response");
            "callback made, response lost"
        }
        85..=94 => {
            body["operation"] = json!("callback");
            body["effect"] = json!("duplicate");
            "callback made twice"
        }
        _ => {
            body["operation"] = json!("interrupt_session");
            body["status"] = json!(503);
            "interruption refused"
        }
    };
    Fault {
        at: Place::Agent,
        body,
        kind: format!("agent: {kind}"),
    }
}
