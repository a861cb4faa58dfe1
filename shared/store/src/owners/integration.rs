//! An owner's connection to GitHub, as a row.

use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use domain::{Timestamp, installation::InstallationId, owner::Owner};

use crate::table::{Attributes, Expression, Item, OwnerRow, Table, Unreadable, Writes};

/// For how long a refused credential keeps GitHub from being asked again.
pub const AUTH_INVALID_FOR: Duration = Duration::from_secs(3600);

/// An owner's connection to an installation of the GitHub App.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Integration {
    /// The installation.
    pub installation: InstallationId,
    /// Whether the App may read Dependabot alerts there.
    pub can_read_alerts: bool,
    /// Since when GitHub refuses the credentials, if it does.
    pub auth_invalid_at: Option<Timestamp>,
}

impl Integration {
    /// Until when GitHub is not asked, because it refused the credentials a short while ago.
    pub fn refused_until(&self, now: Timestamp) -> Option<Timestamp> {
        self.auth_invalid_at
            .map(|at| at + AUTH_INVALID_FOR)
            .filter(|until| *until > now)
    }
}

/// Reads the row.
pub(super) fn read(item: &Item) -> Result<Integration, Unreadable> {
    Ok(Integration {
        installation: InstallationId::new(item.number("installation")?),
        can_read_alerts: item.get("can_read_alerts") == Some(&AttributeValue::Bool(true)),
        auth_invalid_at: item.maybe("auth_invalid_at", Attributes::time)?,
    })
}

/// The check that the owner is connected: what is written with it belongs to a connected owner or is not written.
pub(crate) fn connected(table: &Table, owner: &Owner) -> Writes {
    let mut e = Expression::default();
    let connected = e.exists("installation");
    table.check(OwnerRow::Integration.key(owner), e, connected)
}
