//! How a stack ends, observed from outside.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use reqwest::Client;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::support::{dataset, eventually, examples, is_alive};

/// A stack in its own process.
struct Host {
    process: Child,
    url: String,
    pids: Vec<u64>,
}

async fn host(options: &[&str]) -> Host {
    let mut process = Command::new(examples().join("host"))
        .args([
            "--no-build",
            "--no-schedules",
            "--listen=127.0.0.1:0",
            "--github",
        ])
        .arg(dataset())
        .args(options)
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("the example is built");
    let output = process.stdout.take().expect("standard output is piped");
    let line = BufReader::new(output).lines().next_line().await;
    let line = line.expect("the output is text").expect("the stack starts");
    let url = line
        .strip_prefix("ready ")
        .expect("the first line is the ready line")
        .to_owned();
    let functions: Value = Client::new()
        .get(format!("{url}/local/functions"))
        .send()
        .await
        .expect("the gateway answers")
        .json()
        .await
        .expect("the body is JSON");
    let pids = functions[0]["pids"].as_array().expect("a list");
    let pids = pids.iter().filter_map(Value::as_u64).collect::<Vec<_>>();
    assert_eq!(pids.len(), 1);
    Host { process, url, pids }
}

/// A directory that is removed on drop.
struct Directory(PathBuf);

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn directory() -> Directory {
    Directory(std::env::temp_dir().join(format!("local-life-{}", uuid::Uuid::new_v4())))
}

async fn invoke(host: &Host, order: &str) -> reqwest::Result<Value> {
    let url = format!("{}/2015-03-31/functions/probe/invocations", host.url);
    let request = Client::new().post(url).json(&json!({"do": order}));
    request.send().await?.json().await
}

#[tokio::test]
async fn a_killed_stack_leaves_no_process_not_even_a_busy_one() {
    let mut host = host(&["--ephemeral"]).await;
    let busy = host.pids.clone();
    let (answer, ()) = tokio::join!(invoke(&host, "sleep"), async {
        eventually("the process is busy", || async {
            let functions = Client::new()
                .get(format!("{}/local/functions", host.url))
                .send()
                .await;
            let functions: Value = functions
                .expect("the stack answers")
                .json()
                .await
                .expect("the body is JSON");
            functions[0]["invocations"] == 1
        })
        .await;
        let pid = host.process.id().expect("the stack is running").to_string();
        let killed = Command::new("kill").args(["-9", &pid]).status().await;
        assert!(killed.expect("kill runs").success());
    });
    answer.expect_err("the stack is gone");
    host.process.wait().await.expect("the stack ends");
    eventually("the function is gone too", || async {
        !busy.iter().any(|pid| is_alive(*pid))
    })
    .await;
}

#[tokio::test]
async fn a_stopped_stack_exits_cleanly_and_leaves_no_process() {
    for signal in ["-TERM", "-INT"] {
        let mut host = host(&["--ephemeral"]).await;
        let pid = host.process.id().expect("the stack is running").to_string();
        let told = Command::new("kill").args([signal, &pid]).status().await;
        assert!(told.expect("kill runs").success());
        let status = host.process.wait().await.expect("the stack ends");
        assert!(status.success(), "{signal}: {status}");
        assert!(!host.pids.iter().any(|pid| is_alive(*pid)), "{signal}");
    }
}

#[tokio::test]
async fn a_sent_message_survives_sigkill() {
    let directory = directory();
    let data = directory.0.to_str().expect("the path is text");
    let mut first = host(&["--data", data]).await;
    let sent = invoke(&first, "send").await.expect("the stack answers");
    assert!(sent["done"].is_string(), "{sent}");
    first.process.kill().await.expect("the stack is running");

    let second = host(&["--data", data]).await;
    let queues: Value = Client::new()
        .get(format!("{}/local/queues", second.url))
        .send()
        .await
        .expect("the gateway answers")
        .json()
        .await
        .expect("the body is JSON");
    let queues = queues.as_array().expect("a list");
    let idle = queues.iter().find(|queue| queue["name"] == "IdleQueue");
    assert_eq!(idle.expect("the queue is listed")["visible"], 1);
}

/// Every file and directory below, with its permission bits.
fn modes(directory: &Path) -> Vec<(PathBuf, u32)> {
    let entries = std::fs::read_dir(directory).expect("the directory is readable");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    let mut modes = Vec::new();
    for path in paths {
        if path.is_dir() {
            modes.extend(self::modes(&path));
        }
        modes.push((path.clone(), mode(&path)));
    }
    modes
}

fn mode(path: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt as _;

    let metadata = std::fs::metadata(path).expect("the path exists");
    metadata.permissions().mode() & 0o777
}

#[tokio::test]
async fn only_the_user_can_read_a_stacks_data() {
    let data = directory();
    let path = data.0.to_str().expect("the path is text");
    let host = host(&["--data", path]).await;
    invoke(&host, "echo").await.expect("the function answers");
    let found = modes(&data.0);
    for name in [
        "lock",
        "secrets",
        "logs",
        "dynamodb.db",
        "dynamodb.db-wal",
        "sqs.db",
        "sqs.db-wal",
    ] {
        assert!(
            found.iter().any(|(path, _)| path.ends_with(name)),
            "no {name}: {found:?}"
        );
    }
    let of_data = (data.0.clone(), mode(&data.0));
    for (path, mode) in found.into_iter().chain([of_data]) {
        let expected = if path.is_dir() { 0o700 } else { 0o600 };
        assert_eq!(mode, expected, "{}: {mode:o}", path.display());
    }
}
