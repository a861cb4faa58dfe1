//! The seven points that hold after every run, whatever was injected. `tests::oracle` checks them.

use std::collections::BTreeSet;

use aws_sdk_dynamodb::types::AttributeValue;
use reqwest::Method;
use serde_json::json;
use tests::{
    Caller, Stack, command_id,
    oracle::{self, Circumstances},
};

use crate::scene::{PYGOAT, Scene};

pub(crate) use tests::oracle::{SECRETS, slots};

/// The owner's id: it may be in messages and in the owner's own answers, but in no log.
pub(crate) const SUBJECT: &str = "auth0|canary-ada";

/// Checks the seven points for these callers.
pub(crate) async fn check(stack: &Stack, callers: &[&Caller]) {
    check_after_erasure(stack, callers, &[]).await;
}

/// Like [`check`], but dismissals of these alerts were running when their owner was erased.
pub(crate) async fn check_after_erasure(stack: &Stack, callers: &[&Caller], untold: &[String]) {
    let judgement = oracle::judge(stack, callers, &circumstances(untold)).await;
    judgement.assert();
}

/// Checks what always holds for an owner's analyses.
pub(crate) async fn check_analyses(stack: &Stack, caller: &Caller) {
    let judgement = oracle::judge_analyses(stack, &[caller], &circumstances(&[])).await;
    judgement.assert();
}

fn circumstances(untold: &[String]) -> Circumstances {
    Circumstances {
        subjects: vec![SUBJECT.to_owned()],
        untold: BTreeSet::from_iter(untold.iter().cloned()),
        ..Circumstances::default()
    }
}

#[tokio::test]
async fn the_oracle_detects_violations() {
    let scene = Scene::synced(&[PYGOAT.0]).await;
    let (stack, ada) = (&scene.stack, &scene.ada);
    let finding = scene.open_findings().await.swap_remove(0);
    let dismiss = json!({"type": "dismiss_finding", "findingId": finding, "reason": "not_used"});
    let dismissed = command_id(&ada.post(&dismiss, None).await.body);
    ada.ends_as(dismissed, "FINDING_DISMISSED").await;
    check(stack, &[ada]).await;
    let noticed = async || {
        let judgement = oracle::judge(stack, &[ada], &circumstances(&[])).await;
        let breaches = judgement.breaches().iter();
        let broken = breaches.filter_map(|breach| Some(breach.split_once(": ")?.0.to_owned()));
        BTreeSet::from_iter(broken)
    };

    // Somebody reopens the alert, and no sync follows.
    let number = finding.rsplit('-').next().expect("a number");
    let alert = format!("alerts/{}/{number}", PYGOAT.1);
    let open = json!({"state": "open", "dismissed_reason": null});
    stack.at_github(Method::PATCH, &alert, &open).await;
    assert_eq!(noticed().await, BTreeSet::from(["4".to_owned()]));

    // The audit loses an event.
    let audit = format!("audit#{}", ada.owner());
    for event in stack.backstage.partition(&audit).await {
        stack.backstage.take_away(&audit, &event).await;
    }
    let three_and_four = BTreeSet::from(["3", "4"].map(str::to_owned));
    assert_eq!(noticed().await, three_and_four);

    // A command disappears whose change GitHub made, and another no longer looks as the API showed it.
    let commands = format!("command#{}", ada.owner());
    stack
        .backstage
        .take_away(&commands, &dismissed.to_string())
        .await;
    let sync = stack.backstage.partition(&commands).await.swap_remove(0);
    let row = stack.backstage.item(&commands, &sync).await;
    let mut row = row.expect("it is there");
    let failed = [
        ("status", "failed"),
        ("code", "COMMAND_STALLED"),
        ("effect", "none"),
    ];
    for (attribute, value) in failed {
        row.insert(attribute.to_owned(), AttributeValue::S(value.to_owned()));
    }
    stack.backstage.put(row).await;
    let noticed = noticed().await;
    assert!(
        noticed.contains("2") && noticed.contains("4"),
        "{noticed:?}"
    );
}
