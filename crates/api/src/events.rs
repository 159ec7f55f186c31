//! `POST /v1/events`, the way in.

use axum::body::Body;
use axum::extract::State;
use http::{HeaderMap, Request, StatusCode};
use toktra_siem_app::{Caller, Refusal, Result, events};
use toktra_siem_core::event::body::BodyFormat;
use toktra_siem_core::fault::shown;

use crate::answer::{self, Answer};
use crate::body;
use crate::extract::query_of;
use crate::once;
use crate::state::AppState;

pub(super) mod doc;

/// `POST /v1/events`.
pub(super) async fn post(State(state): State<AppState>, caller: Caller, request: Request<Body>) -> Answer {
    let (parts, body) = request.into_parts();
    let app = &state.app;
    let receipt = app.parts.telemetry.receive(&parts.headers);
    if parts.uri.query().is_some() {
        query_of(&parts.uri).finish()?;
    }
    if parts.headers.contains_key(once::KEY) {
        return Err(Refusal::bad_request(
            "`Idempotency-Key` is not taken here, and nothing was accepted. Give each event an `event_id` of its own, and send the same \
             event with the same id: at most one of each is kept.",
        )
        .into());
    }
    let format = format(&parts.headers)?;
    let whole = body::read(&state, &parts, body, app.parts.limits.event_body).await?;
    let told = events::post(app, &caller, &receipt, whole.bytes.clone(), format).await?;
    Ok(answer::bytes(StatusCode::ACCEPTED, told))
}

fn format(headers: &HeaderMap) -> Result<BodyFormat> {
    match body::media_type(headers)?.as_deref() {
        None | Some("application/json") => Ok(BodyFormat::Json),
        Some("application/x-ndjson" | "application/ndjson" | "application/jsonl") => Ok(BodyFormat::Ndjson),
        Some(given) => Err(Refusal::unsupported(format!(
            "The Content-Type `{}` is not supported, and nothing was accepted. Send JSON as application/json, or one event a line as \
             application/x-ndjson.{}",
            shown(given),
            if given == "application/x-www-form-urlencoded" {
                " curl -d says this one unless -H names another."
            } else {
                ""
            }
        ))),
    }
}
