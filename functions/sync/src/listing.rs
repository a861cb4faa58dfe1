//! Pure decisions of a repository's listing: which alerts of a page to store, and when and how the listing ends.

use std::time::Duration;

use domain::{
    Timestamp,
    finding::{Finding, Source},
    page::PageCursor,
};
use github::{AlertsPage, Next};
use store::repositories::{Checkpoint, RepositoryFailure, Watermark, Watermarks};
use telemetry::chain;
use tracing::warn;

/// How far before the watermark a listing still compares: updates with the same time may appear one after the other.
const OVERLAP: Duration = Duration::from_secs(300);
/// The most alerts that a watermark remembers. Others are compared again, which is safe.
const SEEN: usize = 100;

/// A listing in progress.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Progressing {
    /// The next page; `None` for the first.
    pub(crate) next: Option<PageCursor>,
    watermark: Watermark,
    complete: bool,
    unstorable: bool,
    /// The next page's link was refused, so the listing cannot reach its end.
    broken: bool,
}

impl Progressing {
    /// Starts at the first page. If `complete`, the listing reads every page and skips nothing.
    pub(crate) fn new(complete: bool) -> Self {
        Self {
            next: None,
            watermark: Watermark::default(),
            complete,
            unstorable: false,
            broken: false,
        }
    }

    /// Resumes from an earlier delivery's checkpoint.
    pub(crate) fn resumed(cursor: Checkpoint) -> Self {
        let Checkpoint {
            next,
            watermark,
            complete,
            unstorable,
            source: _,
            done: _,
        } = cursor;
        Self {
            next: Some(next),
            watermark,
            complete,
            unstorable,
            broken: false,
        }
    }

    /// Returns the checkpoint for the next delivery. `None` before the second page: the next delivery starts over.
    pub(crate) fn kept(&self, source: Source, done: &Watermarks) -> Option<Checkpoint> {
        Some(Checkpoint {
            source,
            done: done.clone(),
            next: self.next.clone()?,
            watermark: self.watermark.clone(),
            complete: self.complete,
            unstorable: self.unstorable,
        })
    }

    /// Takes a page. Returns the findings to store and the next page, unless the remaining alerts have been seen.
    pub(crate) fn take(
        &mut self,
        page: AlertsPage,
        known: &Watermark,
    ) -> (Vec<Finding>, Option<PageCursor>) {
        self.unstorable |= !page.unreadable.is_empty();
        let newest = page.alerts.iter().map(|alert| alert.updated_at).max();
        self.watermark.updated_at = self.watermark.updated_at.or(newest);
        let seen_before = known.updated_at.filter(|_| !self.complete);
        let passed = |at: Timestamp| seen_before.is_some_and(|seen| at < seen - OVERLAP);
        let mut findings = Vec::with_capacity(page.alerts.len());
        let oldest = page.alerts.last().map(|alert| alert.updated_at);
        for alert in page.alerts {
            let finding = match alert.finding {
                Ok(finding) => finding,
                Err(error) => {
                    warn!(error = %chain(&error), "cannot store an alert");
                    self.unstorable = true;
                    continue;
                }
            };
            let before = known.seen.get(&alert.number);
            let near = self.in_overlap(alert.updated_at) && self.watermark.seen.len() < SEEN;
            // The digest hashes the whole finding, so compute it only where it is used.
            let digest = (near || before.is_some()).then(|| finding.digest());
            let unchanged = before.is_some() && before == digest.as_ref();
            if let Some(digest) = digest.filter(|_| near) {
                self.watermark.seen.insert(alert.number, digest);
            }
            if self.complete || !(unchanged || passed(alert.updated_at)) {
                findings.push(finding);
            }
        }
        if oldest.is_some_and(passed) {
            return (findings, None);
        }
        let next = match page.next {
            Next::Page(next) => Some(next),
            Next::End => None,
            Next::Refused(refusal) => {
                warn!(?refusal, "the link to a listing's next page is refused");
                self.broken = true;
                None
            }
        };
        (findings, next)
    }

    /// Notes that `unstorable` findings of a page could not be stored.
    pub(crate) const fn not_stored(&mut self, unstorable: usize) {
        self.unstorable |= unstorable > 0;
    }

    fn in_overlap(&self, updated_at: Timestamp) -> bool {
        let newest = self.watermark.updated_at;
        newest.is_some_and(|newest| updated_at >= newest - OVERLAP)
    }

    /// Returns the outcome of a listing that has read its last page.
    pub(crate) fn outcome(self, known: &Watermark) -> Result<Finished, RepositoryFailure> {
        if self.broken {
            return Err(RepositoryFailure::SyncFailed);
        }
        if self.unstorable {
            // The watermark does not advance, so that the next pass tries to store these alerts again.
            return Err(RepositoryFailure::SyncPartialFailure);
        }
        // The listing has nothing newer: the known watermark stays.
        let watermark = if self.watermark.updated_at < known.updated_at {
            known.clone()
        } else {
            self.watermark
        };
        Ok(Finished {
            watermark,
            complete: self.complete,
        })
    }
}

/// A finished listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finished {
    /// The source's new watermark.
    pub(crate) watermark: Watermark,
    /// Whether the listing read every page.
    pub(crate) complete: bool,
}

#[cfg(test)]
mod tests;
