//! Promises that hold after every step, and promises that hold once nothing is left to do.

use std::collections::{BTreeMap, BTreeSet};

use domain::{
    Timestamp,
    analysis::AnalysisStatus,
    command::{Action, Command, CommandId, CommandKey, DismissFinding, Ended},
    finding::FindingStatus,
    lifecycle::Status,
    result_code::{Effect, ResultCode},
};
use store::{
    audit::{Audit, AuditAction, AuditEvent},
    erasure::Erasures,
    findings::{FindingFilter, FindingRecord},
    repositories::Counts,
};

use super::{
    clock::now,
    world::{FINDINGS, World},
};
use crate::analyses::recounted;

/// What was observed of the commands and around them.
#[derive(Debug, Default)]
pub(crate) struct Ledgered {
    /// How each ended when first observed.
    ended: BTreeMap<CommandId, (Status, Ended)>,
    named: u32,
    /// Findings whose alert somebody changed since the last sync.
    unsynced: BTreeSet<u32>,
}

impl Ledgered {
    /// Returns a number that no other command has.
    pub(crate) fn named(&mut self) -> u32 {
        self.named += 1;
        self.named
    }

    pub(crate) fn changed(&mut self, finding: u32) {
        self.unsynced.insert(finding);
    }

    pub(crate) fn synced(&mut self, finding: u32) {
        self.unsynced.remove(&finding);
    }
}

impl World {
    /// Returns every command that has a row.
    pub(crate) async fn commands(&self) -> Vec<Command> {
        let prefix = format!("command#{}", self.owner);
        let mut commands = Vec::new();
        for item in self.table.items().await {
            let text = |name| item.get(name).and_then(|value| value.as_s().ok()).cloned();
            if text("pk").as_ref() != Some(&prefix) {
                continue;
            }
            let id = text("sk").expect("a key").parse().expect("a command's id");
            let key = CommandKey {
                owner: self.owner.clone(),
                id,
            };
            let read = self.table.ledger().read(&key, now()).await;
            commands.extend(read.expect("the table answers"));
        }
        commands
    }

    async fn findings(&self) -> Vec<FindingRecord> {
        let (findings, filter) = (self.table.findings(), FindingFilter::default());
        let page = findings.list(&self.owner, &filter, 100, None).await;
        page.expect("the table answers").findings
    }

    async fn events(&self) -> Vec<AuditEvent> {
        let audit = Audit::new(self.table.table());
        let page = audit.list(&self.owner, 1_000, None).await;
        let page = page.expect("the table answers");
        assert_eq!(page.next, None);
        page.events
    }

    /// Checks what holds at any time.
    pub(crate) async fn check(&mut self) {
        let commands = self.commands().await;
        self.effects_are_as_told(&commands);
        self.ends_are_final(&commands);
        let findings = self.findings().await;
        if self.erased_at.is_none() {
            assert_eq!(findings.len(), FINDINGS as usize);
            self.events_are_the_effects(&commands, &findings).await;
            self.counts_are_the_rows(&findings).await;
        }
    }

    fn ends_are_final(&mut self, commands: &[Command]) {
        for command in commands {
            let (id, status) = (command.key.id, command.status());
            let known = self.ledgered.ended.get(&id);
            let Some(ended) = command.ended else {
                assert_eq!(known, None, "{id} has revived");
                assert!(!status.is_terminal(), "{id} says how it ended");
                continue;
            };
            assert!(status.is_terminal());
            let known = *known.unwrap_or(&(status, ended));
            assert_eq!(known, (status, ended), "{id} has ended twice");
            self.ledgered.ended.insert(id, known);
        }
        if self.erased_at.is_none() {
            let rows: BTreeSet<CommandId> = commands.iter().map(|row| row.key.id).collect();
            let lost = self.ledgered.ended.keys().find(|id| !rows.contains(id));
            assert_eq!(lost, None, "a command has vanished");
        }
    }

    /// The effect that a command reports is what GitHub and the agent have recorded.
    fn effects_are_as_told(&self, commands: &[Command]) {
        let known = self.outside.known();
        let mut dismissed = BTreeMap::<u32, usize>::new();
        for command in commands {
            let Some(ended) = command.ended else {
                continue;
            };
            let code = ended.code;
            match &command.action {
                Action::DismissFinding(DismissFinding {
                    finding, comment, ..
                }) => {
                    let number = finding.number.get();
                    let comment = comment.as_ref().map(|comment| comment.as_str().to_owned());
                    let patches = known.patches.iter().filter(|patch| patch.number == number);
                    let own = patches.filter(|patch| patch.comment == comment).count();
                    let applied = code == ResultCode::FindingDismissed;
                    assert_eq!(ended.effect == Effect::Applied, applied, "{command:?}");
                    if applied {
                        *dismissed.entry(number).or_default() += 1;
                        assert!(own > 0, "its dismissal is not recorded: {command:?}");
                    }
                    // Only a unique comment tells whose dismissal it was.
                    let named = |comment: &String| comment.starts_with("c-");
                    let told = comment.as_ref().is_some_and(named);
                    if told && ended.effect == Effect::None {
                        assert_eq!(own, 0, "it had an effect: {command:?}");
                    }
                    let is_news = !self.ledgered.ended.contains_key(&command.key.id);
                    if is_news && told && code == ResultCode::AlreadyIgnored {
                        let shown = known.alerts[&number].comment();
                        assert_ne!(
                            shown,
                            comment.as_deref(),
                            "it was its own dismissal: {command:?}"
                        );
                    }
                }
                Action::StartAnalysis(_) => {
                    let id = command.key.id;
                    let begun = known.sessions.iter().any(|begun| begun.attempt == id);
                    let started = is_started(code);
                    assert_eq!(ended.effect == Effect::Applied, started, "{command:?}");
                    assert!(begun || !started, "nothing was launched: {command:?}");
                    let none = ended.effect == Effect::None;
                    assert!(!(begun && none), "it had an effect: {command:?}");
                }
                Action::Sync(_) | Action::ReopenFinding(_) => panic!("nobody requested one"),
            }
        }
        for (number, succeeded) in dismissed {
            let patches = known.patches.iter().filter(|patch| patch.number == number);
            assert!(succeeded <= patches.count(), "one dismissal, two successes");
        }
    }

    /// One event for each effect, and none without.
    async fn events_are_the_effects(&self, commands: &[Command], findings: &[FindingRecord]) {
        let mut told = BTreeMap::<(CommandId, &str), usize>::new();
        for event in self.events().await {
            // The operator did this one, before the commands.
            if event.action == AuditAction::Connected {
                continue;
            }
            let command = event.command.expect("a command did it");
            *told.entry((command, event.action.as_str())).or_default() += 1;
        }
        let count = |id, action: AuditAction| {
            let told = told.get(&(id, action.as_str()));
            told.copied().unwrap_or_default()
        };
        for command in commands {
            let (id, code) = (command.key.id, command.ended.map(|ended| ended.code));
            let dismissed = code == Some(ResultCode::FindingDismissed);
            let events = count(id, AuditAction::FindingDismissed);
            assert_eq!(events, usize::from(dismissed), "{command:?}");
            let started = code.is_some_and(is_started);
            let events = count(id, AuditAction::AnalysisStarted);
            assert_eq!(events, usize::from(started), "{command:?}");
            let ends =
                count(id, AuditAction::AnalysisCompleted) + count(id, AuditAction::AnalysisFailed);
            assert!(ends <= 1, "an analysis ends once: {command:?}");
        }
        for record in findings {
            let Some(analysis) = &record.analysis else {
                continue;
            };
            let completed = count(analysis.attempt, AuditAction::AnalysisCompleted);
            let failed = count(analysis.attempt, AuditAction::AnalysisFailed);
            let expected = match analysis.status {
                AnalysisStatus::Pending | AnalysisStatus::Running => (0, 0),
                AnalysisStatus::Completed => (1, 0),
                AnalysisStatus::Failed => (0, 1),
            };
            assert_eq!((completed, failed), expected, "{analysis:?}");
        }
    }

    async fn counts_are_the_rows(&self, findings: &[FindingRecord]) {
        let record = self.table.owners().read(&self.owner).await;
        let kept = record.expect("the table answers").analyses;
        let mut expected = recounted(findings);
        expected.automation_due = kept.automation_due;
        assert_eq!(kept, expected);
        assert!(kept.in_flight.len() <= 3 && kept.automatic.len() <= 2);
        let mut counts = Counts::default();
        for FindingRecord { finding, .. } in findings {
            counts.add(finding.severity, finding.status, 1);
        }
        let repositories = self.table.repositories().read(&self.owner).await;
        assert_eq!(repositories.expect("the table answers")[0].counts, counts);
    }

    /// Returns whether nothing is left to do.
    pub(crate) async fn at_rest(&self) -> bool {
        let commands = self.commands().await;
        let findings = self.findings().await;
        let in_flight = |record: &FindingRecord| {
            let analysis = record.analysis.as_ref();
            analysis.is_some_and(|analysis| analysis.status.in_flight())
        };
        let erased = match self.erased_at {
            None => true,
            Some(_) => self.erasure_completed_at().await.is_some(),
        };
        self.outside.known().messages.is_empty()
            && commands
                .iter()
                .all(|command| command.status().is_terminal())
            && !findings.iter().any(in_flight)
            && erased
    }

    async fn erasure_completed_at(&self) -> Option<Timestamp> {
        let erasures = Erasures::new(self.table.table());
        let erasure = erasures.read(&self.owner, now()).await;
        erasure.expect("the table answers")?.completed_at
    }

    /// Checks what holds once nothing is left to do.
    pub(crate) async fn check_at_rest(&mut self) {
        self.check().await;
        if self.erased_at.is_some() {
            let items = self.table.items().await;
            assert_eq!(items.len(), 1, "only the tombstone is left: {items:?}");
            return;
        }
        let unknown: BTreeSet<u32> = self
            .commands()
            .await
            .iter()
            .filter(|command| {
                command
                    .ended
                    .is_some_and(|ended| ended.effect == Effect::Unknown)
            })
            .filter_map(|command| command.action.finding())
            .map(|finding| finding.number.get())
            .collect();
        for record in self.findings().await {
            let number = record.finding.id.number.get();
            if self.ledgered.unsynced.contains(&number) || unknown.contains(&number) {
                continue;
            }
            let shown = self.outside.shown(number);
            assert_eq!(record.finding, shown, "the finding is what GitHub shows");
            let by_command = record.credited.is_some();
            assert!(!by_command || record.finding.status == FindingStatus::Ignored);
        }
        for number in 1..=FINDINGS {
            self.sync(number).await;
        }
        self.check().await;
    }
}

const fn is_started(code: ResultCode) -> bool {
    matches!(
        code,
        ResultCode::AnalysisLaunchStarted | ResultCode::AnalysisRestartStarted
    )
}
