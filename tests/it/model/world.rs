//! The functions over a table and simulated surroundings, and what one step does to them.

use std::time::Duration;

use agent::{Agent, AgentConfig, callback_token::CallbackTokens};
use analyse::Analyse;
use dead_letter::DeadLetters;
use dismiss::Dismiss;
use domain::{
    Timestamp,
    analysis::{AnalysisOutcome, Exploitability},
    command::{Action, CommandId, DismissFinding, Origin, PausedCommands, StartAnalysis},
    finding::{AlertNumber, DismissReason, FindingId},
    owner::Owner,
    settings::{AutoAnalysis, AutoDismiss, Confidence, MinSeverity, Settings},
};
use erase::Eraser;
use github::{Github, GithubConfig};
use outbound::secrets::{SecretName, Secrets};
use reconcile::Reconciler;
use record_analysis::Recorder;
use runtime::{
    automation::Automation,
    quarantine::Quarantine,
    queue::{Message, QueueUrl, Sender},
    sqs::{Delivery, Disposition, Inbox},
    worker::{Invocation, Worker},
};
use serde_json::json;
use store::{
    abandon::Cleaner,
    analyses::{Analyses, Received},
    audit::Audit,
    clock::Clock,
    erasure::Erasures,
    findings::{Arrival, Findings, FindingsError},
    ledger::{Admissible, Admission, Ledger, NewCommand},
    owners::{Owners, Saved},
    table::{Table, Writes},
};
use tests::{
    Break, NOON, Proxy, TIMEOUTS, TestTable, actor, command_queues, credentials, quarantine,
    repository, unhurried,
};

use super::{
    Step, WorkerFault,
    clock::{advance, now},
    outside::{Outside, Queued},
    promises::Ledgered,
};
use crate::analyses::{callback, completed, failed};

/// The maximum receive count of a message.
const RECEIVES: u32 = 4;
/// The number of alerts on GitHub, and of the owner's findings.
pub(crate) const FINDINGS: u32 = 3;

/// One owner's world.
pub(crate) struct World {
    pub(crate) table: TestTable,
    pub(crate) outside: Outside,
    pub(crate) owner: Owner,
    /// What was observed of the commands so far.
    pub(crate) ledgered: Ledgered,
    /// When the erasure was requested.
    pub(crate) erased_at: Option<Timestamp>,
    /// The proxy between the functions and the table.
    proxy: Proxy,
    dismiss: Dismiss,
    analyse: Analyse,
    recorder: Recorder,
    reconciler: Reconciler,
    eraser: Eraser,
    dead_letters: DeadLetters,
}

pub(crate) fn id(number: u32) -> FindingId {
    FindingId {
        source: domain::finding::Source::Dependabot,
        repository: repository().id,
        number: AlertNumber::new(number).expect("not zero"),
    }
}

/// An invocation's time, by the machine's clock.
fn invocation() -> Invocation {
    Invocation::until(NOON + Duration::from_secs(30), NOON)
}

struct Clients {
    sqs: aws_sdk_sqs::Client,
    secrets: Secrets,
}

impl Clients {
    fn of(url: &str) -> Self {
        let sqs = aws_sdk_sqs::Config::builder()
            .behavior_version(aws_sdk_sqs::config::BehaviorVersion::latest())
            .region(aws_sdk_sqs::config::Region::new("us-east-1"))
            .credentials_provider(credentials())
            .endpoint_url(url)
            .build();
        let secrets = aws_sdk_secretsmanager::Config::builder()
            .behavior_version(aws_sdk_secretsmanager::config::BehaviorVersion::latest())
            .region(aws_sdk_secretsmanager::config::Region::new("us-east-1"))
            .credentials_provider(credentials())
            .endpoint_url(url)
            .build();
        Self {
            sqs: aws_sdk_sqs::Client::from_conf(sqs),
            secrets: Secrets::new(aws_sdk_secretsmanager::Client::from_conf(secrets)),
        }
    }
}

impl World {
    /// Sets the time to noon, with an owner whose findings are all open, and with automation if requested.
    pub(crate) async fn set(automatic: bool) -> Self {
        let table = TestTable::create().await;
        let owner: Owner = format!("user:{}", uuid::Uuid::new_v4())
            .parse()
            .expect("an owner");
        table.connect(&owner).await;
        let outside = Outside::with_alerts(FINDINGS).await;
        for number in 1..=FINDINGS {
            sync(&table, &outside, &owner, number).await;
        }
        let settings = Settings {
            enabled: true,
            auto_sync: false,
            auto_analysis: AutoAnalysis {
                enabled: automatic,
                min_severity: MinSeverity::All,
                include_existing: true,
            },
            auto_dismiss: AutoDismiss {
                enabled: automatic,
                min_confidence: Confidence::Low,
            },
            ..Settings::default()
        };
        let owners = table.owners();
        let seen = owners.read(&owner).await.expect("the table answers");
        let none = Writes::default();
        let saved = owners.save(&owner, &settings, &seen, none, now()).await;
        assert!(matches!(saved, Ok(Saved::Saved { .. })), "{saved:?}");

        let (proxy, through) = table.through(&[]).await;
        let clients = Clients::of(&outside.url);
        let functions = Functions {
            table: through,
            url: outside.url.clone(),
            clients,
        };
        Self {
            dismiss: functions.dismiss(),
            analyse: functions.analyse(),
            recorder: functions.recorder(),
            reconciler: functions.reconciler(),
            eraser: functions.eraser(),
            dead_letters: functions.dead_letters(),
            table,
            outside,
            owner,
            ledgered: Ledgered::default(),
            erased_at: None,
            proxy,
        }
    }

    pub(crate) async fn take(&mut self, step: &Step) {
        match *step {
            Step::Dismiss {
                finding,
                named,
                sent,
            } => {
                let comment = named.then(|| format!("c-{}", self.ledgered.named()));
                let action = Action::from(DismissFinding {
                    finding: id(finding),
                    reason: DismissReason::NotUsed,
                    comment: comment.map(|comment| comment.parse().expect("short")),
                });
                self.admit(action, "dismiss", sent).await;
            }
            Step::Analyse {
                finding,
                restart,
                sent,
            } => {
                let action = Action::from(StartAnalysis {
                    restart_active: restart,
                    ..StartAnalysis::of(id(finding))
                });
                self.admit(action, "analyse", sent).await;
            }
            Step::Deliver {
                which,
                twice,
                fault,
            } => self.deliver(which, twice, fault).await,
            Step::Callback {
                which,
                recommends,
                sent,
            } => self.callback(which, recommends, sent).await,
            Step::Reconcile(fault) => {
                let run = self.reconciler.reconcile(invocation());
                self.under_fault(fault, run).await;
            }
            Step::Advance(seconds) => advance(Duration::from_secs(seconds)),
            Step::AtGithub {
                finding,
                state,
                synced,
            } => {
                self.outside.change(finding, state);
                self.ledgered.changed(finding);
                if synced {
                    self.sync(finding).await;
                }
            }
            Step::GithubFails(fault) => self.outside.known().github.push_back(fault),
            Step::AgentFails(fault) => self.outside.known().agent.push_back(fault),
            Step::Erase => self.erase().await,
        }
    }

    /// Stores an alert as a sync does.
    pub(crate) async fn sync(&mut self, finding: u32) {
        sync(&self.table, &self.outside, &self.owner, finding).await;
        self.ledgered.synced(finding);
    }

    /// Admits a command as the API does: only for an existing finding of an owner who is not being erased, and with a
    /// message unless the process dies first.
    async fn admit(&mut self, action: Action, queue: &str, sent: bool) {
        let new = NewCommand {
            owner: self.owner.clone(),
            action,
            origin: Origin::Manual,
            actor: actor(),
            key: None,
        };
        let admissible = self.table.ledger().admissible(&new).await;
        match admissible.expect("the table answers") {
            Admissible::Yes => {}
            Admissible::NoFinding => return,
            Admissible::BeingErased => {
                assert!(self.erased_at.is_some(), "only an erasure is a reason");
                return;
            }
        }
        let admitted = self.table.ledger().admit(new, now()).await;
        let Ok(Admission::Admitted(command, _)) = admitted else {
            panic!("not admitted: {admitted:?}")
        };
        if sent {
            let body = Message::of(&command).body();
            self.outside.known().send(queue, body, Duration::ZERO);
        }
    }

    async fn deliver(&mut self, which: usize, twice: bool, fault: WorkerFault) {
        let received = self.outside.known().receive(which);
        let Some(message) = received else {
            return;
        };
        if message.receives > RECEIVES && message.queue != "dead" {
            let mut known = self.outside.known();
            known.delete(message.id);
            return known.send("dead", message.body, Duration::ZERO);
        }
        let work = async {
            if twice {
                let both = tokio::join!(self.handle(&message), self.handle(&message));
                both.0 == Disposition::Ack || both.1 == Disposition::Ack
            } else {
                self.handle(&message).await == Disposition::Ack
            }
        };
        if self.under_fault(fault, work).await == Some(true) {
            self.outside.known().delete(message.id);
        }
    }

    /// Does work under a fault; `None` if the worker died.
    async fn under_fault<T>(&self, fault: WorkerFault, work: impl Future<Output = T>) -> Option<T> {
        let (calls, how) = match fault {
            WorkerFault::None => return Some(work.await),
            WorkerFault::DiesBefore(calls) => (calls, Break::DieBefore),
            WorkerFault::DiesAfter(calls) => (calls, Break::DieAfter),
            WorkerFault::LosesAnswer(calls) => (calls, Break::LoseAnswer),
        };
        self.proxy.break_at(calls, how);
        let done = tokio::select! {
            biased;
            () = self.proxy.death() => None,
            done = work => Some(done),
        };
        self.proxy.mend().await;
        done
    }

    async fn handle(&self, message: &Queued) -> Disposition {
        let record = json!({
            "messageId": message.id.to_string(),
            "receiptHandle": message.id.to_string(),
            "body": message.body,
            "attributes": {"ApproximateReceiveCount": message.receives.to_string()},
            "eventSourceARN": format!("arn:aws:sqs:us-east-1:000000000000:{}", message.queue),
        });
        let event = || serde_json::from_value(json!({"Records": [record]})).expect("an event");
        let delivery = || {
            let event: aws_lambda_events::event::sqs::SqsEvent = event();
            Delivery::of(&event.records[0])
        };
        let (dismiss, analyse) = (&self.dismiss, &self.analyse);
        match message.queue.as_str() {
            "dismiss" => {
                let worker = &dismiss.worker;
                worker.deliver(dismiss, &delivery(), invocation()).await
            }
            "analyse" => {
                let worker = &analyse.worker;
                worker.deliver(analyse, &delivery(), invocation()).await
            }
            "callback" => self.recorder.deliver(&delivery()).await,
            "erase" => self.eraser.deliver(&delivery(), invocation()).await,
            "dead" => {
                let answer = self.dead_letters.settle_each(&event()).await;
                match answer.batch_item_failures.is_empty() {
                    true => Disposition::Ack,
                    false => Disposition::Retry,
                }
            }
            other => panic!("nothing is sent to {other}: {}", message.body),
        }
    }

    /// The agent sends the callback of one of its sessions. The API stores the callback and sends a message, unless it dies
    /// first.
    pub(crate) async fn callback(&self, which: usize, recommends: Option<bool>, sent: bool) {
        let begun = {
            let known = self.outside.known();
            let Some(which) = which.checked_rem(known.sessions.len()) else {
                return;
            };
            known.sessions[which].clone()
        };
        let outcome = match recommends {
            None => failed(),
            Some(dismissal) => recommending(dismissal),
        };
        let callback = callback(&begun.session, outcome);
        let (owner, finding, attempt) = (self.owner.clone(), begun.finding, begun.attempt);
        let analyses = self.table.analyses();
        let received = analyses.receive(&owner, finding, attempt, &callback, now());
        if received.await.expect("the table answers") == Received::Kept && sent {
            let message = Message::Callback {
                owner,
                finding,
                attempt,
            };
            let mut known = self.outside.known();
            known.send("callback", message.body(), Duration::ZERO);
        }
    }

    async fn erase(&mut self) {
        let erasures = Erasures::new(self.table.table());
        let begun = erasures.begin(&self.owner, now()).await;
        let requested_at = begun.expect("the table answers").requested_at;
        self.erased_at = Some(requested_at);
        let owner = self.owner.clone();
        let message = Message::Erase {
            owner,
            requested_at,
        };
        let mut known = self.outside.known();
        known.send("erase", message.body(), Duration::ZERO);
    }

    /// The agent's sessions without a callback, by their place.
    pub(crate) fn places(&self) -> Vec<(usize, CommandId)> {
        let known = self.outside.known();
        let sessions = known.sessions.iter().enumerate();
        sessions
            .map(|(place, begun)| (place, begun.attempt))
            .collect()
    }
}

async fn sync(table: &TestTable, outside: &Outside, owner: &Owner, number: u32) {
    let shown = outside.shown(number);
    let findings = table.findings();
    let pace = unhurried();
    let stored = findings.store(
        owner,
        repository().id,
        vec![shown],
        (Arrival::New, now()),
        &pace,
    );
    match stored.await {
        Ok(stored) => assert_eq!(stored.stale, 0, "nothing is newer than GitHub"),
        Err(FindingsError::RepositoryGone { .. }) => {}
        Err(error) => panic!("{error:?}"),
    }
}

fn recommending(dismissal: bool) -> AnalysisOutcome {
    let mut outcome = completed(Exploitability::NotExploitable);
    if let (AnalysisOutcome::Completed(result), true) = (&mut outcome, dismissal) {
        result.suggested_action = domain::analysis::SuggestedAction::Dismiss;
    }
    outcome
}

/// The functions' dependencies.
struct Functions {
    table: Table,
    url: String,
    clients: Clients,
}

impl Functions {
    fn queue(&self, name: &str) -> QueueUrl {
        let url = format!("{}/{name}", self.url);
        url.parse().expect("a queue's URL")
    }

    fn clock(&self) -> Clock {
        Clock::new(now)
    }

    fn ledger(&self) -> Ledger {
        Ledger::new(self.table.clone(), TIMEOUTS)
    }

    fn sender(&self) -> Sender {
        Sender::new(self.clients.sqs.clone())
    }

    fn inbox(&self, queue: &str) -> Inbox {
        Inbox::new(self.clients.sqs.clone(), vec![self.queue(queue)])
    }

    fn secrets(&self) -> Secrets {
        self.clients.secrets.clone()
    }

    fn worker(&self, queue: &str) -> Worker {
        Worker {
            ledger: self.ledger(),
            inbox: self.inbox(queue),
            sender: self.sender(),
            queue: self.queue(queue),
            quarantine: self.quarantine(),
            cleaner: Cleaner::new(&self.table),
            max_receives: RECEIVES,
            clock: self.clock(),
        }
    }

    fn github(&self) -> Github {
        let config = GithubConfig {
            base_url: self.url.parse().expect("on the loopback interface"),
            api_version: "2022-11-28".parse().expect("a version"),
            app_id: "1234".parse().expect("an id"),
            private_key: SecretName::new("app-key"),
        };
        Github::new(&config, self.secrets()).expect("a client can be made")
    }

    fn automation(&self) -> Automation {
        Automation {
            ledger: self.ledger(),
            owners: Owners::new(self.table.clone()),
            findings: Findings::new(self.table.clone()),
            analyses: Analyses::new(self.table.clone()),
            sender: self.sender(),
            queue: self.queue("analyse"),
            paused: PausedCommands::default(),
        }
    }

    fn dismiss(&self) -> Dismiss {
        Dismiss {
            worker: self.worker("dismiss"),
            owners: Owners::new(self.table.clone()),
            findings: Findings::new(self.table.clone()),
            audit: Audit::new(self.table.clone()),
            github: self.github(),
        }
    }

    fn agent(&self) -> Agent {
        let config = AgentConfig {
            base_url: self.url.parse().expect("on the loopback interface"),
            token: SecretName::new("agent-token"),
        };
        Agent::new(&config, self.secrets()).expect("a client can be made")
    }

    fn analyse(&self) -> Analyse {
        Analyse {
            worker: self.worker("analyse"),
            owners: Owners::new(self.table.clone()),
            findings: Findings::new(self.table.clone()),
            analyses: Analyses::new(self.table.clone()),
            audit: Audit::new(self.table.clone()),
            github: self.github(),
            agent: self.agent(),
            callback_tokens: CallbackTokens::new(self.secrets(), SecretName::new("callback-keys")),
            callback_url: format!("{}/v1/callbacks/analysis", self.url)
                .parse()
                .expect("on the loopback interface"),
        }
    }

    fn recorder(&self) -> Recorder {
        Recorder {
            automation: self.automation(),
            audit: Audit::new(self.table.clone()),
            inbox: self.inbox("callback"),
            dismiss_queue: self.queue("dismiss"),
            quarantine: self.quarantine(),
            clock: self.clock(),
        }
    }

    fn quarantine(&self) -> Quarantine {
        quarantine(&self.table, self.sender(), &self.queue("malformed"))
    }

    fn reconciler(&self) -> Reconciler {
        Reconciler {
            ledger: self.ledger(),
            owners: Owners::new(self.table.clone()),
            automation: self.automation(),
            audit: Audit::new(self.table.clone()),
            cleaner: Cleaner::new(&self.table),
            erasures: Erasures::new(self.table.clone()),
            sender: self.sender(),
            queues: command_queues(|queue| self.queue(queue.function())),
            scheduled_queue: self.queue("scheduled"),
            callback_queue: self.queue("callback"),
            erase_queue: self.queue("erase"),
            clock: self.clock(),
        }
    }

    fn eraser(&self) -> Eraser {
        Eraser {
            erasures: Erasures::new(self.table.clone()),
            inbox: self.inbox("erase"),
            sender: self.sender(),
            queue: self.queue("erase"),
            quarantine: self.quarantine(),
            agent: self.agent(),
            clock: self.clock(),
        }
    }

    fn dead_letters(&self) -> DeadLetters {
        DeadLetters {
            ledger: self.ledger(),
            cleaner: Cleaner::new(&self.table),
            inbox: self.inbox("dead"),
            quarantine: self.quarantine(),
            clock: self.clock(),
        }
    }
}
