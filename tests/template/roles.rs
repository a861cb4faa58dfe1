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
        let text = statement.to_string();
        assert!(!text.contains(['*', '?']), "{text}");
        assert_eq!(statement.get("NotAction"), None, "{text}");
        assert_eq!(statement.get("NotResource"), None, "{text}");
    }
}
