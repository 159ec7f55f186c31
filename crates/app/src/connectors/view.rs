//! How a connector appears in answers and in the audit log: everything but its secrets.

use toktra_siem_base::vault::{SIGNING_SECRET, SIGNING_SECRET_NEXT};
use toktra_siem_core::connector::Connector;
use toktra_siem_platform::view::SettingsView;
use toktra_siem_store::ConnectorRecord;

use toktra_siem_wire as wire;

use super::secrets;
use crate::App;

/// A connector without its secrets.
pub(super) fn connector(app: &App, record: &ConnectorRecord) -> wire::Connector {
    let Connector { id, org, name, settings, filter, active, activated, managed_by, revision, created_at, updated_at } =
        record.connector.clone();
    wire::Connector {
        id,
        org_id: org,
        name,
        settings: SettingsView::of(&app.parts.registry, &settings, |field| {
            secrets::credential_view(app, record, field)
        }),
        filter,
        signing_secret: secrets::signing_view(app, record, SIGNING_SECRET),
        active,
        activated: activated || active,
        managed_by,
        rotation: record.rotation.map(|rotation| wire::Rotation {
            signing_secret_next: secrets::signing_view(app, record, SIGNING_SECRET_NEXT),
            until: rotation.until,
        }),
        revision,
        created_at,
        updated_at,
    }
}
