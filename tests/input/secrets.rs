//! Secrets Manager with the functions' secrets.

use std::{collections::BTreeMap, sync::OnceLock};

use aws_sdk_secretsmanager::config::{BehaviorVersion, Region};
use axum::{Json, Router};
use github_simulator::AppKey;
use outbound::secrets::{SecretName, Secrets};
use serde_json::{Value, json};
use tests::credentials;
use tokio::net::TcpListener;

/// Seals page cursors.
pub(crate) const CURSOR_KEY: &str = "cursor-key";
/// Signs capabilities.
pub(crate) const CALLBACK_KEYS: &str = "callback-keys";
/// The GitHub App's private key.
pub(crate) const APP_KEY: &str = "app-key";
/// Our token at the agent.
pub(crate) const AGENT_TOKEN: &str = "agent-token";

/// Texts that no answer may show.
pub(crate) const SECRET_TEXTS: [&str; 3] = [
    "sealed-with-this-and-nothing-else",
    "a-key-of-at-least-32-characters!!",
    "the-agent-knows-us-by-this",
];

/// Serves the secrets until the test's runtime ends.
pub(crate) async fn secrets() -> Secrets {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("it is bound"));
    let kept = kept();
    // The client sends a content type that axum's `Json` extractor rejects.
    let answer = async move |body: String| {
        let asked: Value = serde_json::from_str(&body).expect("the client sends JSON");
        let name = asked["SecretId"].as_str().expect("it names a secret");
        Json(json!({"ARN": "arn", "Name": name, "SecretString": kept[name]}))
    };
    let router = Router::new().fallback(answer);
    tokio::spawn(async move { axum::serve(listener, router).await });
    let config = aws_sdk_secretsmanager::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .credentials_provider(credentials())
        .endpoint_url(url)
        .build();
    Secrets::new(aws_sdk_secretsmanager::Client::from_conf(config))
}

/// The App's key is generated once, because that is slow.
fn kept() -> BTreeMap<&'static str, String> {
    static KEY: OnceLock<AppKey> = OnceLock::new();
    let key = KEY.get_or_init(|| AppKey::generate().expect("a key can be made"));
    let [cursors, callbacks, agent] = SECRET_TEXTS;
    let callbacks = json!({"active": "k1", "keys": {"k1": callbacks}});
    BTreeMap::from([
        (CURSOR_KEY, cursors.to_owned()),
        (CALLBACK_KEYS, callbacks.to_string()),
        (APP_KEY, key.private_key_pem().to_owned()),
        (AGENT_TOKEN, agent.to_owned()),
    ])
}

/// The name of the secret.
pub(crate) fn name(secret: &str) -> SecretName {
    SecretName::new(secret)
}
