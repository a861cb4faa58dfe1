//! Stubs of SQS and Secrets Manager, which fail on a test's request.

use std::sync::{Arc, Mutex};

use axum::{
    Json, Router,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse as _, Response},
};
use domain::lifecycle::Stage;
use dynoxide::Database;
use runtime::queue::Message;
use serde_json::{Value, json};
use std::time::Duration;
use store::ledger::{Claimed, Ledger, Outcome};

use super::NOON;

/// How the queue answers a message.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Queue {
    /// Takes the message.
    Takes,
    /// Refuses the message.
    Refuses,
    /// Takes the message, has a worker claim its command at once, and answers that the send failed.
    DeliversButFails,
    /// Refuses the message after another request with the same key has failed the command.
    RefusesWhatHasFailed,
    /// Refuses the message after the table is deleted, so that the failure cannot be written.
    RefusesAsTheTableVanishes,
}

/// The stubs' state, shared with their server.
#[derive(Clone)]
pub(crate) struct Services {
    ledger: Ledger,
    database: Database,
    state: Arc<Mutex<Answers>>,
}

struct Answers {
    queue: Queue,
    /// The messages, with the names of their queues.
    sent: Vec<(String, Message)>,
    key: String,
}

impl Services {
    pub(super) fn new(ledger: Ledger, database: Database) -> Self {
        let answers = Answers {
            queue: Queue::Takes,
            sent: Vec::new(),
            key: "a key for cursors of at least 32 bytes".to_owned(),
        };
        Self {
            ledger,
            database,
            state: Arc::new(Mutex::new(answers)),
        }
    }

    /// Sets how the queue answers from now on.
    pub(crate) fn queue(&self, queue: Queue) {
        self.state.lock().expect("not poisoned").queue = queue;
    }

    /// Sets the text of the secret that seals cursors.
    pub(crate) fn cursor_key(&self, text: &str) {
        self.state.lock().expect("not poisoned").key = text.to_owned();
    }

    /// Returns every message that the queue took.
    pub(crate) fn sent(&self) -> Vec<Message> {
        let sent = self.sent_to();
        sent.into_iter().map(|(_, message)| message).collect()
    }

    /// Returns every message that the queue took, with its queue's name.
    pub(crate) fn sent_to(&self) -> Vec<(String, Message)> {
        self.state.lock().expect("not poisoned").sent.clone()
    }

    pub(super) fn router(&self) -> Router {
        Router::new().fallback(answer).with_state(self.clone())
    }

    async fn send(&self, body: &Value) -> Response {
        let text = body["MessageBody"].as_str().expect("a body");
        let message = Message::parse(text).expect("a message");
        let queue = self.state.lock().expect("not poisoned").queue;
        match queue {
            Queue::Takes => {
                let id = json!({"MessageId": "1", "MD5OfMessageBody": ""});
                let url = body["QueueUrl"].as_str().expect("a URL");
                let queue = url.rsplit('/').next().expect("a name").to_owned();
                let sent = (queue, message);
                self.state.lock().expect("not poisoned").sent.push(sent);
                return Json(id).into_response();
            }
            Queue::Refuses => {}
            Queue::DeliversButFails => {
                let Message::Command { key, stage } = message else {
                    panic!("the function sends commands only");
                };
                let until = NOON + Duration::from_secs(30);
                let claimed = self.ledger.claim(&key, stage, until, NOON).await;
                assert!(matches!(claimed, Ok(Claimed::Held(..))), "{claimed:?}");
                assert_eq!(stage, Stage(0));
            }
            Queue::RefusesWhatHasFailed => {
                let Message::Command { key, .. } = message else {
                    panic!("the function sends commands only");
                };
                let found = self.ledger.read(&key, NOON).await;
                let found = found.expect("the table answers").expect("it is stored");
                let admission = found.state.admission;
                let failed = self.ledger.fail_admission(&key, admission, NOON).await;
                assert!(matches!(failed, Ok(Outcome::Applied(_))), "{failed:?}");
            }
            Queue::RefusesAsTheTableVanishes => {
                let table = serde_json::from_value(json!({"TableName": "table"}));
                self.database
                    .delete_table(table.expect("a request"))
                    .expect("deleted");
            }
        }
        // The client library does not retry this error, so the test does not have to wait.
        let code = "com.amazonaws.sqs#QueueDoesNotExist";
        (
            StatusCode::BAD_REQUEST,
            Json(json!({"__type": code, "message": "no"})),
        )
            .into_response()
    }
}

async fn answer(
    State(services): State<Services>,
    headers: HeaderMap,
    body: axum::body::Bytes,
) -> Response {
    let body: Value = serde_json::from_slice(&body).expect("JSON");
    match headers["x-amz-target"].to_str().expect("a text") {
        "AmazonSQS.SendMessage" => services.send(&body).await,
        "secretsmanager.GetSecretValue" => {
            let name = body["SecretId"].as_str().expect("a name");
            let text = match name {
                "cursor-key" => services.state.lock().expect("not poisoned").key.clone(),
                "callback-keys" => json!({
                    "active": "k1", "keys": {"k1": "a key of at least 32 characters!!"}
                })
                .to_string(),
                other => panic!("the function has no secret {other}"),
            };
            Json(json!({"ARN": "arn", "Name": name, "SecretString": text})).into_response()
        }
        other => panic!("the function does not call {other}"),
    }
}
