//! `POST /v1/siem/filter/preview`: how many, and which, of the last days' events a filter would forward.

use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use http::{Request, StatusCode};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use toktra_siem_core::event::{EventType, Severity};
use toktra_siem_core::fault::Wrong;
use toktra_siem_core::filter::Filter;
use toktra_siem_core::ids::EventId;
use toktra_siem_core::time::Timestamp;
use toktra_siem_store::{EventRecord, Preview};

use super::answer;
use super::connectors::filter;
use super::error::{ApiError, Result};
use super::guard::Caller;
use super::object::Object;
use super::query::Query;
use super::state::AppState;

/// Days that are looked at where the request does not say.
const DAYS: u32 = 7;
/// Days at most: payloads are rarely kept for longer, and older events say little of tomorrow's.
const MAX_DAYS: u32 = 30;
/// Events that are shown.
const SAMPLE: usize = 20;

/// What a filter would have done.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "FilterPreview")]
struct PreviewView {
    /// How many days were looked at.
    days: u32,
    /// Events accepted since then are counted.
    since: Timestamp,
    /// All of them.
    total: u64,
    /// Those that the filter would have forwarded.
    matching: u64,
    /// By type, those that occurred.
    by_event_type: Vec<OfType>,
    /// By severity, those that occurred.
    by_severity: Vec<OfSeverity>,
    /// The newest that match, at most 20; fewer where more would lie far back among what does not match.
    sample: Vec<Sample>,
}

/// What there was of one type.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "PreviewOfType")]
struct OfType {
    /// The type.
    event_type: EventType,
    /// Events of it.
    total: u64,
    /// Those that the filter would have forwarded.
    matching: u64,
}

/// What there was of one severity.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "PreviewOfSeverity")]
struct OfSeverity {
    /// The severity.
    severity: Severity,
    /// Events of it.
    total: u64,
    /// Those that the filter would have forwarded.
    matching: u64,
}

/// An event that matches.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "PreviewSample")]
struct Sample {
    /// Its id.
    event_id: EventId,
    /// What happened.
    event_type: EventType,
    /// How serious it is.
    severity: Severity,
    /// The event's own time.
    timestamp: Timestamp,
    /// What happened, in words; `null` once its payload is past its retention.
    summary: Option<String>,
}

/// Tells what a filter would have forwarded.
pub(super) async fn preview(State(state): State<AppState>, caller: Caller, request: Request<Body>) -> Result<Response> {
    Query::of(request.uri()).finish()?;
    let org = caller.org()?;
    let mut body = Object::read(&state, request).await?;
    let filter = filter::read(&mut body).unwrap_or_default();
    let days = days(&mut body);
    body.finish()?;
    let since = state.parts.clock.now().minus(Duration::from_hours(24 * u64::from(days)));
    let preview = state.parts.store.preview(org, since, filter.clone(), SAMPLE).await;
    let preview = preview.map_err(|error| ApiError::store("org", error))?;
    Ok(answer::json(StatusCode::OK, &view(days, since, &filter, preview)))
}

fn days(body: &mut Object) -> u32 {
    let Some(value) = body.value("days") else { return DAYS };
    let days = value.as_u64().and_then(|days| u32::try_from(days).ok()).filter(|days| (1..=MAX_DAYS).contains(days));
    days.unwrap_or_else(|| {
        body.fault("days", Wrong::range(1, u64::from(MAX_DAYS)));
        DAYS
    })
}

fn view(days: u32, since: Timestamp, filter: &Filter, preview: Preview) -> PreviewView {
    let sum = |of: &dyn Fn(EventType, Severity) -> bool| -> (u64, u64) {
        let of_kind = preview.tallied.iter().filter(|t| of(t.event_type, t.severity));
        of_kind.fold((0, 0), |(total, matching), tallied| {
            let forwarded = filter.refuses(tallied.event_type, tallied.severity).is_none();
            (total + tallied.events, matching + if forwarded { tallied.events } else { 0 })
        })
    };
    let (total, matching) = sum(&|_, _| true);
    let types = EventType::ALL.iter().map(|event_type| (*event_type, sum(&|t, _| t == *event_type)));
    let severities = Severity::ALL.iter().map(|severity| (*severity, sum(&|_, s| s == *severity)));
    PreviewView {
        days,
        since,
        total,
        matching,
        by_event_type: types
            .filter(|(_, (total, _))| *total > 0)
            .map(|(event_type, (total, matching))| OfType { event_type, total, matching })
            .collect(),
        by_severity: severities
            .filter(|(_, (total, _))| *total > 0)
            .map(|(severity, (total, matching))| OfSeverity { severity, total, matching })
            .collect(),
        sample: preview.sample.into_iter().map(|(record, payload)| sample(&record, payload.as_deref())).collect(),
    }
}

fn sample(record: &EventRecord, payload: Option<&[u8]>) -> Sample {
    #[derive(Deserialize)]
    struct Stored {
        summary: Option<String>,
    }
    let stored = payload.and_then(|payload| serde_json::from_slice::<Stored>(payload).ok());
    Sample {
        event_id: record.event_id,
        event_type: record.event_type,
        severity: record.severity,
        timestamp: record.event_time,
        summary: stored.and_then(|stored| stored.summary),
    }
}

/// What this route says of itself.
pub(super) mod doc {
    use schemars::JsonSchema;

    use super::super::connectors::doc::FilterInput;
    use super::super::doc::{Doc, Tag};
    use super::PreviewView;

    /// A filter to try.
    #[derive(JsonSchema)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "describes what is read member by member")]
    struct FilterTrial {
        /// The filter, as a connector has it. Left out, or `null`: everything is forwarded.
        #[serde(default)]
        filter: Option<FilterInput>,
        /// How many days of the past to look at.
        #[serde(default = "days")]
        #[schemars(range(min = 1, max = super::MAX_DAYS))]
        days: u32,
    }

    fn days() -> u32 {
        super::DAYS
    }

    pub(crate) fn preview() -> Doc {
        Doc::new("previewFilter", Tag::Connectors, "Try a filter")
            .about("How many, and which, of the last days' events it would have forwarded. Nothing is saved.")
            .optional_body::<FilterTrial>("The filter.")
            .ok::<PreviewView>("What it would have done.")
    }
}
