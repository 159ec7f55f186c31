//! What keeps the service under watch: `/healthz`, `/readyz` and `/metrics`, without credentials and without secrets.

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use http::header::{CONTENT_TYPE, HeaderValue};
use toktra_siem_app::Refusal;
use toktra_siem_wire::ServiceStatus;

use crate::answer::{self, Answer};
use crate::extract::NoQuery;
use crate::state::AppState;

/// The process answers.
pub(super) async fn alive() -> Response {
    answer::json(StatusCode::OK, &ServiceStatus { status: "ok".to_owned(), shortage: None, stalled: None })
}

/// Whether events can be taken in: the store can be read, and its writer has not given up after a failure of the disk. Before everything
/// is started and once a shutdown has begun nothing listens, which says the same.
///
/// What does not make it unready: destinations that are down, because events are taken in for them; and a disk budget that is used up or a
/// full file system, because that answer (507) tells producers more than a proxy without a server behind it would, and deliveries go on and
/// make room. Nor does it that this service itself does not get on with what it has taken in: refusing more would lose it at the producers. The
/// answer says so.
pub(super) async fn ready(State(state): State<AppState>) -> Answer {
    let org = state.app.parts.store.org(state.app.parts.default_org).await;
    org.map_err(|error| {
        tracing::error!(error = &error as &dyn std::error::Error, "the store does not answer: not ready");
        Refusal::unavailable()
    })?;
    if state.app.parts.telemetry.store_is_poisoned() {
        tracing::error!(
            "the disk failed earlier and nothing is written any more: not ready. Check the disk, then restart"
        );
        return Err(Refusal::unavailable().into());
    }
    let shortage = state.app.parts.telemetry.shortage().map(|shortage| shortage.word().to_owned());
    let stalled = state.app.parts.telemetry.stands_still().map(str::to_owned);
    Ok(answer::json(StatusCode::OK, &ServiceStatus { status: "ready".to_owned(), shortage, stalled }))
}

/// Figures for Prometheus. They name connectors by their ids, and no org, no person and nothing of an event.
pub(super) async fn metrics(State(state): State<AppState>, _: NoQuery) -> Answer {
    let page = state.app.parts.telemetry.scrape(&*state.app.parts.store).await;
    let mut response = answer::bytes(StatusCode::OK, page);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(toktra_siem_telemetry::CONTENT_TYPE));
    Ok(response)
}

/// What these routes say of themselves.
pub(super) mod doc {
    use http::StatusCode;

    use super::super::doc::{Doc, Tag};
    use super::super::error::Code;
    use toktra_siem_wire::ServiceStatus;

    pub(crate) fn alive() -> Doc {
        Doc::new("getLiveness", Tag::Service, "Check liveness").ok::<ServiceStatus>("The process answers.")
    }

    pub(crate) fn ready() -> Doc {
        Doc::new("getReadiness", Tag::Service, "Check readiness")
            .about(
                "Ready means that the database can be read and written. SIEMs are not asked: events are taken in while they are down. Nor \
                 does it count that the disk budget is used up, or the file system full: events are then answered with 507, deliveries go on, and \
                 `shortage` says which it is. `stalled` says what of the service stands still while events are taken in: restart it.",
            )
            .ok::<ServiceStatus>("The service takes requests.")
            .error(503, Code::Unavailable, "The database does not answer, or its disk has failed.")
    }

    pub(crate) fn metrics() -> Doc {
        Doc::new("getMetrics", Tag::Service, "Get Prometheus metrics")
            .about(
                "In Prometheus's text format. Connectors are named by their ids; no org, no person and nothing of an event is in it. A page is \
                 given out for a second before a new one is made.",
            )
            .answer_in::<String>(StatusCode::OK, "text/plain", "The figures.")
    }
}
