//! Roles are enforced, and the permissions in use are recorded.

use serde_json::{Value, json};

use crate::support::TestStack;

const QUEUE: &str = "arn:aws:sqs:us-east-1:000000000000:IdleQueue";
const TABLE: &str = "arn:aws:dynamodb:us-east-1:000000000000:table/Table";

fn permission(action: &str, resource: &str) -> Value {
    json!({"action": action, "resource": resource})
}

#[tokio::test]
async fn a_call_without_a_grant_gets_the_error_that_aws_gives() {
    let stack = TestStack::started().await;
    for (order, code, action, resource) in [
        ("receive", "AccessDenied", "sqs:ReceiveMessage", QUEUE),
        (
            "describe_time_to_live",
            "AccessDeniedException",
            "dynamodb:DescribeTimeToLive",
            TABLE,
        ),
    ] {
        let error = stack
            .order(order)
            .await
            .expect_err("the role does not grant the call");
        let said = error["errorMessage"].as_str().expect("a message");
        let sentence = format!(
            "User: arn:aws:sts::000000000000:assumed-role/ProbeRole/probe is not authorized to perform: {action} on \
             resource: {resource} because no identity-based policy allows the {action} action"
        );
        assert!(said.contains(&sentence), "{said}");
        assert!(said.contains(&format!("Some(\"{code}\")")), "{said}");
    }
    let refused = &stack.json("/local/aws/permissions").await["probe"]["refused"];
    let expected = [
        permission("dynamodb:DescribeTimeToLive", TABLE),
        permission("sqs:ReceiveMessage", QUEUE),
    ];
    assert_eq!(refused, &json!(expected));
    // A refused call meets no fault and is not counted: IAM decides first.
    let usage = stack.json("/local/aws/requests").await;
    assert_eq!(usage, json!({"dynamodb": {}, "sqs": {}, "functions": {}}));
    stack.stack.stop().await;
}

#[tokio::test]
async fn a_granted_permission_is_listed_as_used_or_unused() {
    let stack = TestStack::started().await;
    stack.order("send").await.expect("the role grants the call");
    stack.order("send").await.expect("the role grants the call");
    stack
        .order("describe")
        .await
        .expect("the role grants the call");
    let expected = json!({
        "used": [permission("dynamodb:DescribeTable", TABLE), permission("sqs:SendMessage", QUEUE)],
        "unused": [permission("dynamodb:Query", TABLE)],
        "refused": [],
    });
    assert_eq!(
        stack.json("/local/aws/permissions").await["probe"],
        expected
    );
    stack.stack.stop().await;
}

#[tokio::test]
async fn a_call_that_meets_a_fault_still_uses_its_permission() {
    let stack = TestStack::started().await;
    let fault = json!({"service": "sqs", "operation": "*", "effect": "error", "status": 418});
    stack.post("/local/aws/faults", &fault).await;
    let error = stack
        .order("send")
        .await
        .expect_err("the call meets a fault");
    assert!(error.to_string().contains("418"), "{error}");
    let used = &stack.json("/local/aws/permissions").await["probe"]["used"];
    assert_eq!(
        used,
        &json!([permission("sqs:SendMessage", QUEUE)]),
        "IAM comes first"
    );
    stack.stack.stop().await;
}
