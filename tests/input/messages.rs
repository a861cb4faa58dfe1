//! Whatever a queue delivers, a function neither panics nor spoils the batch: it acknowledges each message or hands it
//! back, processes valid ones, quarantines unreadable ones, and changes only rows that a message names.

use std::{collections::BTreeSet, fmt};

use aws_lambda_events::event::sqs::SqsEvent;
use domain::{
    analysis::{AnalysisOutcome, Callback, FailureCode},
    command::{Action, Command, DismissFinding, StartAnalysis, SyncFindings},
    finding::DismissReason,
    lifecycle::Stage,
    owner::Owner,
    settings::Settings,
};
use proptest::{collection::vec, prelude::*, sample::select};
use runtime::queue::{Message, Unusable};
use serde_json::{Value, json};
use store::table::Writes;
use tests::{Holder, NOON, command, states};

use crate::{
    explore::{cases, explore, on_a_large_stack},
    functions::{Function, Functions},
    json::bodies,
    scene::{
        CALLER, GONE, OPEN, ORGANISATION, RUNNING, SESSION, Scene, attempt, changed, command_id,
        finding_id, user,
    },
};

/// The maximum size of an SQS message, attributes included.
const LONGEST: usize = 1 << 20;
/// An address without a listener: an owner who has disabled everything needs neither GitHub nor the agent.
const CLOSED: &str = "http://127.0.0.1:9";

/// Words with a meaning in a message.
const WORDS: [&str; 10] = [
    "command",
    "scheduled_sync",
    "call_back",
    "erase",
    "user:auth0|5f7c",
    "user:auth0|elsewhere",
    "user:auth0|gone",
    "01932b3a-5c00-7000-8000-000000000000",
    "01932b3a-5c00-7000-8000-000000000102",
    "dependabot-7-2",
];

/// A message as delivered.
#[derive(Clone)]
struct Delivered {
    body: String,
    receives: Option<&'static str>,
    queue: Option<&'static str>,
}

impl fmt::Debug for Delivered {
    /// A long body is printed as its beginning and its length.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            body,
            receives,
            queue,
        } = self;
        let head: String = body.chars().take(2_000).collect();
        write!(
            f,
            "{receives:?} from {queue:?}, {} bytes: {head:?}",
            body.len()
        )
    }
}

/// A message of each kind in its original form, about the scene's rows.
fn valid() -> Vec<Value> {
    let read = |text: &str| -> Value { serde_json::from_str(text).expect("a fixture") };
    let mut command = read(include_str!("../fixtures/messages/v1/command.json"));
    let mut callback = read(include_str!("../fixtures/messages/v1/call-back.json"));
    let scheduled = read(include_str!("../fixtures/messages/v1/scheduled-sync.json"));
    let mut erase = read(include_str!("../fixtures/messages/v1/erase.json"));
    callback["finding"] = json!(finding_id(RUNNING));
    callback["attempt"] = json!(attempt(RUNNING));
    erase["owner"] = json!(user(GONE));
    let mut valid = vec![callback, scheduled, erase];
    // In every state, and of every type.
    for place in (0..states(Holder::Another).len()).chain([70, 71]) {
        command["commandId"] = json!(command_id(place));
        valid.push(command.clone());
    }
    let mut newer = valid.clone();
    newer
        .iter_mut()
        .for_each(|message| message["version"] = json!(2));
    valid.extend(newer);
    valid
}

/// Replaces what SQS would reject with what it accepts.
fn deliverable(bytes: &[u8]) -> String {
    let taken = |char: &char| matches!(char, '\t' | '\n' | '\r' | ' '..='\u{fffd}' | '\u{10000}'..='\u{10ffff}');
    let text = String::from_utf8_lossy(bytes);
    let mut text: String = text.chars().filter(taken).collect();
    text.truncate(text.floor_char_boundary(LONGEST));
    if text.is_empty() {
        " ".to_owned()
    } else {
        text
    }
}

fn delivered() -> impl Strategy<Value = Delivered> {
    let long =
        (bodies(valid(), &WORDS), select(vec![b' ', b'x'])).prop_map(|(mut body, filling)| {
            body.resize(body.len().max(LONGEST), filling);
            body.truncate(LONGEST);
            body
        });
    let body = prop_oneof![40 => bodies(valid(), &WORDS), 1 => long];
    let receives = select(vec![
        Some("1"),
        Some("1"),
        Some("4"),
        Some("0"),
        Some("-1"),
        Some("4294967296"),
        Some("many"),
        None,
    ]);
    let queue = select(vec![
        Some("sync"),
        Some("sync"),
        Some("elsewhere"),
        Some(""),
        None,
    ]);
    (body, receives, queue).prop_map(|(body, receives, queue)| Delivered {
        body: deliverable(&body),
        receives,
        queue,
    })
}

fn event(batch: &[Delivered]) -> SqsEvent {
    let records = batch.iter().enumerate().map(|(place, delivered)| {
        let attributes = match delivered.receives {
            Some(count) => json!({"ApproximateReceiveCount": count}),
            None => json!({}),
        };
        let arn = delivered
            .queue
            .map(|queue| format!("arn:aws:sqs:us-east-1:000000000000:{queue}"));
        json!({
            "messageId": id(place), "receiptHandle": format!("receipt-{place}"), "body": delivered.body,
            "attributes": attributes, "eventSourceARN": arn,
        })
    });
    let records: Vec<Value> = records.collect();
    serde_json::from_value(json!({"Records": records})).expect("an event")
}

fn id(place: usize) -> String {
    format!("message-{place}")
}

/// Sets up the scene, with a command of every type, an owner who has disabled everything, and an unrecorded callback.
async fn set() -> Scene {
    let mut scene = Scene::set().await;
    let (app, caller) = (&scene.app, user(CALLER));
    for (owner, first) in [(neighbour(), 60), (caller.clone(), 69)] {
        for (place, action) in actions().into_iter().enumerate() {
            let row = Command {
                action,
                ..accepted(owner.clone(), first + place)
            };
            scene.table.put_command(&row).await;
        }
    }
    scene.table.put_command(&accepted(neighbour(), 63)).await;
    let callback = Callback {
        session: SESSION.parse().expect("a session"),
        outcome: AnalysisOutcome::Failed(FailureCode::unspecified()),
    };
    let (finding, attempt) = (finding_id(RUNNING), attempt(RUNNING));
    let received = app
        .analyses
        .receive(&caller, finding, attempt, &callback, NOON);
    _ = received.await.expect("the table answers");
    let seen = app.owners.read(&caller).await.expect("the table answers");
    let (disabled, none) = (Settings::default(), Writes::default());
    let saved = app.owners.save(&caller, &disabled, &seen, none, NOON).await;
    _ = saved.expect("the table answers");
    scene.keep().await;
    scene
}

fn actions() -> [Action; 3] {
    let finding = finding_id(OPEN);
    let dismissal = DismissFinding {
        finding,
        reason: DismissReason::NotUsed,
        comment: None,
    };
    let analysis = StartAnalysis::of(finding);
    [
        SyncFindings::all().into(),
        dismissal.into(),
        analysis.into(),
    ]
}

fn accepted(owner: Owner, place: usize) -> Command {
    let (_, state) = states(Holder::Another).swap_remove(0);
    let mut command = command(owner, state);
    command.key.id = command_id(place);
    command
}

/// The owner of the valid messages in each batch.
fn neighbour() -> Owner {
    Owner::Org(ORGANISATION.parse().expect("a UUID"))
}

/// A message that the function processes whatever else is in the batch.
fn neighbour_of(function: Function) -> Message {
    let of = |place| Message::Command {
        key: accepted(neighbour(), place).key,
        stage: Stage::default(),
    };
    match function {
        Function::Sync => of(60),
        Function::Dismiss => of(61),
        Function::Analyse => of(62),
        Function::DeadLetter => of(63),
        Function::RecordAnalysis => Message::Callback {
            owner: user(CALLER),
            finding: finding_id(RUNNING),
            attempt: attempt(RUNNING),
        },
        Function::Erase => Message::Erase {
            owner: user(GONE),
            requested_at: NOON,
        },
    }
}

/// Returns whether the message was processed.
async fn is_done(scene: &Scene, message: &Message) -> bool {
    let app = &scene.app;
    match message {
        Message::Command { key, .. } => {
            let row = app.ledger.read(key, NOON).await.expect("the table answers");
            row.expect("it is there").status().is_terminal()
        }
        Message::Callback { owner, finding, .. } => {
            let record = app.findings.read(owner, *finding).await;
            let record = record.expect("the table answers").expect("it is there");
            !record.analysis.expect("it was begun").status.in_flight()
        }
        Message::Erase { owner, .. } => {
            let of_owner = format!("#{owner}");
            let rows = scene.rows().await;
            let left = rows.keys().filter(|(pk, _)| pk.ends_with(&of_owner));
            // The tombstone.
            left.count() == 1
        }
        Message::ScheduledSync(_) => unreachable!("none is a neighbour"),
    }
}

/// Returns whether a message may change this row: it names the row's command, or the row's owner and no command.
fn names(body: &str, (pk, sk): &(String, String)) -> bool {
    let Ok(message) = serde_json::from_str::<Value>(body) else {
        return false;
    };
    let text = |name: &str| message[name].as_str().unwrap_or_default();
    let (kind, owner) = (text("kind"), text("owner"));
    let its_command = pk == &format!("command#{owner}") && sk == text("commandId");
    let of_owner = pk.ends_with(&format!("#{owner}")) && kind != "command";
    !owner.is_empty() && (its_command || of_owner)
}

async fn check(scene: &Scene, functions: &Functions, function: Function, batch: &[Delivered]) {
    scene.begin_case().await;
    _ = scene.queues.all.take(&scene.queues.malformed).await;
    let response = functions.invoke(function, &event(batch), 30).await;
    let failures = response.batch_item_failures.iter();
    let again: BTreeSet<String> = failures
        .map(|failure| failure.item_identifier.clone())
        .collect();
    let ids: BTreeSet<String> = (0..batch.len()).map(id).collect();
    assert_eq!(again.len(), response.batch_item_failures.len(), "each once");
    assert!(again.is_subset(&ids), "{again:?}");

    let mut unreadable = Vec::new();
    for (place, delivered) in batch.iter().enumerate() {
        let redelivered = again.contains(&id(place));
        match Message::parse(&delivered.body) {
            Err(Unusable::Malformed { .. }) => {
                assert!(
                    !redelivered,
                    "{function:?} hands back an unreadable message"
                );
                unreadable.push(delivered.body.clone());
            }
            // No consumer is left to hand it to.
            Err(Unusable::Newer { .. }) if function == Function::DeadLetter => {
                unreadable.extend((!redelivered).then(|| delivered.body.clone()));
            }
            Err(Unusable::Newer { .. }) => {
                assert!(redelivered, "{function:?} drops a newer message");
            }
            Ok(message) => assert!(
                redelivered || takes(function, &message),
                "{function:?} drops {message:?}"
            ),
        }
    }
    let mut kept = scene.queues.all.take(&scene.queues.malformed).await;
    kept.sort_unstable();
    unreadable.sort_unstable();
    assert!(
        kept == unreadable,
        "{} kept of {}",
        kept.len(),
        unreadable.len()
    );

    let rows = scene.rows().await;
    for key in changed(&scene.seeds, &rows) {
        let named = batch.iter().any(|delivered| names(&delivered.body, &key));
        assert!(named, "{function:?} has changed {key:?}");
    }
    let neighbour = neighbour_of(function);
    assert!(
        is_done(scene, &neighbour).await,
        "{function:?} has not processed {neighbour:?}"
    );
    scene.end_case(&rows).await;
}

/// Returns whether the function consumes messages of this kind.
fn takes(function: Function, message: &Message) -> bool {
    match message {
        Message::Command { .. } => !matches!(function, Function::RecordAnalysis | Function::Erase),
        Message::ScheduledSync(_) => matches!(function, Function::Sync | Function::DeadLetter),
        Message::Callback { .. } => {
            matches!(function, Function::RecordAnalysis | Function::DeadLetter)
        }
        Message::Erase { .. } => matches!(function, Function::Erase | Function::DeadLetter),
    }
}

/// A body that was once handed back for ever: it leaves no room for its origin.
fn known() -> Vec<Delivered> {
    let largest = |length| Delivered {
        body: "x".repeat(length),
        receives: Some("1"),
        queue: Some("sync"),
    };
    let unnamed = Delivered {
        queue: Some(""),
        ..largest(1)
    };
    vec![
        largest(LONGEST),
        largest(LONGEST - "fromStringsync".len()),
        unnamed,
    ]
}

#[test]
fn any_message_is_processed_quarantined_or_redelivered() {
    on_a_large_stack(async || {
        let scene = set().await;
        let functions = Functions::of(&scene, CLOSED);
        for function in Function::ALL {
            let neighbour = Delivered {
                body: neighbour_of(function).body(),
                receives: Some("1"),
                queue: None,
            };
            for delivered in known() {
                check(
                    &scene,
                    &functions,
                    function,
                    &[delivered, neighbour.clone()],
                )
                .await;
            }
            let batches = (vec(delivered(), 1..=5), any::<prop::sample::Index>());
            let batches = batches.prop_map(|(mut batch, place)| {
                batch.insert(place.index(batch.len() + 1), neighbour.clone());
                batch
            });
            explore(cases(20), 1, &batches, async |batch| {
                check(&scene, &functions, function, &batch).await;
            })
            .await;
        }
    });
}
