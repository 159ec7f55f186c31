//! `POST …/connectors/test` and `…/{id}/test`: does it work? Of settings that are not saved, of a saved connector, or of one with a patch
//! laid over it (product spec, "Test delivery").

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use http::{HeaderMap, Request, StatusCode};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;
use toktra_siem_core::cause::Cause;
use toktra_siem_core::connector::Credentials;
use toktra_siem_core::ids::{ConnectorId, DeliveryId, EventId, StreamKind};
use toktra_siem_dispatch::links::trust;
use toktra_siem_dispatch::test_delivery::{Listener, StreamReport, TestReport};
use toktra_siem_egress::{Stage, StageName, Trust};

use super::{CONNECTOR, Owner, assemble, check_targets, draft, load, patch, view};
use crate::accept::{self, NDJSON};
use crate::answer;
use crate::error::{ApiError, Result};
use crate::guard::Caller;
use crate::named::InOrg;
use crate::object::Object;
use crate::query::Query;
use crate::state::{AppState, TestFailure, TestRequest};

mod live;

/// What came of a test delivery. The members beside `streams` are those of the first stream that failed, else of the first one.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Test")]
struct TestView<'a> {
    /// The event that was sent.
    event_id: EventId,
    /// The platform has the event, in every stream.
    delivered: bool,
    /// The status of the answer; `null` where none came.
    http_status: Option<u16>,
    /// The start of the answer, with credentials taken out.
    response: Option<&'a str>,
    /// How long it took.
    duration_ms: u64,
    /// What happened on the way, in order.
    stages: Vec<StageView<'a>>,
    /// What a person should know or do; `null` where there is nothing to say.
    hint: Option<&'a str>,
    /// The search to paste in that SIEM: it finds the event.
    search: &'a str,
    /// Each stream by itself; a platform may have two.
    streams: Vec<StreamView<'a>>,
}

/// What came of a test in one stream.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "StreamTest")]
struct StreamView<'a> {
    /// Which.
    stream: StreamKind,
    /// The platform has the event.
    delivered: bool,
    /// The delivery in the history; `null` for settings that are not saved.
    delivery_id: Option<DeliveryId>,
    /// The status of the answer; `null` where none came.
    http_status: Option<u16>,
    /// The start of the answer, with credentials taken out.
    response: Option<&'a str>,
    /// How long it took.
    duration_ms: u64,
    /// What happened on the way, in order.
    stages: Vec<StageView<'a>>,
    /// What a person should know or do; `null` where there is nothing to say.
    hint: Option<&'a str>,
    /// Why it failed, or what its success has to say.
    cause: Option<&'a Cause>,
}

/// A stage of a test.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "TestStage")]
struct StageView<'a> {
    /// Which.
    stage: StageName,
    /// Whether it came to a good end.
    ok: bool,
    /// How long it took.
    duration_ms: u64,
    /// A fact about it, or what went wrong.
    detail: &'a str,
}

impl<'a> StageView<'a> {
    fn of(stage: &'a Stage) -> Self {
        Self { stage: stage.name, ok: stage.ok, duration_ms: ms(stage.duration), detail: &stage.detail }
    }
}

impl<'a> StreamView<'a> {
    fn of(report: &'a StreamReport) -> Self {
        Self {
            stream: report.stream,
            delivered: report.delivered,
            delivery_id: report.delivery,
            http_status: report.http_status,
            response: report.response.as_deref(),
            duration_ms: ms(report.duration),
            stages: report.stages.iter().map(StageView::of).collect(),
            hint: report.hint.as_deref(),
            cause: report.cause.as_ref(),
        }
    }
}

impl<'a> TestView<'a> {
    /// `None` for a test of no stream, which there is not.
    fn of(report: &'a TestReport) -> Option<Self> {
        let TestReport { event_id, search, streams, closed: _ } = report;
        let shown = streams.iter().find(|stream| !stream.delivered).or(streams.first())?;
        let StreamView { delivered, http_status, response, duration_ms, stages, hint, .. } = StreamView::of(shown);
        let streams = streams.iter().map(StreamView::of).collect();
        let event_id = *event_id;
        Some(Self { event_id, delivered, http_status, response, duration_ms, stages, hint, search, streams })
    }
}

fn ms(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Settings that are not saved: the body that would make a connector. Nothing is stored but a line of the audit log.
pub(crate) async fn unsaved(State(state): State<AppState>, caller: Caller, request: Request<Body>) -> Result<Response> {
    Query::of(request.uri()).finish()?;
    let (org, live) = (caller.org()?, wants_lines(request.headers()));
    let draft = draft::read(&state.parts.registry, Object::read(&state, request).await?)?;
    check_targets(&state, &draft.settings, &draft.credentials, Trust::default()).await?;
    let now = state.parts.clock.now();
    let (record, _) = assemble(&state, org, draft, now);
    let detail = json!({ "saved": false, "connector": view::connector(&state, &record) });
    let audit = caller.audit(now, ACTION, &record.connector.name, detail);
    answered(&state, TestRequest { record, saved: false, audit, listener: Listener::default() }, live).await
}

/// A saved connector, on or off; where the body says something, with that laid over it.
pub(crate) async fn saved(
    State(state): State<AppState>,
    InOrg { caller, org, id }: InOrg<ConnectorId>,
    request: Request<Body>,
) -> Result<Response> {
    let live = wants_lines(request.headers());
    let object = Object::read(&state, request).await?;
    let stored = load(&state, org, id).await?;
    let saved = object.is_empty();
    let record = if saved {
        stored
    } else {
        Owner::of(&state, &stored.connector).may_change()?;
        patch::read(&state.parts.registry, object)?.apply(&state, &stored)?.over(&stored)
    };
    check_targets(&state, &record.connector.settings, &Credentials::none(), trust(&record.connector)).await?;
    let detail = if saved {
        json!({ "saved": true })
    } else {
        json!({ "saved": false, "connector": view::connector(&state, &record) })
    };
    let audit = caller.audit(state.parts.clock.now(), ACTION, id, detail);
    answered(&state, TestRequest { record, saved, audit, listener: Listener::default() }, live).await
}

const ACTION: &str = "connector.test";

/// Whether the client wants to hear of the test while it is under way.
fn wants_lines(headers: &HeaderMap) -> bool {
    accept::preferred(headers, |media_type| (media_type == NDJSON).then_some(())).is_some()
}

async fn answered(state: &AppState, request: TestRequest, live: bool) -> Result<Response> {
    if live {
        return live::answered(state, request).await;
    }
    let report = state.parts.dispatch.test(request).await.map_err(not_made)?;
    let view = TestView::of(&report).ok_or_else(ApiError::internal)?;
    Ok(answer::json(StatusCode::OK, &view))
}

fn not_made(failure: TestFailure) -> ApiError {
    match failure {
        TestFailure::Unusable(why) => ApiError::conflict(format!("This connector cannot be used: {why}.")),
        TestFailure::Busy => ApiError::tests_full(),
        TestFailure::Store(error) => ApiError::store(CONNECTOR, error),
    }
}

/// What these routes say of themselves.
pub(crate) mod doc {
    use super::super::doc::{ConnectorChange, FORBIDDEN, NewConnector, READ_ONLY};
    use super::TestView;
    use super::live::Line;
    use crate::accept::NDJSON;
    use crate::doc::{Doc, Tag};
    use crate::error::Code;

    const TESTED: &str = "The test was made; `delivered` says what came of it.";

    pub(crate) fn unsaved() -> Doc {
        Doc::new("testSettings", Tag::Connectors, "Try settings that are not saved")
            .about(
                "Sends a synthetic `test_connection` event to every stream of these settings, once and by the way of every other event, and \
                 answers within about 15 seconds. Nothing is stored but a line of the audit log. Where no signing secret is given and one \
                 would be made for the connector, the test is signed with one that nobody knows.\n\nWith `Accept: application/x-ndjson` the \
                 answer begins at once and tells, a line each, of the event and of every stage at its end; the last line has the outcome.",
            )
            .body::<NewConnector>("The connector as it would be made.")
            .ok::<TestView<'_>>(TESTED)
            .or_as::<Line<'_>>(NDJSON)
            .error(403, Code::DestinationForbidden, FORBIDDEN)
    }

    pub(crate) fn saved() -> Doc {
        Doc::new("testConnector", Tag::Connectors, "Try a connector")
            .about(
                "Sends a synthetic `test_connection` event to every enabled stream of the connector, on or off, past its filter, once and by \
                 the way of every other event, and answers within about 15 seconds. The test stands in the history and is found by its \
                 event id; its success closes the stream's breaker, and what has waited is delivered. With a change laid over the \
                 connector, which is not saved, the stored credential is used where the change brings none; such a test leaves neither \
                 history nor breaker behind.\n\nWith `Accept: application/x-ndjson` the answer begins at once and tells, a line each, of the \
                 event and of every stage at its end; the last line has the outcome.",
            )
            .optional_body::<ConnectorChange>("A change to be tried, as it would be saved.")
            .ok::<TestView<'_>>(TESTED)
            .or_as::<Line<'_>>(NDJSON)
            .error(403, Code::DestinationForbidden, FORBIDDEN)
            .error(409, Code::Conflict, READ_ONLY)
            .error(409, Code::Conflict, "The connector cannot be used: its secrets do not open, say.")
    }
}
