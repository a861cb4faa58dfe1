//! Which repositories are in a pass's scope, and which are left for a delivery.

use super::*;
use crate::samples::{OTHER, PASS, cursor, name, noon, record, repository};
use domain::{command::Progress, finding::Source};
use store::repositories::{Pass, PassState, RepositoryFailure, Watermark};

/// The installation's repository of this id.
fn entry(id: u64) -> InstallationRepository {
    InstallationRepository {
        repository: repository(id),
        private: false,
        archived: false,
    }
}

fn selected(ids: &[u64]) -> Settings {
    Settings {
        enabled: true,
        repository_selection: RepositorySelection::Selected,
        selected_repository_ids: ids.iter().copied().map(RepositoryId::new).collect(),
        ..Settings::default()
    }
}

fn all() -> Settings {
    Settings {
        repository_selection: RepositorySelection::All,
        ..selected(&[])
    }
}

/// What is left for a delivery of the pass that begins at noon.
fn left(scope: Option<Scope>) -> Left {
    scope.expect("a scope").left(PASS, noon(0))
}

fn targets(left: &Left) -> Vec<u64> {
    let ids = left.targets.iter().map(|it| it.repository.id.get());
    ids.collect()
}

fn total(left: &Left) -> u32 {
    left.tally.progress().expect("it is known").total
}

/// The listings to record: id, whether the repository is listed, and whether the pass begins it.
fn recorded(left: &Left) -> Vec<(u64, bool, bool)> {
    let recorded = left.listings.iter().map(|listing| {
        assert!(listing.attempt.is_none_or(|pass| pass == PASS));
        let begun = listing.attempt.is_some();
        (listing.id.get(), listing.listed.is_some(), begun)
    });
    let mut recorded: Vec<_> = recorded.collect();
    recorded.sort_unstable();
    recorded
}

#[test]
fn a_scope_is_the_installation_or_the_selected_part_of_it() {
    let listed = [entry(1), entry(2), entry(3)];
    for (settings, expected, counted) in [
        (all(), &[1, 2, 3][..], 3),
        (selected(&[1, 3]), &[1, 3], 2),
        (selected(&[]), &[], 0),
        (selected(&[2, 8, 9]), &[2], 3),
    ] {
        let left = left(Scope::listed(&listed, &settings, None, &[]));
        assert_eq!((targets(&left), total(&left)), (expected.to_vec(), counted));
    }
}

#[test]
fn a_selected_repository_that_has_left_fails_syncs_of_the_selection_only() {
    let listed = [entry(1), entry(2)];
    let unavailable = |settings: &Settings, only: Option<&RepositoryName>| {
        let left = left(Scope::listed(&listed, settings, only, &[]));
        left.tally.progress().expect("it is known").done
    };
    assert_eq!(unavailable(&selected(&[1, 8, 9]), None), 2);
    let named = name("octo/app-1");
    assert_eq!(unavailable(&selected(&[1, 8, 9]), Some(&named)), 0);
    let chosen_before = Settings {
        repository_selection: RepositorySelection::All,
        ..selected(&[1, 8, 9])
    };
    assert_eq!(unavailable(&chosen_before, None), 0, "all are in scope now");
}

#[test]
fn a_named_repository_is_alone_in_scope_even_if_not_selected() {
    let named = name("Octo/App-2");
    let listed = [entry(1), entry(2)];
    let scope = Scope::listed(&listed, &selected(&[1]), Some(&named), &[]);
    assert_eq!(targets(&left(scope)), [2]);
    let strange = name("octo/strange");
    assert!(Scope::listed(&listed, &all(), Some(&strange), &[]).is_none());
    assert!(Scope::listed(&[], &all(), None, &[]).is_some(), "no name");
}

#[test]
fn a_known_named_repository_needs_no_listing() {
    let unlisted = RepositoryRecord {
        listed: false,
        ..record(3)
    };
    let private = RepositoryRecord {
        private: true,
        ..record(2)
    };
    let records = [record(1), private, unlisted];
    let left = left(Scope::known(&name("Octo/App-2"), &records));
    assert_eq!((targets(&left), total(&left)), (vec![2], 1));
    assert_eq!(recorded(&left), [(2, true, true)]);
    let listed = left.listings[0].listed.as_ref().expect("it is listed");
    assert!(listed.private, "as recorded");
    let others = [repository(1), repository(2)];
    assert_eq!(left.all, others, "without repositories that have left");
    for unknown in ["octo/app-3", "octo/app-4"] {
        assert!(
            Scope::known(&name(unknown), &records).is_none(),
            "{unknown}"
        );
    }
}

#[test]
fn only_changes_of_the_installations_list_are_recorded() {
    let known = [
        record(1),
        RepositoryRecord {
            private: true,
            ..record(2)
        },
        RepositoryRecord {
            listed: false,
            ..record(3)
        },
        RepositoryRecord {
            repository: Repository {
                name: name("octo/before"),
                ..repository(4)
            },
            ..record(4)
        },
        record(6),
        RepositoryRecord {
            listed: false,
            ..record(7)
        },
    ];
    let listed = [1, 2, 3, 4, 5].map(entry);
    let left = left(Scope::listed(&listed, &selected(&[]), None, &known));
    let differ = [2, 3, 4, 5].map(|id| (id, true, false));
    let expected = [&differ[..], &[(6, false, false)]].concat();
    assert_eq!(recorded(&left), expected, "7 had left before");
    assert_eq!(left.all, [1, 2, 3, 4, 5].map(repository));
}

/// A repository that a pass attempted at eleven and left in this state.
fn attempted(id: u64, pass: Uuid, state: PassState) -> RepositoryRecord {
    RepositoryRecord {
        last_attempted_at: Some(noon(-3_600)),
        pass: Some(Pass { id: pass, state }),
        ..record(id)
    }
}

#[test]
fn begun_repositories_are_continued_and_finished_ones_are_counted() {
    let paused = PassState::Paused(Box::new(cursor()));
    let known = [
        attempted(1, PASS, PassState::Finished),
        attempted(2, PASS, PassState::Begun),
        attempted(3, PASS, paused.clone()),
        attempted(4, OTHER, paused),
        RepositoryRecord {
            last_failure: Some(RepositoryFailure::DependabotAlertsDisabled),
            ..attempted(5, PASS, PassState::Finished)
        },
    ];
    let listed = [1, 2, 3, 4, 5, 6].map(entry);
    let left = left(Scope::listed(&listed, &all(), None, &known));
    let progress = Some(Progress { done: 2, total: 6 });
    assert_eq!(left.tally.progress(), progress);
    assert_eq!(recorded(&left), [(4, true, true), (6, true, true)]);
    let goes_on: Vec<_> = left
        .targets
        .iter()
        .map(|it| (it.repository.id.get(), it.begun, it.from.clone()))
        .collect();
    let began = noon(-3_600);
    assert_eq!(
        goes_on,
        [
            (3, began, Some(cursor())),
            (2, began, None),
            (4, noon(0), None),
            (6, noon(0), None),
        ]
    );
}

#[test]
fn a_listing_is_complete_if_none_was_for_twenty_hours() {
    let complete = |completed_at| {
        let known = [RepositoryRecord {
            completed_at,
            watermarks: Watermarks::from([(
                Source::Dependabot,
                Watermark {
                    updated_at: Some(noon(-9)),
                    ..Watermark::default()
                },
            )]),
            ..record(1)
        }];
        let left = left(Scope::listed(&[entry(1)], &all(), None, &known));
        let target = left.targets.first().expect("it is in scope");
        assert_eq!(target.seen, known[0].watermarks);
        target.complete
    };
    assert!(complete(None));
    assert!(complete(Some(noon(-20 * 3_600))));
    assert!(!complete(Some(noon(1 - 20 * 3_600))));
    assert!(!complete(Some(noon(0))));
}

/// A row after a pass: whether it ended there, its failure, and when it last succeeded.
fn after(
    id: u64,
    state: PassState,
    failure: Option<RepositoryFailure>,
    success: i64,
) -> RepositoryRecord {
    RepositoryRecord {
        last_attempted_at: Some(noon(-60)),
        last_succeeded_at: Some(noon(success)),
        last_failure: failure,
        pass: Some(Pass { id: OTHER, state }),
        ..record(id)
    }
}

#[test]
fn a_pass_begins_with_what_the_pass_before_it_left() {
    use RepositoryFailure::{GithubRateLimited, RepositoryUnavailable};
    let records = [
        after(1, PassState::Finished, None, -60),
        after(2, PassState::Finished, Some(RepositoryUnavailable), -900),
        after(3, PassState::Begun, None, -300),
        after(4, PassState::Finished, Some(GithubRateLimited), -600),
        after(5, PassState::Paused(Box::new(cursor())), None, -400),
        record(6),
    ];
    let listed: Vec<_> = (1..=7).map(entry).collect();
    let left = left(Scope::listed(&listed, &all(), None, &records));
    assert_eq!(targets(&left), [6, 7, 4, 5, 3, 2, 1]);
}

#[test]
fn a_delivery_first_ends_the_listings_that_its_pass_has_begun() {
    let of_pass = |id, state| RepositoryRecord {
        pass: Some(Pass { id: PASS, state }),
        ..after(id, PassState::Begun, None, -600)
    };
    let records = [
        of_pass(1, PassState::Begun),
        of_pass(2, PassState::Paused(Box::new(cursor()))),
        of_pass(3, PassState::Finished),
    ];
    let left = left(Scope::listed(
        &[entry(1), entry(2), entry(3)],
        &all(),
        None,
        &records,
    ));
    assert_eq!(targets(&left), [2, 1]);
}
