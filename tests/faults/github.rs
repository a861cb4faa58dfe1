//! GitHub's errors, limits and bad links during a sync, and continuations that are lost or delivered twice.

use std::collections::BTreeSet;

use domain::Timestamp;
use futures::future::join;
use reqwest::Method;
use serde_json::{Value, json};
use tests::{batch, eventually, failures, message};
use tokio::{net::TcpListener, time::Instant};

use crate::scene::{NODEGOAT, PYGOAT, Scene, ZEPPELIN};

/// Makes GitHub answer listings of Pygoat's alerts like this.
fn listing(answer: &Value) -> Value {
    let mut fault = json!({"repository": PYGOAT.1, "operation": "list_alerts"});
    for (name, value) in answer.as_object().expect("fields") {
        fault[name] = value.clone();
    }
    fault
}

fn secondary_limit(seconds: u64) -> Value {
    listing(&json!({"status": 429, "headers": {"retry-after": seconds.to_string()}, "times": 1}))
}

#[expect(
    clippy::disallowed_methods,
    reason = "GitHub's limits are in real time"
)]
fn now() -> Timestamp {
    Timestamp::now()
}

fn seconds_until(moment: &Value) -> i64 {
    let moment: Timestamp = moment.as_str().expect("a time").parse().expect("RFC 3339");
    moment.as_seconds() - now().as_seconds()
}

#[tokio::test]
async fn fault_29_a_rate_limited_sync_waits_visibly_without_redeliveries() {
    let scene = Scene::set().await;
    scene.stack.github_fault(&secondary_limit(90)).await;
    let key = scene.ada.key(scene.ada.sync().await);
    let waiting = scene
        .ada
        .until(key.id, "waiting", |view| !view["waitingUntil"].is_null())
        .await;
    assert_eq!(waiting["status"], "running");
    let wait = seconds_until(&waiting["waitingUntil"]);
    assert!((85..=92).contains(&wait), "{wait} s");
    let error = waiting["lastError"].as_str().expect("an error");
    assert!(error.contains("rate limit"), "{error}");
    // An early delivery changes nothing.
    let early = batch("SyncQueue", &[message(&key, 1)]);
    let answer = scene
        .stack
        .invoke("sync", &early)
        .await
        .expect("the invocation succeeds");
    assert_eq!((failures(&answer), scene.listings().await), (vec!["m0"], 1));
    scene
        .stack
        .backstage
        .let_pass(&key, &["waiting_until"])
        .await;
    scene
        .stack
        .backstage
        .send("SyncQueue", &message(&key, 1))
        .await;
    let ended = scene.ada.ends_as(key.id, "SYNC_COMPLETED").await;
    assert_eq!((&ended["attempts"], scene.listings().await), (&json!(2), 2));
    assert_eq!(ended["waitingUntil"], Value::Null);

    // A primary limit, in real time: the continuation is a delayed message, not one that is received again and again.
    let reset = now().as_seconds() + 4;
    let headers = json!({"x-ratelimit-remaining": "0", "x-ratelimit-reset": reset.to_string()});
    let primary = listing(&json!({"status": 403, "headers": headers, "times": 1}));
    scene.stack.github_fault(&primary).await;
    let began = Instant::now();
    let id = scene.ada.sync().await;
    let ended = scene.ada.ends_as(id, "SYNC_COMPLETED").await;
    assert_eq!(ended["attempts"], 2, "one before the limit, one after it");
    assert!(began.elapsed().as_secs() >= 3, "it waited");

    // The limit outlasts the command's deadline.
    scene.stack.github_fault(&secondary_limit(7_200)).await;
    let id = scene.ada.sync().await;
    let failed = scene.ada.ends_as(id, "GITHUB_RATE_LIMITED").await;
    let error = failed["lastError"].as_str().expect("an error");
    assert!(error.contains("until 20"), "{error}");
    scene.holds().await;
}

#[tokio::test]
async fn fault_29_a_rate_limited_listing_resumes_at_the_same_page() {
    let scene = Scene::with(&[], &[ZEPPELIN.0]).await;
    let limit = json!({"repository": ZEPPELIN.1, "operation": "list_alerts", "after": 2, "status": 429,
        "headers": {"retry-after": "1"}, "times": 1});
    scene.stack.github_fault(&limit).await;
    let id = scene.ada.sync().await;
    let ended = scene.ada.ends_as(id, "SYNC_COMPLETED").await;
    assert_eq!(ended["attempts"], 2);
    let answers = scene.stack.github_calls("/dependabot/alerts").await;
    assert_eq!(answers, [200, 200, 429, 200, 200], "no page is read twice");
    assert_eq!(scene.ada.all("findings").await.len(), 317);
    scene.holds().await;
}

#[tokio::test]
async fn fault_29_a_rate_limited_repository_says_so_beside_other_failures() {
    let scene = Scene::with(&[], &[PYGOAT.0, NODEGOAT.0]).await;
    scene.stack.github_fault(&secondary_limit(7_200)).await;
    let gone = json!({"repository": NODEGOAT.1, "operation": "list_alerts", "status": 404});
    scene.stack.github_fault(&gone).await;
    let id = scene.ada.sync().await;
    let ended = scene.ada.ends_as(id, "REPOSITORY_UNAVAILABLE").await;
    assert_eq!(ended["effect"], "none");
    let repositories = scene.ada.get("repositories").await.body["repositories"].clone();
    let failure = |name: &str| {
        let repositories = repositories.as_array().expect("a list").iter();
        let mut found = repositories.filter(|repository| repository["fullName"] == name);
        found.next().expect("it is shown")["lastFailureCode"].clone()
    };
    assert_eq!(failure(PYGOAT.1), "GITHUB_RATE_LIMITED");
    assert_eq!(failure(NODEGOAT.1), "REPOSITORY_UNAVAILABLE");
    scene.holds().await;
}

#[tokio::test]
async fn fault_29_a_rate_limit_after_stored_pages_reports_an_applied_effect() {
    let scene = Scene::with(&[], &[ZEPPELIN.0]).await;
    let limit = json!({"repository": ZEPPELIN.1, "operation": "list_alerts", "after": 2, "status": 429,
        "headers": {"retry-after": "7200"}});
    scene.stack.github_fault(&limit).await;
    let id = scene.ada.sync().await;
    let ended = scene.ada.ends_as(id, "GITHUB_RATE_LIMITED").await;
    assert_eq!(ended["effect"], "applied", "two pages of findings");
    assert_eq!(scene.ada.all("findings").await.len(), 200);
    scene.holds().await;
}

#[tokio::test]
async fn fault_29_passes_that_a_limit_cuts_short_cover_everything_in_turn() {
    /// A repository without alerts; each of the others has one page.
    const EMPTY: (u64, &str) = (700_000_005, "acme-appsec/docs-site");
    let repositories = [NODEGOAT, PYGOAT, EMPTY];
    let scene = Scene::with(&[], &repositories.map(|(id, _)| id)).await;
    let limit = json!({"repository": "*", "operation": "list_alerts", "after": 1, "status": 429,
        "headers": {"retry-after": "7200"}});
    let mut refreshed = BTreeSet::new();
    // All three are asked for at once, so that the one that comes first is not always the one that arrives first.
    let mut passes = 0;
    while refreshed.len() < repositories.len() {
        passes += 1;
        assert!(passes <= 6, "only {refreshed:?} were ever refreshed");
        scene.stack.github_fault(&limit).await;
        scene.stack.backstage.schedule_due(scene.ada.owner()).await;
        scene.stack.reconcile().await;
        eventually("the scheduled sync ends", async || {
            scene.stack.logged("a scheduled sync has ended").len() == passes
        })
        .await;
        scene.stack.heal().await;
        let shown = scene.ada.get("repositories").await.body["repositories"].clone();
        let shown = shown.as_array().expect("a list").iter();
        refreshed.extend(
            shown
                .filter(|repository| !repository["lastSucceededAt"].is_null())
                .map(|repository| repository["fullName"].to_string()),
        );
    }
    scene.holds().await;
}

#[tokio::test]
async fn fault_30_a_sync_renews_refused_credentials_once_then_fails() {
    let scene = Scene::set().await;
    let tokens = async || scene.stack.github_calls("/access_tokens").await.len();
    scene
        .stack
        .github_fault(&listing(&json!({"status": 401, "times": 1})))
        .await;
    let id = scene.ada.sync().await;
    scene.ada.ends_as(id, "SYNC_COMPLETED").await;
    assert_eq!(
        (tokens().await, scene.listings().await),
        (2, 2),
        "one fresh token"
    );

    scene
        .stack
        .github_fault(&listing(&json!({"status": 401})))
        .await;
    let id = scene.ada.sync().await;
    scene.ada.ends_as(id, "GITHUB_AUTH_INVALID").await;
    assert_eq!((tokens().await, scene.listings().await), (3, 4));
    let integration = scene.ada.get("integration").await.body;
    assert!(!integration["authInvalidAt"].is_null(), "{integration}");

    let asked = scene.stack.github_calls("").await.len();
    let id = scene.ada.sync().await;
    let refused = scene.ada.ends_as(id, "GITHUB_AUTH_INVALID").await;
    assert_eq!(refused["effect"], "none");
    assert_eq!(
        scene.stack.github_calls("").await.len(),
        asked,
        "no further requests to GitHub"
    );
    scene.holds().await;
}

#[tokio::test]
async fn fault_31_a_listing_with_a_bad_link_ends_and_sends_no_token_elsewhere() {
    let scene = Scene::set().await;
    let elsewhere = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let foreign = format!("http://{}", elsewhere.local_addr().expect("it is bound"));
    let github = scene.stack.github();
    let path = format!(
        "/repos/{}/dependabot/alerts?per_page=100&sort=updated&direction=desc",
        PYGOAT.1
    );
    for (next, pages) in [
        (format!("{foreign}{path}&after=x"), 1),
        (format!("{github}{path}"), 1),
        (format!("{github}{path}&after=x"), 2),
    ] {
        let before = scene.listings().await;
        let link = json!({"link": format!("<{next}>; rel=\"next\"")});
        let answer = json!({"status": 200, "body": [], "headers": link, "times": pages});
        scene.stack.github_fault(&listing(&answer)).await;
        let id = scene.ada.sync().await;
        // No repository succeeded, so the command is redelivered. By then the fault is used up.
        let ended = scene.ada.ends_as(id, "SYNC_COMPLETED").await;
        assert_eq!(ended["attempts"], 2, "{next}");
        assert_eq!(scene.listings().await - before, pages + 1, "{next}");
    }
    let refused = scene
        .stack
        .logged("the link to a listing's next page is refused");
    assert_eq!(refused.len(), 3);
    let connected = tokio::time::timeout(std::time::Duration::ZERO, elsewhere.accept()).await;
    assert!(connected.is_err(), "a request to the other host");
    scene.holds().await;
}

#[tokio::test]
async fn fault_31_an_alert_added_while_paging_is_neither_lost_nor_duplicated() {
    let scene = Scene::with(&[], &[ZEPPELIN.0]).await;
    let alerts = format!("alerts/{}", ZEPPELIN.1);
    let known = scene.stack.get(&format!("/local/github/{alerts}/1")).await;
    let slow = json!({"repository": ZEPPELIN.1, "operation": "list_alerts", "after": 1, "times": 1, "delayMs": 2_000});
    scene.stack.github_fault(&slow).await;
    let id = scene.ada.sync().await;
    eventually("the second page is requested", async || {
        scene.stack.github_calls("/dependabot/alerts").await.len() == 2
    })
    .await;
    let fields = ["dependency", "security_advisory", "security_vulnerability"];
    let new: serde_json::Map<_, _> = fields
        .iter()
        .map(|field| ((*field).to_owned(), known[field].clone()))
        .collect();
    let added = scene
        .stack
        .at_github(Method::POST, &alerts, &Value::Object(new))
        .await;
    assert_eq!(added["number"], 318);
    scene.ada.ends_as(id, "SYNC_COMPLETED").await;
    let mut seen: Vec<String> = scene
        .ada
        .all("findings")
        .await
        .iter()
        .map(|finding| finding["sourceId"].as_str().expect("an id").to_owned())
        .filter(|id| id != "318")
        .collect();
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen.len(), 317, "each earlier alert is there once");

    let id = scene.ada.sync().await;
    scene.ada.ends_as(id, "SYNC_COMPLETED").await;
    assert_eq!(scene.ada.all("findings").await.len(), 318);
    scene.holds().await;
}

#[tokio::test]
async fn fault_32_a_lost_continuation_is_resent_and_a_duplicate_runs_once() {
    let scene = Scene::set().await;
    let lost = json!({"service": "sqs", "operation": "SendMessage", "function": "sync", "effect": "error"});
    scene.stack.fault(&lost).await;
    scene.stack.github_fault(&secondary_limit(1)).await;
    let key = scene.ada.key(scene.ada.sync().await);
    eventually("the continuation is lost", async || {
        let unsent = "the continuation was not sent; the reconciler sends it";
        scene.stack.logged(unsent).len() == 1
    })
    .await;
    assert_eq!(scene.ada.command(key.id).await["status"], "running");
    scene.stack.heal().await;
    scene
        .stack
        .backstage
        .let_pass(&key, &["due_at", "waiting_until"])
        .await;
    assert_eq!(scene.stack.reconcile().await["resent"], 1);
    let ended = scene.ada.ends_as(key.id, "SYNC_COMPLETED").await;
    assert_eq!(ended["attempts"], 2);

    scene.stack.github_fault(&secondary_limit(5)).await;
    let before = scene.listings().await;
    let key = scene.ada.key(scene.ada.sync().await);
    scene
        .ada
        .until(key.id, "waiting", |view| !view["waitingUntil"].is_null())
        .await;
    scene
        .stack
        .backstage
        .let_pass(&key, &["waiting_until"])
        .await;
    scene
        .stack
        .github_fault(&listing(&json!({"delayMs": 1_500, "times": 1})))
        .await;
    let delivery = batch("SyncQueue", &[message(&key, 1)]);
    let (one, other) = join(
        scene.stack.invoke("sync", &delivery),
        scene.stack.invoke("sync", &delivery),
    )
    .await;
    let (one, other) = (
        one.expect("the invocation succeeds"),
        other.expect("the invocation succeeds"),
    );
    let mut released = [failures(&one), failures(&other)].concat();
    released.sort_unstable();
    assert_eq!(released, ["m0"]);
    let ended = scene.ada.ends_as(key.id, "SYNC_COMPLETED").await;
    assert_eq!(
        (&ended["attempts"], scene.listings().await - before),
        (&json!(2), 2)
    );
    eventually("the third copy is acknowledged", async || {
        scene.stack.depth("SyncQueue").await == 0
    })
    .await;
    scene.holds().await;
}
