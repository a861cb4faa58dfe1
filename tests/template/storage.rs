//! What is stored, and what the template must not contain.

use std::collections::BTreeMap;

use local::template::Topology;
use serde_json::{Value, json};

use crate::{PLACE, TEMPLATE, TOPOLOGY, resources, text};

const STACK_POLICY: &str = "docs/operating/stack-policy.json";

/// The topology with a table that the stack did not create.
fn with_existing_table() -> Topology {
    let chosen = [("ExistingTableName".to_owned(), "restored-1".to_owned())];
    let parameters = TEMPLATE.parameters(&chosen.into());
    let parameters = parameters.expect("the name is valid");
    TEMPLATE.topology(&parameters, &PLACE).expect("it is whole")
}

/// Everything in the topology that may name the table, as text with this name in the place of the table's.
fn uses(topology: &Topology, table: &str) -> BTreeMap<String, String> {
    let environments = topology.functions.iter().map(|function| {
        let environment = format!("{:?}", function.environment);
        (function.name.clone(), environment)
    });
    let grants = topology.roles.iter().map(|(id, role)| {
        let grants = role
            .grants
            .iter()
            .filter(|grant| grant.action.starts_with("dynamodb:"));
        (id.clone(), format!("{:?}", grants.collect::<Vec<_>>()))
    });
    let named = [format!("\"{table}\""), format!("table/{table}")];
    let all = environments.chain(grants);
    all.map(|(id, text)| {
        let text = text
            .replace(&named[0], "\"T\"")
            .replace(&named[1], "table/T");
        (id, text)
    })
    .collect()
}

#[test]
fn an_existing_table_replaces_the_one_of_the_stack_everywhere() {
    let existing = with_existing_table();
    assert!(existing.tables.is_empty(), "the stack creates none then");
    let own = uses(&TOPOLOGY, &TOPOLOGY.tables[0].name);
    let mut sorted = uses(&existing, "restored-1");
    // Grants are ordered by resource, and both names sort differently.
    assert_eq!(
        sorted.keys().collect::<Vec<_>>(),
        own.keys().collect::<Vec<_>>()
    );
    sorted.retain(|id, text| own[id] != *text);
    assert!(sorted.is_empty(), "{sorted:#?}");
}

/// What a deployed table can never change in place. Before the first deployment, change this with the template; after
/// it, follow "Changing keys or local indexes" in docs/operating/runbook.md.
#[test]
fn keys_and_local_indexes_stay_as_they_were_deployed() {
    let key = |sort: &str| {
        json!([
            {"AttributeName": "pk", "KeyType": "HASH"},
            {"AttributeName": sort, "KeyType": "RANGE"},
        ])
    };
    let keys_only = json!({"ProjectionType": "KEYS_ONLY"});
    let severity = json!({"ProjectionType": "INCLUDE", "NonKeyAttributes": ["analysis_status"]});
    let index = |name: &str, sort: &str, projection: &Value| json!({"IndexName": name, "KeySchema": key(sort), "Projection": projection});
    let table = &resources("AWS::DynamoDB::Table")["Table"]["Properties"];
    assert_eq!(table["KeySchema"], key("sk"));
    let local = json!([
        index("active", "active", &keys_only),
        index("severity", "severity_rank", &severity),
        index("open", "open_since", &keys_only),
        index("unanalysed", "unanalysed", &keys_only),
    ]);
    assert_eq!(table["LocalSecondaryIndexes"], local);
    let types = table["AttributeDefinitions"].as_array().expect("a list");
    for name in [
        "pk",
        "sk",
        "active",
        "severity_rank",
        "open_since",
        "unanalysed",
    ] {
        let text = json!({"AttributeName": name, "AttributeType": "S"});
        assert!(types.contains(&text), "{name} is a text");
    }
}

#[test]
fn the_stack_policy_denies_replacing_or_deleting_the_table() {
    let policy: Value = serde_json::from_str(&text(STACK_POLICY)).expect("it is JSON");
    let tables = resources("AWS::DynamoDB::Table").into_keys();
    let tables: Vec<_> = tables.map(|id| format!("LogicalResourceId/{id}")).collect();
    let expected = json!([
        {"Effect": "Allow", "Principal": "*", "Action": "Update:*", "Resource": "*"},
        {
            "Effect": "Deny",
            "Principal": "*",
            "Action": ["Update:Replace", "Update:Delete"],
            "Resource": tables,
        },
    ]);
    assert_eq!(policy["Statement"], expected);
    let set = format!("--stack-policy-body file://{STACK_POLICY}");
    assert!(text("docs/operating/deploy.md").contains(&set), "{set}");
}

/// Alarms, dashboard and outputs are not part of the topology.
#[test]
fn the_table_is_referred_to_under_its_condition_only() {
    let template = text("template.yaml");
    let direct = template.lines().filter(|line| {
        let mut rest = (*line).to_owned();
        for allowed in [
            "[CreatesTable, !Ref Table, !Ref ExistingTableName]",
            "[CreatesTable, !GetAtt Table.Arn, ",
            "[CreatesTable, !Sub \"${Table.Arn}/",
        ] {
            rest = rest.replace(allowed, "");
        }
        [
            "!Ref Table]",
            "!Ref Table,",
            "!Ref Table }",
            "Table.Arn",
            "${Table}",
        ]
        .iter()
        .any(|reference| rest.contains(reference))
            || rest.ends_with("!Ref Table")
    });
    let direct: Vec<_> = direct.map(str::trim).collect();
    assert!(direct.is_empty(), "{direct:#?}");
}

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
            (
                "DeletionProtectionEnabled",
                json!({"Fn::If": ["ProtectsTable", true, false]}),
            ),
        ];
        for (property, value) in expected {
            assert_eq!(properties[property], value, "{id}.{property}");
        }
        for (policy, value) in [
            ("DeletionPolicy", "RetainExceptOnCreate"),
            ("UpdateReplacePolicy", "Retain"),
        ] {
            assert_eq!(table[policy], value, "{id}.{policy}");
        }
    }
    let document = TEMPLATE.document();
    let protects = &document["Conditions"]["ProtectsTable"];
    assert_eq!(
        *protects,
        json!({"Fn::Equals": [{"Ref": "ProtectTable"}, "true"]})
    );
    let default = &document["Parameters"]["ProtectTable"]["Default"];
    assert_eq!(default, "true");
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
