//! The traffic of a connector, or through each of them, in even steps of time: for charts.

use toktra_siem_core::time::Timestamp;
use toktra_siem_wire as wire;

use crate::doc::{Doc, Tag};

fn stepped(doc: Doc) -> Doc {
    doc.query::<Timestamp>("from", "Where it begins; a day before `to` where it is left out.")
        .query::<Timestamp>("to", "Where it ends; now where it is left out.")
        .query::<wire::Step>("step", "The length of a step in seconds; the shortest possible where it is left out.")
}

pub(super) fn of_all() -> Doc {
    let doc = Doc::new("listConnectorTraffic", Tag::Connectors, "Get traffic of all connectors").about(
        "As for one connector, by creation and all of them on one page: at most 100 steps of each stream, for small charts beside each \
         other.",
    );
    stepped(doc).ok::<wire::List<wire::Traffic>>("The traffic of each connector.")
}

pub(super) fn of_connector() -> Doc {
    let doc = Doc::new("getConnectorTraffic", Tag::Connectors, "Get connector traffic")
        .about(
            "In even steps, for charts: at most 1,000 of them, kept for up to 30 days. For exact numbers see the accounting: here an \
             event that is sent again is counted again, and the last seconds before a crash are missing.",
        );
    stepped(doc).ok::<wire::Traffic>("The traffic.")
}
