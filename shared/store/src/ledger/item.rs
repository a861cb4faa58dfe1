//! Converts a command to an item and back, and renders a guard and its changes as DynamoDB expressions.

use aws_sdk_dynamodb::types::AttributeValue;

use crate::{
    ledger::{Candidate, LedgerError},
    table::{Attributes, DueKind, Expression, Item, Partition, Unreadable, ms, n, s, token},
};
use domain::{
    Timestamp,
    command::{
        Action, Actor, Argument, Command, CommandId, CommandKey, CommandType, Ended, Field,
        Progress, Reader, Value,
    },
    lifecycle::{Change, CommandState, Guard, IndexSnapshot, Lease, Stage, Status, Term},
    result_code::{Effect, ResultCode},
};

/// The command's partition of the `due` index.
pub fn due_key(id: CommandId) -> String {
    // The low bits of a version 7 UUID are random (RFC 9562, section 5.7), so they spread evenly over the shards.
    DueKind::Command.shard_of(id.as_u128() as u32)
}

pub(super) fn key(key: &CommandKey) -> Item {
    Item::from([
        ("pk".to_owned(), Partition::Commands.of(&key.owner)),
        ("sk".to_owned(), s(key.id.to_string())),
    ])
}

/// The item of a newly admitted command.
pub(super) fn admitted(command: &Command) -> Item {
    let state = &command.state;
    let mut item = key(&command.key);
    let mut put = |name: &str, value: AttributeValue| item.insert(name.to_owned(), value);
    put("type", s(command.action.type_name()));
    for (name, value) in command.action.values() {
        let value = match value {
            Value::Text(text) => s(text),
            Value::Set => AttributeValue::Bool(true),
        };
        put(name, value);
    }
    put("origin", s(command.origin.as_str()));
    put("actor", s(command.actor.to_string()));
    put("status", s(state.status.as_str()));
    put("admission", token(state.admission));
    put("writer", token(state.admission));
    put("attempt", n(state.attempt));
    put("stage", n(state.stage.0));
    put("resends", n(state.resends));
    put("deadline", ms(state.deadline));
    put("accepted_at", ms(command.accepted_at));
    put("updated_at", ms(command.updated_at));
    put("active", s(command.key.id.to_string()));
    if let Some(at) = state.queued_at {
        put("queued_at", ms(at));
    }
    if let Some(due) = state.due {
        put("due_at", ms(due));
        put("due_shard", s(due_key(command.key.id)));
    }
    item
}

/// Reads the command's action.
fn read_action(item: &Item) -> Result<Action, Unreadable> {
    let kind: CommandType = item.parsed("type", |text| text.parse().ok())?;
    let mut row = Row {
        item,
        unreadable: "type",
    };
    kind.read(&mut row)
        .ok_or(Unreadable::attribute(row.unreadable))
}

/// A row from which arguments are read.
struct Row<'a> {
    item: &'a Item,
    unreadable: &'static str,
}

impl Reader for Row<'_> {
    fn argument<A: Argument>(&mut self, field: &Field) -> Option<A> {
        let value = match self.item.get(field.attribute) {
            Some(AttributeValue::S(text)) => Some(Value::Text(text.clone())),
            Some(AttributeValue::Bool(true)) => Some(Value::Set),
            Some(_) | None => None,
        };
        let read = A::of(value).ok();
        if read.is_none() {
            self.unreadable = field.attribute;
        }
        read
    }
}

/// Reads a command.
pub(super) fn command(item: &Item) -> Result<Command, LedgerError> {
    read(item).map_err(|source| unreadable(item, source))
}

fn unreadable(item: &Item, source: Unreadable) -> LedgerError {
    LedgerError::Unreadable {
        id: item.text("sk").unwrap_or("without a key").to_owned(),
        source,
    }
}

fn read(item: &Item) -> Result<Command, Unreadable> {
    let key = item_key(item)?;
    let state = state(item)?;
    // Rows of the first version have no actor.
    let actor = item.maybe("actor", |item, name| {
        item.parsed(name, |text| text.parse().ok())
    })?;
    let progress = match (
        item.maybe("done", Attributes::number)?,
        item.maybe("total", Attributes::number)?,
    ) {
        (Some(done), Some(total)) => Some(Progress { done, total }),
        _ => None,
    };
    let ended = if state.status.is_terminal() {
        let code = item.parsed("code", ResultCode::parse)?;
        let effect = item.maybe("effect", |item, name| item.parsed(name, Effect::parse))?;
        Some(Ended {
            code,
            effect: effect.unwrap_or_else(|| Effect::of_cut_off(&state)),
            completed_at: item.time("completed_at")?,
            expires_at: Timestamp::from_seconds(item.number("expires_at")?),
        })
    } else {
        None
    };
    Ok(Command {
        key,
        action: read_action(item)?,
        origin: item.parsed("origin", |text| text.parse().ok())?,
        actor: actor.unwrap_or(Actor::SecurityAgent),
        state,
        progress,
        last_error: item.maybe("last_error", Attributes::text_owned)?,
        accepted_at: item.time("accepted_at")?,
        started_at: item.maybe("started_at", Attributes::time)?,
        updated_at: item.time("updated_at")?,
        ended,
    })
}

fn item_key(item: &Item) -> Result<CommandKey, Unreadable> {
    Ok(CommandKey {
        owner: item.parsed("pk", |pk| Partition::Commands.owner(pk))?,
        id: item.parsed("sk", |sk| sk.parse().ok())?,
    })
}

fn state(item: &Item) -> Result<CommandState, Unreadable> {
    let lease = match item.maybe("claim", Attributes::token)? {
        Some(token) => Some(Lease {
            token,
            until: item.time("claim_until")?,
        }),
        None => None,
    };
    Ok(CommandState {
        status: item.parsed("status", Status::parse)?,
        never_queued: item.has("never_queued"),
        admission: item.token("admission")?,
        attempt: item.number("attempt")?,
        stage: Stage(item.number("stage")?),
        lease,
        queued_at: item.maybe("queued_at", Attributes::time)?,
        resends: item.number("resends")?,
        waiting_until: item.maybe("waiting_until", Attributes::time)?,
        deadline: item.time("deadline")?,
        due: item.maybe("due_at", Attributes::time)?,
    })
}

/// Reads an entry of the `due` index.
pub(super) fn candidate(item: &Item) -> Result<Candidate, LedgerError> {
    let read = || {
        Ok(Candidate {
            key: item_key(item)?,
            status: item.parsed("status", Status::parse)?,
            seen: IndexSnapshot {
                queued_at: item.maybe("queued_at", Attributes::time)?,
                resends: item.number("resends")?,
                deadline: item.time("deadline")?,
            },
        })
    };
    read().map_err(|source| unreadable(item, source))
}

/// The guard as a condition expression. It must agree with [`Guard::holds`].
pub(super) fn condition(guard: &Guard, expression: &mut Expression) -> String {
    let alternatives: Vec<String> = guard
        .0
        .iter()
        .map(|terms| {
            let terms: Vec<String> = terms.iter().map(|term| render(*term, expression)).collect();
            format!("({})", terms.join(" AND "))
        })
        .collect();
    alternatives.join(" OR ")
}

fn render(term: Term, e: &mut Expression) -> String {
    match term {
        Term::StatusIs(status) => e.compare("status", "=", s(status.as_str())),
        Term::NeverQueued => format!("attribute_exists({})", e.name("never_queued")),
        Term::AdmissionIs(admission) => e.compare("admission", "=", token(admission)),
        Term::LeasedTo(holder) => e.compare("claim", "=", token(holder)),
        Term::LeaseExpired(now) => e.compare("claim_until", "<=", ms(now)),
        Term::StageIs(stage) => e.compare("stage", "=", n(stage.0)),
        Term::WaitOver(now) => {
            let absent = format!("attribute_not_exists({})", e.name("waiting_until"));
            format!(
                "({absent} OR {})",
                e.compare("waiting_until", "<=", ms(now))
            )
        }
        Term::QueuedSince(at) => e.compare("queued_at", "=", ms(at)),
        Term::ResendsAre(count) => e.compare("resends", "=", n(count)),
        Term::DueBy(now) => e.compare("due_at", "<=", ms(now)),
        Term::DeadlinePassed(now) => e.compare("deadline", "<=", ms(now)),
    }
}

/// Adds a change to the update.
pub(super) fn update(change: Change, id: CommandId, e: &mut Expression) {
    match change {
        Change::Status(status) => {
            e.set("status", s(status.as_str()));
            // `active` is the sort key of a local index: without the attribute the row leaves the index.
            e.put("active", (!status.is_terminal()).then(|| s(id.to_string())));
        }
        Change::NeverQueued(never) => {
            e.put("never_queued", never.then_some(AttributeValue::Bool(true)));
        }
        Change::Admission(admission) => e.set("admission", token(admission)),
        Change::NextAttempt => e.add("attempt", 1),
        Change::NextStage => e.add("stage", 1),
        Change::Lease(lease) => {
            e.set("claim", token(lease.token));
            e.set("claim_until", ms(lease.until));
        }
        Change::LeaseUntil(until) => e.set("claim_until", ms(until)),
        Change::QueuedAt(at) => e.put("queued_at", at.map(ms)),
        Change::Resends(count) => e.set("resends", n(count)),
        Change::WaitingUntil(until) => e.put("waiting_until", until.map(ms)),
        Change::Deadline(at) => e.set("deadline", ms(at)),
        Change::Due(at) => {
            e.put("due_at", at.map(ms));
            e.put("due_shard", at.map(|_| s(due_key(id))));
        }
    }
}
