//! One delivery: how it stands, every attempt with what was sent and answered, its events; as a page, and as a sheet over the history.

use std::time::Duration;

use askama::Template;
use axum::extract::Path;
use http::StatusCode;
use http::header::HeaderValue;
use serde_json::json;
use toktra_siem_app::{deliveries, jobs, named};
use toktra_siem_core::cause::Cause;
use toktra_siem_core::delivery::{Attempt, Status, Trigger};
use toktra_siem_core::ids::DeliveryId;
use toktra_siem_wire::{DeliveryDetail as Detail, EventSummary};

use super::list::PUSH_URL;
use super::words;
use crate::answer::{Result, html};
use crate::form::Form;
use crate::frame::{Frame, Notice, Section};
use crate::icon::Icon;
use crate::live::view::{Rendering, rendering};
use crate::names::{Connectors, Named};
use crate::show::{self, Mood};
use crate::visitor::{Visitor, segment};

/// Events that are shown unless all are asked for: a batch has up to a thousand.
const FIRST: usize = 20;

#[derive(Template)]
#[template(path = "dashboard/deliveries/detail.html", blocks = ["delivery"])]
struct DetailPage {
    frame: Frame,
    detail: Detail,
    /// `None` once it was deleted.
    connector: Option<Named>,
    /// Whether it lies over the history, which has a heading already.
    sheet: bool,
    every_event: bool,
}

impl DetailPage {
    fn title(&self) -> String {
        let what = match self.detail.delivery.trigger {
            Trigger::Test => "Test delivery",
            _ if self.detail.delivery.outage.is_some() => "Outage: probes",
            _ => "Delivery",
        };
        let to = self.connector.as_ref().map(|connector| connector.name.as_str());
        let to = to.or(self.detail.delivery.former_name.as_deref()).unwrap_or("a deleted connector");
        format!("{what} to {to}")
    }

    fn sentence(&self) -> String {
        words::told(&self.detail, self.connector.as_ref())
    }

    /// Why it stands so. What was overcome by a later attempt stands beside its own attempt only.
    fn cause(&self) -> Option<&Cause> {
        words::remark(&self.detail.delivery)?;
        self.detail.delivery.cause.as_ref()
    }

    fn again(&self) -> words::Again {
        words::again(&self.detail, self.connector.as_ref(), &self.frame.registry)
    }

    /// The link that shows its events in the SIEM.
    fn open(&self) -> Option<show::Html> {
        let (url, connector) = (self.detail.open_url.as_ref()?, self.connector.as_ref()?);
        Some(show::open_in(self.frame.registry.descriptor(connector.platform)?.opens, url))
    }

    fn mood(&self) -> &'static str {
        words::mood(self.detail.delivery.status).class()
    }

    fn is_live(&self) -> bool {
        self.detail.delivery.status == Status::Pending && !self.every_event
    }

    /// When an attempt was made, counted from the first.
    fn offset(&self, attempt: &Attempt) -> String {
        let first = self.detail.attempts.first().map_or(attempt.at, |first| first.at);
        let after = attempt.at.since(first);
        if after < Duration::from_millis(100) {
            return "0 s".to_owned();
        }
        format!("+{}", show::millis(u64::try_from(after.as_millis()).unwrap_or(u64::MAX)))
    }

    fn attempt_mood(&self, attempt: &Attempt) -> Mood {
        let last = self.detail.attempts.last().is_some_and(|last| last.number == attempt.number);
        match (&attempt.cause, self.detail.delivery.status) {
            (None, _) => Mood::Good,
            (Some(_), Status::Delivered | Status::Partial | Status::Split) if last => Mood::Degraded,
            (Some(_), _) => Mood::Failed,
        }
    }

    fn attempt_class(&self, attempt: &Attempt) -> &'static str {
        self.attempt_mood(attempt).class()
    }

    fn attempt_icon(&self, attempt: &Attempt) -> Icon {
        self.attempt_mood(attempt).icon()
    }

    fn events(&self) -> &[EventSummary] {
        let shown = if self.every_event { usize::MAX } else { FIRST };
        &self.detail.events[..self.detail.events.len().min(shown)]
    }

    fn hidden_events(&self) -> u64 {
        self.detail.delivery.event_count.saturating_sub(self.events().len() as u64)
    }

    /// How many events the API tells of.
    fn told(&self) -> String {
        show::count(self.detail.events.len() as u64)
    }

    /// What the link to the rest promises: the API tells of the first thousand.
    fn more_events(&self) -> String {
        let (told, all) = (self.detail.events.len() as u64, self.detail.delivery.event_count);
        if told < all { format!("the first {}", show::count(told)) } else { format!("all {}", show::count(all)) }
    }
}

async fn make(visitor: &Visitor, id: &str, sheet: bool, every_event: bool) -> Result<DetailPage> {
    let detail = deliveries::get(visitor.app(), visitor.caller(), named(id)?).await?;
    let connector = Connectors::of(visitor).await?.get(detail.delivery.connector_id).cloned();
    let frame = visitor.frame("Delivery", Section::Deliveries);
    let mut page = DetailPage { frame, detail, connector, sheet, every_event };
    page.frame.title = page.title();
    Ok(page)
}

/// Whether the query of the address says `name=value`.
fn says(visitor: &Visitor, name: &str, value: &str) -> bool {
    let query = visitor.address.split_once('?').map_or("", |(_, query)| query);
    Form::parse(query.as_bytes()).text(name) == value
}

/// `GET /deliveries/{id}`.
pub(crate) async fn show(visitor: Visitor, Path(id): Path<String>) -> Result {
    let every_event = says(&visitor, "events", "all");
    let page = make(&visitor, &id, visitor.by_script, every_event).await?;
    if !visitor.by_script {
        return html(StatusCode::OK, &page);
    }
    let mut response = html(StatusCode::OK, &page.as_delivery())?;
    if let Ok(address) = HeaderValue::from_str(&format!("/deliveries/{}", segment(&id))) {
        response.headers_mut().insert(PUSH_URL, address);
    }
    Ok(response)
}

/// `/deliveries/{id}/live`: while it is on its way.
pub(crate) async fn live(visitor: &Visitor, id: &str, sheet: bool) -> Result<Rendering> {
    Ok(rendering(make(visitor, id, sheet, false).await?, |page| page.as_delivery().render()))
}

/// `POST /deliveries/{id}/redeliver`.
pub(crate) async fn redeliver(visitor: Visitor, Path(id): Path<String>) -> Result {
    let id: DeliveryId = named(&id)?;
    let doing = |app, caller, body| async move { jobs::redeliver(&app, &caller, id, body).await };
    let job = visitor.once(&format!("deliveries/{id}/redeliver"), &json!({}), doing).await?;
    let notice = Notice::done(format!("{} will be sent again.", show::counted(job.total, "event", "events")));
    Ok(visitor.go_with(&format!("/jobs/{}", job.id), notice))
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use toktra_siem_core::time::Timestamp;

    use super::*;
    use crate::frame::Theme;

    fn page(detail: serde_json::Value) -> DetailPage {
        let frame = Frame {
            title: String::new(),
            section: Section::Deliveries,
            session: None,
            csrf: String::new(),
            once: String::new(),
            theme: Theme::System,
            utc: false,
            notice: None,
            address: String::new(),
            now: Timestamp(1_736_937_000_000),
            registry: toktra_siem_platform::Registry::standard(),
        };
        let detail = serde_json::from_value(detail).unwrap();
        DetailPage { frame, detail, connector: None, sheet: false, every_event: false }
    }

    /// A delivery that took three attempts and holds `events` events.
    fn detail(events: u64) -> serde_json::Value {
        let id = "0194693f-6c00-7000-8000-000000000001";
        let attempt = |number: u64, second: u64, cause: Option<&str>| {
            json!({
                "number": number, "at": format!("2025-01-15T10:30:{second:02}.250Z"), "duration_ms": 40, "http_status": 503,
                "excerpt": "<b>busy</b>", "cause": cause.map(|message| json!({"code": "busy", "message": message})),
                "request": {
                    "method": "POST", "url": "https://siem.example/x?<y>",
                    "headers": [["authorization", "[redacted]"], ["x-odd", "<script>1</script>"]],
                },
                "response_headers": [["server", "\"><img src=x>"]],
            })
        };
        let event = json!({
            "event_id": id, "event_type": "anomaly", "severity": "low", "timestamp": "2025-01-15T10:30:00.000Z", "test": false,
        });
        json!({
            "id": id, "connector_id": uuid::Uuid::nil(), "stream": "events", "trigger": "live", "status": "delivered",
            "event_count": events, "delivered": events, "rejected": 0, "attempt_count": 3, "probe": false, "parent_id": null,
            "job_id": null, "created_at": "2025-01-15T10:30:00.000Z", "next_attempt_at": null, "settled_at": null, "cause": null,
            "attempts": [attempt(1, 0, Some("Busy.")), attempt(2, 1, Some("Busy.")), attempt(3, 3, None)], "children": [],
            "events": vec![event; usize::try_from(events.min(1_000)).unwrap()],
        })
    }

    #[test]
    fn the_attempts_are_told_from_the_first_on_and_what_was_exchanged_is_text() {
        let html = page(detail(1)).render().unwrap();
        for offset in ["<b>0 s</b>", "<b>+1 s</b>", "<b>+3 s</b>"] {
            assert!(html.contains(offset), "{offset}: {html}");
        }
        assert!(
            html.contains(
                "POST https://siem.example/x?&#60;y&#62;\nauthorization: [redacted]\nx-odd: &#60;script&#62;"
            ),
            "{html}"
        );
        assert!(html.contains("server: &#34;&#62;&#60;img src=x&#62;"), "{html}");
        assert!(!html.contains("<img") && !html.contains("<b>busy"), "{html}");
    }

    #[test]
    fn of_many_events_the_first_are_shown_and_the_rest_promised() {
        let rows = |page: &DetailPage| page.render().unwrap().matches("href=\"/events/").count();
        let few = page(detail(20));
        assert_eq!((rows(&few), few.hidden_events()), (20, 0));
        let many = page(detail(300));
        assert_eq!((rows(&many), many.more_events().as_str()), (20, "all 300"));
        let all = DetailPage { every_event: true, ..page(detail(2_500)) };
        assert_eq!((rows(&all), all.more_events().as_str()), (1_000, "the first 1,000"));
        assert!(all.render().unwrap().contains("The first 1,000 of 2,500 events."));
    }
}
