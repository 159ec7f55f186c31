//! Asking for a job: a range, what that comes to, and only then the job. Without script these are two steps with a button each; with it
//! the preview follows the fields.

use std::time::Duration;

use askama::Template;
use axum::extract::Path;
use http::StatusCode;
use serde_json::{Map, Value};
use toktra_siem_app::jobs::{self, Asked};
use toktra_siem_app::{Object, Refusal, connectors, health, named};
use toktra_siem_core::ids::{ConnectorId, StreamKind};
use toktra_siem_core::job::JobKind;
use toktra_siem_core::time::Timestamp;
use toktra_siem_wire::Health;

use crate::answer::{self, Result};
use crate::deliveries::words;
use crate::error::{PageError, of_field, sentence};
use crate::form::Form;
use crate::frame::{Frame, Notice, Section};
use crate::moment::{self, Preset};
use crate::show;
use crate::visitor::{Visitor, with_query};

/// What can be asked for a range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wish {
    RedeliverFailed,
    Replay,
    Discard,
}

impl Wish {
    /// The last part of its address.
    fn path(self) -> &'static str {
        match self {
            Self::RedeliverFailed => "redeliver-failed",
            Self::Replay => "replay",
            Self::Discard => "discard",
        }
    }

    fn kind(self) -> JobKind {
        match self {
            Self::RedeliverFailed => JobKind::RedeliverFailed,
            Self::Replay => JobKind::Replay,
            Self::Discard => JobKind::Discard,
        }
    }

    fn title(self) -> &'static str {
        match self {
            Self::RedeliverFailed => "Deliver failed events again",
            Self::Replay => "Replay a range",
            Self::Discard => "Discard parked events",
        }
    }

    /// Where nothing is said of the range: a replay of everything is seldom meant.
    fn range(self, now: Timestamp) -> Range {
        let from = if self == Self::Replay { moment::before(now, DAY) } else { String::new() };
        Range { from, to: String::new() }
    }
}

const DAY: Duration = Duration::from_hours(24);

/// The range as it was typed.
struct Range {
    from: String,
    to: String,
}

impl Range {
    fn read(form: &Form) -> Self {
        Self { from: form.text("from").to_owned(), to: form.text("to").to_owned() }
    }

    /// As it is asked for.
    fn body(&self, dry_run: bool) -> Value {
        let mut body = Map::new();
        for (name, text) in [("from", &self.from), ("to", &self.to)] {
            if !text.is_empty() {
                body.insert(name.to_owned(), moment::asked(text).into());
            }
        }
        if dry_run {
            body.insert("dry_run".to_owned(), true.into());
        }
        Value::Object(body)
    }

    fn since(&self) -> Option<Timestamp> {
        moment::read(&self.from)
    }

    fn until(&self) -> Option<Timestamp> {
        moment::read(&self.to)
    }
}

#[derive(Template)]
#[template(path = "dashboard/jobs/begin.html", blocks = ["begin"])]
struct BeginPage {
    frame: Frame,
    wish: Wish,
    /// What takes the events.
    receiver: String,
    health: Health,
    range: Range,
    /// How many events it would be about; `None` where the range was not understood.
    total: Option<u64>,
    refusal: Option<Refusal>,
}

impl BeginPage {
    fn path(&self) -> String {
        address(self.health.connector_id, self.wish)
    }

    fn fault(&self, name: &str) -> Option<String> {
        of_field(self.refusal.as_ref()?, &format!("/{name}"))
    }

    /// What was refused apart from the range.
    fn refused(&self) -> Option<String> {
        self.refusal.as_ref().filter(|refusal| refusal.fields.is_empty()).map(|refusal| sentence(&refusal.message))
    }

    fn presets(&self) -> Vec<Preset> {
        let path = self.path();
        // A range of its own is proposed where the address names none.
        let at =
            |from: &str| if from.is_empty() { format!("{path}?from=") } else { with_query(&path, [("from", from)]) };
        moment::presets(self.frame.now, &self.range.from, &self.range.to, at)
    }

    /// Whether it has metrics, which nobody sends again by hand.
    fn has_metrics(&self) -> bool {
        self.health.streams.iter().any(|stream| stream.stream == StreamKind::Metrics)
    }

    fn risk(&self) -> String {
        words::risk(&self.frame.registry, self.health.platform, &self.receiver)
    }

    fn failed(&self) -> u64 {
        self.health.streams.iter().map(|stream| stream.parked.failed).sum()
    }

    fn rejected(&self) -> u64 {
        self.health.streams.iter().map(|stream| stream.parked.rejected).sum()
    }

    /// Whether the job could do anything now.
    fn is_off(&self) -> bool {
        !self.health.active && self.wish != Wish::Discard
    }

    /// `312 events`.
    fn events(&self) -> String {
        show::counted(self.total.unwrap_or_default(), "event", "events")
    }
}

fn address(id: impl std::fmt::Display, wish: Wish) -> String {
    format!("/integrations/siem/{id}/{}", wish.path())
}

async fn page(visitor: &Visitor, id: &str, wish: Wish, range: Range, refused: Option<Refusal>) -> Result {
    let id: ConnectorId = named(id)?;
    let (app, caller) = (visitor.app(), visitor.caller());
    let health = health::of_connector(app, caller, id).await?;
    let (total, refusal) = match jobs::of_range(app, caller, wish.kind(), id, Object::of(&range.body(true))).await {
        Ok(Asked::DryRun(size)) => (Some(size.total), refused),
        Ok(Asked::Made(_)) => return Err(PageError::Broken),
        Err(refusal) if !refusal.fields.is_empty() => (None, Some(refusal)),
        Err(refusal) => return Err(refusal.into()),
    };
    let settings = connectors::get(app, caller, id).await?.settings;
    let receiver = visitor.registry().receiver(settings.platform, &settings.config);
    let status = refusal.as_ref().map_or(StatusCode::OK, |refusal| refusal.status);
    let frame = visitor.frame(wish.title(), Section::Connectors);
    let page = BeginPage { frame, wish, receiver, health, range, total, refusal };
    if visitor.by_script { answer::html(status, &page.as_begin()) } else { answer::html(status, &page) }
}

async fn show(visitor: &Visitor, id: &str, wish: Wish) -> Result {
    let query = visitor.address.split_once('?').map_or("", |(_, query)| query);
    let form = Form::parse(query.as_bytes());
    let range = if form.has("from") || form.has("to") { Range::read(&form) } else { wish.range(visitor.now) };
    page(visitor, id, wish, range, None).await
}

async fn begin(visitor: &Visitor, id: &str, wish: Wish, form: &Form) -> Result {
    let (range, connector) = (Range::read(form), named::<ConnectorId>(id)?);
    let doing = |app, caller, range| async move {
        match jobs::of_range(&app, &caller, wish.kind(), connector, range).await? {
            Asked::Made(job) => Ok(job),
            Asked::DryRun(_) => Err(Refusal::internal()),
        }
    };
    match visitor.once(&format!("{connector}/{}", wish.path()), &range.body(false), doing).await {
        Ok(job) => {
            let what = if wish == Wish::Discard { "given up" } else { "sent again" };
            let notice = Notice::done(format!("{} will be {what}.", show::counted(job.total, "event", "events")));
            Ok(visitor.go_with(&format!("/jobs/{}", job.id), notice))
        }
        Err(refusal) if matches!(refusal.status, StatusCode::CONFLICT | StatusCode::UNPROCESSABLE_ENTITY) => {
            page(visitor, id, wish, range, Some(refusal)).await
        }
        Err(refusal) => Err(refusal.into()),
    }
}

/// `GET /integrations/siem/{id}/redeliver-failed`.
pub(crate) async fn redeliver_failed(visitor: Visitor, Path(id): Path<String>) -> Result {
    show(&visitor, &id, Wish::RedeliverFailed).await
}

/// `POST /integrations/siem/{id}/redeliver-failed`.
pub(crate) async fn begin_redeliver_failed(visitor: Visitor, Path(id): Path<String>, form: Form) -> Result {
    begin(&visitor, &id, Wish::RedeliverFailed, &form).await
}

/// `GET /integrations/siem/{id}/replay`.
pub(crate) async fn replay(visitor: Visitor, Path(id): Path<String>) -> Result {
    show(&visitor, &id, Wish::Replay).await
}

/// `POST /integrations/siem/{id}/replay`.
pub(crate) async fn begin_replay(visitor: Visitor, Path(id): Path<String>, form: Form) -> Result {
    begin(&visitor, &id, Wish::Replay, &form).await
}

/// `GET /integrations/siem/{id}/discard`.
pub(crate) async fn discard(visitor: Visitor, Path(id): Path<String>) -> Result {
    show(&visitor, &id, Wish::Discard).await
}

/// `POST /integrations/siem/{id}/discard`.
pub(crate) async fn begin_discard(visitor: Visitor, Path(id): Path<String>, form: Form) -> Result {
    begin(&visitor, &id, Wish::Discard, &form).await
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_range_is_asked_for_as_it_was_typed() {
        let range = Range::read(&Form::parse(b"from=2025-01-15T10%3A30&to="));
        assert_eq!(range.body(true), json!({"from": "2025-01-15T10:30:00Z", "dry_run": true}));
        assert_eq!(range.body(false), json!({"from": "2025-01-15T10:30:00Z"}));
        assert_eq!((range.since(), range.until()), (Some(Timestamp(1_736_937_000_000)), None));
        let odd = Range::read(&Form::parse(b"from=yesterday"));
        assert_eq!(odd.body(false), json!({"from": "yesterday"}), "what is wrong with it, the API says");
    }

    #[test]
    fn a_replay_begins_with_a_day_and_the_others_with_everything() {
        let now = Timestamp(1_736_937_000_000);
        assert_eq!(Wish::Replay.range(now).from, "2025-01-14T10:30");
        assert!(Wish::Discard.range(now).from.is_empty() && Wish::RedeliverFailed.range(now).from.is_empty());
    }
}
