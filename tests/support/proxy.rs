//! A proxy before DynamoDB or SQS that counts the calls and lets some of them go wrong.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard},
};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::watch};

/// What goes wrong with one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The call is made, and its answer lost.
    LoseAnswer,
    /// The call is not made.
    Fail,
    /// The call is not made: there are too many.
    Throttle,
    /// The call is not made: a transaction is at work on the same item.
    Conflict,
    /// Of a batch only the first entries (or keys) are taken; the others are reported as not taken.
    TakeOnly(usize),
}

/// What happens at the call that [`Proxy::break_at`] counts down to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Break {
    /// The caller dies before the call is made.
    DieBefore,
    /// The caller dies once it is made.
    DieAfter,
    /// It is made, and its answer lost.
    LoseAnswer,
}

/// A proxy on a port of its own. Clones share it.
#[derive(Clone, Debug)]
pub struct Proxy {
    url: String,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    upstream: String,
    http: reqwest::Client,
    seen: Mutex<Seen>,
    /// Whether the caller is dead: nothing that it asks is answered.
    dead: watch::Sender<bool>,
    /// Calls that the upstream has not answered yet.
    under_way: watch::Sender<usize>,
}

#[derive(Debug, Default)]
struct Seen {
    planned: Vec<Plan>,
    /// After so many more calls that go well.
    break_at: Option<(usize, Break)>,
    requests: HashMap<String, Vec<Value>>,
    /// Operations whose first answers stand, and those answers by request.
    frozen: HashMap<String, HashMap<String, (StatusCode, Value)>>,
}

#[derive(Debug)]
struct Plan {
    operation: String,
    /// Only a request that holds this text is meant.
    about: String,
    fault: Fault,
}

impl Proxy {
    /// Starts a proxy before `upstream`.
    pub async fn to(upstream: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a free port of the loopback");
        let address = listener.local_addr().expect("it is bound");
        let shared = Arc::new(Shared {
            upstream: upstream.to_owned(),
            http: reqwest::Client::new(),
            seen: Mutex::default(),
            dead: watch::Sender::default(),
            under_way: watch::Sender::default(),
        });
        let router = Router::new().fallback(forward).with_state(shared.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self {
            url: format!("http://{address}"),
            shared,
        }
    }

    /// Where it listens.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Lets the next call of the operation that no earlier plan concerns go wrong.
    pub fn plan(&self, operation: &str, fault: Fault) {
        self.plan_about(operation, "", fault);
    }

    /// Likewise, the next call whose request holds this text.
    pub fn plan_about(&self, operation: &str, text: &str, fault: Fault) {
        self.shared.seen().planned.push(Plan {
            operation: operation.to_owned(),
            about: text.to_owned(),
            fault,
        });
    }

    /// From now on a request of this operation that was answered once is answered so for ever: what it reads lags.
    pub fn freeze(&self, operation: &str) {
        let mut seen = self.shared.seen();
        seen.frozen.entry(operation.to_owned()).or_default();
    }

    /// After so many more calls, of whatever operation, this happens to the next one.
    pub fn break_at(&self, calls: usize, how: Break) {
        self.shared.seen().break_at = Some((calls, how));
    }

    /// Waits until the caller is to die: until a break says so.
    pub async fn death(&self) {
        let mut dead = self.shared.dead.subscribe();
        let died = dead.wait_for(|dead| *dead).await;
        drop(died.expect("the proxy holds the sender"));
    }

    /// Waits until what is under way has ended; from now on nothing breaks any more.
    pub async fn mend(&self) {
        let mut under_way = self.shared.under_way.subscribe();
        let idle = under_way.wait_for(|calls| *calls == 0).await;
        drop(idle.expect("the proxy holds the sender"));
        self.shared.seen().break_at = None;
        self.shared.dead.send_replace(false);
    }

    /// The bodies of the operation's calls so far.
    pub fn requests(&self, operation: &str) -> Vec<Value> {
        let seen = self.shared.seen();
        seen.requests.get(operation).cloned().unwrap_or_default()
    }

    /// How many calls of the operation there were.
    pub fn count(&self, operation: &str) -> usize {
        let seen = self.shared.seen();
        seen.requests.get(operation).map_or(0, Vec::len)
    }
}

impl Shared {
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().expect("nothing panics while it is locked")
    }

    /// Notes the call and gives what is planned for it.
    fn note(&self, operation: &str, request: Value) -> Option<Fault> {
        let text = request.to_string();
        let mut seen = self.seen();
        let meant = |plan: &Plan| plan.operation == operation && text.contains(&plan.about);
        let place = seen.planned.iter().position(meant);
        let fault = place.map(|place| seen.planned.remove(place).fault);
        let requests = seen.requests.entry(operation.to_owned()).or_default();
        requests.push(request);
        fault
    }

    /// The upstream's answer, or the one that was frozen.
    async fn answer(
        &self,
        operation: &str,
        headers: &HeaderMap,
        request: &Value,
    ) -> (StatusCode, Value) {
        // Not by the body's bytes: the client puts the members of an object in any order.
        let asked = request.to_string();
        let frozen = self
            .seen()
            .frozen
            .get(operation)
            .map(|answers| answers.get(&asked).cloned());
        if let Some(Some(answer)) = frozen {
            return answer;
        }
        let answer = self.call(headers, asked.clone().into_bytes()).await;
        if let Some(answers) = self.seen().frozen.get_mut(operation) {
            answers.insert(asked, answer.clone());
        }
        answer
    }

    /// Counts a call; gives what is to happen to it.
    fn breaks(&self) -> Option<Break> {
        let mut seen = self.seen();
        let (left, how) = seen.break_at?;
        seen.break_at = left.checked_sub(1).map(|left| (left, how));
        (left == 0).then_some(how)
    }

    /// Never answers: the caller is dead.
    async fn die(&self) -> ! {
        self.dead.send_replace(true);
        std::future::pending().await
    }

    async fn call(&self, headers: &HeaderMap, body: Vec<u8>) -> (StatusCode, Value) {
        let mut request = self.http.post(&self.upstream).body(body);
        for name in [
            "x-amz-target",
            "content-type",
            "authorization",
            "x-amz-date",
        ] {
            if let Some(value) = headers.get(name) {
                request = request.header(name, value);
            }
        }
        self.under_way.send_modify(|calls| *calls += 1);
        let under_way = self.under_way.clone();
        // In a task of its own: a caller that hangs up does not undo what it has asked.
        let called = tokio::spawn(async move {
            let answer = request.send().await.expect("the upstream answers");
            let status = answer.status();
            let body = answer.bytes().await.expect("a whole answer");
            under_way.send_modify(|calls| *calls -= 1);
            (status, serde_json::from_slice(&body).unwrap_or(Value::Null))
        });
        called.await.expect("it does not panic")
    }
}

async fn forward(State(shared): State<Arc<Shared>>, headers: HeaderMap, body: Bytes) -> Response {
    let target = headers
        .get("x-amz-target")
        .and_then(|target| target.to_str().ok());
    let operation = target.and_then(|target| target.rsplit('.').next());
    let operation = operation.unwrap_or_default().to_owned();
    if *shared.dead.borrow() {
        shared.die().await;
    }
    match shared.breaks() {
        None => {}
        Some(Break::DieBefore) => shared.die().await,
        Some(Break::DieAfter) => {
            let _ = shared.call(&headers, body.to_vec()).await;
            shared.die().await;
        }
        Some(Break::LoseAnswer) => {
            let _ = shared.call(&headers, body.to_vec()).await;
            return lost();
        }
    }
    let mut request: Value = serde_json::from_slice(&body).expect("the SDK sends JSON");
    match shared.note(&operation, request.clone()) {
        None => answer(shared.answer(&operation, &headers, &request).await),
        Some(Fault::Fail) => lost(),
        Some(Fault::Throttle) => refused("ProvisionedThroughputExceededException", Value::Null),
        Some(Fault::Conflict) if operation == "TransactWriteItems" => {
            let reasons = json!([{ "Code": "TransactionConflict" }, { "Code": "None" }]);
            refused("TransactionCanceledException", reasons)
        }
        Some(Fault::Conflict) => refused("TransactionConflictException", Value::Null),
        Some(Fault::LoseAnswer) => {
            let (status, body) = shared.call(&headers, body.to_vec()).await;
            assert!(
                status.is_success(),
                "a lost answer was to be a success: {body}"
            );
            lost()
        }
        Some(Fault::TakeOnly(count)) => {
            let left = split(&operation, &mut request, count);
            let body = request.to_string().into_bytes();
            let (status, mut body) = match count {
                0 => (StatusCode::OK, json!({ "Responses": {}, "Successful": [] })),
                _ => shared.call(&headers, body).await,
            };
            report(&operation, &mut body, left);
            answer((status, body))
        }
    }
}

/// Leaves the first `count` entries in the request and gives the others.
fn split(operation: &str, request: &mut Value, count: usize) -> Value {
    match operation {
        "BatchGetItem" => {
            let tables = request["RequestItems"].as_object_mut().expect("tables");
            let (name, wanted) = tables.iter_mut().next().expect("a table");
            let mut left = wanted.clone();
            let keys = wanted["Keys"].as_array_mut().expect("keys");
            left["Keys"] = keys.split_off(count.min(keys.len())).into();
            json!({ name: left })
        }
        "BatchWriteItem" => {
            let tables = request["RequestItems"].as_object_mut().expect("tables");
            let (name, wanted) = tables.iter_mut().next().expect("a table");
            let wanted = wanted.as_array_mut().expect("requests");
            let left = wanted.split_off(count.min(wanted.len()));
            json!({ name: left })
        }
        "SendMessageBatch" => {
            let entries = request["Entries"].as_array_mut().expect("entries");
            entries.split_off(count.min(entries.len())).into()
        }
        other => panic!("{other} is no batch"),
    }
}

fn report(operation: &str, answer: &mut Value, left: Value) {
    match operation {
        "BatchGetItem" => return answer["UnprocessedKeys"] = left,
        "BatchWriteItem" => return answer["UnprocessedItems"] = left,
        _ => {}
    }
    let failed = left.as_array().into_iter().flatten().map(|entry| {
        json!({ "Id": entry["Id"], "SenderFault": false, "Code": "InternalError", "Message": "not now" })
    });
    answer["Failed"] = failed.collect();
}

fn answer((status, body): (StatusCode, Value)) -> Response {
    let headers = [("content-type", "application/x-amz-json-1.0")];
    (status, headers, body.to_string()).into_response()
}

fn refused(exception: &str, reasons: Value) -> Response {
    let mut body = json!({ "__type": format!("com.amazonaws.dynamodb.v20120810#{exception}") });
    if !reasons.is_null() {
        body["CancellationReasons"] = reasons;
    }
    answer((StatusCode::BAD_REQUEST, body))
}

fn lost() -> Response {
    let body = json!({ "__type": "com.amazonaws.dynamodb.v20120810#InternalServerError" });
    answer((StatusCode::INTERNAL_SERVER_ERROR, body))
}
