//! How a connector appears in answers and in the audit log: everything but its secrets.

use serde_json::{Value, json};
use toktra_siem_core::connector::{Connector, target};
use toktra_siem_store::ConnectorRecord;

use super::secrets;
use crate::api::state::AppState;
use crate::vault::{SIGNING_SECRET, SIGNING_SECRET_NEXT};

/// A connector without its secrets.
pub(super) fn connector(state: &AppState, record: &ConnectorRecord) -> Value {
    let connector = &record.connector;
    let mut config = target::public_view(&connector.settings);
    if let Value::Object(members) = &mut config {
        members.extend(secrets::credentials_view(state, record));
    }
    let mut view = json!({
        "id": connector.id,
        "org_id": connector.org,
        "name": connector.name,
        "platform": connector.settings.platform(),
        "config": config,
        "filter": connector.filter,
        "signing_secret": secrets::signing_view(state, record, SIGNING_SECRET),
        "active": connector.active,
        "managed_by": connector.managed_by,
    });
    if let Some(rotation) = record.rotation {
        view["rotation"] = json!({
            "signing_secret_next": secrets::signing_view(state, record, SIGNING_SECRET_NEXT),
            "until": rotation.until,
        });
    }
    stamp(&mut view, connector);
    view
}

/// What the store decides at a save.
pub(super) fn stamp(view: &mut Value, saved: &Connector) {
    view["revision"] = json!(saved.revision);
    view["created_at"] = json!(saved.created_at);
    view["updated_at"] = json!(saved.updated_at);
}
