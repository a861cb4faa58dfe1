//! A proxy before DynamoDB or SQS that counts calls and injects faults.

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

/// A fault of one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The call is made, and its answer is lost.
    LoseAnswer,
    /// The call is not made.
    Fail,
    /// The call is not made: it is throttled.
    Throttle,
    /// The call is not made: it conflicts with a transaction on the same item.
    Conflict,
    /// Only the first entries (or keys) of a batch are processed; the others are reported as unprocessed.
    TakeOnly(usize),
}

/// What happens at the call that [`Proxy::break_at`] names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Break {
    /// The caller dies before the call is made.
    DieBefore,
    /// The caller dies after the call is made.
    DieAfter,
    /// The call is made, and its answer is lost.
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
    /// Whether the caller is dead: its calls are never answered.
    dead: watch::Sender<bool>,
    /// Calls that the upstream has not answered yet.
    under_way: watch::Sender<usize>,
}

#[derive(Debug, Default)]
struct Seen {
    planned: Vec<Plan>,
    /// The number of calls that succeed before the break.
    break_at: Option<(usize, Break)>,
    requests: HashMap<String, Vec<Value>>,
    /// Frozen operations, and their first answers by request.
    frozen: HashMap<String, HashMap<String, (StatusCode, Value)>>,
}

#[derive(Debug)]
struct Plan {
    operation: String,
    /// The plan is for requests that contain this text.
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

    /// Injects a fault into the operation's next call that no earlier plan takes.
    pub fn plan(&self, operation: &str, fault: Fault) {
        self.plan_about(operation, "", fault);
    }

    /// Like [`Proxy::plan`], for the next call whose request contains this text.
    pub fn plan_about(&self, operation: &str, text: &str, fault: Fault) {
        self.shared.seen().planned.push(Plan {
            operation: operation.to_owned(),
            about: text.to_owned(),
            fault,
        });
    }

    /// From now on answers a request of this operation as it was first answered: its reads lag.
    pub fn freeze(&self, operation: &str) {
        let mut seen = self.shared.seen();
        seen.frozen.entry(operation.to_owned()).or_default();
    }

    /// Breaks the call that follows this many more calls, of whatever operation.
    pub fn break_at(&self, calls: usize, how: Break) {
        self.shared.seen().break_at = Some((calls, how));
    }

    /// Waits until a break kills the caller.
    pub async fn death(&self) {
        let mut dead = self.shared.dead.subscribe();
        let died = dead.wait_for(|dead| *dead).await;
        drop(died.expect("the proxy holds the sender"));
    }

    /// Waits until no call is in flight, then clears the break.
    pub async fn mend(&self) {
        let mut under_way = self.shared.under_way.subscribe();
        let idle = under_way.wait_for(|calls| *calls == 0).await;
        drop(idle.expect("the proxy holds the sender"));
        self.shared.seen().break_at = None;
        self.shared.dead.send_replace(false);
    }

    /// The request bodies of the operation so far.
    pub fn requests(&self, operation: &str) -> Vec<Value> {
        let seen = self.shared.seen();
        seen.requests.get(operation).cloned().unwrap_or_default()
    }

    /// The number of calls of the operation so far.
    pub fn count(&self, operation: &str) -> usize {
        let seen = self.shared.seen();
        seen.requests.get(operation).map_or(0, Vec::len)
    }
}

impl Shared {
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().expect("nothing panics while it is locked")
    }

    /// Records the call. Returns its planned fault.
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

    /// The upstream's answer, or the frozen one.
    async fn answer(
        &self,
        operation: &str,
        headers: &HeaderMap,
        request: &Value,
    ) -> (StatusCode, Value) {
        // Compare values, not bytes: the client writes an object's members in any order.
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

    /// Counts a call. Returns the break if this call is the one.
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
        // In its own task, so that a caller that hangs up does not cancel the call.
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
        // DynamoDB says nothing of throttling in a transaction's exception, only in its reasons.
        Some(Fault::Throttle) if operation == "TransactWriteItems" => {
            let reasons = json!([{ "Code": "ThrottlingError" }, { "Code": "None" }]);
            refused("TransactionCanceledException", reasons)
        }
        Some(Fault::Throttle) => refused("ProvisionedThroughputExceededException", Value::Null),
        Some(Fault::Conflict) if operation == "TransactWriteItems" => {
            let reasons = json!([{ "Code": "TransactionConflict" }, { "Code": "None" }]);
            refused("TransactionCanceledException", reasons)
        }
        Some(Fault::Conflict) => refused("TransactionConflictException", Value::Null),
        Some(Fault::LoseAnswer) => {
            let (status, body) = shared.call(&headers, body.to_vec()).await;
            assert!(status.is_success(), "only a success may be lost: {body}");
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

/// Keeps the first `count` entries in the request. Returns the others.
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
        other => panic!("{other} is not a batch operation"),
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
