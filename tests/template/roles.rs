//! Each function's own role and its own log.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::{TEMPLATE, functions, named, resources};

#[test]
fn every_function_has_its_own_role_and_no_managed_policy() {
    let roles = resources("AWS::IAM::Role");
    let mut taken = BTreeSet::new();
    for (id, function) in functions() {
        let role = named(&function["Role"]);
        assert!(taken.insert(role), "{id} shares {role}");
        assert_eq!(
            function.get("Policies"),
            None,
            "SAM would ignore them: {id}"
        );
        let properties = &roles[role]["Properties"];
        assert_eq!(properties.get("ManagedPolicyArns"), None, "{role}");
        let trust = json!([{
            "Effect": "Allow",
            "Principal": {"Service": "lambda.amazonaws.com"},
            "Action": "sts:AssumeRole",
        }]);
        let trusted = &properties["AssumeRolePolicyDocument"]["Statement"];
        assert_eq!(*trusted, trust, "{role}");
    }
    let others: Vec<&str> = roles
        .into_keys()
        .filter(|role| !taken.contains(role))
        .collect();
    assert_eq!(others, ["ScheduleRole"]);
}

#[test]
fn every_function_has_its_own_log_group_with_retention() {
    let groups = resources("AWS::Logs::LogGroup");
    for (id, group) in &groups {
        let retention = named(&group["Properties"]["RetentionInDays"]);
        assert_eq!(retention, "LogRetentionDays", "{id}");
    }
    let mut taken = BTreeSet::new();
    for (id, function) in functions() {
        let group = named(&function["LoggingConfig"]["LogGroup"]);
        assert!(groups.contains_key(group), "{id}: {group}");
        assert!(taken.insert(group), "{id} shares {group}");
    }
}

#[test]
fn every_function_may_write_traces_if_they_are_active() {
    let policy = &resources("AWS::IAM::Policy")["TracingPolicy"];
    assert_eq!(policy["Condition"], "Traces");
    let allowed = policy["Properties"]["Roles"].as_array().expect("a list");
    let allowed: BTreeSet<&str> = allowed.iter().map(named).collect();
    let roles = functions().into_values();
    let roles: BTreeSet<&str> = roles.map(|function| named(&function["Role"])).collect();
    assert_eq!(allowed, roles);
}

#[test]
fn no_statement_allows_a_wildcard() {
    fn statements<'a>(value: &'a Value, found: &mut Vec<&'a Value>) {
        match value {
            Value::Object(members) => {
                if members
                    .get("Effect")
                    .is_some_and(|effect| effect == "Allow")
                {
                    found.push(value);
                }
                members.values().for_each(|value| statements(value, found));
            }
            Value::Array(values) => values.iter().for_each(|value| statements(value, found)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    let mut allowed = Vec::new();
    statements(TEMPLATE.document(), &mut allowed);
    // Each role has a trust statement and at least one grant.
    assert!(allowed.len() > 2 * functions().len(), "{}", allowed.len());
    for statement in allowed {
        // X-Ray has no resources that a policy could name.
        if statement["Action"] == json!(["xray:PutTraceSegments", "xray:PutTelemetryRecords"]) {
            continue;
        }
        let text = statement.to_string();
        assert!(!text.contains(['*', '?']), "{text}");
        assert_eq!(statement.get("NotAction"), None, "{text}");
        assert_eq!(statement.get("NotResource"), None, "{text}");
    }
}
