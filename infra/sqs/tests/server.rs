//! The server in its own process, used through the AWS SDK: what survives a kill, and how fast a receiver wakes up.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use aws_credential_types::Credentials;
use aws_sdk_sqs::Client;
use aws_sdk_sqs::config::retry::RetryConfig;
use aws_sdk_sqs::config::{BehaviorVersion, Region};
use aws_sdk_sqs::error::ProvideErrorMetadata as _;
use aws_sdk_sqs::types::{
    MessageSystemAttributeName as System, QueueAttributeName, SendMessageBatchRequestEntry,
};
use local_sqs::{OpenError, Queues};

/// A running server; dropping it sends SIGKILL.
struct Server {
    process: Child,
    client: Client,
}

impl Server {
    fn start(data: &Path) -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_sqs"))
            .args(["--listen", "127.0.0.1:0", "--data"])
            .arg(data)
            .stdout(Stdio::piped())
            .spawn()
            .expect("the server starts");
        let mut url = String::new();
        BufReader::new(process.stdout.take().expect("a pipe"))
            .read_line(&mut url)
            .expect("the server prints its address");
        let config = aws_sdk_sqs::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::from_static("us-east-1"))
            .credentials_provider(Credentials::new("local", "local", None, None, "local"))
            .retry_config(RetryConfig::disabled())
            .endpoint_url(url.trim())
            .build();
        Self {
            process,
            client: Client::from_conf(config),
        }
    }

    async fn create(&self, attributes: &[(QueueAttributeName, &str)]) -> String {
        let mut create = self.client.create_queue().queue_name("jobs");
        for (name, value) in attributes {
            create = create.attributes(name.clone(), *value);
        }
        let created = create.send().await.expect("the queue is created");
        created.queue_url.expect("a URL")
    }

    /// The address changes with every start, the name does not.
    async fn find(&self) -> String {
        let found = self.client.get_queue_url().queue_name("jobs").send().await;
        found.expect("the queue is there").queue_url.expect("a URL")
    }

    /// Receives until the queue has no visible message; deletes nothing.
    async fn drain(&self, queue: &str) -> Vec<aws_sdk_sqs::types::Message> {
        let mut all = Vec::new();
        loop {
            let received = self
                .client
                .receive_message()
                .queue_url(queue)
                .max_number_of_messages(10)
                .message_system_attribute_names(System::All)
                .send()
                .await
                .expect("a receive");
            match received.messages {
                Some(messages) if !messages.is_empty() => all.extend(messages),
                _ => return all,
            }
        }
    }
}

impl Drop for Server {
    /// Sends SIGKILL: the server has no chance to close the file.
    fn drop(&mut self) {
        let killed = self.process.kill().and_then(|()| self.process.wait());
        killed.expect("the server can be killed");
    }
}

/// An empty directory for one test.
fn directory(test: &str) -> PathBuf {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(test);
    match std::fs::remove_dir_all(&directory) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => panic!("{error}"),
        _ => {}
    }
    std::fs::create_dir_all(&directory).expect("a directory for the test");
    directory
}

/// Kills the server five times while four senders are at work. Every acknowledged message must be there exactly
/// once; an unacknowledged one may be.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_acknowledged_message_survives_kill_9() {
    let data = directory("acknowledged").join("queues.db");
    let mut acknowledged = BTreeSet::new();
    for round in 0..5 {
        let server = Server::start(&data);
        let queue = server.create(&[]).await;
        let senders: Vec<_> = (0..4)
            .map(|_| {
                let (client, queue) = (server.client.clone(), queue.clone());
                tokio::spawn(async move {
                    let mut ids = Vec::new();
                    loop {
                        let sent = client.send_message().queue_url(&queue).message_body("job");
                        match sent.send().await {
                            Ok(sent) => ids.push(sent.message_id.expect("an id")),
                            // The server has been killed.
                            Err(_) => return ids,
                        }
                    }
                })
            })
            .collect();
        tokio::time::sleep(Duration::from_millis(100 + 37 * round)).await;
        drop(server);
        for sender in senders {
            acknowledged.extend(sender.await.expect("no sender panics"));
        }
    }
    assert!(
        !acknowledged.is_empty(),
        "at least one send was acknowledged"
    );

    let server = Server::start(&data);
    let queue = server.find().await;
    let found: Vec<String> = server
        .drain(&queue)
        .await
        .into_iter()
        .map(|message| message.message_id.expect("an id"))
        .collect();
    let unique: BTreeSet<String> = found.iter().cloned().collect();
    assert_eq!(unique.len(), found.len(), "no message was delivered twice");
    let lost: Vec<&String> = acknowledged.difference(&unique).collect();
    assert!(
        lost.is_empty(),
        "lost {} of {}",
        lost.len(),
        acknowledged.len()
    );
}

#[tokio::test]
async fn deletions_receives_and_settings_survive_kill_9() {
    let data = directory("state").join("queues.db");
    let server = Server::start(&data);
    let timeout = (QueueAttributeName::VisibilityTimeout, "1");
    let queue = server.create(&[timeout]).await;
    let entry = |id: &str| {
        let entry = SendMessageBatchRequestEntry::builder().id(id);
        entry.message_body(id).build().expect("an entry")
    };
    let batch = server.client.send_message_batch().queue_url(&queue);
    batch
        .entries(entry("deleted"))
        .entries(entry("held"))
        .send()
        .await
        .expect("a batch");
    let received = server.drain(&queue).await;
    let handle = |body: &str| {
        let message = received.iter().find(|one| one.body() == Some(body));
        message
            .and_then(|one| one.receipt_handle())
            .expect("a handle")
            .to_owned()
    };
    let delete = server.client.delete_message().queue_url(&queue);
    delete
        .receipt_handle(handle("deleted"))
        .send()
        .await
        .expect("a deletion");
    let extend = server.client.change_message_visibility().queue_url(&queue);
    extend
        .receipt_handle(handle("held"))
        .visibility_timeout(600)
        .send()
        .await
        .expect("an extension");
    drop(server);

    let server = Server::start(&data);
    let queue = server.find().await;
    assert!(server.drain(&queue).await.is_empty());
    // The handle from before the kill is still valid.
    let release = server.client.change_message_visibility().queue_url(&queue);
    release
        .receipt_handle(handle("held"))
        .visibility_timeout(0)
        .send()
        .await
        .expect("a release");
    let received = server.drain(&queue).await;
    assert_eq!(received.len(), 1);
    assert_eq!(received[0].body(), Some("held"));
    let attributes = received[0].attributes().expect("system attributes");
    assert_eq!(attributes[&System::ApproximateReceiveCount], "2");
    let attributes = server
        .client
        .get_queue_attributes()
        .queue_url(&queue)
        .attribute_names(QueueAttributeName::VisibilityTimeout)
        .send()
        .await
        .expect("attributes");
    let timeout = &attributes.attributes().expect("a map")[&QueueAttributeName::VisibilityTimeout];
    assert_eq!(timeout, "1");
}

#[tokio::test]
async fn a_waiting_receiver_gets_a_message_immediately() {
    let server = Server::start(&directory("latency").join("queues.db"));
    let queue = server.create(&[]).await;
    let waiting = {
        let receive = server.client.receive_message().queue_url(&queue);
        tokio::spawn(async move {
            let received = receive
                .wait_time_seconds(20)
                .send()
                .await
                .expect("a receive");
            (received.messages().len(), Instant::now())
        })
    };
    // Gives the receiver time to start waiting. The test also passes without: a late receiver finds the message.
    tokio::time::sleep(Duration::from_millis(300)).await;
    let send = server
        .client
        .send_message()
        .queue_url(&queue)
        .message_body("job");
    send.send().await.expect("a send");
    let sent = Instant::now();
    let (count, received) = waiting.await.expect("no panic");
    assert_eq!(count, 1);
    let latency = received.saturating_duration_since(sent);
    assert!(latency < Duration::from_secs(1), "woken after {latency:?}");
}

#[tokio::test]
async fn the_sdk_sees_typed_errors_with_their_codes() {
    let server = Server::start(&directory("errors").join("queues.db"));
    let queue = server.create(&[]).await;
    let absent = server
        .client
        .get_queue_url()
        .queue_name("absent")
        .send()
        .await;
    let absent = absent.expect_err("no such queue").into_service_error();
    assert!(absent.is_queue_does_not_exist());

    let garbage = server
        .client
        .delete_message()
        .queue_url(&queue)
        .receipt_handle("garbage");
    let garbage = garbage
        .send()
        .await
        .expect_err("garbage")
        .into_service_error();
    assert!(garbage.is_receipt_handle_is_invalid());

    let illegal = server
        .client
        .send_message()
        .queue_url(&queue)
        .message_body("\u{1}");
    let illegal = illegal
        .send()
        .await
        .expect_err("illegal")
        .into_service_error();
    assert!(illegal.is_invalid_message_contents());
    assert!(
        illegal
            .message()
            .is_some_and(|text| text.starts_with("Invalid characters"))
    );
}

#[tokio::test]
async fn a_file_can_be_open_in_only_one_process() {
    let data = directory("owner").join("queues.db");
    let server = Server::start(&data);
    assert!(matches!(Queues::open(&data), Err(OpenError::InUse { .. })));
    drop(server);
    assert!(Queues::open(&data).is_ok());
}

#[test]
fn a_file_of_another_format_is_not_modified() {
    let directory = directory("foreign");
    let text = directory.join("notes.txt");
    std::fs::write(
        &text,
        "not a database, but long enough to be taken for the header of one by mistake",
    )
    .expect("written");
    assert!(matches!(
        Queues::open(&text),
        Err(OpenError::Unusable { .. })
    ));

    let newer = directory.join("newer.db");
    drop(Queues::open(&newer).expect("a new file"));
    let connection = rusqlite::Connection::open(&newer).expect("SQLite");
    connection
        .pragma_update(None, "user_version", 7)
        .expect("a version");
    drop(connection);
    assert!(matches!(
        Queues::open(&newer),
        Err(OpenError::OtherVersion { found: 7, .. })
    ));
}
