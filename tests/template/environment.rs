//! Each function reads exactly the variables that the template sets. The real binaries prove it, so no second list
//! exists.
//!
//! All reads go through `runtime::environment`, which requires every variable. A function that starts therefore reads
//! nothing beyond what is set, and one that refuses to start without a variable reads it.

use std::{
    collections::{BTreeMap, BTreeSet},
    process::{Output, Stdio},
    time::Duration,
};

use domain::lifecycle::LEAST_ACCEPTED;
use futures::future::join_all;
use local::template::Function;
use tests::binaries;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    process::Command,
    time::timeout,
};

use crate::{TEMPLATE, TOPOLOGY, text};

/// Where Lambda's operating system keeps certificates: the TLS library reads it, not the configuration.
const OF_THE_PLATFORM: &str = "SSL_CERT_FILE";
/// The time limit for a function's first request for an event.
const START: Duration = Duration::from_secs(60);

fn configuration(function: &Function) -> BTreeMap<String, String> {
    let mut environment = function.environment.clone();
    environment.remove(OF_THE_PLATFORM);
    assert!(!environment.is_empty(), "{}", function.name);
    environment
}

async fn command(function: &Function, environment: &BTreeMap<String, String>) -> Command {
    let mut command = Command::new(binaries().await.join(&function.binary));
    command
        .env_clear()
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .envs(environment)
        .kill_on_drop(true);
    command
}

async fn refused(function: &Function, environment: &BTreeMap<String, String>) -> String {
    let ended = command(function, environment).await.output();
    let ended = timeout(START, ended).await;
    let Output {
        status,
        stdout,
        stderr,
    } = ended
        .unwrap_or_else(|_| panic!("{} has started", function.name))
        .expect("it is built");
    let said = String::from_utf8_lossy(&[stdout, stderr].concat()).into_owned();
    assert!(!status.success(), "{}: {said}", function.name);
    said
}

#[tokio::test]
async fn every_function_refuses_to_start_if_a_variable_is_missing() {
    for function in &TOPOLOGY.functions {
        let environment = configuration(function);
        for name in environment.keys() {
            let mut without = environment.clone();
            without.remove(name);
            let said = refused(function, &without).await;
            let missing = format!("environment variable {name} is not set");
            assert!(said.contains(&missing), "{}: {said}", function.name);
        }
    }
}

#[tokio::test]
async fn every_function_starts_with_exactly_its_variables() {
    join_all(TOPOLOGY.functions.iter().map(async |function| {
        let runtime = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = runtime.local_addr().expect("it is bound").to_string();
        let mut command = command(function, &configuration(function)).await;
        // The variables that Lambda sets. Nothing answers for DynamoDB; a start does not need it.
        command
            .env("AWS_LAMBDA_RUNTIME_API", &address)
            .env("AWS_LAMBDA_FUNCTION_NAME", &function.name)
            .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "128")
            .env("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST")
            .env("AWS_LAMBDA_LOG_GROUP_NAME", "group")
            .env("AWS_LAMBDA_LOG_STREAM_NAME", "stream")
            .env("AWS_REGION", "us-east-1")
            .env("AWS_ACCESS_KEY_ID", "none")
            .env("AWS_SECRET_ACCESS_KEY", "none")
            .env("AWS_ENDPOINT_URL_DYNAMODB", "http://127.0.0.1:1")
            .env("AWS_MAX_ATTEMPTS", "1")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut process = command.spawn().expect("it is built");
        let asked = tokio::select! {
            asked = timeout(START, first_request(&runtime)) => asked,
            ended = process.wait() => {
                let ended = ended.expect("it is ours");
                let rest = process.wait_with_output().await.expect("it is piped");
                let said = [rest.stdout, rest.stderr].concat();
                panic!("{} ends with {ended}: {}", function.name, String::from_utf8_lossy(&said));
            }
        };
        let asked = asked.unwrap_or_else(|_| panic!("{} does not start", function.name));
        let next = "GET /2018-06-01/runtime/invocation/next ";
        assert!(asked.starts_with(next), "{}: {asked}", function.name);
    }))
    .await;
}

/// The function's first request to its runtime.
async fn first_request(runtime: &TcpListener) -> String {
    let (mut stream, _) = runtime.accept().await.expect("it listens");
    let mut request = vec![0; 512];
    let read = stream.read(&mut request).await.expect("it is sent");
    // The request needs no response: the function is killed next.
    let _ = stream.shutdown().await;
    String::from_utf8_lossy(&request[..read]).into_owned()
}

#[tokio::test]
async fn a_function_with_an_invalid_variable_does_not_start() {
    let impossible = [
        ("RETENTION_DAYS", "0"),
        ("ACCEPTED_TIMEOUT_SECONDS", "abc"),
        ("ACCEPTED_TIMEOUT_SECONDS", "0"),
        ("RUNNING_TIMEOUT_SECONDS", "-1"),
        ("MAX_RECEIVES", "0"),
        ("PAUSED_COMMANDS", "syncs"),
    ];
    let mut tried = BTreeSet::new();
    for function in &TOPOLOGY.functions {
        for (name, value) in impossible {
            let mut environment = configuration(function);
            if environment
                .insert(name.to_owned(), value.to_owned())
                .is_some()
            {
                let said = refused(function, &environment).await;
                assert!(said.contains(name), "{}: {said}", function.name);
                tried.insert((name, value));
            }
        }
    }
    assert_eq!(tried, BTreeSet::from(impossible));
}

#[tokio::test]
async fn a_function_warns_of_a_timeout_below_the_template_minimum() {
    let name = "ACCEPTED_TIMEOUT_SECONDS";
    let functions = TOPOLOGY.functions.iter();
    let told = functions.filter(|function| function.environment.contains_key(name));
    for function in told {
        let mut environment = configuration(function);
        environment.insert(name.to_owned(), "5".to_owned());
        // Omitted, so that it logs its warnings and exits.
        environment.remove("RUNNING_TIMEOUT_SECONDS");
        let said = refused(function, &environment).await;
        let warning = format!("{name} is 5, less than {}", LEAST_ACCEPTED.as_secs());
        assert!(said.contains(&warning), "{}: {said}", function.name);
    }
}

#[test]
fn every_parameter_is_used() {
    let template = text("template.yaml");
    let parameters = TEMPLATE.document()["Parameters"].as_object();
    let unused: Vec<_> = parameters
        .expect("a map")
        .keys()
        .filter(|name| {
            let plain = template.lines().any(|line| {
                let reference = line.split_once("!Ref ").map(|(_, name)| name);
                reference.is_some_and(|it| it.split([',', ']', ' ', '}']).next() == Some(name))
            });
            !plain && !template.contains(&format!("${{{name}}}"))
        })
        .collect();
    assert!(unused.is_empty(), "{unused:?}");
}
