//! A stack that cannot start reports what it attempted, on what, why, and what to do. Runs the real binary.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use clap::Parser;
use local::arguments::Arguments;
use local::data_directory::DataDirectory;
use local::stack::{Layout, Stack};
use local::start_error::StartError;
use local::template::Template;
use tokio::process::Command;

use crate::support::{dataset, examples};

/// A directory that is removed on drop.
struct Directory(PathBuf);

impl Directory {
    fn new() -> Self {
        let path = std::env::temp_dir().join(format!("local-starting-{}", uuid::Uuid::new_v4()));
        std::fs::create_dir(&path).expect("the directory is new");
        Self(path)
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, text).expect("the file can be written");
        path
    }

    /// Creates a file for each function's binary; none of them is executable.
    fn of_binaries() -> Self {
        let directory = Self::new();
        let template = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../template.yaml");
        let template = std::fs::read_to_string(template).expect("the path exists");
        let template = Template::parse(&template).expect("the template is valid");
        let functions = template.document()["Resources"].as_object();
        for function in functions.expect("a map").values() {
            if let Some(binary) = function["Metadata"]["BuildProperties"]["Binary"].as_str() {
                directory.file(binary, "");
            }
        }
        directory
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn text(path: &Path) -> &str {
    path.to_str().expect("the path is text")
}

/// Starts the stack with these options and variables; its last error message must contain all of the expected
/// texts.
async fn refused(options: &[&str], environment: &[(&str, &str)], expected: &[&str]) {
    let command = Command::new(env!("CARGO_BIN_EXE_local"))
        .args(["--listen=127.0.0.1:0", "--no-schedules"])
        .args(options)
        .envs(environment.iter().copied())
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let Output { status, stderr, .. } = command.await.expect("the binary is built");
    let said = String::from_utf8_lossy(&stderr).into_owned();
    assert!(!status.success(), "{options:?}: {said}");
    // The error is the last thing printed, on one or more lines.
    let (_, error) = said
        .rsplit_once("\nerror: ")
        .or_else(|| said.split_once("error: "))
        .unwrap_or_else(|| panic!("{options:?}: {said}"));
    for part in expected {
        assert!(error.contains(part), "{options:?}: no {part:?} in {error}");
    }
}

#[tokio::test]
async fn an_unusable_data_directory_is_named() {
    let directory = Directory::new();
    let file = directory.file("file", "");
    let below = file.join("data");
    let expected = ["cannot create", text(&below), "Not a directory", "--data"];
    refused(&["--data", text(&below)], &[], &expected).await;
    let expected = ["cannot create", text(&file), "TMPDIR"];
    refused(&["--ephemeral"], &[("TMPDIR", text(&file))], &expected).await;

    let taken = DataDirectory::open(&directory.0).expect("the directory is not locked");
    let expected = [text(&directory.0), "another local stack", "--ephemeral"];
    refused(&["--data", text(&directory.0)], &[], &expected).await;
    drop(taken);
}

#[tokio::test]
async fn an_unreadable_file_in_the_data_directory_is_named() {
    let binaries = Directory::of_binaries();
    for (file, service) in [
        ("dynamodb.db", "DynamoDB"),
        ("sqs.db", "SQS"),
        ("github-app.pem", "GitHub simulator"),
        ("github.json", "GitHub simulator"),
        ("agent.json", "agent simulator"),
    ] {
        let directory = Directory::new();
        let path = directory.file(file, "neither a database nor JSON nor a key\n");
        let options = [
            "--data",
            text(&directory.0),
            "--binaries",
            text(&binaries.0),
        ];
        refused(
            &options,
            &[],
            &["cannot start", service, text(&path), "--data"],
        )
        .await;
    }
}

#[tokio::test]
async fn an_unavailable_listen_address_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = taken
        .local_addr()
        .expect("the listener has an address")
        .to_string();
    let command = Command::new(env!("CARGO_BIN_EXE_local"))
        .args(["--ephemeral", "--listen", &address])
        .output();
    let said = command.await.expect("the binary is built").stderr;
    let said = String::from_utf8_lossy(&said).into_owned();
    for part in [address.as_str(), "in use", "--listen"] {
        assert!(said.contains(part), "no {part:?} in {said}");
    }
}

#[tokio::test]
async fn functions_that_cannot_be_built_or_started_are_named() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let root = root.canonicalize().expect("the path exists");
    let advice = "--no-build";
    let expected = [
        "cannot run /nowhere/cargo",
        text(&root),
        "No such file",
        advice,
    ];
    refused(&["--ephemeral"], &[("CARGO", "/nowhere/cargo")], &expected).await;
    let expected = ["cannot build", text(&root), "exit status: 1", advice];
    refused(&["--ephemeral"], &[("CARGO", "false")], &expected).await;

    let empty = Directory::new();
    let expected = [text(&empty.0), "no api", "no sync", "cargo build"];
    refused(
        &["--ephemeral", "--binaries", text(&empty.0)],
        &[],
        &expected,
    )
    .await;
    let binaries = Directory::of_binaries();
    let expected = [
        "cannot start the functions",
        text(&binaries.0),
        "functions' logs in",
    ];
    refused(
        &["--ephemeral", "--binaries", text(&binaries.0)],
        &[],
        &expected,
    )
    .await;
}

#[tokio::test]
async fn a_missing_file_of_an_option_or_a_variable_is_named() {
    let key = "LOCAL_GITHUB_PRIVATE_KEY_FILE";
    let token = "LOCAL_AGENT_TOKEN_FILE";
    let permissions = "LOCAL_PERMISSIONS_FILE";
    let github: &[&str] = &["--github", "https://github.invalid"];
    let agent: &[&str] = &["--agent", "https://agent.invalid"];
    let nowhere = "/nowhere/file";
    let absent = "No such file";
    let expected: [(&[&str], Option<&str>, &[&str]); 5] = [
        (&["--github", nowhere], None, &[nowhere, absent, "--github"]),
        (github, None, &["--github", key]),
        (github, Some(key), &[nowhere, key, "private key", absent]),
        (agent, Some(token), &[nowhere, token, "token", absent]),
        (&[], Some(permissions), &[nowhere, permissions, absent]),
    ];
    let binaries = Directory::of_binaries();
    for (options, variable, parts) in expected {
        let mut all = vec!["--ephemeral", "--binaries", text(&binaries.0)];
        all.extend(options);
        let environment: Vec<_> = variable.map(|name| (name, nowhere)).into_iter().collect();
        refused(&all, &environment, parts).await;
    }
}

#[tokio::test]
async fn a_service_that_does_not_answer_is_named() {
    let binaries = Directory::of_binaries();
    let free = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = format!(
        "http://{}",
        free.local_addr().expect("the listener has an address")
    );
    drop(free);
    for (option, service) in [("--dynamodb", "DynamoDB"), ("--sqs", "SQS")] {
        let options = [
            "--ephemeral",
            "--binaries",
            text(&binaries.0),
            option,
            &address,
        ];
        let expected = [service, &address, "Connection refused", option];
        refused(&options, &[], &expected).await;
    }
    for option in ["--dynamodb", "--sqs", "--agent"] {
        refused(
            &["--ephemeral", option, "nonsense"],
            &[],
            &[option, "nonsense", "http://"],
        )
        .await;
    }
}

#[tokio::test]
async fn an_invalid_parameter_is_named_with_its_rule() {
    for (parameter, expected) in [
        ("RetentionDays", ["RetentionDays", "NAME=VALUE"]),
        (
            "RetentionDay=1",
            ["no parameter RetentionDay", "RetentionDays"],
        ),
        (
            "RetentionDays=0",
            ["RetentionDays cannot be \"0\"", "at least 1"],
        ),
        (
            "LogLevel=ERROR",
            ["LogLevel cannot be \"ERROR\"", "TRACE, DEBUG, INFO"],
        ),
    ] {
        let options = ["--ephemeral", "--parameter", parameter];
        refused(&options, &[], &[expected[0], expected[1], "--parameter"]).await;
    }
}

/// Returns the error of a stack whose checkout is this directory.
async fn refused_in(workspace: &Path) -> String {
    let dataset = dataset();
    let options = [
        "local",
        "--ephemeral",
        "--no-build",
        "--listen=127.0.0.1:0",
        "--github",
    ];
    let arguments = Arguments::parse_from(options.into_iter().chain([text(&dataset)]));
    let layout = Layout {
        workspace: workspace.to_owned(),
        binaries: examples(),
    };
    let started = Stack::start(&arguments, &layout, |_| {}).await;
    let error: StartError = started.expect_err("the stack cannot start");
    format!("{}; {}", local::chain(&error), error.advice())
}

#[tokio::test]
async fn an_invalid_template_is_named() {
    let checkout = Directory::new();
    let path = checkout.0.join("template.yaml");
    let said = refused_in(&checkout.0).await;
    assert!(
        said.contains(text(&path)) && said.contains("No such file"),
        "{said}"
    );
    for (template, why) in [
        ("{", "YAML"),
        ("Resources: 1", "top level"),
        ("Resources: {}", "no table"),
        ("Resources: {Table: {Type: AWS::DynamoDB::Table}}", "Table"),
        (
            "Resources: {Table: {Type: AWS::DynamoDB::Table, Condition: C}}",
            "C, which",
        ),
    ] {
        checkout.file("template.yaml", template);
        let said = refused_in(&checkout.0).await;
        let named = format!("cannot run {}: ", path.display());
        assert!(said.starts_with(&named) && said.contains(why), "{said}");
    }
}

#[test]
fn a_missing_checkout_is_named() {
    let error =
        Layout::of(Path::new("/nowhere/infra/local")).expect_err("the checkout does not exist");
    let said = format!("{}; {}", local::chain(&error), error.advice());
    for part in [
        "cannot find the checkout /nowhere",
        "No such file",
        "`cargo local` in a checkout",
    ] {
        assert!(said.contains(part), "no {part:?} in {said}");
    }
}
