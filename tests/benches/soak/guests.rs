//! Owners who come, use the system for a while, and request their erasure while their work is in progress.

use std::{sync::Arc, time::Duration};

use fastrand::Rng;
use serde_json::json;
use tests::Caller;
use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};

use crate::{
    Soak,
    client::{Asked, ask},
    github::REPOSITORIES,
    host::TokenDesk,
    mix::dismissal,
};

/// From one guest to the next.
const PAUSE_MS: std::ops::Range<u64> = 15_000..45_000;
/// The time limit for an erasure: it sweeps again after twenty seconds, and is redelivered when its worker dies.
const ERASED_WITHIN: Duration = Duration::from_secs(15 * 60);

/// Runs one guest after the other, and returns when the last is erased.
pub(crate) async fn come_and_go(soak: Arc<Soak>, desk: TokenDesk, mut rng: Rng) {
    let (mut guests, mut number) = (JoinSet::new(), 0);
    loop {
        sleep(Duration::from_millis(rng.u64(PAUSE_MS))).await;
        // The last guest still has time for a request.
        if Instant::now() + Duration::from_secs(20) > soak.ends {
            break;
        }
        number += 1;
        let (soak, desk, rng) = (Arc::clone(&soak), desk.clone(), rng.fork());
        guests.spawn(async move { visit(&soak, &desk, number, rng).await });
    }
    while let Some(ended) = guests.join_next().await {
        ended.expect("no guest panics");
    }
}

async fn visit(soak: &Soak, desk: &TokenDesk, number: u64, mut rng: Rng) {
    let subject = format!("auth0|soak-guest-{number}-{:08x}", rng.u32(..));
    // If the stack is down now, this guest is skipped.
    let Ok(guest) = desk.caller(json!({"sub": subject})).await else {
        return;
    };
    let enabled = json!({"enabled": true, "repositorySelection": "selected",
        "selectedRepositoryIds": REPOSITORIES.map(|(id, _)| id)});
    let _ = guest.try_configure(&enabled).await;
    sleep(Duration::from_millis(rng.u64(2_000..8_000))).await;
    for wish in 0..rng.u64(3..12) {
        let body = match rng.u32(..3) {
            0 => json!({"type": "sync"}),
            1 => {
                json!({"type": "start_analysis", "findingId": soak.alerts.any(&mut rng).finding()})
            }
            _ => {
                let target = soak.alerts.begin(&mut rng);
                soak.tally.counts().untold.insert(target.path());
                dismissal(target, &format!("guest-{number}"), wish, &mut rng)
            }
        };
        let key = format!("guest-{number}-{wish}");
        if let Asked::Admitted(id) = ask(soak, &guest, &body, Some(&key), &mut rng).await {
            soak.tally.counts().erased.insert(id);
        }
    }
    leave(soak, &guest).await;
}

/// Requests erasure while the guest's work is in progress.
async fn leave(soak: &Soak, guest: &Caller) {
    let deadline = Instant::now() + ERASED_WITHIN;
    while Instant::now() < deadline {
        let asked = guest.try_erase().await;
        if asked.is_ok_and(|answer| answer.status.is_success()) {
            break;
        }
        sleep(Duration::from_secs(1)).await;
    }
    loop {
        let shown = guest.try_get("erasure", &[]).await;
        if shown.is_ok_and(|shown| shown.body["status"] == "completed") {
            break;
        }
        let in_time = Instant::now() < deadline;
        soak.tally
            .hold("1: an erasure is done in time", in_time, || {
                guest.owner().to_string()
            });
        if !in_time {
            return;
        }
        sleep(Duration::from_secs(2)).await;
    }
    soak.tally.counts().gone.push(guest.owner().to_string());
}
