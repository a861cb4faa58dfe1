//! What is stored, and what the template must not contain.

use serde_json::{Value, json};

use crate::{TEMPLATE, resources};

#[test]
fn the_table_is_encrypted_recoverable_and_outlives_its_stack() {
    for (id, table) in resources("AWS::DynamoDB::Table") {
        let properties = &table["Properties"];
        let expected = [
            (
                "TimeToLiveSpecification",
                json!({"AttributeName": "expires_at", "Enabled": true}),
            ),
            (
                "PointInTimeRecoverySpecification",
                json!({"PointInTimeRecoveryEnabled": true}),
            ),
            ("SSESpecification", json!({"SSEEnabled": true})),
            ("DeletionProtectionEnabled", json!(true)),
        ];
        for (property, value) in expected {
            assert_eq!(properties[property], value, "{id}.{property}");
        }
        for policy in ["DeletionPolicy", "UpdateReplacePolicy"] {
            assert_eq!(table[policy], "Retain", "{id}.{policy}");
        }
    }
}

#[test]
fn secrets_are_named_by_parameters_and_never_defaults() {
    let parameters = TEMPLATE.document()["Parameters"].as_object();
    let mut secrets = 0;
    for (name, parameter) in parameters.expect("a map") {
        let default = parameter.get("Default");
        if name.contains("Secret") {
            secrets += 1;
            let pattern = parameter["AllowedPattern"].as_str().expect("a pattern");
            assert!(pattern.contains(":secretsmanager:"), "{name}: {pattern}");
            assert_eq!(default, None, "{name}");
        }
        let default = default.and_then(Value::as_str).unwrap_or_default();
        // Keys and tokens contain long runs of such characters; names, addresses and dates do not.
        let runs = default.split(|c: char| !(c.is_ascii_alphanumeric() || "+/_=".contains(c)));
        let longest = runs.map(str::len).max().unwrap_or_default();
        assert!(longest < 20, "{name} has a default like a key");
    }
    assert!(secrets > 0);
}
