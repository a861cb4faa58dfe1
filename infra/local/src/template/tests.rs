//! Tests on the repository's own template.

use super::*;

use std::time::Duration;

use aws_sdk_dynamodb::types::LocalSecondaryIndex;

const TEMPLATE: &str = include_str!("../../../../template.yaml");

fn place() -> Place {
    Place::local("http://127.0.0.1:1", "http://127.0.0.1:3")
}

fn topology(overrides: &[(&str, &str)]) -> Result<Topology, TemplateError> {
    let template = Template::parse(TEMPLATE)?;
    let overrides = overrides
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    let parameters = template.parameters(&overrides)?;
    template.topology(&parameters, &place())
}

#[test]
fn every_function_is_named_after_its_folder_and_has_a_source() {
    let topology = topology(&[]).expect("the template reads");
    assert!(!topology.functions.is_empty());
    for function in &topology.functions {
        let manifest = format!(
            "{}/../../functions/{}/Cargo.toml",
            env!("CARGO_MANIFEST_DIR"),
            function.name
        );
        assert!(
            std::path::Path::new(&manifest).exists(),
            "{manifest} is missing"
        );
        assert!(function.timeout > Duration::ZERO);
    }
}

#[test]
fn references_become_addresses_and_parameters_become_values() {
    let topology = topology(&[("AcceptedTimeoutSeconds", "7")]).expect("the template reads");
    let api = topology.function("api").expect("there is an api");
    assert_eq!(
        api.environment["SYNC_QUEUE_URL"],
        "http://127.0.0.1:1/000000000000/SyncQueue"
    );
    assert_eq!(api.environment["ACCEPTED_TIMEOUT_SECONDS"], "7");
    assert_eq!(api.environment["TABLE"], "Table");
    assert_eq!(api.log_format.as_deref(), Some("JSON"));
    assert_eq!(api.log_level.as_deref(), Some("INFO"));
}

#[test]
fn a_queue_carries_its_redrive_policy_and_no_encryption() {
    let topology = topology(&[]).expect("the template reads");
    let queue = topology
        .queues
        .iter()
        .find(|queue| queue.name == "SyncQueue")
        .expect("there is a SyncQueue");
    assert_eq!(
        queue.dead_letter_queue.as_deref(),
        Some("SyncDeadLetterQueue")
    );
    let redrive: Value = serde_json::from_str(&queue.attributes["RedrivePolicy"])
        .expect("SQS takes the policy as JSON");
    assert_eq!(
        redrive["deadLetterTargetArn"],
        "arn:aws:sqs:us-east-1:000000000000:SyncDeadLetterQueue"
    );
    assert!(queue.attributes.contains_key("VisibilityTimeout"));
    assert!(!queue.attributes.contains_key("SqsManagedSseEnabled"));
}

#[test]
fn mappings_and_dead_letter_queues_name_queues_of_the_template() {
    let topology = topology(&[]).expect("the template reads");
    let named = topology
        .mappings
        .iter()
        .map(|mapping| &mapping.queue)
        .chain(
            topology
                .queues
                .iter()
                .filter_map(|queue| queue.dead_letter_queue.as_ref()),
        );
    for name in named {
        assert!(
            topology.queues.iter().any(|queue| queue.name == *name),
            "{name} is not a queue"
        );
    }
    assert!(
        topology
            .mappings
            .iter()
            .all(|mapping| mapping.answers == Answers::BatchItemFailures)
    );
}

#[test]
fn the_api_is_open_to_readers_and_writers_of_this_audience_only() {
    let topology = topology(&[]).expect("the template reads");
    for route in &topology.routes {
        let Access::Token(authorizer) = &route.access else {
            assert!(!route.path.starts_with("/v1/owners/"), "{}", route.path);
            continue;
        };
        let authorizer = &topology.authorizers[authorizer];
        assert_eq!(authorizer.audience, ["security-agent"]);
        let reads = route.method == Some(http::Method::GET);
        let read = "security-agent:read".to_owned();
        assert_eq!(authorizer.scopes.contains(&read), reads, "{}", route.path);
        assert!(
            authorizer
                .scopes
                .contains(&"security-agent:write".to_owned())
        );
    }
}

#[test]
fn the_table_has_the_indexes_and_the_expiry_of_the_template() {
    let topology = topology(&[]).expect("the template reads");
    let [table] = topology.tables.as_slice() else {
        panic!("one table, not {}", topology.tables.len());
    };
    assert_eq!(table.expiry_attribute(), Some("expires_at"));
    let creation = table.creation().expect("a complete request");
    let local = creation.local_indexes.expect("local indexes");
    assert_eq!(
        local
            .iter()
            .map(LocalSecondaryIndex::index_name)
            .collect::<Vec<_>>(),
        ["active", "severity", "open", "unanalysed"]
    );
    assert_eq!(creation.global_indexes.expect("a global index").len(), 1);
}

#[test]
fn the_reconciler_runs_every_minute() {
    let topology = topology(&[]).expect("the template reads");
    assert!(
        topology
            .schedules
            .iter()
            .any(|schedule| schedule.function == "reconcile"
                && schedule.period == Duration::from_secs(60))
    );
}

#[test]
fn a_timeout_below_the_minimum_is_accepted_with_a_warning() {
    let template = Template::parse(TEMPLATE).expect("the template reads");
    let values = |name: &str, value: &str| {
        let chosen = [(name.to_owned(), value.to_owned())];
        template.parameters(&chosen.into())
    };
    for name in ["AcceptedTimeoutSeconds", "RunningTimeoutSeconds"] {
        let taken = values(name, "5").expect("a short timeout is accepted locally");
        let warnings = template.warnings(&taken);
        let [warning] = warnings.as_slice() else {
            panic!("one warning: {warnings:?}")
        };
        let least = &template.document()["Parameters"][name]["MinValue"];
        assert!(
            warning.contains(&format!("parameter {name} is 5,")),
            "{warning}"
        );
        assert!(
            warning.contains(&format!("no less than {least}:")),
            "{warning}"
        );
        for impossible in ["0", "-1", "86401"] {
            let refused = values(name, impossible).expect_err("nothing could work");
            assert!(refused.to_string().contains(name), "{refused}");
        }
        let taken = values(name, &least.to_string()).expect("the minimum is accepted");
        assert!(template.warnings(&taken).is_empty());
    }
    let refused = values("SyncConcurrency", "1").expect_err("the parameter is not a timeout");
    assert!(refused.to_string().contains("at least 2"), "{refused}");
}

#[test]
fn an_unknown_parameter_is_refused_and_the_known_ones_are_named() {
    let refused = topology(&[("Nonsense", "1")]).expect_err("the parameter does not exist");
    let message = refused.to_string();
    assert!(
        message.contains("Nonsense") && message.contains("RetentionDays"),
        "{message}"
    );
}

#[test]
fn a_value_that_breaks_its_rule_is_refused() {
    for (name, value) in [
        ("RetentionDays", "0"),
        ("RetentionDays", "soon"),
        ("LogLevel", "LOUD"),
    ] {
        let refused = topology(&[(name, value)]).expect_err("the rule forbids it");
        assert!(
            matches!(refused, TemplateError::ParameterValue { .. }),
            "{refused}"
        );
    }
}

#[test]
fn an_unresolved_reference_is_an_error() {
    let template = Template::parse(
        "Resources:\n  Q:\n    Type: AWS::SQS::Queue\n    Properties: { VisibilityTimeout: !Ref Missing }\n",
    )
    .expect("well-formed");
    let refused = template
        .topology(&BTreeMap::new(), &place())
        .expect_err("Missing is not defined");
    assert!(refused.to_string().contains("Missing"), "{refused}");
}
