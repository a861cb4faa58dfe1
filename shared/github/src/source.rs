//! GitHub's kinds of alerts. The details of each kind are in its own folder, behind [`AlertSource`]; the calls are the
//! same for all.

mod dependabot;

use domain::finding::{DismissReason, Repository, Source};
use serde_json::{Value, value::RawValue};

use crate::alert::{Alert, Unreadable};
use dependabot::Dependabot;

/// How one kind of alerts is listed, read, dismissed, reopened and converted to findings.
pub(crate) trait AlertSource: Sync {
    /// The path of the listing, `GET /repos/{name}/{path}`, and of one alert, `/repos/{name}/{path}/{number}`.
    fn path(&self) -> &'static str;

    /// The query of a listing's first page: all states, newest update first, 100 per page.
    fn listing(&self) -> &'static str;

    /// The App's permission for these alerts.
    fn permission(&self) -> &'static str;

    /// The body of the `PATCH` that dismisses an alert.
    fn dismissal(&self, reason: DismissReason, comment: Option<&str>) -> Value;

    /// The body of the `PATCH` that reopens an alert.
    fn reopening(&self) -> Value;

    /// Reads one alert of `repository` and converts it to a finding. Each alert is read alone, so an invalid one does
    /// not lose the rest of its page.
    fn read(&self, repository: &Repository, raw: &RawValue) -> Result<Alert, Unreadable>;

    /// Whether a refusal with this message, in lower case, means that the repository has no such alerts.
    fn has_none(&self, message: &str) -> bool;
}

/// The implementation for this source.
pub(crate) fn of(source: Source) -> &'static dyn AlertSource {
    match source {
        Source::Dependabot => &Dependabot,
    }
}

impl Alert {
    /// Reads an alert of `repository` in its source's format.
    pub fn read(
        source: Source,
        repository: &Repository,
        raw: &RawValue,
    ) -> Result<Self, Unreadable> {
        of(source).read(repository, raw)
    }
}
