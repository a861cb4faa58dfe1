//! The alerts that can be dismissed, and their opening again at GitHub so that dismissals never run out of work.
//!
//! An alert is opened again only when no dismissal of it is under way that a client knows of: then a change that GitHub
//! made twice for one command is one too many, whatever happened in between.

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

/// How the comments of all dismissals begin that clients ask for.
pub(crate) const COMMENT: &str = "soak ";

#[derive(Debug)]
pub(crate) struct Alerts(Mutex<Vec<Alert>>);

#[derive(Debug)]
struct Alert {
    repository: (u64, &'static str),
    number: u64,
    /// Dismissals under way; one whose end nobody learns stays so for good.
    under_way: usize,
    /// It is being opened again: nobody begins now.
    opening: bool,
}

/// An alert that somebody wants to be dismissed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Target {
    index: usize,
    repository: (u64, &'static str),
    number: u64,
}

impl Target {
    /// The finding that every owner has of it.
    pub(crate) fn finding(self) -> String {
        format!("dependabot-{}-{}", self.repository.0, self.number)
    }

    /// Where GitHub has it.
    pub(crate) fn path(self) -> String {
        alert_path(self.repository.1, self.number)
    }
}

impl Alerts {
    /// Those that are open now.
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

    /// Any of them.
    pub(crate) fn any(&self, rng: &mut Rng) -> Target {
        let alerts = self.lock();
        let index = rng.usize(..alerts.len());
        target(index, &alerts[index])
    }

    /// Any of them, whose dismissal begins now.
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

    /// A dismissal has ended. Opens the alert again if a client had it dismissed and no other dismissal is under way.
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

    /// Where GitHub has them: any may have been opened again.
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

/// Opens the alert again, unless others than clients had it dismissed.
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
