//! Where every event is, as numbers that add up (`…/accounting`; invariant D1).

use toktra_siem_wire as wire;

use crate::doc::{Doc, Tag};

pub(super) fn of_connector() -> Doc {
    Doc::new("getConnectorAccounting", Tag::Connectors, "Show a connector's accounting")
        .about("Where every event is. The counts always add up.")
        .ok::<wire::Accounting>("The counts of each stream.")
}

pub(super) fn of_all() -> Doc {
    Doc::new("listConnectorAccounting", Tag::Connectors, "Show the accounting of all connectors")
        .about("For each connector: where every event is. All connectors are on one page. The counts always add up.")
        .ok::<wire::List<wire::Accounting>>("The counts of each connector.")
}
