//! The audit log: what was done with an owner's data, by whom. One event per effect, however often its message was
//! delivered.
//!
//! An event is written in the transaction that makes its effect, and that transaction's guard succeeds once. So every
//! effect has its event and every event its effect.

use std::fmt;

use aws_sdk_dynamodb::types::AttributeValue;
use serde::Serialize;
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::table::{
    Attributes, Cause, Expression, Item, Partition, Table, Unreadable, Writes, ms, s,
};
use domain::{
    Timestamp,
    command::{Actor, CommandId},
    owner::Owner,
    text::words,
};

/// The audit events' rows.
#[derive(Clone, Debug)]
pub struct Audit {
    table: Table,
}

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AuditAction {
    /// A finding's alert was dismissed.
    FindingDismissed,
    /// A finding's alert was reopened.
    FindingReopened,
    /// An analysis was started.
    AnalysisStarted,
    /// An analysis has a result.
    AnalysisCompleted,
    /// An analysis ended without a result.
    AnalysisFailed,
    /// Security Agent was enabled.
    Enabled,
    /// Security Agent was disabled.
    Disabled,
    /// Another part of the configuration was changed.
    ConfigChanged,
    /// The owner was connected to an installation, or the connection has changed.
    Connected,
    /// A sync refreshed every repository in scope.
    SyncCompleted,
}

words!(AuditAction, "an audited action", {
    FindingDismissed => "finding_dismissed",
    FindingReopened => "finding_reopened",
    AnalysisStarted => "analysis_started",
    AnalysisCompleted => "analysis_completed",
    AnalysisFailed => "analysis_failed",
    Enabled => "enabled",
    Disabled => "disabled",
    ConfigChanged => "config_changed",
    Connected => "connected",
    SyncCompleted => "sync_completed",
});

/// The type of the resource that an action changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ResourceType {
    /// A finding.
    Finding,
    /// The owner's configuration.
    Config,
    /// The owner's connection to GitHub.
    Integration,
    /// A repository.
    Repository,
    /// All the owner's repositories in scope.
    Owner,
}

words!(ResourceType, "a type of resource", {
    Finding => "finding",
    Config => "config",
    Integration => "integration",
    Repository => "repository",
    Owner => "owner",
});

/// One audited effect.
#[derive(Clone, Debug, PartialEq)]
pub struct AuditEvent {
    /// Derived from the cause, so that a repetition has the same id.
    pub id: Uuid,
    /// What was done.
    pub action: AuditAction,
    /// Who caused it.
    pub actor: Actor,
    /// The type of the changed resource.
    pub resource_type: ResourceType,
    /// The id of the changed resource.
    pub resource_id: String,
    /// The command that did it.
    pub command: Option<CommandId>,
    /// When it was done.
    pub occurred_at: Timestamp,
    /// Details, which docs/operating/audit.md lists: codes, numbers and an owner's own settings.
    pub details: Map<String, Value>,
}

/// The UUID namespace of event ids.
const NAMESPACE: Uuid = Uuid::from_u128(0x5d1c_54e1_6f0e_4b0c_9a3c_2f6b_b1a9_0d11);

impl AuditEvent {
    /// An effect of this command. For a callback or the reconciler, it is the command that launched the analysis.
    pub fn of_command(
        command: CommandId,
        action: AuditAction,
        actor: Actor,
        resource: (ResourceType, impl fmt::Display),
        occurred_at: Timestamp,
    ) -> Self {
        Self {
            id: Uuid::new_v5(&NAMESPACE, format!("{command}#{action}").as_bytes()),
            action,
            actor,
            resource_type: resource.0,
            resource_id: resource.1.to_string(),
            command: Some(command),
            occurred_at,
            details: Map::new(),
        }
    }

    /// An effect of saving the configuration as this version.
    pub fn of_save(
        owner: &Owner,
        version: u64,
        action: AuditAction,
        actor: Actor,
        occurred_at: Timestamp,
    ) -> Self {
        Self {
            id: Uuid::new_v5(&NAMESPACE, format!("{owner}#{version}#{action}").as_bytes()),
            action,
            actor,
            resource_type: ResourceType::Config,
            resource_id: owner.to_string(),
            command: None,
            occurred_at,
            details: Map::from_iter([("version".to_owned(), version.into())]),
        }
    }

    /// A change of the connection, by the attempt that wrote this token.
    pub fn of_connection(owner: &Owner, token: Uuid, actor: Actor, occurred_at: Timestamp) -> Self {
        let action = AuditAction::Connected;
        Self {
            id: Uuid::new_v5(&NAMESPACE, format!("{owner}#{token}#{action}").as_bytes()),
            action,
            actor,
            resource_type: ResourceType::Integration,
            resource_id: owner.to_string(),
            command: None,
            occurred_at,
            details: Map::new(),
        }
    }

    /// Adds a detail: a code, a number or a setting of bounded length, never other free text.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Serialize) -> Self {
        let value = serde_json::to_value(value).unwrap_or(Value::Null);
        self.details.insert(name.to_owned(), value);
        self
    }
}

/// Where a page of events ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditPosition(String);

impl AuditPosition {
    /// Parses a position; `None` if the text is not one.
    pub fn parse(text: &str) -> Option<Self> {
        let (at, id) = text.split_once('#')?;
        let place = at.len() == 15 && at.bytes().all(|byte| byte.is_ascii_digit());
        (place && Uuid::try_parse(id).is_ok()).then(|| Self(text.to_owned()))
    }

    /// The position as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A page of events.
#[derive(Clone, Debug)]
pub struct AuditPage {
    /// Newest first.
    pub events: Vec<AuditEvent>,
    /// Where the next page begins; `None` at the end.
    pub next: Option<AuditPosition>,
}

/// The events could not be read. Repeating the call is safe.
#[derive(Debug, thiserror::Error)]
#[error("cannot read an owner's audit events")]
pub struct AuditError(#[source] Cause);

impl Audit {
    /// The audit events in this table.
    pub const fn new(table: Table) -> Self {
        Self { table }
    }

    /// The write of an event, for the transaction that makes its effect.
    pub fn record(&self, owner: &Owner, event: &AuditEvent) -> Writes {
        let details = Value::Object(event.details.clone());
        let mut item = key(owner, &position(event));
        let mut put = |name: &str, value: AttributeValue| item.insert(name.to_owned(), value);
        put("id", s(event.id.to_string()));
        put("action", s(event.action.as_str()));
        put("actor", s(event.actor.to_string()));
        put("resource_type", s(event.resource_type.as_str()));
        put("resource_id", s(&event.resource_id));
        put("occurred_at", ms(event.occurred_at));
        put("details", s(details.to_string()));
        if let Some(command) = event.command {
            put("command", s(command.to_string()));
        }
        self.table.put(item, Expression::default(), None)
    }

    /// A page of an owner's events, newest first, strongly consistent.
    pub async fn list(
        &self,
        owner: &Owner,
        limit: usize,
        after: Option<&AuditPosition>,
    ) -> Result<AuditPage, AuditError> {
        let page = self
            .table
            .client
            .query()
            .table_name(&self.table.name)
            .consistent_read(true)
            .key_condition_expression("pk = :pk")
            .expression_attribute_values(":pk", Partition::AuditEvents.of(owner))
            .scan_index_forward(false)
            // One more than the page, to know whether there is another page.
            .limit(i32::try_from(limit + 1).unwrap_or(i32::MAX))
            .set_exclusive_start_key(after.map(|after| key(owner, &after.0)))
            .send()
            .await
            .map_err(|error| AuditError(error.into()))?;
        let mut events: Vec<AuditEvent> = page
            .items()
            .iter()
            .map(event)
            .collect::<Result<_, _>>()
            .map_err(|error| AuditError(error.into()))?;
        let more = events.len() > limit || page.last_evaluated_key.is_some();
        events.truncate(limit);
        let next = events
            .last()
            .filter(|_| more)
            .map(|last| AuditPosition(position(last)));
        Ok(AuditPage { events, next })
    }
}

/// Sorts by time; the id distinguishes events of the same millisecond.
fn position(event: &AuditEvent) -> String {
    format!("{:015}#{}", event.occurred_at.as_millis().max(0), event.id)
}

fn key(owner: &Owner, position: &str) -> Item {
    Item::from([
        ("pk".to_owned(), Partition::AuditEvents.of(owner)),
        ("sk".to_owned(), s(position)),
    ])
}

fn event(item: &Item) -> Result<AuditEvent, Unreadable> {
    Ok(AuditEvent {
        id: item.parsed("id", |text| Uuid::try_parse(text).ok())?,
        action: item.parsed("action", |text| text.parse().ok())?,
        actor: item.parsed("actor", |text| text.parse().ok())?,
        resource_type: item.parsed("resource_type", |text| text.parse().ok())?,
        resource_id: item.text_owned("resource_id")?,
        command: item.maybe("command", |item, name| {
            item.parsed(name, |text| text.parse().ok())
        })?,
        occurred_at: item.time("occurred_at")?,
        details: item.parsed("details", |text| serde_json::from_str(text).ok())?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: Timestamp = Timestamp::from_millis(1_795_435_200_000);

    #[test]
    fn a_repeated_event_of_an_effect_has_the_same_id() {
        let command = CommandId::new(NOON);
        let event = |action| {
            let of = (ResourceType::Finding, "dependabot-1-2");
            AuditEvent::of_command(command, action, Actor::SecurityAgent, of, NOON)
        };
        let first = event(AuditAction::FindingDismissed);
        assert_eq!(first, event(AuditAction::FindingDismissed));
        assert_ne!(first.id, event(AuditAction::AnalysisStarted).id);
    }

    #[test]
    fn only_a_position_parses_as_a_position() {
        let owner: Owner = "user:a".parse().expect("valid");
        let event =
            AuditEvent::of_save(&owner, 3, AuditAction::Enabled, Actor::SecurityAgent, NOON);
        let text = position(&event);
        assert_eq!(
            AuditPosition::parse(&text).expect("a position").as_str(),
            text
        );
        let id = event.id;
        for other in [
            String::new(),
            "z".to_owned(),
            "001795435200000".to_owned(),
            "001795435200000#".to_owned(),
            "001795435200000#1".to_owned(),
            format!("1#{id}"),
            format!("0001795435200000#{id}"),
            format!("00179543520000x#{id}"),
        ] {
            assert_eq!(AuditPosition::parse(&other), None, "{other}");
        }
    }
}
