//! How connectors stand: state, lag, rates and the last error of each stream (`…/health`).

use toktra_siem_wire as wire;

use crate::doc::{Doc, Tag};

pub(super) fn of_connector() -> Doc {
    Doc::new("getConnectorHealth", Tag::Connectors, "Show a connector's health")
        .about("Whether each stream works, how far it is behind, how fast events flow, and what last went wrong.")
        .ok::<wire::Health>("The state.")
}

pub(super) fn of_all() -> Doc {
    Doc::new("listConnectorHealth", Tag::Connectors, "Show the health of all connectors")
        .about("The worst first, all of them on one page.")
        .ok::<wire::List<wire::Health>>("How they stand.")
}
