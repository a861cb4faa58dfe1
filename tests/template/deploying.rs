//! The rights to deploy: docs/operating/deploy-policy.json.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::{TEMPLATE, text};

/// What creates and deletes a resource of each type. SAM's types become several of CloudFormation.
const CREATE_AND_DELETE: [(&str, &[&str]); 12] = [
    (
        "AWS::ApiGatewayV2::ApiMapping",
        &["apigateway:POST", "apigateway:DELETE"],
    ),
    (
        "AWS::ApiGatewayV2::DomainName",
        &["apigateway:POST", "apigateway:DELETE"],
    ),
    (
        "AWS::CloudWatch::Alarm",
        &["cloudwatch:PutMetricAlarm", "cloudwatch:DeleteAlarms"],
    ),
    (
        "AWS::CloudWatch::Dashboard",
        &["cloudwatch:PutDashboard", "cloudwatch:DeleteDashboards"],
    ),
    (
        "AWS::DynamoDB::Table",
        &["dynamodb:CreateTable", "dynamodb:DeleteTable"],
    ),
    (
        "AWS::IAM::Policy",
        &["iam:PutRolePolicy", "iam:DeleteRolePolicy"],
    ),
    ("AWS::IAM::Role", &["iam:CreateRole", "iam:DeleteRole"]),
    (
        "AWS::Logs::LogGroup",
        &["logs:CreateLogGroup", "logs:DeleteLogGroup"],
    ),
    (
        "AWS::SQS::Queue",
        &[
            "sqs:CreateQueue",
            "sqs:DeleteQueue",
            "sqs:SetQueueAttributes",
        ],
    ),
    ("AWS::SQS::QueuePolicy", &["sqs:SetQueueAttributes"]),
    (
        "AWS::Serverless::Function",
        &[
            "iam:PassRole",
            "lambda:AddPermission",
            "lambda:CreateEventSourceMapping",
            "lambda:CreateFunction",
            "lambda:DeleteEventSourceMapping",
            "lambda:DeleteFunction",
            "lambda:PutFunctionEventInvokeConfig",
            "scheduler:CreateSchedule",
            "scheduler:DeleteSchedule",
        ],
    ),
    (
        "AWS::Serverless::HttpApi",
        &[
            "apigateway:POST",
            "apigateway:DELETE",
            "logs:CreateLogDelivery",
        ],
    ),
];
/// The most characters of a managed policy, without white space.
const LIMIT: usize = 6_144;

#[test]
fn the_deploy_policy_covers_every_resource_type() {
    let policy = text("docs/operating/deploy-policy.json");
    assert!(policy.split_whitespace().map(str::len).sum::<usize>() <= LIMIT);
    let policy: Value = serde_json::from_str(&policy).expect("it is JSON");
    let statements = policy["Statement"].as_array().expect("a list").iter();
    let granted: BTreeSet<&str> = statements
        .flat_map(|statement| match &statement["Action"] {
            Value::Array(actions) => actions.iter().collect(),
            action => vec![action],
        })
        .filter_map(Value::as_str)
        .collect();
    let resources = TEMPLATE.document()["Resources"].as_object().expect("a map");
    for (id, resource) in resources {
        let kind = resource["Type"].as_str().expect("a text");
        let known = CREATE_AND_DELETE.iter().find(|(known, _)| *known == kind);
        let (_, needed) = known.unwrap_or_else(|| panic!("{id}: who may create {kind}?"));
        for action in *needed {
            assert!(granted.contains(action), "{kind} needs {action}");
        }
    }
}
