//! `GET …/{id}/setup` and `POST /v1/siem/setup`: what has to be there before a connector works.

use toktra_siem_wire as wire;

use crate::doc::{Doc, Tag};

pub(super) fn of_connector() -> Doc {
    Doc::new("getConnectorSetup", Tag::Connectors, "Show the set-up steps of a connector")
        .about(
            "Commands and settings for whoever administers the SIEM, filled in for this connector, and as one text to send them. Besides, for each \
             stream, a command for curl that sends one test event as the connector does. Secrets are never in it.",
        )
        .ok::<wire::Setup>("What has to be there.")
}

pub(super) fn of_draft() -> Doc {
    Doc::new("previewConnectorSetup", Tag::Connectors, "Preview the set-up steps of a connector that is not saved")
        .about("The same for a connector that is not saved yet. Give as much of `config` as you know; what is missing is left open in the text.")
        .body::<wire::SetupDraft>("The platform, and what is known of the settings.")
        .ok::<wire::Setup>("What has to be there.")
}
