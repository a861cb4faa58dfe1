//! What clients request, and how often.

use std::{sync::Arc, time::Duration};

use fastrand::Rng;
use reqwest::StatusCode;
use serde_json::{Value, json};
use tests::command_id;
use tokio::{
    sync::Semaphore,
    task::JoinSet,
    time::{Instant, sleep, sleep_until},
};

use crate::{
    Soak,
    alerts::{COMMENT, Target},
    client::{Asked, Seen, ask, follow},
    github::REPOSITORIES,
    parties::Party,
};

/// The maximum number of commands that clients follow at once.
const AT_ONCE: usize = 300;
/// Repositories for which GitHub answers with errors.
const REFUSED: [&str; 3] = [
    "acme-appsec/legacy-portal",
    "acme-appsec/gone-since-listing",
    "acme-appsec/no-permission",
];
const REASONS: [&str; 5] = [
    "fix_started",
    "inaccurate",
    "no_bandwidth",
    "not_used",
    "tolerable_risk",
];

/// A command to request.
struct Wish {
    body: Value,
    /// The alert, for a dismissal.
    dismisses: Option<Target>,
}

/// Requests this many commands a second until the run ends, and returns when the last client has seen its command end.
pub(crate) async fn keep_asking(soak: Arc<Soak>, mut rng: Rng, rate: f64) {
    let permits = Arc::new(Semaphore::new(AT_ONCE));
    let pause = Duration::from_secs_f64(1.0 / rate);
    let (mut clients, mut next, mut number) = (JoinSet::new(), Instant::now(), 0_u64);
    while Instant::now() < soak.ends {
        let permit = Arc::clone(&permits)
            .acquire_owned()
            .await
            .expect("it is never closed");
        // Requests missed while everything was down are not made up for.
        next = (next + pause).max(Instant::now() - Duration::from_secs(1));
        sleep_until(next).await;
        number += 1;
        let (soak, mut rng) = (Arc::clone(&soak), rng.fork());
        clients.spawn(async move {
            act(&soak, number, &mut rng).await;
            drop(permit);
        });
        while clients.try_join_next().is_some() {}
    }
    while let Some(ended) = clients.join_next().await {
        ended.expect("no client panics");
    }
}

async fn act(soak: &Soak, number: u64, rng: &mut Rng) {
    let party = &soak.parties[rng.usize(..soak.parties.len())];
    match rng.u32(..100) {
        0..=1 => configure(soak, party, rng).await,
        2..=3 => read(soak, party, rng).await,
        _ => {
            let wish = wish(soak, number, rng);
            command(soak, party, wish, number, rng).await;
        }
    }
}

fn wish(soak: &Soak, number: u64, rng: &mut Rng) -> Wish {
    match rng.u32(..100) {
        0..=42 => other(json!({"type": "sync", "repository": REPOSITORIES[rng.usize(..5)].1})),
        43..=44 => other(json!({"type": "sync", "repository": REFUSED[rng.usize(..3)]})),
        45..=47 => other(json!({"type": "sync", "origin": "dashboard_refresh"})),
        48..=87 => {
            let target = soak.alerts.begin(rng);
            Wish {
                body: dismissal(target, "party", number, rng),
                dismisses: Some(target),
            }
        }
        _ => {
            let finding = soak.alerts.any(rng).finding();
            let restart = rng.u32(..5) == 0;
            other(json!({"type": "start_analysis", "findingId": finding, "restartActive": restart}))
        }
    }
}

const fn other(body: Value) -> Wish {
    Wish {
        body,
        dismisses: None,
    }
}

/// A dismissal with a unique comment, so that GitHub's record tells whose it is.
pub(crate) fn dismissal(target: Target, who: &str, number: u64, rng: &mut Rng) -> Value {
    json!({"type": "dismiss_finding", "findingId": target.finding(), "reason": REASONS[rng.usize(..5)],
        "comment": format!("{COMMENT}{who} {number}")})
}

async fn command(soak: &Soak, party: &Party, wish: Wish, number: u64, rng: &mut Rng) {
    let caller = &party.caller;
    let key = (rng.u32(..10) < 6).then(|| format!("soak-{number}"));
    let key = key.as_deref();
    let mut second = rng.fork();
    let asked = if key.is_some() && rng.u32(..8) == 0 {
        // The same request twice at once, as from an impatient client.
        soak.tally.client("requests made twice at once");
        let first = ask(soak, caller, &wish.body, key, rng);
        let again = ask(soak, caller, &wish.body, key, &mut second);
        let (first, again) = futures::future::join(first, again).await;
        if let (Asked::Admitted(one), Asked::Admitted(other)) = (&first, &again) {
            let what = "3: a key names one command";
            soak.tally.hold(what, one == other, || {
                format!("{one} and {other} of {}", wish.body)
            });
        }
        first
    } else {
        ask(soak, caller, &wish.body, key, rng).await
    };
    let seen = match asked {
        Asked::Admitted(id) => follow(soak, caller, id, key).await,
        Asked::Refused => Seen::Ended,
        Asked::Lost => Seen::Unknown,
    };
    let what = "1: an admitted command does not vanish";
    let stays = !matches!(seen, Seen::Erased);
    soak.tally
        .hold(what, stays, || format!("{asked:?} of {}", wish.body));
    if let (Asked::Admitted(id), Some(key)) = (&asked, key)
        && rng.u32(..20) == 0
    {
        repeat(soak, party, &wish.body, key, &id.to_string()).await;
    }
    // An alert whose dismissal nobody saw end is left alone from now on.
    if let (Some(target), Seen::Ended) = (wish.dismisses, seen)
        && let Err(error) = soak.alerts.end(&soak.github, target).await
    {
        soak.tally
            .hold("GitHub reopens alerts", false, || error.to_string());
    }
}

/// Checks that a key keeps its command, and belongs to its owner alone.
async fn repeat(soak: &Soak, party: &Party, body: &Value, key: &str, id: &str) {
    let other = json!({"type": "sync", "repository": "acme-appsec/another"});
    for (body, expected) in [
        (body, StatusCode::ACCEPTED),
        (&other, StatusCode::UNPROCESSABLE_ENTITY),
    ] {
        let Ok(answer) = party
            .caller
            .post_within(Duration::from_secs(20), body, Some(key))
            .await
        else {
            return;
        };
        if answer.status.is_server_error() {
            return;
        }
        let is_it = answer.status == expected
            && (expected != StatusCode::ACCEPTED || answer.body["id"] == id);
        let what = "3: a key keeps its command";
        soak.tally.hold(what, is_it, || {
            format!("{} {} instead of {id}", answer.status, answer.body)
        });
    }
}

/// Saves another configuration, and later the usual one.
async fn configure(soak: &Soak, party: &Party, rng: &mut Rng) {
    let severity = ["critical", "high"][rng.usize(..2)];
    let mode = ["auto", "shallow", "deep"][rng.usize(..3)];
    let change = match rng.u32(..4) {
        0 if party.automates => json!({
            "autoAnalysis": {"enabled": true, "minSeverity": severity, "includeExisting": true},
            "autoDismiss": {"enabled": true, "minConfidence": "low"},
        }),
        0 => json!({"enabled": false}),
        1 => json!({"analysisMode": mode}),
        2 => {
            json!({"repositorySelection": "selected", "selectedRepositoryIds": [REPOSITORIES[rng.usize(..5)].0]})
        }
        _ => json!({"slaDays": {"low": rng.u32(60..300)}}),
    };
    for change in [change, party.settings()] {
        soak.tally.client("configurations saved");
        let saved = party.caller.try_configure(&change).await;
        if let Ok(saved) = saved
            && let Some(command) = saved.body["initialSync"].get("command")
        {
            follow(soak, &party.caller, command_id(command), None).await;
        }
        sleep(Duration::from_millis(rng.u64(1_000..10_000))).await;
    }
}

/// Reads what a dashboard shows, and what it must not show.
async fn read(soak: &Soak, party: &Party, rng: &mut Rng) {
    let other = &soak.parties[rng.usize(..soak.parties.len())];
    let paths = [
        "summary",
        "findings?status=open&limit=50",
        "repositories",
        "commands?state=active",
        "audit-events?limit=20",
    ];
    let path = paths[rng.usize(..paths.len())];
    soak.tally.client("pages read");
    let Ok(page) = party.caller.try_get(path, &[]).await else {
        return;
    };
    let what = "1: a page is answered";
    soak.tally.hold(
        what,
        page.status == StatusCode::OK || page.status.is_server_error(),
        || format!("{path}: {} {}", page.status, page.body),
    );
    let theirs = other.caller.told_ended();
    if party.subject != other.subject
        && let Some(id) = rng.choice(&theirs)
        && let Ok(answer) = party.caller.try_get(&format!("commands/{id}"), &[]).await
    {
        let hidden = answer.status == StatusCode::NOT_FOUND || answer.status.is_server_error();
        soak.tally.hold(
            "5: another owner's command looks absent, while it runs",
            hidden,
            || answer.body.to_string(),
        );
    }
}
