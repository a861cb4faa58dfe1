//! What holds after every run, whatever was injected: the seven points, as `tests::oracle` checks them.

use std::collections::BTreeSet;

use tests::{
    Caller, Stack,
    oracle::{self, Circumstances},
};

pub(crate) use tests::oracle::{SECRETS, slots};

/// The owner's id, which messages and its own answers may name, but no log.
pub(crate) const SUBJECT: &str = "auth0|canary-ada";

/// Checks all seven points for these callers.
pub(crate) async fn check(stack: &Stack, callers: &[&Caller]) {
    check_after_erasure(stack, callers, &[]).await;
}

/// Like [`check`], where dismissals of these alerts were under way when their owner was erased.
pub(crate) async fn check_after_erasure(stack: &Stack, callers: &[&Caller], untold: &[String]) {
    let judgement = oracle::judge(stack, callers, &circumstances(untold)).await;
    judgement.assert();
}

/// What always holds of an owner's analyses.
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
