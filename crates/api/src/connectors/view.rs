//! How a connector appears in answers and in the audit log: everything but its secrets.

use schemars::JsonSchema;
use serde::Serialize;
use toktra_siem_base::vault::{SIGNING_SECRET, SIGNING_SECRET_NEXT};
use toktra_siem_core::connector::{Connector, ManagedBy};
use toktra_siem_core::filter::Filter;
use toktra_siem_core::ids::{ConnectorId, OrgId, Revision};
use toktra_siem_core::time::Timestamp;
use toktra_siem_platform::view::{SecretView, SettingsView};
use toktra_siem_store::ConnectorRecord;

use super::secrets;
use crate::state::AppState;

/// An org's configured SIEM.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Connector")]
pub(super) struct ConnectorView {
    /// Its id.
    pub(super) id: ConnectorId,
    /// The org.
    pub(super) org_id: OrgId,
    /// For people; unique within the org.
    pub(super) name: String,
    #[serde(flatten)]
    pub(super) settings: SettingsView,
    /// Which events it forwards, from the newest revision on.
    pub(super) filter: Filter,
    /// What its requests are signed with.
    pub(super) signing_secret: SecretView,
    /// Whether it sends.
    pub(super) active: bool,
    /// Who may change it.
    pub(super) managed_by: ManagedBy,
    /// A change of the signing secret that is under way.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) rotation: Option<RotationView>,
    /// Counts the saves: 1 at creation.
    pub(super) revision: Revision,
    /// When it was made.
    pub(super) created_at: Timestamp,
    /// When it was last saved.
    pub(super) updated_at: Timestamp,
}

/// A change of the signing secret that is under way: both secrets sign.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Rotation")]
pub(super) struct RotationView {
    /// The secret that takes over.
    pub(super) signing_secret_next: SecretView,
    /// When it does, unless it is activated before.
    pub(super) until: Timestamp,
}

/// A connector that was just changed.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ConnectorChanged")]
pub(super) struct ChangedView {
    #[serde(flatten)]
    pub(super) connector: ConnectorView,
    /// Events that waited while it was off and are delivered now. 0 where it was not switched on.
    pub(super) backlog: u64,
    /// Events that waited while it was off and are passed over, because it was switched on from now.
    pub(super) skipped: u64,
}

/// A connector without its secrets.
pub(super) fn connector(state: &AppState, record: &ConnectorRecord) -> ConnectorView {
    let Connector { id, org, name, settings, filter, active, managed_by, revision, created_at, updated_at } =
        record.connector.clone();
    ConnectorView {
        id,
        org_id: org,
        name,
        settings: SettingsView::of(&state.parts.registry, &settings, |field| {
            secrets::credential_view(state, record, field)
        }),
        filter,
        signing_secret: secrets::signing_view(state, record, SIGNING_SECRET),
        active,
        managed_by,
        rotation: record.rotation.map(|rotation| RotationView {
            signing_secret_next: secrets::signing_view(state, record, SIGNING_SECRET_NEXT),
            until: rotation.until,
        }),
        revision,
        created_at,
        updated_at,
    }
}

impl ConnectorView {
    /// What the store decides at a save.
    pub(super) fn stamp(&mut self, saved: &Connector) {
        self.revision = saved.revision;
        self.created_at = saved.created_at;
        self.updated_at = saved.updated_at;
    }
}
