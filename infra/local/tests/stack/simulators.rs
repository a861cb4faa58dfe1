//! The simulators without the stack, for a deployment elsewhere.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Stdio;

use aws_sdk_dynamodb::config::{BehaviorVersion, Credentials, Region};
use domain::owner::Owner;
use local::template::{Place, Template};
use reqwest::StatusCode;
use serde_json::{Value, json};
use store::owners::Owners;
use store::repositories::Repositories;
use store::table::Table;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpListener;
use tokio::process::{Child, Command};

use crate::support::dataset;

/// Creates template.yaml's table in a new DynamoDB; returns its name, address and client.
async fn table() -> (String, String, aws_sdk_dynamodb::Client) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
    let url = format!(
        "http://{}",
        listener.local_addr().expect("the listener has an address")
    );
    let database = dynoxide::Database::memory().expect("a database");
    tokio::spawn(dynoxide::server::serve_on(listener, database));
    let config = aws_sdk_dynamodb::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .credentials_provider(Credentials::new("test", "test", None, None, "test"))
        .endpoint_url(&url)
        .build();
    let client = aws_sdk_dynamodb::Client::from_conf(config);

    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../template.yaml");
    let text = std::fs::read_to_string(path).expect("the template is there");
    let template = Template::parse(&text).expect("the template is valid");
    let parameters = template
        .parameters(&BTreeMap::new())
        .expect("every parameter has a default");
    let place = Place::local(&url, &url);
    let topology = template.topology(&parameters, &place);
    let topology = topology.expect("the template is supported");
    local::tables::prepare(&client, &topology)
        .await
        .expect("the table is made");
    (url, topology.tables[0].name.clone(), client)
}

async fn simulators(dynamodb: &str) -> (Child, Value) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_simulators"))
        .args(["--listen", "127.0.0.1:0", "--github"])
        .arg(dataset())
        .env("AWS_ENDPOINT_URL_DYNAMODB", dynamodb)
        .env("AWS_REGION", "us-east-1")
        .env("AWS_ACCESS_KEY_ID", "test")
        .env("AWS_SECRET_ACCESS_KEY", "test")
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("the simulators start");
    let output = BufReader::new(child.stdout.take().expect("standard output is piped"));
    let line = output
        .lines()
        .next_line()
        .await
        .expect("standard output can be read");
    let announced = serde_json::from_str(&line.expect("a line")).expect("the body is JSON");
    (child, announced)
}

#[tokio::test]
async fn an_owner_of_an_external_table_can_be_connected() {
    let (dynamodb, name, client) = table().await;
    let (_child, announced) = simulators(&dynamodb).await;
    let url = announced["url"].as_str().expect("an address");
    let connect = async |body: Value| {
        let request = reqwest::Client::new().post(format!("{url}/local/owners"));
        let answer = request.json(&body).send().await;
        answer.expect("the simulators answer").status()
    };

    let connection = json!({"owner": "user:auth0|5f7c", "table": name});
    assert_eq!(connect(connection).await, StatusCode::NO_CONTENT);
    let owner: Owner = "user:auth0|5f7c".parse().expect("an owner");
    let table = Table::new(client, name);
    let found = Owners::new(table.clone()).read(&owner).await;
    let integration = found.expect("the owner can be read").integration;
    assert!(integration.is_some_and(|integration| integration.can_read_alerts));
    let repositories = Repositories::new(table).read(&owner).await;
    assert_eq!(
        repositories.expect("the repositories can be read").len(),
        11
    );

    let elsewhere = json!({"owner": "user:auth0|5f7c", "table": "none"});
    assert_eq!(connect(elsewhere).await, StatusCode::INTERNAL_SERVER_ERROR);
    let nobody = json!({"owner": "nobody", "table": "none"});
    assert_eq!(connect(nobody).await, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn every_announced_address_is_served() {
    let (_child, announced) = simulators("http://127.0.0.1:1").await;
    let status = async |url: String| {
        let answer = reqwest::get(url).await;
        answer.expect("the simulators answer").status()
    };
    let at = |name: &str| announced[name].as_str().expect("an address").to_owned();
    // Both simulators require credentials; this test presents none.
    let asked = format!("{}/installation/repositories", at("githubUrl"));
    assert_eq!(status(asked).await, StatusCode::FORBIDDEN);
    let asked = format!("{}/v1/sessions", at("agentUrl"));
    assert_eq!(status(asked).await, StatusCode::METHOD_NOT_ALLOWED);
    for path in ["/local/github/requests", "/local/agent/sessions"] {
        assert_eq!(status(at("url") + path).await, StatusCode::OK, "{path}");
    }
    assert!(at("githubPrivateKey").starts_with("-----BEGIN"));
    assert!(announced["githubAppId"].is_u64() && !at("agentToken").is_empty());
}
