//! What is said of connectors.

use toktra_siem_core::connector::ManagedBy;
use toktra_siem_platform::group;
use toktra_siem_platform::view::SecretView;
use toktra_siem_wire::Connector;

/// How a secret stays as it is.
const KEPT: &str = "Leave it empty to keep it, unless you change the address or the trusted certificates.";

/// What is said of a secret beside its field: it is never shown.
pub fn told(secret: &SecretView) -> Option<String> {
    if !secret.set {
        return None;
    }
    Some(match (secret.told(), &secret.source, secret.usable) {
        (_, _, Some(false)) => "Set, but it does not open: the encryption key is another. Enter it again.".to_owned(),
        (_, Some(source), _) => {
            format!("{source} of the environment is used. Enter one to give this connector its own.")
        }
        (Some(told), ..) => format!("Set, {told}. {KEPT}"),
        (None, ..) => format!("Set. {KEPT}"),
    })
}

/// The secret that is this member of a connector's settings.
pub fn secret(connector: &Connector, member: &str) -> Option<SecretView> {
    let value = group::member(&connector.settings.config, member)?;
    serde_json::from_value(value.clone()).ok().filter(|secret: &SecretView| secret.set)
}

/// Who says what a connector is, as far as it decides what the page offers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    /// People, here.
    People,
    /// The environment: everything but tests is read-only.
    Environment,
    /// The environment did, and does not describe it any more: it can only be deleted. What the environment describes is always on.
    Nobody,
}

/// Who says what it is.
pub fn owner(connector: &Connector) -> Owner {
    match connector.managed_by {
        ManagedBy::Api => Owner::People,
        ManagedBy::Environment if connector.active => Owner::Environment,
        ManagedBy::Environment => Owner::Nobody,
    }
}
