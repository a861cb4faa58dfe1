//! The row of an owner's connection to GitHub.

use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use domain::{Timestamp, installation::InstallationId, owner::Owner};
use serde_json::{Value, json};

use crate::table::{Attributes, Expression, Item, OwnerRow, Table, Unreadable, Writes};

/// How long GitHub is not asked again after it rejected the credentials.
pub const AUTH_INVALID_FOR: Duration = Duration::from_secs(3600);

/// An owner's connection to an installation of the GitHub App.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Integration {
    /// The installation.
    pub installation: InstallationId,
    /// Whether the App may read Dependabot alerts there.
    pub can_read_alerts: bool,
    /// When GitHub last rejected the credentials; `None` if it accepts them.
    pub auth_invalid_at: Option<Timestamp>,
}

impl Integration {
    /// Until when GitHub is not asked, because it recently rejected the credentials.
    pub fn refused_until(&self, now: Timestamp) -> Option<Timestamp> {
        self.auth_invalid_at
            .map(|at| at + AUTH_INVALID_FOR)
            .filter(|until| *until > now)
    }

    /// What audit events tell of a connection, under the API's names.
    pub(super) fn audited(&self) -> Value {
        json!({"installationId": self.installation, "canReadAlerts": self.can_read_alerts})
    }
}

/// The condition that the audited attributes are those of `seen`.
pub(super) fn unchanged(e: &mut Expression, seen: Option<&Item>) -> String {
    let same = ["installation", "can_read_alerts"].map(|name| {
        let value = seen.and_then(|row| row.get(name));
        match value {
            Some(value) => e.compare(name, "=", value.clone()),
            None => e.absent(name),
        }
    });
    same.join(" AND ")
}

/// Reads the row.
pub(super) fn read(item: &Item) -> Result<Integration, Unreadable> {
    Ok(Integration {
        installation: InstallationId::new(item.number("installation")?),
        can_read_alerts: item.get("can_read_alerts") == Some(&AttributeValue::Bool(true)),
        auth_invalid_at: item.maybe("auth_invalid_at", Attributes::time)?,
    })
}

/// The check that the owner is connected. A transaction with it writes nothing for a disconnected or erased owner.
pub(crate) fn connected(table: &Table, owner: &Owner) -> Writes {
    let mut e = Expression::default();
    let connected = e.exists("installation");
    table.check(OwnerRow::Integration.key(owner), e, connected)
}
