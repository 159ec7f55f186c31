//! The history: which deliveries there were, and what became of one (interface.md, `…/deliveries`).

use axum::extract::State;
use http::HeaderMap;
use toktra_siem_app::{App, Caller, Query, deliveries};
use toktra_siem_core::ids::ConnectorId;

use crate::answer::{Answer, ok};
use crate::export::{self, Format};
use crate::extract::Id;

/// `GET /v1/siem/deliveries`.
pub(super) async fn list(State(app): State<App>, caller: Caller, query: Query, headers: HeaderMap) -> Answer {
    history(&app, &caller, None, query, &headers).await
}

/// `GET …/{id}/deliveries`.
pub(super) async fn of_connector(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id<ConnectorId>,
    query: Query,
    headers: HeaderMap,
) -> Answer {
    history(&app, &caller, Some(id), query, &headers).await
}

async fn history(
    app: &App,
    caller: &Caller,
    connector: Option<ConnectorId>,
    query: Query,
    headers: &HeaderMap,
) -> Answer {
    match Format::of(headers) {
        Some(format) => Ok(export::answer(deliveries::export(app, caller, connector, query).await?, format)),
        None => ok(&deliveries::list(app, caller, connector, query).await?),
    }
}

/// What these routes say of themselves.
pub(super) mod doc {
    use toktra_siem_core::delivery::{Status, Trigger};
    use toktra_siem_core::ids::{EventId, JobId, StreamKind};
    use toktra_siem_core::time::Timestamp;
    use toktra_siem_wire as wire;

    use crate::doc::{Doc, Tag};

    fn filtered(doc: Doc) -> Doc {
        doc.query::<StreamKind>("stream", "Only of streams of this kind.")
            .query::<Status>("status", "Only those that stand so.")
            .query::<Trigger>("trigger", "Only those that were made for this reason.")
            .query::<JobId>("job", "Only those that were made for this job.")
            .query::<EventId>("event_id", "Only those that hold this event.")
            .query::<Timestamp>("from", "Only those made at or after this time.")
            .query::<Timestamp>("to", "Only those made before this time.")
            .about(
                "With `Accept: application/x-ndjson` or `text/csv` the answer is the whole filtered history, newest first: a delivery a \
                 line, without pages (then there is no `limit` and no `cursor`). The CSV has a header, and these columns: id, \
                 connector_id, stream, trigger, status, event_count, delivered, rejected, attempt_count, probe, window, parent_id, \
                 job_id, created_at, next_attempt_at, settled_at, cause_code, cause_message; a cell that a spreadsheet would take for a \
                 formula begins with an apostrophe.",
            )
            .paged()
            .ok::<wire::List<wire::Delivery>>("Deliveries, newest first: a page, or all of them.")
            .or_as::<wire::Delivery>("application/x-ndjson")
            .or_as::<String>("text/csv")
    }

    pub(crate) fn list() -> Doc {
        filtered(Doc::new("listDeliveries", Tag::Deliveries, "List deliveries"))
    }

    pub(crate) fn of_connector() -> Doc {
        filtered(Doc::new("listConnectorDeliveries", Tag::Deliveries, "List a connector's deliveries"))
    }

    pub(crate) fn get() -> Doc {
        Doc::new("getDelivery", Tag::Deliveries, "Show a delivery")
            .about("With every attempt, what the SIEM answered, and the events.")
            .ok::<wire::DeliveryDetail>("The delivery.")
    }
}
