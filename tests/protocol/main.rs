//! The protocol of one command, checked in every order of events within its bounds: see docs/model.md.
//!
//! `lifecycle` and the functions' rules beside it decide. The model only says who may act when.

mod api;
mod canonical;
mod checks;
mod concluding;
mod dead_letters;
mod endings;
mod guards;
mod ledger;
mod promises;
mod protocol;
mod reconciler;
mod scene;
mod worker;
mod world;

use std::collections::BTreeSet;

use checks::{BASE, broken_by, broken_without, in_parallel, shown};
use guards::Spot;
use promises::Promise;
use scene::{Lack, Scene};

const PAGE: &str = include_str!("../../docs/model.md");

/// Terms that never decide, because others of the guard imply them. docs/model.md gives the reasons.
const IMPLIED: [&str; 8] = [
    "readmit 1: StatusIs(Failed)",
    "resend 1: StatusIs(Accepted)",
    "resend 1: DueBy",
    "resend 2: StatusIs(Running)",
    "resend 2: LeaseExpired",
    "resend 2: DueBy",
    "claim 1: StageIs",
    "exhaust 1: StageIs",
];

#[test]
fn every_promise_is_kept() {
    for checked in BASE.iter() {
        assert_eq!(checked.broken, None, "{}", checked.scene);
    }
    let whole = BASE.last().expect("several scenes");
    assert_eq!(whole.unreached, Vec::<&str>::new(), "outcomes");
}

/// That every command ends is checked where nothing more can happen. This test checks that every execution leads there.
#[test]
fn no_execution_goes_on_for_ever() {
    for scene in Scene::SMALL {
        assert_eq!(endings::cycle(scene), None, "{}", scene.name);
    }
}

#[test]
fn each_guard_alternative_permits_a_write_no_other_does() {
    let spots = Spot::all().into_iter();
    let all: BTreeSet<_> = spots.map(|spot| (spot.made, spot.alternative)).collect();
    assert_eq!(shown(|deciding| &deciding.alternatives), all);
}

/// A term that never decides makes no difference. The absence of any other breaks the promise that docs/model.md names.
#[test]
fn removing_a_deciding_guard_term_breaks_a_promise() {
    let decides = shown(|deciding| &deciding.terms);
    let spots = Spot::all().into_iter();
    let (decisive, idle): (Vec<_>, Vec<_>) = spots.partition(|spot| decides.contains(spot));
    let idle: Vec<String> = idle.iter().map(Spot::to_string).collect();
    assert_eq!(idle, IMPLIED);
    for term in IMPLIED {
        assert!(PAGE.contains(&format!("| {term} | implied: ")), "{term}");
    }
    let broken = in_parallel(&decisive, |spot| broken_without(*spot));
    let lines = decisive.iter().zip(broken).map(|(spot, broken)| {
        let (promise, _) = broken.unwrap_or_else(|| panic!("no promise breaks without {spot}"));
        format!("| {spot} | {promise:?} |")
    });
    let unsaid: Vec<String> = lines.filter(|line| !PAGE.contains(line)).collect();
    assert!(
        unsaid.is_empty(),
        "docs/model.md lacks:\n{}",
        unsaid.join("\n")
    );
}

#[test]
fn removing_a_rule_beside_the_guards_breaks_a_promise() {
    let lacks = [
        (Lack::OwnWrites, Promise::LostAnswersCostNothing),
        (Lack::LookingFirst, Promise::OneEffect),
        (Lack::Margin, Promise::OneEffect),
        (Lack::GivingBack, Promise::OneEffect),
        (Lack::Doubt, Promise::EffectAsTold),
        (Lack::Reconcilers, Promise::EveryCommandEnds),
    ];
    let broken = in_parallel(&lacks, |(lack, _)| broken_by(*lack));
    for ((lack, promise), broken) in lacks.into_iter().zip(broken) {
        let broken = broken.map(|(promise, _)| promise);
        assert_eq!(broken, Some(promise), "{lack:?}");
    }
}
