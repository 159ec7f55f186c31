//! The history: which deliveries there were, and what became of one (`…/deliveries`).

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use toktra_siem_core::delivery::Delivery;
use toktra_siem_core::event::samples::kind_of;
use toktra_siem_core::ids::{ConnectorId, DeliveryId, OrgId};
use toktra_siem_core::time::Timestamp;
use toktra_siem_platform::search::Span;
use toktra_siem_store::{
    ConnectorRecord, DeliveryDetail, EventRecord, HistoryQuery, LastAttempt, ListedDelivery, Scope, StoreError,
    TestEvent,
};
use toktra_siem_wire as wire;

use crate::connectors::{former, load};
use crate::{App, Caller, Query, Refusal, Result, setup, words};

/// What the API calls this in its messages.
pub(crate) const DELIVERY: &str = "delivery";

/// Everything but its attempts, of which it has the `last`, and its events.
pub fn view(delivery: &Delivery, last: Option<LastAttempt>, recovered_by: Option<DeliveryId>) -> wire::Delivery {
    wire::Delivery {
        id: delivery.id,
        connector_id: delivery.stream.connector,
        former_name: None,
        stream: delivery.stream.kind,
        trigger: delivery.trigger,
        status: delivery.status,
        event_count: delivery.events(),
        delivered: delivery.delivered,
        rejected: delivery.rejected,
        attempt_count: delivery.attempts,
        last_http_status: last.and_then(|last| last.http_status),
        duration_ms: last.map(|last| last.duration_ms),
        probe: delivery.probe,
        outage: delivery.outage.map(|outage| wire::DeliveryOutage {
            since: outage.since,
            until: outage.until,
            probes: delivery.attempts,
            deleted: false,
        }),
        window: delivery.window.as_ref().map(|window| window.start),
        parent_id: delivery.parent,
        job_id: delivery.job,
        created_at: delivery.created_at,
        next_attempt_at: delivery.due_at,
        settled_at: delivery.settled_at,
        cause: delivery.cause.clone(),
        recovered_by,
    }
}

pub(crate) fn summary(record: &EventRecord) -> wire::EventSummary {
    wire::EventSummary {
        event_id: record.event_id,
        sequence: Some(record.seq),
        event_type: record.event_type,
        severity: record.severity,
        timestamp: record.event_time,
        accepted_at: Some(record.accepted_at),
        test: false,
    }
}

/// The event of a test delivery, which is not in the log.
pub(crate) fn summary_of_test(event: &TestEvent) -> wire::EventSummary {
    let (event_type, severity) = kind_of(&event.payload);
    wire::EventSummary {
        event_id: event.event_id,
        sequence: None,
        event_type,
        severity,
        timestamp: event.event_time,
        accepted_at: None,
        test: true,
    }
}

/// A page of the history, the newest first: of all connectors of the org, or of one.
pub async fn list(
    app: &App,
    caller: &Caller,
    connector: Option<ConnectorId>,
    mut query: Query,
) -> Result<wire::List<wire::Delivery>> {
    let (org, mut wanted) = asked(app, caller, connector, &mut query).await?;
    wanted.before = query.take("cursor", "the `next_cursor` of a page of this list", |text| text.parse().ok());
    wanted.limit = query.limit();
    query.finish()?;
    let page = app.parts.store.history(org, wanted).await.map_err(|error| Refusal::store(DELIVERY, error))?;
    let next_cursor = page.items.last().filter(|_| page.has_more).map(|last| last.delivery.id.to_string());
    let mut items: Vec<_> = page.items.iter().map(|item| view(&item.delivery, item.last, item.recovered_by)).collect();
    if connector.is_none() {
        name_deleted(app, org, &mut items).await?;
    }
    Ok(wire::List { items, next_cursor, has_more: page.has_more, total_count: None })
}

/// Says what the connectors were called that were deleted.
async fn name_deleted(app: &App, org: OrgId, deliveries: &mut [wire::Delivery]) -> Result<()> {
    let failed = |error| Refusal::store(DELIVERY, error);
    let all = app.parts.store.connectors(org).await.map_err(failed)?;
    let mut known: HashMap<ConnectorId, Option<(String, Timestamp)>> =
        all.iter().map(|record| (record.connector.id, None)).collect();
    for delivery in deliveries {
        let id = delivery.connector_id;
        if let Entry::Vacant(unknown) = known.entry(id) {
            unknown.insert(former(app, org, id).await.map_err(failed)?);
        }
        name(delivery, known.get(&id).cloned().flatten());
    }
    Ok(())
}

/// Says what the connector of a delivery was called, if it was deleted. An outage that went on until then was ended by that.
fn name(delivery: &mut wire::Delivery, former: Option<(String, Timestamp)>) {
    let Some((name, deleted_at)) = former else { return };
    delivery.former_name = Some(name);
    if let Some(outage) = &mut delivery.outage {
        outage.deleted = outage.until.is_some_and(|until| until >= deleted_at);
    }
}

/// Which part of the history is asked for.
async fn asked(
    app: &App,
    caller: &Caller,
    connector: Option<ConnectorId>,
    query: &mut Query,
) -> Result<(OrgId, HistoryQuery)> {
    let org = caller.org(Scope::SiemRead)?;
    if let Some(id) = connector {
        load(app, org, id).await?;
    }
    let mut wanted = HistoryQuery {
        connector,
        stream: query.take("stream", "events, logs or metrics", |word| word.parse().ok()),
        status: query.take("status", "pending, delivered, partial, split, rejected or failed", words::read),
        trigger: query.take("trigger", "live, test, redelivery, replay or recovery", words::read),
        job: query.take("job", "the id of a job", |text| text.parse().ok()),
        event_id: query.take("event_id", "a UUID", |text| text.parse().ok()),
        from: None,
        to: None,
        before: None,
        limit: EXPORTED_AT_ONCE,
    };
    (wanted.from, wanted.to) = query.range();
    Ok((org, wanted))
}

/// Deliveries of an export that are read at once.
const EXPORTED_AT_ONCE: usize = 500;

/// The whole of a part of the history, to be read page by page.
pub struct Export {
    app: App,
    org: OrgId,
    query: HistoryQuery,
    over: bool,
}

/// Everything of the history that `query` lets through. It has no pages: `cursor` and `limit` would mean that something is missing.
pub async fn export(app: &App, caller: &Caller, connector: Option<ConnectorId>, mut query: Query) -> Result<Export> {
    let (org, wanted) = asked(app, caller, connector, &mut query).await?;
    query.finish()?;
    Ok(Export { app: app.clone(), org, query: wanted, over: false })
}

impl Export {
    /// The next deliveries; `None` after the last ones.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn next(&mut self) -> std::result::Result<Option<Vec<ListedDelivery>>, StoreError> {
        if self.over {
            return Ok(None);
        }
        let page = self.app.parts.store.history(self.org, self.query.clone()).await?;
        self.query.before = page.items.last().map(|item| item.delivery.id);
        self.over = !page.has_more;
        Ok(Some(page.items))
    }
}

/// One delivery with its attempts and events.
pub async fn get(app: &App, caller: &Caller, id: DeliveryId) -> Result<wire::DeliveryDetail> {
    let org = caller.org(Scope::SiemRead)?;
    let detail = app.parts.store.delivery(org, id).await;
    let DeliveryDetail { delivery, attempts, children, recovered_by, events, test_event } =
        detail.map_err(|error| Refusal::store(DELIVERY, error))?;
    let events: Vec<_> = events.iter().map(summary).chain(test_event.as_ref().map(summary_of_test)).collect();
    let record = connector_of(app, org, delivery.stream.connector).await?;
    let delivered = record.as_ref().filter(|_| delivery.delivered > 0);
    let open_url = delivered.and_then(|record| open_url(app, record, &delivery, &events));
    let failed = record.as_ref().filter(|_| attempts.last().is_some_and(|last| last.cause.is_some()));
    let reproduce = failed.and_then(|record| setup::reproduce(app, record, delivery.stream.kind));
    let mut delivery = view(&delivery, LastAttempt::of(&attempts), recovered_by);
    if record.is_none() {
        let former = former(app, org, delivery.connector_id).await;
        name(&mut delivery, former.map_err(|error| Refusal::store(DELIVERY, error))?);
    }
    Ok(wire::DeliveryDetail { delivery, attempts, children, events, open_url, reproduce })
}

/// The connector of a delivery; `None` once it was deleted.
pub(crate) async fn connector_of(app: &App, org: OrgId, id: ConnectorId) -> Result<Option<ConnectorRecord>> {
    match app.parts.store.connector(org, id).await {
        Err(StoreError::NotFound) => Ok(None),
        found => found.map(Some).map_err(|error| Refusal::store(DELIVERY, error)),
    }
}

/// Events that one link shows: addresses have an end.
const OPENED: usize = 20;

/// The address that shows its events to a person.
fn open_url(app: &App, record: &ConnectorRecord, delivery: &Delivery, events: &[wire::EventSummary]) -> Option<String> {
    let events = &events[..events.len().min(OPENED)];
    let ids: Vec<_> = events.iter().map(|event| event.event_id).collect();
    let times = events.iter().flat_map(|event| std::iter::once(event.timestamp).chain(event.accepted_at));
    let span = Span::over(times.chain(delivery.settled_at))?;
    app.parts.registry.open_url(&record.connector.settings, delivery.stream.kind, &ids, span)
}
