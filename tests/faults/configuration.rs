//! A configuration that cannot work is refused before anything starts, and the template's numbers fit each other.

use std::{collections::BTreeMap, path::Path, process::Command, time::Duration};

use local::template::{Place, Template, Topology};
use tests::{Stack, binaries};

#[tokio::test]
async fn a_stack_with_an_impossible_parameter_does_not_start() {
    for (parameter, name) in [
        ("RetentionDays=0", "RetentionDays"),
        ("AcceptedTimeoutSeconds=abc", "AcceptedTimeoutSeconds"),
        ("RunningTimeoutSeconds=-1", "RunningTimeoutSeconds"),
    ] {
        let said = Stack::refusal(&["--parameter", parameter]).await;
        assert!(said.contains(name), "{parameter}: {said}");
    }
}

#[tokio::test]
async fn a_function_with_an_impossible_variable_does_not_start() {
    for function in ["api", "sync", "dead-letter", "reconcile"] {
        for (name, value) in [("RETENTION_DAYS", "0"), ("ACCEPTED_TIMEOUT_SECONDS", "abc")] {
            let topology = topology(&template());
            let environment = &topology
                .function(function)
                .expect("it is there")
                .environment;
            let started = Command::new(binaries().await.join(function))
                .env_clear()
                .envs(environment)
                .env(name, value)
                .output()
                .expect("it is built");
            let said = [started.stdout, started.stderr].concat();
            let said = String::from_utf8_lossy(&said);
            assert!(!started.status.success(), "{function}: {said}");
            assert!(said.contains(name), "{function}: {said}");
        }
    }
}

fn template() -> Template {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../template.yaml");
    let text = std::fs::read_to_string(path).expect("it is there");
    Template::parse(&text).expect("it is valid")
}

fn topology(template: &Template) -> Topology {
    let parameters = template
        .parameters(&BTreeMap::new())
        .expect("every parameter has a default");
    let place = Place {
        region: "us-east-1".to_owned(),
        account: "000000000000".to_owned(),
        queues: "http://127.0.0.1".to_owned(),
        api: "http://127.0.0.1:3".to_owned(),
    };
    template.topology(&parameters, &place).expect("it is whole")
}

#[test]
fn no_command_is_failed_as_stalled_while_a_delivery_is_still_to_come() {
    let topology = topology(&template());
    let seconds = |number: &String| Duration::from_secs(number.parse().expect("a whole number"));
    let mut redriven = 0;
    for mapping in &topology.mappings {
        let function = topology.function(&mapping.function).expect("it is there");
        let queue = topology
            .queues
            .iter()
            .find(|queue| queue.name == mapping.queue);
        let attributes = &queue.expect("it is there").attributes;
        let visibility = seconds(&attributes["VisibilityTimeout"]);
        assert!(visibility >= function.timeout * 6, "{}", mapping.queue);
        let Some(policy) = attributes.get("RedrivePolicy") else {
            continue;
        };
        redriven += 1;
        let policy: serde_json::Value = serde_json::from_str(policy).expect("it is JSON");
        let receives = policy["maxReceiveCount"].to_string();
        let receives: u32 = receives.trim_matches('"').parse().expect("a count");
        let running = seconds(&function.environment["RUNNING_TIMEOUT_SECONDS"]);
        assert!(visibility * receives < running, "{}", mapping.queue);
        // A worker settles a command on its last delivery: it must know which that is.
        let told = function.environment.get("MAX_RECEIVES");
        let works_on_commands = ["sync", "dismiss", "analyse"].contains(&mapping.function.as_str());
        assert_eq!(
            told,
            works_on_commands.then_some(&receives.to_string()),
            "{}",
            mapping.queue
        );
    }
    assert_eq!((topology.mappings.len(), redriven), (12, 6));
}
