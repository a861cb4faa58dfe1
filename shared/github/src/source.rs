//! The kinds of alerts that GitHub keeps. What is one kind's own stands in one folder, behind [`AlertSource`]; how they are
//! asked for is the same for all.

mod dependabot;

use domain::finding::{DismissReason, Repository, Source};
use serde_json::{Value, value::RawValue};

use crate::alert::{Alert, Unreadable};
use dependabot::Dependabot;

/// How one kind of alerts is listed, read, dismissed, reopened and made a finding.
pub(crate) trait AlertSource: Sync {
    /// What is asked of a repository for its alerts: `GET /repos/{name}/{this}`; one alert is below it.
    fn path(&self) -> &'static str;

    /// The query of a listing's first page: all states, newest update first, a hundred at a time.
    fn listing(&self) -> &'static str;

    /// The permission of the App for these alerts.
    fn permission(&self) -> &'static str;

    /// The body of the `PATCH` that dismisses an alert.
    fn dismissal(&self, reason: DismissReason, comment: Option<&str>) -> Value;

    /// The body of the `PATCH` that reopens an alert.
    fn reopening(&self) -> Value;

    /// Reads one alert by itself, so that it cannot spoil its neighbours, and makes it a finding of `repository`.
    fn read(&self, repository: &Repository, raw: &RawValue) -> Result<Alert, Unreadable>;

    /// Whether a refusal with this message, in lower case, means that the repository has no such alerts to show.
    fn has_none(&self, message: &str) -> bool;
}

/// The source's own ways.
pub(crate) fn of(source: Source) -> &'static dyn AlertSource {
    match source {
        Source::Dependabot => &Dependabot,
    }
}

impl Alert {
    /// Reads an alert of `repository` as its source writes it.
    pub fn read(
        source: Source,
        repository: &Repository,
        raw: &RawValue,
    ) -> Result<Self, Unreadable> {
        of(source).read(repository, raw)
    }
}
