//! A repository's listing of alerts under way: what of each page is stored, when it ends, and how. Pure.

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

/// How long before the watermark a listing still compares: updates of one moment may appear one after the other.
const OVERLAP: Duration = Duration::from_secs(300);
/// The most alerts that a watermark remembers; others are merely compared again.
const SEEN: usize = 100;

/// A listing under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Progressing {
    /// The next page, but for the first.
    pub(crate) next: Option<PageCursor>,
    watermark: Watermark,
    complete: bool,
    unstorable: bool,
    /// The listing cannot be followed to where it should end.
    broken: bool,
}

impl Progressing {
    /// From the first page; to the last whatever it meets, or not.
    pub(crate) fn new(complete: bool) -> Self {
        Self {
            next: None,
            watermark: Watermark::default(),
            complete,
            unstorable: false,
            broken: false,
        }
    }

    /// From where an earlier delivery stopped.
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

    /// What the next delivery needs to go on. Without a page of its own it simply begins again.
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

    /// Takes a page's alerts: gives those to be stored, and the page to fetch next, unless what follows has been seen.
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
                    warn!(error = %chain(&error), "an alert cannot be stored");
                    self.unstorable = true;
                    continue;
                }
            };
            let before = known.seen.get(&alert.number);
            let near = self.in_overlap(alert.updated_at) && self.watermark.seen.len() < SEEN;
            // A hash of the whole finding: only where somebody asks for it.
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
                warn!(?refusal, "a listing's next page is not to be followed");
                self.broken = true;
                None
            }
        };
        (findings, next)
    }

    /// So many of a page's findings could not be stored.
    pub(crate) const fn not_stored(&mut self, unstorable: usize) {
        self.unstorable |= unstorable > 0;
    }

    fn in_overlap(&self, updated_at: Timestamp) -> bool {
        let newest = self.watermark.updated_at;
        newest.is_some_and(|newest| updated_at >= newest - OVERLAP)
    }

    /// How a listing ended that came to its end.
    pub(crate) fn outcome(self, known: &Watermark) -> Result<Finished, RepositoryFailure> {
        if self.broken {
            return Err(RepositoryFailure::SyncFailed);
        }
        if self.unstorable {
            // The watermark stays, so that the next pass tries what could not be stored again.
            return Err(RepositoryFailure::SyncPartialFailure);
        }
        // A listing that showed nothing newer: what was known stands.
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

/// A listing that came to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finished {
    /// How far its source's alerts are seen now.
    pub(crate) watermark: Watermark,
    /// Whether it went to the end whatever it met.
    pub(crate) complete: bool,
}

#[cfg(test)]
mod tests;
