//! Everything outside the table, on one port: queues, secrets, GitHub and the agent. Unlike the simulators they follow
//! the test's clock and fail where a step says so.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, OnceLock},
    time::Duration,
};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, Method, StatusCode, Uri, header},
    response::{IntoResponse as _, Response},
};
use domain::{
    Timestamp,
    command::CommandId,
    finding::{Finding, FindingId, Source},
};
use github::Alert;
use github_simulator::AppKey;
use runtime::queue::Message;
use serde_json::{Value, json};
use tests::{NOON, repository};
use tokio::net::TcpListener;

use super::clock::now;

/// The default visibility timeout.
const VISIBILITY: Duration = Duration::from_secs(240);

/// The fault in GitHub's next response to a dismissal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum GithubFault {
    /// The alert is dismissed; the response is lost.
    LoseAnswer,
    /// Nothing happens.
    Fail,
    /// The dismissal is refused.
    Refuse,
    /// The dismissal is accepted for review.
    Review,
    /// Rate limited.
    Limit,
}

/// The fault in the agent's next response to a launch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AgentFault {
    /// The session starts; the response is lost.
    LoseAnswer,
    /// The session does not start.
    Busy,
    /// Credits are insufficient.
    NoCredits,
}

/// A message in a queue.
#[derive(Clone, Debug)]
pub(crate) struct Queued {
    pub(crate) id: usize,
    pub(crate) queue: String,
    pub(crate) body: String,
    pub(crate) visible_at: Timestamp,
    pub(crate) receives: u32,
}

/// An alert at GitHub.
#[derive(Clone, Debug)]
pub(crate) struct Upstream {
    pub(crate) state: &'static str,
    updated_at: Timestamp,
    /// Reason, comment and author of a dismissal.
    dismissal: Option<(Value, Value, &'static str)>,
}

impl Upstream {
    /// The comment of its dismissal.
    pub(crate) fn comment(&self) -> Option<&str> {
        let (_, comment, _) = self.dismissal.as_ref()?;
        comment.as_str()
    }
}

/// A dismissal that changed an alert.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Patch {
    pub(crate) number: u32,
    pub(crate) comment: Option<String>,
}

/// A session at the agent.
#[derive(Clone, Debug)]
pub(crate) struct Begun {
    pub(crate) attempt: CommandId,
    pub(crate) finding: FindingId,
    pub(crate) session: String,
}

/// The state outside the table.
#[derive(Debug, Default)]
pub(crate) struct Known {
    pub(crate) messages: Vec<Queued>,
    pub(crate) alerts: BTreeMap<u32, Upstream>,
    pub(crate) patches: Vec<Patch>,
    pub(crate) sessions: Vec<Begun>,
    pub(crate) github: VecDeque<GithubFault>,
    pub(crate) agent: VecDeque<AgentFault>,
    sent: usize,
}

/// A server of that state. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Outside {
    pub(crate) url: String,
    known: Arc<Mutex<Known>>,
}

impl Outside {
    pub(crate) async fn with_alerts(count: u32) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("it is bound"));
        let known = Arc::new(Mutex::new(Known::default()));
        for number in 1..=count {
            let alert = Upstream {
                state: "open",
                updated_at: NOON,
                dismissal: None,
            };
            known.lock().expect("whole").alerts.insert(number, alert);
        }
        let router = Router::new().fallback(answer).with_state(known.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { url, known }
    }

    pub(crate) fn known(&self) -> MutexGuard<'_, Known> {
        self.known
            .lock()
            .expect("nothing panics while it is locked")
    }

    /// Somebody changes an alert.
    pub(crate) fn change(&self, number: u32, state: &'static str) {
        let dismissal =
            (state == "dismissed").then(|| (json!("inaccurate"), Value::Null, "octocat"));
        self.known().become_at(number, state, dismissal);
    }

    /// The alert as a sync stores it.
    pub(crate) fn shown(&self, number: u32) -> Finding {
        let alert = self.known().alert(number);
        let raw = serde_json::value::to_raw_value(&alert).expect("JSON");
        let alert = Alert::read(Source::Dependabot, &repository(), &raw).expect("GitHub's form");
        alert.finding.expect("it can be kept")
    }
}

impl Known {
    pub(crate) fn send(&mut self, queue: &str, body: String, delay: Duration) {
        self.sent += 1;
        self.messages.push(Queued {
            id: self.sent,
            queue: queue.to_owned(),
            body,
            visible_at: now() + delay,
            receives: 0,
        });
    }

    /// Receives a visible message.
    pub(crate) fn receive(&mut self, which: usize) -> Option<Queued> {
        let now = now();
        let visible = self
            .messages
            .iter_mut()
            .filter(|found| found.visible_at <= now);
        let mut visible: Vec<_> = visible.collect();
        let which = which.checked_rem(visible.len())?;
        let message = &mut visible[which];
        message.receives += 1;
        message.visible_at = now + VISIBILITY;
        Some(message.clone())
    }

    pub(crate) fn delete(&mut self, id: usize) {
        self.messages.retain(|message| message.id != id);
    }

    fn become_at(
        &mut self,
        number: u32,
        state: &'static str,
        dismissal: Option<(Value, Value, &'static str)>,
    ) {
        let alert = self.alerts.get_mut(&number).expect("it is one of them");
        // In whole seconds, each later than the last, so that the order of changes shows.
        let later = Timestamp::from_seconds(alert.updated_at.as_seconds() + 1);
        alert.updated_at = later.max(Timestamp::from_seconds(now().as_seconds()));
        (alert.state, alert.dismissal) = (state, dismissal);
    }

    fn alert(&self, number: u32) -> Value {
        let alert = &self.alerts[&number];
        let mut body = json!({
            "number": number, "state": alert.state, "html_url": "https://github.example/octo/app",
            "dependency": {"package": {"ecosystem": "npm", "name": "lodash"}, "manifest_path": "package.json"},
            "security_advisory": {
                "ghsa_id": "GHSA-35jh-r3h4-6jhm", "cve_id": null, "summary": "Injection", "description": "Runs.",
                "cwes": [],
            },
            "security_vulnerability": {
                "package": {"ecosystem": "npm", "name": "lodash"}, "severity": "high",
                "vulnerable_version_range": "< 4", "first_patched_version": null,
            },
            "created_at": NOON, "updated_at": alert.updated_at, "dismissed_at": null, "dismissed_by": null,
            "dismissed_reason": null, "dismissed_comment": null, "fixed_at": null,
        });
        if let Some((reason, comment, who)) = &alert.dismissal {
            body["dismissed_at"] = json!(alert.updated_at);
            body["dismissed_by"] = json!({ "login": who });
            body["dismissed_reason"] = reason.clone();
            body["dismissed_comment"] = comment.clone();
        }
        if alert.state == "fixed" {
            body["fixed_at"] = json!(alert.updated_at);
        }
        body
    }

    fn aws(&mut self, operation: &str, body: &Value) -> Response {
        let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
        let answer = match operation {
            "AmazonSQS.SendMessage" => {
                let queue = text("QueueUrl").rsplit('/').next().map(str::to_owned);
                let delay = Duration::from_secs(body["DelaySeconds"].as_u64().unwrap_or(0));
                self.send(&queue.expect("a name"), text("MessageBody"), delay);
                json!({"MessageId": self.sent.to_string(), "MD5OfMessageBody": ""})
            }
            "AmazonSQS.ChangeMessageVisibility" => {
                let pause = Duration::from_secs(body["VisibilityTimeout"].as_u64().unwrap_or(0));
                let receipt = text("ReceiptHandle");
                let of = |message: &&mut Queued| message.id.to_string() == receipt;
                if let Some(message) = self.messages.iter_mut().find(of) {
                    message.visible_at = now() + pause;
                }
                json!({})
            }
            "secretsmanager.GetSecretValue" => {
                let name = text("SecretId");
                json!({"ARN": "arn", "Name": name, "SecretString": secret(&name)})
            }
            other => panic!("unexpected call of {other}"),
        };
        json_answer(StatusCode::OK, &answer)
    }

    fn dismiss(&mut self, number: u32, wanted: &Value) -> Response {
        match self.alerts[&number].state {
            "open" => {}
            "dismissed" => return refused(StatusCode::CONFLICT),
            _ => return refused(StatusCode::UNPROCESSABLE_ENTITY),
        }
        let fault = self.github.pop_front();
        match fault {
            None | Some(GithubFault::LoseAnswer) => {}
            Some(GithubFault::Fail) => return refused(StatusCode::BAD_GATEWAY),
            Some(GithubFault::Refuse) => return refused(StatusCode::UNPROCESSABLE_ENTITY),
            Some(GithubFault::Review) => return json_answer(StatusCode::OK, &self.alert(number)),
            Some(GithubFault::Limit) => {
                let limited = refused(StatusCode::FORBIDDEN);
                return ([(header::RETRY_AFTER, "40")], limited).into_response();
            }
        }
        let comment = wanted["dismissed_comment"].clone();
        self.patches.push(Patch {
            number,
            comment: comment.as_str().map(str::to_owned),
        });
        let reason = wanted["dismissed_reason"].clone();
        self.become_at(
            number,
            "dismissed",
            Some((reason, comment, "security-agent[bot]")),
        );
        match fault {
            None => json_answer(StatusCode::OK, &self.alert(number)),
            Some(_) => refused(StatusCode::BAD_GATEWAY),
        }
    }

    fn launch(&mut self, key: &str, body: &Value) -> Response {
        let fault = self.agent.pop_front();
        match fault {
            None | Some(AgentFault::LoseAnswer) => {}
            Some(AgentFault::Busy) => return busy(),
            Some(AgentFault::NoCredits) => return refused(StatusCode::PAYMENT_REQUIRED),
        }
        let attempt: CommandId = key.parse().expect("a command names its launch");
        let known = self.sessions.iter().any(|known| known.attempt == attempt);
        if !known {
            let finding = body["finding"]["id"].as_str().expect("an id");
            self.sessions.push(Begun {
                attempt,
                finding: finding.parse().expect("a finding's id"),
                session: format!("ses-{key}"),
            });
        }
        if fault.is_some() {
            return busy();
        }
        let session = json!({
            "cloudAgentSessionId": format!("ses-{key}"), "cliSessionId": format!("cli-{key}"),
        });
        json_answer(StatusCode::CREATED, &session)
    }

    /// Returns the messages that are still queued, parsed.
    pub(crate) fn outstanding(&self) -> Vec<Message> {
        let bodies = self.messages.iter().map(|message| &message.body);
        bodies
            .map(|body| Message::parse(body).expect("it can be read"))
            .collect()
    }
}

async fn answer(
    State(known): State<Arc<Mutex<Known>>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let mut known = known.lock().expect("nothing panics while it is locked");
    let body: Value = serde_json::from_slice(&body).unwrap_or(Value::Null);
    if let Some(operation) = headers.get("x-amz-target") {
        return known.aws(operation.to_str().expect("a text"), &body);
    }
    let path = uri.path();
    let last = path.rsplit('/').next().unwrap_or_default();
    match (&method, last) {
        (&Method::POST, "access_tokens") => {
            let expires_at = now() + Duration::from_secs(3_600);
            json_answer(
                StatusCode::CREATED,
                &json!({"token": "t", "expires_at": expires_at}),
            )
        }
        (&Method::POST, "sessions") => {
            let key = headers["idempotency-key"]
                .to_str()
                .expect("a text")
                .to_owned();
            known.launch(&key, &body)
        }
        (&Method::DELETE, _) => StatusCode::NO_CONTENT.into_response(),
        (&Method::GET, number) => {
            let number = number.parse().expect("an alert's number");
            json_answer(StatusCode::OK, &known.alert(number))
        }
        (&Method::PATCH, number) => {
            known.dismiss(number.parse().expect("an alert's number"), &body)
        }
        _ => panic!("unexpected call of {method} {path}"),
    }
}

/// The App's key is generated once, because that is slow.
fn secret(name: &str) -> String {
    static KEY: OnceLock<AppKey> = OnceLock::new();
    match name {
        "app-key" => {
            let key = KEY.get_or_init(|| AppKey::generate().expect("a key can be made"));
            key.private_key_pem().to_owned()
        }
        "callback-keys" => {
            json!({"active": "k1", "keys": {"k1": "a key of at least 32 characters!!"}}).to_string()
        }
        _ => "a token".to_owned(),
    }
}

fn json_answer(status: StatusCode, body: &Value) -> Response {
    let json = [(header::CONTENT_TYPE, "application/json")];
    (status, json, body.to_string()).into_response()
}

fn refused(status: StatusCode) -> Response {
    json_answer(status, &json!({"message": "No."}))
}

fn busy() -> Response {
    let busy = refused(StatusCode::SERVICE_UNAVAILABLE);
    ([(header::RETRY_AFTER, "3")], busy).into_response()
}
