//! The history: which deliveries there were, and what became of one (`…/deliveries`).

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use http::HeaderMap;
use toktra_siem_app::{App, Caller, Query, deliveries, named, sent};
use toktra_siem_core::ids::ConnectorId;

use crate::answer::{Answer, ok};
use crate::export::{self, Format};
use crate::extract::{Id, NoQuery};

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

/// `GET …/{id}/attempts/{number}/request`.
pub(super) async fn request(
    State(app): State<App>,
    caller: Caller,
    path: Result<Path<(String, String)>, PathRejection>,
    NoQuery: NoQuery,
) -> Answer {
    let (id, number) = path.map(|Path(parts)| parts).unwrap_or_default();
    ok(&sent::request(&app, &caller, named(&id)?, &number).await?)
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

    pub(crate) fn request() -> Doc {
        Doc::new("getAttemptRequest", Tag::Deliveries, "Show the request of an attempt")
            .about(
                "Line, headers and body as they were sent, with every secret of the connector redacted. Line and headers were kept with \
                 the attempt; the body is made again of what is stored, at most 64 KiB of it are shown, and `exact` is `true` if a \
                 signature that was sent proves that its bytes are those that were signed. Of events that simply arrived nothing was \
                 kept: then line and headers are made again as well. `notes` says what is missing, and why.",
            )
            .ok::<wire::AttemptRequest>("The request.")
    }
}
