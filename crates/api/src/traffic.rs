//! What flowed through a connector, or through each of them, in even steps of time: for charts.

use axum::extract::State;
use toktra_siem_app::{App, Caller, Query, traffic};
use toktra_siem_core::ids::ConnectorId;

use crate::answer::{Answer, ok};
use crate::extract::Id;

/// `GET …/{id}/traffic`.
pub(super) async fn of_connector(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id<ConnectorId>,
    query: Query,
) -> Answer {
    ok(&traffic::of_connector(&app, &caller, id, query).await?)
}

/// `GET /v1/siem/traffic`.
pub(super) async fn of_all(State(app): State<App>, caller: Caller, query: Query) -> Answer {
    ok(&traffic::of_all(&app, &caller, query).await?)
}

/// What this route says of itself.
pub(super) mod doc {
    use toktra_siem_core::time::Timestamp;
    use toktra_siem_wire as wire;

    use crate::doc::{Doc, Tag};

    fn stepped(doc: Doc) -> Doc {
        doc.query::<Timestamp>("from", "Where it begins; a day before `to` where it is left out.")
            .query::<Timestamp>("to", "Where it ends; now where it is left out.")
            .query::<wire::Step>("step", "The length of a step in seconds; the shortest possible where it is left out.")
    }

    pub(crate) fn of_all() -> Doc {
        let doc = Doc::new("listConnectorTraffic", Tag::Connectors, "Show what flowed through all connectors").about(
            "As for one connector, by creation and all of them on one page: at most 100 steps of each stream, for small charts beside each \
             other.",
        );
        stepped(doc).ok::<wire::List<wire::Traffic>>("What flowed through each connector.")
    }

    pub(crate) fn of_connector() -> Doc {
        let doc = Doc::new("getConnectorTraffic", Tag::Connectors, "Show what flowed through a connector")
            .about(
                "In even steps, for charts: at most 1,000 of them, kept for up to 30 days. For exact numbers see the accounting: here an \
                 event that is sent again is counted again, and the last seconds before a crash are missing.",
            );
        stepped(doc).ok::<wire::Traffic>("What flowed.")
    }
}
