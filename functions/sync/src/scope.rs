//! Pure decisions: which repositories are in a pass's scope, and which are left for this delivery.

use std::{collections::BTreeSet, time::Duration};

use domain::{
    Timestamp,
    finding::{Repository, RepositoryId, RepositoryName},
    installation::InstallationRepository,
    settings::{RepositorySelection, Settings},
};
use store::repositories::{Checkpoint, Listing, RepositoryRecord, Watermarks};
use uuid::Uuid;

use crate::{earlier::Earlier, tally::Tally};

/// How often a listing reads every page, at least. Less than a day, so that cycles of several hours still achieve one
/// complete listing a day.
const COMPLETE_EVERY: Duration = Duration::from_hours(20);

/// The repositories in a pass's scope.
#[derive(Debug)]
pub(crate) struct Scope {
    /// Every repository of the installation.
    all: Vec<Repository>,
    /// The changes of the installation's list, to be recorded.
    listings: Vec<Listing>,
    /// The number of selected repositories that the installation no longer has.
    gone: usize,
    /// The installation's repositories to refresh, with their rows.
    wanted: Vec<(InstallationRepository, Option<RepositoryRecord>)>,
}

impl Scope {
    /// Returns the scope of one named repository, if it is known. It needs no listing of the installation: if the
    /// repository is gone, the request for its alerts fails.
    pub(crate) fn known(name: &RepositoryName, records: &[RepositoryRecord]) -> Option<Self> {
        let listed = || records.iter().filter(|record| record.listed);
        let named = listed().find(|record| record.repository.name.same_as(name))?;
        let entry = InstallationRepository {
            repository: named.repository.clone(),
            private: named.private,
            archived: false,
        };
        Some(Self {
            all: listed().map(|record| record.repository.clone()).collect(),
            listings: Vec::new(),
            gone: 0,
            wanted: vec![(entry, Some(named.clone()))],
        })
    }

    /// Returns the installation's current list, narrowed by the owner's selection or to `only`. `None` if `only` is not
    /// on the list.
    pub(crate) fn listed(
        listed: &[InstallationRepository],
        settings: &Settings,
        only: Option<&RepositoryName>,
        records: &[RepositoryRecord],
    ) -> Option<Self> {
        let known = |id: RepositoryId| records.iter().find(|record| record.repository.id == id);
        let is_wanted = |entry: &&InstallationRepository| match only {
            Some(name) => entry.repository.name.same_as(name),
            None => settings.covers(entry.repository.id),
        };
        let wanted: Vec<_> = listed
            .iter()
            .filter(is_wanted)
            .map(|entry| (entry.clone(), known(entry.repository.id).cloned()))
            .collect();
        if only.is_some() && wanted.is_empty() {
            return None;
        }
        let ids: BTreeSet<RepositoryId> = listed.iter().map(|entry| entry.repository.id).collect();
        let changed = listed
            .iter()
            .filter(|entry| known(entry.repository.id).is_none_or(|record| differs(record, entry)))
            .map(|entry| to_record(entry.repository.id, Some(entry)));
        let lost = records
            .iter()
            .filter(|record| record.listed && !ids.contains(&record.repository.id))
            .map(|record| to_record(record.repository.id, None));
        let gone = match (only, settings.repository_selection) {
            (None, RepositorySelection::Selected) => {
                settings.selected_repository_ids.difference(&ids).count()
            }
            (Some(_), _) | (None, RepositorySelection::All) => 0,
        };
        Some(Self {
            all: listed.iter().map(|it| it.repository.clone()).collect(),
            listings: changed.chain(lost).collect(),
            gone,
            wanted,
        })
    }

    /// Returns what earlier deliveries of `pass` have left, for a delivery that begins `now`.
    pub(crate) fn left(self, pass: Uuid, now: Timestamp) -> Left {
        let Self {
            all,
            mut listings,
            gone,
            wanted,
        } = self;
        let mut tally = Tally::of(wanted.len(), gone);
        let mut targets = Vec::new();
        let mut wanted = wanted;
        // A pass may end before it has been everywhere. What it leaves comes first in the next one, so that an
        // installation that is too large for one pass is covered by several.
        wanted.sort_by_key(|(_, record)| Turn::of(record.as_ref(), pass));
        for (entry, record) in wanted {
            let earlier = Earlier::of(record.as_ref(), pass);
            tally.count_earlier(&earlier);
            let (begun, from) = match earlier {
                Earlier::Ended(_) => continue,
                Earlier::Begun { at, from } => (at, from),
                Earlier::Nothing => {
                    let id = entry.repository.id;
                    match listings.iter_mut().find(|listing| listing.id == id) {
                        Some(listing) => listing.attempt = Some(pass),
                        None => listings.push(Listing {
                            attempt: Some(pass),
                            ..to_record(id, Some(&entry))
                        }),
                    }
                    (now, None)
                }
            };
            let completed_at = record.as_ref().and_then(|record| record.completed_at);
            targets.push(Target {
                repository: entry.repository,
                begun,
                from,
                seen: record.map(|record| record.watermarks).unwrap_or_default(),
                complete: completed_at.is_none_or(|last| now.since(last) >= COMPLETE_EVERY),
            });
        }
        Left {
            all,
            listings,
            tally,
            targets,
        }
    }
}

/// The rest of a pass.
#[derive(Debug)]
pub(crate) struct Left {
    /// Every repository of the installation.
    pub(crate) all: Vec<Repository>,
    /// Recorded before anything is fetched: changes of the installation's list, and repositories that the pass begins.
    pub(crate) listings: Vec<Listing>,
    /// The outcomes of earlier deliveries.
    pub(crate) tally: Tally,
    /// The repositories to refresh.
    pub(crate) targets: Vec<Target>,
}

/// A repository to refresh.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) repository: Repository,
    /// When the pass began the repository.
    pub(crate) begun: Timestamp,
    /// The checkpoint to continue from; `None` for the first page.
    pub(crate) from: Option<Checkpoint>,
    /// Each source's watermark, up to which finished listings have seen its alerts.
    pub(crate) seen: Watermarks,
    /// Whether a listing that begins now reads every page.
    pub(crate) complete: bool,
}

/// The order in which a delivery refreshes repositories.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Turn {
    /// First what this pass has begun to list: its checkpoint is the freshest now.
    Listing,
    /// Then what an earlier pass left, the longest without success first.
    Left(Option<Timestamp>),
    /// Then what every pass so far has ended, likewise.
    Ended(Option<Timestamp>),
}

impl Turn {
    fn of(record: Option<&RepositoryRecord>, pass: Uuid) -> Self {
        let Some(record) = record else {
            return Self::Left(None);
        };
        let last = record.last_succeeded_at;
        match (Earlier::of(Some(record), pass), &record.pass) {
            (Earlier::Begun { from: Some(_), .. }, _) => Self::Listing,
            (_, Some(earlier)) if Earlier::has_ended(record, earlier) => Self::Ended(last),
            (_, _) => Self::Left(last),
        }
    }
}

/// Whether the installation's entry differs from the repository's row.
fn differs(record: &RepositoryRecord, entry: &InstallationRepository) -> bool {
    let known = (record.listed, record.private, &record.repository.name);
    known != (true, entry.private, &entry.repository.name)
}

fn to_record(id: RepositoryId, listed: Option<&InstallationRepository>) -> Listing {
    Listing {
        id,
        listed: listed.cloned(),
        attempt: None,
    }
}

#[cfg(test)]
mod tests;
