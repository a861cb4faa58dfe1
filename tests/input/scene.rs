//! Owners with rows of every kind, and the API over them. Accepted changes are reverted, so that each case meets the
//! same rows.

use std::{cell::Cell, collections::BTreeMap};

use agent::callback_token::{CallbackToken, CallbackTokens};
use api::{App, cursor::Cursors};
use aws_sdk_dynamodb::types::AttributeValue;
use axum::Router;
use domain::{
    analysis::BegunBy,
    command::{CommandId, PausedCommands},
    finding::{FindingId, FindingStatus, Severity},
    owner::Owner,
    settings::Settings,
};
use outbound::secrets::Secrets;
use runtime::queue::Sender;
use store::{
    analyses::{Beginning, Begun},
    audit::{Audit, AuditAction, AuditEvent},
    erasure::Erasures,
    findings::Arrival,
    owners::Saved,
    table::{Item, Writes},
};
use tests::{
    Holder, NOON, TestTable, actor, command, finding, noon, repository, states, unhurried,
};

use crate::{
    queues::Queues,
    secrets::{CALLBACK_KEYS, CURSOR_KEY, name, secrets},
};

/// The caller of most requests.
pub(crate) const CALLER: &str = "auth0|5f7c";
/// An organisation for which the caller may act.
pub(crate) const ORGANISATION: &str = "6f1d1d3e-7a52-4c3b-9a55-0d0f3c1f7a10";
/// Somebody of whom the caller must see nothing.
pub(crate) const STRANGER: &str = "auth0|elsewhere";
/// Somebody who is being erased.
pub(crate) const GONE: &str = "auth0|gone";
/// A text in the stranger's rows.
pub(crate) const MARK: &str = "seen only by the stranger";

/// The caller's finding without an analysis.
pub(crate) const OPEN: u32 = 1;
/// The finding whose analysis runs.
pub(crate) const RUNNING: u32 = 2;
/// The finding whose analysis is pending.
pub(crate) const PENDING: u32 = 3;
/// The finding that is fixed.
pub(crate) const FIXED: u32 = 4;
/// The stranger's only finding.
pub(crate) const STRANGERS: u32 = 9;

/// The session of the analysis that runs.
pub(crate) const SESSION: &str = "ses-2";

/// Every row, by its key.
pub(crate) type Rows = BTreeMap<(String, String), Item>;

/// Table, queues, secrets, and the API over them.
pub(crate) struct Scene {
    pub(crate) table: TestTable,
    pub(crate) queues: Queues,
    pub(crate) secrets: Secrets,
    pub(crate) app: App,
    pub(crate) router: Router,
    /// The rows that each case meets.
    pub(crate) seeds: Rows,
    /// Whether a case may have left other rows.
    dirty: Cell<bool>,
}

/// This user, as an owner.
pub(crate) fn user(sub: &str) -> Owner {
    format!("user:{sub}").parse().expect("an owner")
}

/// The finding of this alert.
pub(crate) fn finding_id(number: u32) -> FindingId {
    let id = format!("dependabot-{}-{number}", repository().id);
    id.parse().expect("a finding's id")
}

/// The id of the command at this place, always the same, so that a case can be kept.
pub(crate) fn command_id(place: usize) -> CommandId {
    let id = format!("01932b3a-5c00-7000-8000-{place:012}");
    id.parse().expect("a command's id")
}

/// The attempt of this finding's analysis.
pub(crate) fn attempt(number: u32) -> CommandId {
    command_id(100 + number as usize)
}

impl Scene {
    pub(crate) async fn set() -> Self {
        let (table, queues, secrets) = (
            TestTable::create().await,
            Queues::create().await,
            secrets().await,
        );
        let app = App {
            ledger: table.ledger(),
            owners: table.owners(),
            repositories: table.repositories(),
            findings: table.findings(),
            analyses: table.analyses(),
            audit: Audit::new(table.table()),
            erasures: Erasures::new(table.table()),
            sender: Sender::clone(&queues.all.sender()),
            queues: queues.commands.clone(),
            callback_queue: queues.callback.clone(),
            erase_queue: queues.erase.clone(),
            callback_tokens: CallbackTokens::new(secrets.clone(), name(CALLBACK_KEYS)),
            paused: PausedCommands::default(),
            cursors: Cursors::new(secrets.clone(), name(CURSOR_KEY)),
        };
        let mut scene = Self {
            router: api::router(app.clone()),
            seeds: Rows::new(),
            dirty: Cell::new(false),
            table,
            queues,
            secrets,
            app,
        };
        scene.seed().await;
        scene.keep().await;
        scene
    }

    async fn seed(&self) {
        for sub in [CALLER, STRANGER, GONE] {
            self.table.connect(&user(sub)).await;
        }
        let caller = user(CALLER);
        for number in [OPEN, RUNNING, PENDING] {
            self.store(&caller, number, FindingStatus::Open, "Command injection")
                .await;
        }
        self.store(&caller, FIXED, FindingStatus::Fixed, "Command injection")
            .await;
        self.store(&user(STRANGER), STRANGERS, FindingStatus::Open, MARK)
            .await;
        self.enable(&caller).await;
        self.begin(PENDING).await;
        self.begin(RUNNING).await;
        self.launch(RUNNING).await;
        for (place, (_, state)) in states(Holder::Another).into_iter().enumerate() {
            let mut row = command(caller.clone(), state);
            row.key.id = command_id(place);
            self.table.put_command(&row).await;
        }
        let mut of_stranger = command(user(STRANGER), states(Holder::Another)[0].1.clone());
        of_stranger.key.id = command_id(50);
        self.table.put_command(&of_stranger).await;
        let begun = self.app.erasures.begin(&user(GONE), NOON).await;
        begun.expect("the table answers");
    }

    async fn store(&self, owner: &Owner, number: u32, status: FindingStatus, title: &str) {
        let mut shown = finding(&repository(), number, Severity::High, status, noon(-60));
        title.clone_into(&mut shown.title);
        let (findings, pace) = (&self.app.findings, unhurried());
        let shown = vec![shown];
        let stored = findings.store(owner, repository().id, shown, (Arrival::New, NOON), &pace);
        assert_eq!(stored.await.expect("the table answers").written, 1);
    }

    /// With an audit event, so that there is one.
    async fn enable(&self, owner: &Owner) {
        let settings = Settings {
            enabled: true,
            auto_sync: false,
            ..Settings::default()
        };
        let seen = self
            .app
            .owners
            .read(owner)
            .await
            .expect("the table answers");
        let changed = AuditEvent::of_save(owner, 1, AuditAction::ConfigChanged, actor(), NOON);
        let enabled = AuditEvent::of_save(owner, 1, AuditAction::Enabled, actor(), NOON);
        let (changed, enabled) = (
            self.app.audit.record(owner, &changed),
            self.app.audit.record(owner, &enabled),
        );
        let saved = self
            .app
            .owners
            .save(owner, &settings, &seen, changed.and(enabled), NOON);
        let saved = saved.await;
        assert!(matches!(saved, Ok(Saved::Saved { .. })), "{saved:?}");
    }

    async fn begin(&self, number: u32) {
        let owner = user(CALLER);
        let seen = self.app.findings.read(&owner, finding_id(number)).await;
        let seen = seen.expect("the table answers").expect("it is there");
        let beginning = Beginning {
            attempt: attempt(number),
            begun_by: BegunBy::Request,
        };
        let none = Writes::default();
        let begun = self
            .app
            .analyses
            .begin(&owner, &seen, beginning, none, NOON);
        let begun = begun.await.expect("the table answers");
        assert!(matches!(begun, Begun::Taken(_)), "{begun:?}");
    }

    async fn launch(&self, number: u32) {
        let (owner, finding) = (user(CALLER), finding_id(number));
        let seen = self.app.findings.read(&owner, finding).await;
        let seen = seen.expect("the table answers").expect("it is there");
        let (seen, session) = (seen.analysis.expect("it was begun"), SESSION.parse());
        let session = session.expect("a session");
        let analyses = &self.app.analyses;
        let writes = analyses.launched(&owner, finding, &seen, &session, None, NOON);
        let written = analyses.write(finding, "a launch", writes).await;
        assert!(written.expect("the table answers"));
    }

    /// Makes the current rows those that each case meets.
    pub(crate) async fn keep(&mut self) {
        self.seeds = self.rows().await;
    }

    /// A capability for a callback about the caller's finding, valid this long.
    pub(crate) async fn capability(&self, number: u32, attempt: CommandId, seconds: i64) -> String {
        let capability = CallbackToken {
            owner: user(CALLER),
            finding: finding_id(number),
            attempt,
            expires_at: noon(seconds),
        };
        let signed = self.app.callback_tokens.sign(&capability, NOON).await;
        signed.expect("the keys are there").expose().to_owned()
    }

    /// Returns every row.
    pub(crate) async fn rows(&self) -> Rows {
        let key = |item: &Item, name: &str| match &item[name] {
            AttributeValue::S(text) => text.clone(),
            other => panic!("keys are texts: {other:?}"),
        };
        let items = self.table.items().await.into_iter();
        items
            .map(|item| ((key(&item, "pk"), key(&item, "sk")), item))
            .collect()
    }

    /// Begins a case.
    pub(crate) async fn begin_case(&self) {
        // The previous case may have been interrupted.
        if self.dirty.replace(true) {
            self.restore(&self.rows().await).await;
        }
    }

    /// Ends a case that has left these rows.
    pub(crate) async fn end_case(&self, rows: &Rows) {
        self.restore(rows).await;
        self.dirty.set(false);
    }

    /// Restores the rows that each case meets.
    async fn restore(&self, now: &Rows) {
        for (pk, sk) in now.keys().filter(|key| !self.seeds.contains_key(key)) {
            self.table.take_away(pk, sk).await;
        }
        let changed = self
            .seeds
            .iter()
            .filter(|(key, row)| now.get(*key) != Some(row));
        for (_, row) in changed {
            self.table.put(row.clone()).await;
        }
    }
}

/// Returns the keys of the rows that differ.
pub(crate) fn changed(before: &Rows, after: &Rows) -> Vec<(String, String)> {
    let gone = before.keys().filter(|key| !after.contains_key(*key));
    let differ = after
        .iter()
        .filter(|(key, row)| before.get(*key) != Some(row));
    gone.chain(differ.map(|(key, _)| key)).cloned().collect()
}
