//! Automation: it starts eligible findings, most severe first, within its share, and leaves analyses that people
//! started alone.

use std::time::Duration;

use domain::{
    Timestamp,
    analysis::{AnalysisStatus, BegunBy},
    command::{Action, Actor, Command, CommandType, Origin, PausedCommands, StartAnalysis},
    finding::{FindingId, FindingStatus, Repository, RepositoryId, Severity},
    installation::InstallationRepository,
    lifecycle::Status,
    owner::Owner,
    settings::{AutoAnalysis, MinSeverity, RepositorySelection, Settings},
};
use runtime::{
    automation::Automation,
    queue::{Message, QueueUrl},
};
use store::{
    analyses::COOLDOWN,
    findings::{Arrival, Findings},
    owners::Saved,
    repositories::Listing,
    table::Writes,
};
use tests::{
    Fault, NOON, Proxy, TestQueues, TestTable, finding, noon, owner, repository, unhurried,
};

use crate::analyses::{failed, read, recounted, take, waiting};

struct Scene {
    table: TestTable,
    proxy: Proxy,
    queues: TestQueues,
    queue: QueueUrl,
    owner: Owner,
    function: Automation,
}

/// Analyses everything automatically, existing findings included.
fn everything() -> Settings {
    Settings {
        enabled: true,
        auto_analysis: AutoAnalysis {
            enabled: true,
            min_severity: MinSeverity::All,
            include_existing: true,
        },
        ..Settings::default()
    }
}

/// A repository that is out of scope.
fn another() -> Repository {
    Repository {
        id: RepositoryId::new(3),
        name: "octo/other".parse().expect("a name"),
    }
}

impl Scene {
    /// Sets up an owner with two repositories and these settings.
    async fn set(settings: &Settings) -> Self {
        let table = TestTable::create().await;
        let (proxy, through) = table.through(&[]).await;
        let queues = TestQueues::create().await;
        let queue = queues.queue("analyse").await;
        let owner = owner();
        table.connect(&owner).await;
        let listing = Listing {
            id: another().id,
            listed: Some(InstallationRepository {
                repository: another(),
                private: true,
                archived: false,
            }),
            attempt: None,
        };
        let recorded = table.repositories().record(&owner, &[listing], NOON).await;
        recorded.expect("the table answers");
        let scene = Self {
            function: tests::automation(&through, &queues, &queue),
            table,
            proxy,
            queues,
            queue,
            owner,
        };
        scene.save(settings).await;
        scene
    }

    async fn save(&self, settings: &Settings) {
        let owners = self.table.owners();
        let seen = owners.read(&self.owner).await.expect("the table answers");
        let saved = owners.save(&self.owner, settings, &seen, Writes::default(), NOON);
        assert!(matches!(saved.await, Ok(Saved::Saved { .. })));
    }

    /// Stores an open finding first detected at that time.
    async fn comes_up(
        &self,
        of: &Repository,
        number: u32,
        severity: Severity,
        at: i64,
    ) -> FindingId {
        let new = finding(of, number, severity, FindingStatus::Open, noon(at));
        let id = new.id;
        let findings = self.table.findings();
        let pace = unhurried();
        let stored = findings.store(
            &self.owner,
            of.id,
            vec![new],
            (Arrival::New, noon(at)),
            &pace,
        );
        assert_eq!(stored.await.expect("the table answers").written, 1);
        id
    }

    async fn advance(&self, now: Timestamp) -> usize {
        let begun = self.function.advance(&self.owner, now).await;
        begun.expect("the table answers")
    }

    /// Returns the findings whose analyses automation has started.
    async fn automatic(&self) -> Vec<FindingId> {
        let record = self.table.owners().read(&self.owner).await;
        let analyses = record.expect("the table answers").analyses;
        analyses.automatic.into_iter().collect()
    }

    /// Returns when automation is due next.
    async fn due(&self) -> Option<Timestamp> {
        let record = self.table.owners().read(&self.owner).await;
        record.expect("the table answers").analyses.automation_due
    }

    /// Returns the commands that were sent.
    async fn sent(&self) -> Vec<Command> {
        let mut sent = Vec::new();
        for body in self.queues.bodies(&self.queue).await {
            let Ok(Message::Command { key, .. }) = Message::parse(&body) else {
                panic!("no command: {body}")
            };
            let command = self.table.ledger().read(&key, NOON).await;
            sent.push(command.expect("the table answers").expect("it is admitted"));
        }
        sent
    }

    /// Counts the commands, sent or not.
    async fn commands(&self) -> usize {
        let items = self.table.items().await;
        let key = |item: &store::table::Item| item["pk"].as_s().expect("a key").clone();
        let of_commands = |item: &&_| key(item).starts_with("command#");
        items.iter().filter(of_commands).count()
    }
}

#[tokio::test]
async fn the_most_severe_and_oldest_findings_start_first() {
    let scene = Scene::set(&everything()).await;
    let of = repository();
    scene.comes_up(&of, 1, Severity::Low, -900).await;
    scene.comes_up(&of, 2, Severity::High, -100).await;
    let longest_new = scene.comes_up(&of, 3, Severity::High, -200).await;
    let worst = scene.comes_up(&of, 4, Severity::Critical, -10).await;
    assert_eq!(scene.advance(NOON).await, 2);
    assert_eq!(scene.automatic().await, [longest_new, worst]);
    assert_eq!(scene.due().await, None, "automation is no longer due");

    let mut launched = Vec::new();
    for command in scene.sent().await {
        assert_eq!(command.status(), Status::Accepted);
        assert_eq!(command.origin, Origin::AutoAnalysis);
        assert_eq!(command.actor, Actor::SecurityAgent);
        let Action::StartAnalysis(options) = command.action else {
            panic!("{:?}", command.action)
        };
        let finding = options.finding;
        assert_eq!(options, StartAnalysis::of(finding));
        let analysis = read(&scene.table, &scene.owner, finding).await.analysis;
        let analysis = analysis.expect("it was begun");
        assert_eq!(analysis.attempt, command.key.id);
        assert_eq!(analysis.status, AnalysisStatus::Pending);
        launched.push(finding);
    }
    launched.sort_unstable();
    assert_eq!(launched, [longest_new, worst]);

    // The share is used up: only the owner is read.
    let before = scene.proxy.count("Query");
    assert_eq!(scene.advance(NOON).await, 0);
    assert_eq!(scene.proxy.count("Query"), before + 1);
    assert_eq!(scene.commands().await, 2);
}

#[tokio::test]
async fn automation_skips_existing_minor_and_out_of_scope_findings() {
    let settings = Settings {
        auto_analysis: AutoAnalysis {
            enabled: true,
            min_severity: MinSeverity::High,
            include_existing: false,
        },
        repository_selection: RepositorySelection::Selected,
        selected_repository_ids: [repository().id].into(),
        ..everything()
    };
    let scene = Scene::set(&settings).await;
    let of = repository();
    scene.comes_up(&of, 1, Severity::Critical, -1).await;
    scene.comes_up(&of, 2, Severity::Medium, 10).await;
    scene.comes_up(&another(), 3, Severity::Critical, 10).await;
    let new = scene.comes_up(&of, 4, Severity::High, 0).await;
    assert_eq!(scene.advance(noon(20)).await, 1);
    assert_eq!(scene.automatic().await, [new]);
}

#[tokio::test]
async fn nothing_starts_while_disabled_or_paused() {
    let switched_off = Settings {
        enabled: false,
        ..everything()
    };
    let by_hand = Settings {
        auto_analysis: AutoAnalysis::default(),
        ..everything()
    };
    for settings in [switched_off, by_hand] {
        let scene = Scene::set(&settings).await;
        scene
            .comes_up(&repository(), 1, Severity::Critical, 10)
            .await;
        assert_eq!(scene.advance(noon(20)).await, 0);
        assert_eq!(scene.commands().await, 0);
    }

    let mut scene = Scene::set(&everything()).await;
    scene
        .comes_up(&repository(), 1, Severity::Critical, 10)
        .await;
    scene.function.paused = "start_analysis".parse().expect("a type");
    assert!(scene.function.paused.contain(CommandType::StartAnalysis));
    assert_eq!(scene.advance(noon(20)).await, 0);
    assert_eq!(scene.due().await, Some(NOON), "automation stays due");
    scene.function.paused = PausedCommands::default();
    assert_eq!(scene.advance(noon(20)).await, 1);
}

#[tokio::test]
async fn automation_retries_an_hour_after_a_refusal() {
    let scene = Scene::set(&everything()).await;
    let id = scene.comes_up(&repository(), 1, Severity::High, 0).await;
    assert_eq!(scene.advance(NOON).await, 1);
    let record = read(&scene.table, &scene.owner, id).await;
    let refused = record.analysis.clone().expect("it was begun");
    let analyses = scene.table.analyses();
    let writes = analyses.defer(&scene.owner, &record, &refused, &failed(), NOON);
    let written = analyses.write(id, "a deferral", writes).await;
    assert!(written.expect("the table answers"));

    let rested = NOON + COOLDOWN;
    let just_before = rested - Duration::from_millis(1);
    assert_eq!(scene.advance(just_before).await, 0);
    assert_eq!(
        scene.due().await,
        Some(rested),
        "automation is due after the cooldown"
    );
    assert_eq!(scene.advance(rested).await, 1);
    assert_eq!(scene.due().await, None);
    assert_eq!(scene.commands().await, 2);
}

/// Automation reads the index first, so a finding may change before its turn comes.
#[tokio::test]
async fn automation_skips_a_finding_that_changed_since_the_index_read() {
    let scene = Scene::set(&everything()).await;
    let mut ids = Vec::new();
    for number in 1..=4 {
        ids.push(
            scene
                .comes_up(&repository(), number, Severity::High, 0)
                .await,
        );
    }
    let through = scene.table.reached_at(scene.proxy.url());
    scene.proxy.freeze("Query");
    let page = Findings::new(through)
        .unanalysed(&scene.owner, Severity::High, since_ever(), 50, None)
        .await;
    assert_eq!(page.expect("the table answers").findings, ids);

    let [begun, ignored, erased, waits] = ids[..] else {
        panic!("four findings")
    };
    let asked = take(&scene.table, &scene.owner, begun, BegunBy::Request).await;
    let shown = finding(
        &repository(),
        2,
        Severity::High,
        FindingStatus::Ignored,
        noon(5),
    );
    let findings = scene.table.findings();
    let pace = unhurried();
    let stored = findings.store(
        &scene.owner,
        ignored.repository,
        vec![shown],
        (Arrival::New, NOON),
        &pace,
    );
    assert_eq!(stored.await.expect("the table answers").written, 1);
    let pk = format!("finding#{}", scene.owner);
    let sk = format!("dependabot#{:020}#{:010}", 7, 3);
    scene.table.take_away(&pk, &sk).await;
    assert!(read_is_gone(&scene, erased).await);

    assert_eq!(scene.advance(noon(10)).await, 1);
    assert_eq!(scene.automatic().await, [waits]);
    let kept = read(&scene.table, &scene.owner, begun).await.analysis;
    assert_eq!(kept, Some(asked), "the requested analysis goes on");
    assert_eq!(scene.commands().await, 1);
    assert_eq!(waiting(&scene.table, &scene.owner).await, []);

    // Both have read the owner before either starts.
    assert_eq!(scene.advance(noon(10)).await, 0);
    assert_eq!(scene.commands().await, 1);
    let kept = [
        read(&scene.table, &scene.owner, begun).await,
        read(&scene.table, &scene.owner, waits).await,
    ];
    let slots = recounted(&kept);
    assert_eq!((slots.in_flight.len(), slots.automatic.len()), (2, 1));
}

fn since_ever() -> Timestamp {
    Timestamp::from_millis(0)
}

async fn read_is_gone(scene: &Scene, id: FindingId) -> bool {
    let read = scene.table.findings().read_alone(&scene.owner, id).await;
    read.expect("the table answers").is_none()
}

#[tokio::test]
async fn an_analysis_whose_send_fails_waits_for_the_reconciler() {
    let scene = Scene::set(&everything()).await;
    let id = scene.comes_up(&repository(), 1, Severity::High, 0).await;
    // The SDK makes three attempts.
    for _ in 0..3 {
        scene.queues.proxy.plan("SendMessage", Fault::Fail);
    }
    assert_eq!(scene.advance(NOON).await, 1);
    assert_eq!(scene.automatic().await, [id]);
    assert_eq!(scene.sent().await, []);
    assert_eq!(scene.commands().await, 1);
}

/// An index entry of a finding that waits for automation.
fn nominated(owner: &Owner, number: u32) -> store::table::Item {
    let text = |value: String| aws_sdk_dynamodb::types::AttributeValue::S(value);
    [
        ("pk", format!("finding#{owner}")),
        ("sk", format!("dependabot#{:020}#{number:010}", 3)),
        ("unanalysed", format!("0#{:015}", 1)),
    ]
    .map(|(name, value)| (name.to_owned(), text(value)))
    .into()
}

#[tokio::test]
async fn one_run_skips_at_most_five_thousand_out_of_scope_findings() {
    let chosen = |ids: &[u64]| Settings {
        repository_selection: RepositorySelection::Selected,
        selected_repository_ids: ids.iter().copied().map(RepositoryId::new).collect(),
        ..everything()
    };
    let scene = Scene::set(&chosen(&[7])).await;
    let waits = scene.comes_up(&repository(), 1, Severity::High, 0).await;
    let few: Vec<_> = (1..=4_999).map(|n| nominated(&scene.owner, n)).collect();
    scene.table.put_all(&few).await;
    assert_eq!(scene.advance(NOON).await, 1);
    assert_eq!(scene.automatic().await, [waits]);

    let next = scene.comes_up(&repository(), 2, Severity::High, 0).await;
    scene.table.put(nominated(&scene.owner, 5_000)).await;
    let before = scene.proxy.count("Query");
    assert_eq!(scene.advance(NOON).await, 0);
    assert_eq!(scene.proxy.count("Query") - before, 1 + 5_000 / 50);
    assert_eq!(
        waiting(&scene.table, &scene.owner).await.last(),
        Some(&next)
    );
}
