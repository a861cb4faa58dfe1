//! Whether GitHub may be asked, and through which installation. Pure.

use domain::{Timestamp, command::LastError};
use store::owners::{Integration, OwnerRecord};

/// Why a pass may not ask GitHub at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Barred {
    /// The owner is not enabled.
    Disabled,
    /// The owner is not connected, or GitHub has recently rejected the credentials.
    Rejected(LastError),
}

/// Returns the integration to ask GitHub with.
pub(crate) fn to_ask_with(owner: &OwnerRecord, now: Timestamp) -> Result<&Integration, Barred> {
    if !owner.settings.enabled {
        return Err(Barred::Disabled);
    }
    let integration = owner.integration.as_ref();
    let integration = integration.ok_or(Barred::Rejected(LastError::NotConnected))?;
    match integration.auth_invalid_at {
        Some(at) if integration.refused_until(now).is_some() => {
            Err(Barred::Rejected(LastError::CredentialsRefused(at)))
        }
        Some(_) | None => Ok(integration),
    }
}

#[cfg(test)]
mod tests {
    use domain::{installation::InstallationId, settings::Settings};

    use super::*;
    use crate::samples::noon;

    fn all() -> Settings {
        Settings {
            enabled: true,
            ..Settings::default()
        }
    }

    #[test]
    fn only_an_enabled_connected_owner_with_good_credentials_is_not_barred() {
        let connected = |auth_invalid_at| OwnerRecord {
            settings: all(),
            integration: Some(Integration {
                installation: InstallationId::new(9),
                can_read_alerts: true,
                auth_invalid_at,
            }),
            ..OwnerRecord::default()
        };
        let barred = |owner: &OwnerRecord| to_ask_with(owner, noon(0)).err();
        assert_eq!(barred(&connected(None)), None);
        assert_eq!(barred(&connected(Some(noon(-3_601)))), None, "an hour ago");
        let at = noon(-3_599);
        let refused = Barred::Rejected(LastError::CredentialsRefused(at));
        assert_eq!(barred(&connected(Some(at))), Some(refused));
        let nowhere = OwnerRecord {
            integration: None,
            ..connected(None)
        };
        let not_connected = Barred::Rejected(LastError::NotConnected);
        assert_eq!(barred(&nowhere), Some(not_connected));
        let off = OwnerRecord {
            settings: Settings {
                enabled: false,
                ..all()
            },
            ..connected(Some(at))
        };
        assert_eq!(barred(&off), Some(Barred::Disabled));
    }
}
