//! GitHub and the agent as a listener that records calls and answers as a case says, byte by byte, in valid HTTP or
//! not. Other operations are answered well.

use std::{
    collections::VecDeque,
    fmt,
    sync::{Arc, Mutex},
};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
};

use crate::scene::OPEN;

/// An operation of GitHub or of the agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    Token,
    Repositories,
    Alerts,
    Alert,
    Dismissal,
    Launch,
    Interruption,
}

/// How an answer travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    Whole,
    /// The connection ends before the body does.
    Cut,
    /// The body never ends.
    Stalls,
    /// There is no response.
    Absent,
    /// The response is not HTTP.
    Noise,
}

/// A response. In its headers, `{here}` is its own host and `{elsewhere}` another.
#[derive(Clone)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    pub(crate) framing: Framing,
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            status,
            headers,
            body,
            framing,
        } = self;
        write!(
            f,
            "{framing:?} {status} {headers:?} {}",
            body.escape_ascii()
        )
    }
}

impl Reply {
    pub(crate) fn json(status: u16, body: &Value) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: body.to_string().into_bytes(),
            framing: Framing::Whole,
        }
    }

    /// Returns whether it reports success.
    fn accepts(&self) -> bool {
        let told = matches!(
            self.framing,
            Framing::Whole | Framing::Cut | Framing::Stalls
        );
        told && (200..300).contains(&self.status)
    }
}

/// The next responses by operation.
pub(crate) type Script = Vec<(Operation, VecDeque<Reply>)>;

/// The listener, and another that must not be called.
#[derive(Clone, Debug)]
pub(crate) struct Upstream {
    pub(crate) url: String,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    here: String,
    elsewhere: String,
    script: Mutex<Script>,
    known: Mutex<Known>,
}

/// What happened to the calls.
#[derive(Clone, Debug, Default)]
pub(crate) struct Known {
    /// Connections to the other host.
    pub(crate) strayed: usize,
    /// Whether a dismissal was answered with success.
    pub(crate) dismissed: bool,
    /// Whether a launch was answered with success.
    pub(crate) launched: bool,
    /// The number of calls.
    pub(crate) calls: usize,
}

impl Upstream {
    /// Answers by this script until the test's runtime ends.
    pub(crate) async fn start(script: Script) -> Self {
        let (listener, url) = listen().await;
        let (other, elsewhere) = listen().await;
        let shared = Arc::new(Shared {
            here: url.clone(),
            elsewhere,
            script: Mutex::new(script),
            known: Mutex::default(),
        });
        let strays = shared.clone();
        tokio::spawn(async move {
            while other.accept().await.is_ok() {
                strays.known.lock().expect("whole").strayed += 1;
            }
        });
        let serving = shared.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let shared = serving.clone();
                tokio::spawn(async move { shared.serve(stream).await });
            }
        });
        Self { url, shared }
    }

    /// Answers everything well from now on.
    pub(crate) fn recover(&self) {
        self.shared.script.lock().expect("whole").clear();
    }

    pub(crate) fn known(&self) -> Known {
        self.shared.known.lock().expect("whole").clone()
    }
}

async fn listen() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("it is bound"));
    (listener, url)
}

impl Shared {
    /// Serves one call per connection. The caller may hang up at any time.
    async fn serve(&self, stream: TcpStream) -> Option<()> {
        let mut stream = BufReader::new(stream);
        let mut first = String::new();
        stream.read_line(&mut first).await.ok()?;
        let mut length = 0;
        loop {
            let mut line = String::new();
            stream.read_line(&mut line).await.ok()?;
            let line = line.trim_end().to_ascii_lowercase();
            if let Some(value) = line.strip_prefix("content-length:") {
                length = value.trim().parse().ok()?;
            }
            if line.is_empty() {
                break;
            }
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await.ok()?;

        let mut words = first.split(' ');
        let operation = operation(words.next()?, words.next()?)?;
        let reply = self.reply(operation);
        stream.write_all(&self.bytes(&reply)).await.ok()?;
        if reply.framing == Framing::Stalls {
            std::future::pending::<()>().await;
        }
        Some(())
    }

    fn reply(&self, operation: Operation) -> Reply {
        let mut script = self.script.lock().expect("whole");
        let scripted = script
            .iter_mut()
            .find(|(of, left)| *of == operation && !left.is_empty());
        let scripted = scripted.and_then(|(_, left)| left.pop_front());
        let reply = scripted.unwrap_or_else(|| good(operation));
        let mut known = self.known.lock().expect("whole");
        known.calls += 1;
        known.dismissed |= operation == Operation::Dismissal && reply.accepts();
        known.launched |= operation == Operation::Launch && reply.accepts();
        reply
    }

    fn bytes(&self, reply: &Reply) -> Vec<u8> {
        match reply.framing {
            Framing::Absent => return Vec::new(),
            Framing::Noise => return reply.body.clone(),
            Framing::Whole | Framing::Cut | Framing::Stalls => {}
        }
        let length = match reply.framing {
            Framing::Whole => reply.body.len(),
            _ => reply.body.len() + 1,
        };
        let mut head = format!(
            "HTTP/1.1 {} x\r\nconnection: close\r\ncontent-length: {length}\r\n",
            reply.status
        );
        for (name, value) in &reply.headers {
            let value = value.replace("{here}", &self.here);
            let value = value.replace("{elsewhere}", &self.elsewhere);
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        [head.as_bytes(), &reply.body].concat()
    }
}

fn operation(method: &str, target: &str) -> Option<Operation> {
    let path = target.split('?').next()?;
    Some(match (method, path) {
        ("POST", path) if path.ends_with("/access_tokens") => Operation::Token,
        ("GET", "/installation/repositories") => Operation::Repositories,
        ("POST", "/v1/sessions") => Operation::Launch,
        ("DELETE", _) => Operation::Interruption,
        ("PATCH", _) => Operation::Dismissal,
        (_, path) if path.ends_with("/dependabot/alerts") => Operation::Alerts,
        _ => Operation::Alert,
    })
}

/// The good response.
pub(crate) fn good(operation: Operation) -> Reply {
    match operation {
        Operation::Token => Reply::json(201, &body(operation)),
        Operation::Launch => Reply::json(201, &body(operation)),
        Operation::Interruption => Reply::json(204, &body(operation)),
        _ => Reply::json(200, &body(operation)),
    }
}

/// Its body: GitHub's are recorded ones, about the scene's rows.
pub(crate) fn body(operation: Operation) -> Value {
    match operation {
        Operation::Token => {
            json!({"token": "ghs_x", "expires_at": "2026-11-23T13:00:00Z", "permissions": {}})
        }
        Operation::Repositories => {
            let text = include_str!("../data/dependabot/installation-repositories.json");
            let page: Value = serde_json::from_str(text).expect("JSON");
            let mut repository = page["repositories"][0].clone();
            repository["id"] = 7.into();
            repository["full_name"] = "octo/app".into();
            json!({"total_count": 1, "repository_selection": "all", "repositories": [repository]})
        }
        Operation::Alerts => alerts().into_iter().take(3).collect(),
        Operation::Alert => alerts().swap_remove(0),
        Operation::Dismissal => {
            let mut alert = alerts().swap_remove(0);
            alert["state"] = "dismissed".into();
            alert["dismissed_at"] = "2026-11-23T12:00:01Z".into();
            alert["updated_at"] = "2026-11-23T12:00:01Z".into();
            alert["dismissed_reason"] = "not_used".into();
            alert["dismissed_by"] = json!({"login": "security-agent[bot]"});
            alert
        }
        Operation::Launch => json!({"cloudAgentSessionId": "ses-9", "cliSessionId": "cli-9"}),
        Operation::Interruption => Value::Null,
    }
}

/// Open alerts, newest update first, numbered from the one that the scene's commands are about.
fn alerts() -> Vec<Value> {
    let text = include_str!("../data/dependabot/alerts/acme-appsec__nodegoat.json");
    let mut alerts: Vec<Value> = serde_json::from_str(text).expect("JSON");
    alerts.retain(|alert| alert["state"] == "open");
    alerts.truncate(5);
    for (place, alert) in alerts.iter_mut().enumerate() {
        alert["number"] = (OPEN as usize + place).into();
    }
    alerts
}
