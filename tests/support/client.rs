//! A client of the API for one owner. It remembers what the API reported, so that later answers can be compared.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use domain::{
    command::{CommandId, CommandKey},
    owner::{Owner, UserId},
};
use reqwest::{Method, StatusCode, header::HeaderMap};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use crate::{backstage::command_id, stack::TIMEOUT};

/// A person with a token who acts for their own `user:` owner or for an organisation.
#[derive(Clone, Debug)]
pub struct Caller {
    http: reqwest::Client,
    url: String,
    token: String,
    owner: Owner,
    /// The owner in a path.
    path: String,
    told: Arc<Mutex<Told>>,
}

/// What the API has reported so far.
#[derive(Debug, Default)]
struct Told {
    /// Commands as they were when first reported ended.
    ended: BTreeMap<CommandId, Value>,
    /// The bodies of all error responses.
    refusals: Vec<String>,
}

/// A response of the API.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body; `null` if it is not JSON.
    pub body: Value,
}

impl Caller {
    /// A caller with this token at this address of the API.
    pub fn new(url: &str, token: &str, subject: &str) -> Self {
        Self {
            http: reqwest::Client::new(),
            url: url.to_owned(),
            token: token.to_owned(),
            owner: Owner::User(UserId::parse(subject).expect("a user's id")),
            path: "me".to_owned(),
            told: Arc::default(),
        }
    }

    /// The same person acting for an organisation, which the token must name.
    #[must_use]
    pub fn acting_for(&self, organisation: Uuid) -> Self {
        let owner = Owner::Org(organisation);
        Self {
            path: owner.to_string(),
            owner,
            told: Arc::default(),
            ..self.clone()
        }
    }

    /// The same person at another address of the API.
    #[must_use]
    pub fn at(&self, url: &str) -> Self {
        Self {
            url: url.to_owned(),
            ..self.clone()
        }
    }

    /// The owner that the caller acts for.
    pub const fn owner(&self) -> &Owner {
        &self.owner
    }

    /// The owner's id, percent-encoded for a path.
    pub fn encoded(&self) -> String {
        self.owner.to_string().replace('|', "%7C")
    }

    /// Puts a path below the owner's.
    fn under(&self, path: &str) -> String {
        format!("{}/{path}", self.path)
    }

    /// The person's token.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// The key of one of the owner's commands.
    pub fn key(&self, id: CommandId) -> CommandKey {
        CommandKey {
            owner: self.owner.clone(),
            id,
        }
    }

    fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends a request under `/v1/owners`. Returns `Err` on a timeout.
    pub async fn request(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&Value>,
        timeout: Duration,
    ) -> reqwest::Result<Answer> {
        let mut request = self
            .http
            .request(method, format!("{}/v1/owners/{path}", self.url))
            .bearer_auth(&self.token)
            .timeout(timeout);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        let response = request.send().await?;
        let (status, headers) = (response.status(), response.headers().clone());
        let text = response.text().await?;
        if status.is_client_error() || status.is_server_error() {
            self.told().refusals.push(text.clone());
        }
        let body = serde_json::from_str(&text).unwrap_or(Value::Null);
        Ok(Answer {
            status,
            headers,
            body,
        })
    }

    /// Gets a path below the owner.
    pub async fn get(&self, path: &str) -> Answer {
        let answer = self.try_get(path, &[]).await;
        answer.expect("the API answers")
    }

    /// Gets a path below the owner. Returns `Err` on a timeout.
    pub async fn try_get(&self, path: &str, headers: &[(&str, &str)]) -> reqwest::Result<Answer> {
        let path = self.under(path);
        self.request(Method::GET, &path, headers, None, TIMEOUT)
            .await
    }

    /// Saves a change of the configuration, whatever its version. Returns `Err` on a timeout.
    pub async fn try_configure(&self, change: &Value) -> reqwest::Result<Answer> {
        let (path, headers) = (self.under("config"), [("if-match", "*")]);
        self.request(Method::PUT, &path, &headers, Some(change), TIMEOUT)
            .await
    }

    /// Requests the owner's erasure. Returns `Err` on a timeout.
    pub async fn try_erase(&self) -> reqwest::Result<Answer> {
        let path = format!("{}?confirm={}", self.path, self.encoded());
        self.request(Method::DELETE, &path, &[], None, TIMEOUT)
            .await
    }

    /// Every element of a list, over all pages.
    pub async fn all(&self, list: &str) -> Vec<Value> {
        self.each(list, list).await
    }

    /// Every repository of the installation.
    pub async fn all_repositories(&self) -> Vec<Value> {
        let shown = self.get("repositories").await.body;
        shown["repositories"].as_array().expect("a list").clone()
    }

    /// Every audit event, newest first.
    pub async fn audit_events(&self) -> Vec<Value> {
        self.each("audit-events", "auditEvents").await
    }

    async fn each(&self, list: &str, named: &str) -> Vec<Value> {
        let mut elements = Vec::new();
        let mut cursor = String::new();
        loop {
            let page = self.get(&format!("{list}?limit=100{cursor}")).await;
            assert_eq!(page.status, StatusCode::OK, "{list}: {}", page.body);
            elements.extend(page.body[named].as_array().expect("a list").clone());
            match page.body["nextCursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return elements,
            }
        }
    }

    /// Requests a command.
    pub async fn post(&self, command: &Value, key: Option<&str>) -> Answer {
        let posted = self.post_within(TIMEOUT, command, key).await;
        posted.expect("the API answers")
    }

    /// Requests a command and waits this long for the response.
    pub async fn post_within(
        &self,
        timeout: Duration,
        command: &Value,
        key: Option<&str>,
    ) -> reqwest::Result<Answer> {
        let headers: Vec<(&str, &str)> = key
            .map(|key| ("idempotency-key", key))
            .into_iter()
            .collect();
        self.request(
            Method::POST,
            &self.under("commands"),
            &headers,
            Some(command),
            timeout,
        )
        .await
    }

    /// Requests a sync of everything in scope.
    pub async fn sync(&self) -> CommandId {
        self.admitted(&json!({"type": "sync"})).await
    }

    /// Requests a sync of one repository.
    pub async fn sync_of(&self, repository: &str) -> CommandId {
        self.admitted(&json!({"type": "sync", "repository": repository}))
            .await
    }

    async fn admitted(&self, command: &Value) -> CommandId {
        let answer = self.post(command, None).await;
        assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.body);
        command_id(&answer.body)
    }

    /// The API's view of a command now. Panics if the command changed after it was reported ended.
    pub async fn command(&self, id: CommandId) -> Value {
        let answer = self.get(&format!("commands/{id}")).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
        let noted = self.note(&answer.body);
        noted.expect("an ended command does not change");
        answer.body
    }

    /// Compares a view with the first report of the command's end. Returns `Err` with the change, if there is one.
    pub fn note(&self, view: &Value) -> Result<(), String> {
        let mut told = self.told();
        let id = command_id(view);
        match told.ended.get(&id) {
            Some(first) if first != view => {
                Err(format!("reported ended as {first}, and then as {view}"))
            }
            None if is_over(view) => {
                told.ended.insert(id, view.clone());
                Ok(())
            }
            Some(_) | None => Ok(()),
        }
    }

    /// The commands that the API has reported ended.
    pub fn told_ended(&self) -> Vec<CommandId> {
        self.told().ended.keys().copied().collect()
    }

    /// Forgets how a command ended, because a retry will readmit it.
    pub fn readmits(&self, id: CommandId) {
        self.told().ended.remove(&id);
    }

    /// The bodies of all error responses so far.
    pub fn refusals(&self) -> Vec<String> {
        self.told().refusals.clone()
    }

    /// Waits until the API shows the command in this state.
    pub async fn until(&self, id: CommandId, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        self.until_within(TIMEOUT, id, what, is_so).await
    }

    /// Waits at most this long until the API shows the command in this state.
    pub async fn until_within(
        &self,
        timeout: Duration,
        id: CommandId,
        what: &str,
        is_so: impl Fn(&Value) -> bool,
    ) -> Value {
        let deadline = Instant::now() + timeout;
        loop {
            let view = self.command(id).await;
            if is_so(&view) {
                return view;
            }
            assert!(
                Instant::now() < deadline,
                "the command was never {what}: {view}"
            );
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// Waits until the command has ended.
    pub async fn ended(&self, id: CommandId) -> Value {
        self.until(id, "ended", is_over).await
    }

    /// Waits until the command has ended, with this code.
    pub async fn ends_as(&self, id: CommandId, code: &str) -> Value {
        let view = self.ended(id).await;
        assert_eq!(view["resultCode"], code, "{view}");
        view
    }
}

/// Whether the command has ended.
pub fn is_over(view: &Value) -> bool {
    !matches!(view["status"].as_str(), Some("accepted" | "running"))
}
