//! `GET …/{id}/setup` and `POST /v1/siem/setup`: the set-up steps of a connector.

use toktra_siem_wire as wire;

use crate::doc::{Doc, Tag};

pub(super) fn of_connector() -> Doc {
    Doc::new("getConnectorSetup", Tag::Connectors, "Show the set-up steps of a connector")
        .about(
            "Commands and settings for the person who administers the SIEM, filled in for this connector, step by step and as one text. For each \
             stream, there is also a curl command that sends one test event as the connector does. The answer holds no secrets.",
        )
        .ok::<wire::Setup>("The steps.")
}

pub(super) fn of_draft() -> Doc {
    Doc::new("previewConnectorSetup", Tag::Connectors, "Preview the set-up steps of a connector that is not saved")
        .about("The same for a connector that is not saved yet. Give as much of `config` as you know; what is missing is left open in the text.")
        .body::<wire::SetupDraft>("The platform, and what is known of the settings.")
        .ok::<wire::Setup>("The steps.")
}
