//! The workers over a scene's table and queues, as their `main` builds them.

use agent::{Agent, AgentConfig, callback_token::CallbackTokens};
use analyse::Analyse;
use aws_lambda_events::event::sqs::{SqsBatchResponse, SqsEvent};
use dead_letter::DeadLetters;
use dismiss::Dismiss;
use domain::{Timestamp, command::CommandType};
use erase::Eraser;
use github::{Github, GithubConfig};
use record_analysis::Recorder;
use runtime::{
    automation::Automation,
    queue::QueueUrl,
    sqs::each_message,
    worker::{Invocation, Worker},
};
use store::{abandon::Cleaner, clock::Clock};
use sync::Sync;
use tests::{NOON, automation, quarantine};

use crate::{
    scene::Scene,
    secrets::{AGENT_TOKEN, APP_KEY, CALLBACK_KEYS, name},
};

/// The maximum receive count of a message.
pub(crate) const RECEIVES: u32 = 4;

/// A function that consumes messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Function {
    Sync,
    Dismiss,
    Analyse,
    RecordAnalysis,
    Erase,
    DeadLetter,
}

impl Function {
    pub(crate) const ALL: [Self; 6] = [
        Self::Sync,
        Self::Dismiss,
        Self::Analyse,
        Self::RecordAnalysis,
        Self::Erase,
        Self::DeadLetter,
    ];
}

/// All of them. GitHub and the agent are at `url`.
pub(crate) struct Functions {
    sync: Sync,
    dismiss: Dismiss,
    analyse: Analyse,
    recorder: Recorder,
    eraser: Eraser,
    dead_letters: DeadLetters,
}

impl Functions {
    /// Builds them over this scene, at noon.
    pub(crate) fn of(scene: &Scene, url: &str) -> Self {
        let (app, queues) = (&scene.app, &scene.queues);
        let noon: fn() -> Timestamp = || NOON;
        let clock = Clock::new(noon);
        let table = scene.table.table();
        let quarantine = quarantine(&table, app.sender.clone(), &queues.malformed);
        let worker = |queue: &QueueUrl| Worker {
            ledger: app.ledger.clone(),
            cleaner: Cleaner::new(&table),
            quarantine: quarantine.clone(),
            inbox: queues.all.inbox(vec![queue.clone()]),
            sender: app.sender.clone(),
            queue: queue.clone(),
            max_receives: RECEIVES,
            clock: clock.clone(),
        };
        let github = GithubConfig {
            base_url: url.parse().expect("on the loopback interface"),
            api_version: "2022-11-28".parse().expect("a version"),
            app_id: "1234".parse().expect("an id"),
            private_key: name(APP_KEY),
        };
        let github = Github::new(&github, scene.secrets.clone()).expect("a client can be made");
        let agent = AgentConfig {
            base_url: url.parse().expect("on the loopback interface"),
            token: name(AGENT_TOKEN),
        };
        let agent = Agent::new(&agent, scene.secrets.clone()).expect("a client can be made");
        let automation: Automation = automation(
            &scene.table.table(),
            &queues.all,
            queues.commands.of(CommandType::StartAnalysis),
        );
        Self {
            sync: Sync {
                worker: worker(queues.commands.of(CommandType::Sync)),
                scheduled_queue: queues.scheduled.clone(),
                owners: app.owners.clone(),
                repositories: app.repositories.clone(),
                findings: app.findings.clone(),
                audit: app.audit.clone(),
                automation: automation.clone(),
                github: github.clone(),
            },
            dismiss: Dismiss {
                worker: worker(queues.commands.of(CommandType::DismissFinding)),
                owners: app.owners.clone(),
                findings: app.findings.clone(),
                audit: app.audit.clone(),
                github: github.clone(),
            },
            analyse: Analyse {
                worker: worker(queues.commands.of(CommandType::StartAnalysis)),
                owners: app.owners.clone(),
                findings: app.findings.clone(),
                analyses: app.analyses.clone(),
                audit: app.audit.clone(),
                github,
                agent: agent.clone(),
                callback_tokens: CallbackTokens::new(scene.secrets.clone(), name(CALLBACK_KEYS)),
                callback_url: format!("{url}/v1/callbacks/analysis")
                    .parse()
                    .expect("on the loopback interface"),
            },
            recorder: Recorder {
                automation,
                audit: app.audit.clone(),
                inbox: queues.all.inbox(vec![queues.callback.clone()]),
                dismiss_queue: queues.commands.of(CommandType::DismissFinding).clone(),
                quarantine: quarantine.clone(),
                clock: clock.clone(),
            },
            eraser: Eraser {
                erasures: app.erasures.clone(),
                inbox: queues.all.inbox(vec![queues.erase.clone()]),
                sender: app.sender.clone(),
                queue: queues.erase.clone(),
                quarantine: quarantine.clone(),
                agent,
                clock: clock.clone(),
            },
            dead_letters: DeadLetters {
                ledger: app.ledger.clone(),
                cleaner: Cleaner::new(&table),
                inbox: queues.all.inbox(vec![queues.dead.clone()]),
                quarantine,
                clock,
            },
        }
    }

    /// Invokes a function with a batch and a deadline in seconds.
    pub(crate) async fn invoke(
        &self,
        function: Function,
        event: &SqsEvent,
        seconds: u64,
    ) -> SqsBatchResponse {
        let killed_at = NOON + std::time::Duration::from_secs(seconds);
        let invocation = Invocation::until(killed_at, NOON);
        let Self {
            sync,
            dismiss,
            analyse,
            recorder,
            eraser,
            dead_letters,
        } = self;
        match function {
            Function::Sync => {
                each_message(event, async |delivery| {
                    sync.worker.deliver(sync, &delivery, invocation).await
                })
                .await
            }
            Function::Dismiss => {
                each_message(event, async |delivery| {
                    dismiss.worker.deliver(dismiss, &delivery, invocation).await
                })
                .await
            }
            Function::Analyse => {
                each_message(event, async |delivery| {
                    analyse.worker.deliver(analyse, &delivery, invocation).await
                })
                .await
            }
            Function::RecordAnalysis => {
                each_message(event, async |delivery| recorder.deliver(&delivery).await).await
            }
            Function::Erase => {
                each_message(event, async |delivery| {
                    eraser.deliver(&delivery, invocation).await
                })
                .await
            }
            Function::DeadLetter => dead_letters.settle_each(event).await,
        }
    }
}
