//! `GET /v1/events`: what came lately, for whoever looks for an event without knowing its id.

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use http::{Request, StatusCode};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use toktra_siem_core::ids::Seq;
use toktra_siem_store::{EventPage, EventQuery, EventRecord};

use super::EventSummary;
use crate::answer;
use crate::error::{ApiError, Result};
use crate::guard::Caller;
use crate::query::{List, Query};
use crate::state::AppState;
use crate::words;

/// An event, in short.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ListedEvent")]
pub(super) struct ListedEvent {
    #[serde(flatten)]
    event: EventSummary,
    /// What happened, in words; `null` once its payload is past its retention.
    summary: Option<String>,
    /// Who caused it, where the producer said so; `null` once its payload is past its retention, too.
    user_email: Option<String>,
}

/// What the payload adds.
#[derive(Debug, Default, Deserialize)]
struct Told {
    summary: Option<String>,
    user_email: Option<String>,
}

impl ListedEvent {
    fn of(record: &EventRecord, payload: Option<&[u8]>) -> Self {
        let told = payload.and_then(|payload| serde_json::from_slice(payload).ok());
        let Told { summary, user_email } = told.unwrap_or_default();
        Self { event: EventSummary::of(record), summary, user_email }
    }
}

/// A page of the org's events.
pub(crate) async fn list(State(state): State<AppState>, caller: Caller, request: Request<Body>) -> Result<Response> {
    let org = caller.org()?;
    let mut query = Query::of(request.uri());
    let (from, to) = query.range();
    let wanted = EventQuery {
        event_type: query.take("event_type", "one of the event types", words::read),
        severity: query.take("severity", "low, medium, high or critical", words::read),
        from,
        to,
        before: query.take("cursor", "the `next_cursor` of a page of this list", |text| text.parse().ok().map(Seq)),
        limit: query.limit(),
    };
    query.finish()?;
    let page = state.parts.store.recent_events(org, wanted).await;
    let EventPage { items, next } = page.map_err(|error| ApiError::store("org", error))?;
    let items: Vec<_> = items.iter().map(|(record, payload)| ListedEvent::of(record, payload.as_deref())).collect();
    let list =
        List { items, next_cursor: next.map(|seq| seq.0.to_string()), has_more: next.is_some(), total_count: None };
    Ok(answer::json(StatusCode::OK, &list))
}
