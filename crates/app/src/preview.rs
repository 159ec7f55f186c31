//! `POST /v1/siem/filter/preview`: how many, and which, of the last days' events a filter would forward.

use std::time::Duration;

use serde::Deserialize;
use toktra_siem_core::event::{EventType, Severity};
use toktra_siem_core::fault::Wrong;
use toktra_siem_core::filter::Filter;
use toktra_siem_core::time::Timestamp;
use toktra_siem_store::{EventRecord, Preview, Scope};
use toktra_siem_wire as wire;

use crate::connectors::filter;
use crate::{App, Caller, Object, Refusal, Result};

/// Events that are shown.
const SAMPLE: usize = 20;

/// Tells what a filter would have forwarded.
pub async fn preview(app: &App, caller: &Caller, mut body: Object) -> Result<wire::FilterPreview> {
    let org = caller.org(Scope::SiemRead)?;
    let filter = filter::read(&mut body).unwrap_or_default();
    let days = days(&mut body);
    body.finish()?;
    let since = app.parts.clock.now().minus(Duration::from_hours(24 * u64::from(days)));
    let preview = app.parts.store.preview(org, since, filter.clone(), SAMPLE).await;
    let preview = preview.map_err(|error| Refusal::store("org", error))?;
    Ok(view(days, since, &filter, preview))
}

fn days(body: &mut Object) -> u32 {
    let Some(value) = body.value("days") else { return wire::PREVIEW_DAYS };
    let days = value
        .as_u64()
        .and_then(|days| u32::try_from(days).ok())
        .filter(|days| (1..=wire::MAX_PREVIEW_DAYS).contains(days));
    days.unwrap_or_else(|| {
        body.fault("days", Wrong::range(1, u64::from(wire::MAX_PREVIEW_DAYS)));
        wire::PREVIEW_DAYS
    })
}

fn view(days: u32, since: Timestamp, filter: &Filter, preview: Preview) -> wire::FilterPreview {
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
    wire::FilterPreview {
        days,
        since,
        total,
        matching,
        by_event_type: types
            .filter(|(_, (total, _))| *total > 0)
            .map(|(event_type, (total, matching))| wire::PreviewOfType { event_type, total, matching })
            .collect(),
        by_severity: severities
            .filter(|(_, (total, _))| *total > 0)
            .map(|(severity, (total, matching))| wire::PreviewOfSeverity { severity, total, matching })
            .collect(),
        sample: preview.sample.into_iter().map(|(record, payload)| sample(&record, payload.as_deref())).collect(),
    }
}

fn sample(record: &EventRecord, payload: Option<&[u8]>) -> wire::PreviewSample {
    #[derive(Deserialize)]
    struct Stored {
        summary: Option<String>,
    }
    let stored = payload.and_then(|payload| serde_json::from_slice::<Stored>(payload).ok());
    wire::PreviewSample {
        event_id: record.event_id,
        event_type: record.event_type,
        severity: record.severity,
        timestamp: record.event_time,
        summary: stored.and_then(|stored| stored.summary),
    }
}
