//! The alerts that can be dismissed, and reopens them on GitHub so that dismissals never run out of work.
//!
//! An alert is reopened only when no client knows of a dismissal in progress. A second change by GitHub for one command
//! is then always one too many.

use std::{
    collections::BTreeSet,
    sync::{Mutex, MutexGuard, PoisonError},
};

use fastrand::Rng;
use tests::oracle::alert_path;

use crate::{
    Result,
    github::{Github, REPOSITORIES},
};

/// The prefix of the comment of every client's dismissal.
pub(crate) const COMMENT: &str = "soak ";

#[derive(Debug)]
pub(crate) struct Alerts(Mutex<Vec<Alert>>);

#[derive(Debug)]
struct Alert {
    repository: (u64, &'static str),
    number: u64,
    /// Dismissals in progress. One whose end no client learns stays counted for good.
    under_way: usize,
    /// The alert is being reopened: no dismissal may begin.
    opening: bool,
}

/// An alert to dismiss.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Target {
    index: usize,
    repository: (u64, &'static str),
    number: u64,
}

impl Target {
    /// The id of its finding, the same for every owner.
    pub(crate) fn finding(self) -> String {
        format!("dependabot-{}-{}", self.repository.0, self.number)
    }

    /// Its path on GitHub.
    pub(crate) fn path(self) -> String {
        alert_path(self.repository.1, self.number)
    }
}

impl Alerts {
    /// The alerts that are open now.
    pub(crate) async fn read(github: &Github) -> Result<Self> {
        let mut open = Vec::new();
        for repository in REPOSITORIES {
            for alert in github.alerts(repository.1).await? {
                if alert["state"] == "open" {
                    open.push(Alert {
                        repository,
                        number: alert["number"]
                            .as_u64()
                            .ok_or("an alert without a number")?,
                        under_way: 0,
                        opening: false,
                    });
                }
            }
        }
        Ok(Self(Mutex::new(open)))
    }

    /// Picks one at random.
    pub(crate) fn any(&self, rng: &mut Rng) -> Target {
        let alerts = self.lock();
        let index = rng.usize(..alerts.len());
        target(index, &alerts[index])
    }

    /// Picks one at random and begins its dismissal.
    pub(crate) fn begin(&self, rng: &mut Rng) -> Target {
        let mut alerts = self.lock();
        loop {
            let index = rng.usize(..alerts.len());
            let alert = &mut alerts[index];
            if !alert.opening {
                alert.under_way += 1;
                return target(index, alert);
            }
        }
    }

    /// Ends a dismissal. Reopens the alert if a client dismissed it and no other dismissal is in progress.
    pub(crate) async fn end(&self, github: &Github, target: Target) -> Result<()> {
        {
            let alert = &mut self.lock()[target.index];
            alert.under_way -= 1;
            alert.opening = alert.under_way == 0;
            if !alert.opening {
                return Ok(());
            }
        }
        let opened = reopen(github, target).await;
        self.lock()[target.index].opening = false;
        opened
    }

    /// The paths of all alerts: any may have been reopened.
    pub(crate) fn paths(&self) -> BTreeSet<String> {
        let alerts = self.lock();
        let paths = alerts
            .iter()
            .map(|alert| alert_path(alert.repository.1, alert.number));
        paths.collect()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Alert>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reopens the alert, unless somebody other than a client dismissed it.
async fn reopen(
    github: &Github,
    Target {
        repository, number, ..
    }: Target,
) -> Result<()> {
    let alert = github.alert(repository.1, number).await?;
    let comment = alert["dismissed_comment"].as_str();
    if comment.is_some_and(|comment| comment.starts_with(COMMENT)) {
        github.reopen(repository.1, number).await?;
    }
    Ok(())
}

const fn target(index: usize, alert: &Alert) -> Target {
    Target {
        index,
        repository: alert.repository,
        number: alert.number,
    }
}
