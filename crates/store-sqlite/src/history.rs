//! [`OrgStore`] of the embedded backend: what a request handler may touch, and the history that people look at.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension};
use toktra_siem_core::delivery::{Delivery, Status, Trigger};
use toktra_siem_core::event::StoredEvent;
use toktra_siem_core::ids::{ApiKeyId, ConnectorId, DeliveryId, EventId, JobId, OrgId, Revision, Seq};
use toktra_siem_core::job::{Job, Scope};
use toktra_siem_store::config::{ApiKeyRecord, AuditEntry, AuditQuery, Change, ConnectorRecord, ConnectorSave, Saved};
use toktra_siem_store::deliveries::{StreamRecord, TestEvent};
use toktra_siem_store::error::{Result, StoreError};
use toktra_siem_store::events::{EventLog as _, EventRecord};
use toktra_siem_store::jobs::JobQuery;
use toktra_siem_store::org::{DeliveryDetail, EventFate, HistoryQuery, ListedDelivery, OrgStore, Page};

use super::codec::{Word, int, len, uuid};
use super::fault::{Fault, Outcome};
use super::read::{self, OrgRef};
use super::streams::{self, StreamRow};
use super::{Sqlite, append, audit, connectors, fate, jobs, orgs, rows, test_delivery};

/// Events listed with a delivery, at most ([`DeliveryDetail::events`]).
const LISTED: usize = 1000;
/// Deliveries beside the roots whose span holds a sequence.
const OTHERS: &str = "INDEXED BY delivery_other WHERE stream = ?1 AND root = 0 AND first_seq <= ?2 AND last_seq >= ?2";

#[async_trait]
impl OrgStore for Sqlite {
    async fn create_connector(&self, org: OrgId, change: Change<ConnectorRecord>) -> Result<Saved> {
        self.writer
            .call("making a connector", move |engine| {
                engine.all_or_nothing(|engine| connectors::create(engine, org, change.clone()))
            })
            .await
    }

    async fn save_connector(&self, org: OrgId, change: Change<ConnectorSave>) -> Result<Saved> {
        self.writer
            .call("saving a connector", move |engine| {
                engine.all_or_nothing(|engine| connectors::save(engine, org, change.clone()))
            })
            .await
    }

    async fn delete_connector(
        &self,
        org: OrgId,
        id: ConnectorId,
        expected: Option<Revision>,
        audit: AuditEntry,
    ) -> Result<u64> {
        self.writer
            .call("removing a connector", move |engine| {
                engine.all_or_nothing(|engine| connectors::delete(engine, org, id, expected, &audit))
            })
            .await
    }

    async fn backlog(&self, org: OrgId) -> Result<u64> {
        let Ok(org) = self.org_ref(org) else { return Ok(0) };
        self.readers.run("measuring an org's backlog", move |conn| connectors::backlog(conn, org.num)).await
    }

    async fn connector(&self, org: OrgId, id: ConnectorId) -> Result<ConnectorRecord> {
        let org = self.org_ref(org)?;
        self.readers.run("reading a connector", move |conn| connectors::record(conn, org.num, id)).await
    }

    async fn connectors(&self, org: OrgId) -> Result<Vec<ConnectorRecord>> {
        let org = self.org_ref(org)?;
        self.readers.run("reading connectors", move |conn| connectors::records(conn, Some(org.num))).await
    }

    async fn connector_streams(&self, org: OrgId, id: ConnectorId) -> Result<Vec<StreamRecord>> {
        let org = self.org_ref(org)?;
        self.readers
            .run("reading streams", move |conn| {
                connectors::record(conn, org.num, id)?;
                let head = append::head(conn, org.num)?;
                streams::of_connector(conn, id)?.iter().map(|row| Ok(row.record(head))).collect()
            })
            .await
    }

    async fn keys(&self, org: OrgId) -> Result<Vec<ApiKeyRecord>> {
        let org = self.org_ref(org)?;
        self.readers.run("reading keys", move |conn| orgs::keys(conn, "k.org = ?1", &[&org.num])).await
    }

    async fn revoke_key(&self, org: OrgId, id: ApiKeyId, audit: AuditEntry) -> Result<()> {
        self.writer
            .call("revoking a key", move |engine| {
                let num = engine.org(org)?.num;
                orgs::revoke(&engine.conn, Some(num), id, &audit)
            })
            .await
    }

    async fn event(&self, org: OrgId, id: EventId) -> Result<(EventRecord, Option<Bytes>)> {
        let org = self.org_ref(org)?;
        let maps = self.shared.maps.read().clone();
        self.show_noting("reading an event", org, move |conn, damaged| {
            let record = read::by_id(conn, org, id, &maps)?.ok_or(Fault::Refused(StoreError::NotFound))?;
            let payload = read::payload(conn, org, record.seq, damaged)?;
            Ok((record, payload))
        })
        .await
    }

    async fn fates(&self, org: OrgId, id: EventId) -> Result<Vec<EventFate>> {
        let org = self.org_ref(org)?;
        let maps = self.shared.maps.read().clone();
        self.readers
            .run("reading an event's outcomes", move |conn| {
                let record = read::by_id(conn, org, id, &maps)?.ok_or(Fault::Refused(StoreError::NotFound))?;
                let mut fates = Vec::new();
                for connector in connectors::records(conn, Some(org.num))? {
                    for stream in streams::of_connector(conn, connector.connector.id)? {
                        let fate = fate::Teller::new(conn, &stream)?.fate(&record)?;
                        fates.push(EventFate { stream: stream.id, fate });
                    }
                }
                Ok(fates)
            })
            .await
    }

    async fn test_event(&self, org: OrgId, id: EventId) -> Result<(TestEvent, Vec<Delivery>)> {
        let org = self.org_ref(org)?;
        self.readers
            .run("reading a test event", move |conn| {
                let mut tests = test_delivery::by_event(conn, org.num, id)?;
                tests.sort_unstable_by_key(|found| found.delivery.id);
                let (events, deliveries): (Vec<_>, Vec<_>) =
                    tests.into_iter().map(|found| (found.event, found.delivery)).unzip();
                let event = events.into_iter().next().ok_or(Fault::Refused(StoreError::NotFound))?;
                Ok((event, deliveries))
            })
            .await
    }

    async fn history(&self, org: OrgId, query: HistoryQuery) -> Result<Page<ListedDelivery>> {
        let org = self.org_ref(org)?;
        let maps = self.shared.maps.read().clone();
        self.readers
            .run("reading the history", move |conn| {
                let holding = match query.event_id {
                    None => None,
                    Some(id) => match read::by_id(conn, org, id, &maps)? {
                        Some(record) => Some(record.seq),
                        None => return tests(conn, org, &query, id),
                    },
                };
                history(conn, org, &query, holding)
            })
            .await
    }

    async fn delivery(&self, org: OrgId, id: DeliveryId) -> Result<DeliveryDetail> {
        let org = self.org_ref(org)?;
        self.readers.run("reading a delivery", move |conn| detail(conn, org, id)).await
    }

    async fn delivery_events(&self, org: OrgId, id: DeliveryId) -> Result<Vec<Arc<StoredEvent>>> {
        let owner = self.org_ref(org)?;
        let found = self.readers.run("reading a delivery", move |conn| of_org(conn, owner, id)).await?;
        self.read_members(org, &found.1.members).await
    }

    async fn job_scope(&self, org: OrgId, job: &Job) -> Result<Scope> {
        let (org, job) = (self.org_ref(org)?, job.clone());
        self.readers.run_long("finding what a job is about", move |conn| jobs::scope(conn, org, &job)).await
    }

    async fn create_job(&self, org: OrgId, change: Change<Job>) -> Result<Job> {
        let org = self.org_ref(org)?;
        self.writer.call("making a job", move |engine| jobs::create(engine, org, &change)).await
    }

    async fn job(&self, org: OrgId, id: JobId) -> Result<Job> {
        let org = self.org_ref(org)?;
        self.readers.run("reading a job", move |conn| jobs::of_org(conn, org, id)).await
    }

    async fn jobs(&self, org: OrgId, query: JobQuery) -> Result<Page<Job>> {
        let org = self.org_ref(org)?;
        self.readers.run("reading jobs", move |conn| Ok(page(jobs::page(conn, org, &query)?, query.limit))).await
    }

    async fn cancel_job(&self, org: OrgId, id: JobId, audit: AuditEntry) -> Result<Job> {
        let org = self.org_ref(org)?;
        self.writer.call("cancelling a job", move |engine| jobs::cancel(engine, org, id, &audit)).await
    }

    async fn audit(&self, org: OrgId, query: AuditQuery) -> Result<Page<(u64, AuditEntry)>> {
        let org = self.org_ref(org)?;
        self.readers.run("reading the audit log", move |conn| audit::page(conn, Some(org.num), &query)).await
    }
}

impl Sqlite {
    /// The org by both of its names, or `NotFound`.
    pub(super) fn org_ref(&self, org: OrgId) -> Result<OrgRef> {
        Ok(OrgRef { id: org, num: self.org_head(org)?.num })
    }
}

/// Each stream's newest, put together: a page reads at most its own length from each of the org's few streams.
fn history(
    conn: &Connection,
    org: OrgRef,
    query: &HistoryQuery,
    holding: Option<Seq>,
) -> Outcome<Page<ListedDelivery>> {
    let mut found = Vec::new();
    for stream in streams::of_org(conn, org.num)? {
        let wanted = query.connector.is_none_or(|id| stream.id.connector == id)
            && query.stream.is_none_or(|kind| stream.id.kind == kind);
        if !wanted {
            continue;
        }
        let of_stream = match holding {
            Some(seq) => holders(conn, &stream, seq)?,
            None => newest(conn, &stream, query)?,
        };
        found.extend(of_stream.into_iter().filter(|d| matches(d, query)).map(|delivery| (stream.num, delivery)));
    }
    listed(conn, found, query.limit)
}

/// A page of these deliveries, each with its stream's number: in order, and with what their last attempts came to.
fn listed(conn: &Connection, mut found: Vec<(i64, Delivery)>, limit: usize) -> Outcome<Page<ListedDelivery>> {
    found.sort_unstable_by_key(|(_, delivery)| std::cmp::Reverse(delivery.id));
    let Page { items, has_more } = page(found, limit);
    let with_last = |(stream, delivery): (i64, Delivery)| {
        let last = if delivery.attempts == 0 { None } else { rows::last_attempt(conn, stream, delivery.id)? };
        let recovered_by = rows::recovered_by(conn, stream, &delivery)?;
        Ok(ListedDelivery { delivery, last, recovered_by })
    };
    Ok(Page { items: items.into_iter().map(with_last).collect::<Outcome<_>>()?, has_more })
}

/// The test deliveries that carried this event.
fn tests(conn: &Connection, org: OrgRef, query: &HistoryQuery, event: EventId) -> Outcome<Page<ListedDelivery>> {
    let wanted = |delivery: &Delivery| {
        query.connector.is_none_or(|id| delivery.stream.connector == id)
            && query.stream.is_none_or(|kind| delivery.stream.kind == kind)
            && matches(delivery, query)
    };
    let tests = test_delivery::by_event(conn, org.num, event)?;
    let found =
        tests.into_iter().map(|found| (found.stream, found.delivery)).filter(|(_, test)| wanted(test)).collect();
    listed(conn, found, query.limit)
}

fn newest(conn: &Connection, stream: &StreamRow, query: &HistoryQuery) -> Outcome<Vec<Delivery>> {
    let before = query.before.map_or([0xff; 16], |id| id.0.into_bytes());
    let (from, to) = (query.from.map_or(i64::MIN, |t| t.0), query.to.map_or(i64::MAX, |t| t.0));
    let limit = len(query.limit.saturating_add(1));
    let mut values: Vec<&dyn rusqlite::ToSql> = vec![&before, &from, &to, &limit];
    let job = query.job.map(|id| id.0.into_bytes());
    values.extend(job.as_ref().map(|job| job as &dyn rusqlite::ToSql));
    rows::deliveries(conn, stream, &newest_condition(query), &values)
}

/// A page of the newest. The index is named, since without statistics SQLite would walk along the ids and look at every row; the
/// numbers stand in the text, since a partial index is not used for a value that is only bound.
fn newest_condition(query: &HistoryQuery) -> String {
    let rare_status = query.status.filter(|s| *s != Status::Delivered);
    let rare_trigger = query.trigger.filter(|t| *t != Trigger::Live);
    let index = match (query.job, rare_status, rare_trigger) {
        (Some(_), ..) => "INDEXED BY delivery_job ",
        (None, Some(_), _) => "INDEXED BY delivery_exception ",
        (None, None, Some(_)) => "INDEXED BY delivery_trigger ",
        (None, None, None) => "",
    };
    let mut rest = format!("{index}WHERE stream = ?1 AND id < ?2 AND created_at >= ?3 AND created_at < ?4");
    if rare_status.is_some() {
        rest += " AND status <> 1";
    }
    if rare_trigger.is_some() {
        rest += " AND trigger <> 0";
    }
    if let Some(status) = query.status {
        rest = format!("{rest} AND status = {}", status.number());
    }
    if let Some(trigger) = query.trigger {
        rest = format!("{rest} AND trigger = {}", trigger.number());
    }
    if query.job.is_some() {
        rest += " AND job = ?6";
    }
    rest + " ORDER BY id DESC LIMIT ?5"
}

/// Every delivery of the stream that holds the event.
pub(super) fn holders(conn: &Connection, stream: &StreamRow, seq: Seq) -> Outcome<Vec<Delivery>> {
    let seq_column = int(seq.0);
    let mut found = rows::deliveries(conn, stream, rows::ROOT, &[&seq_column])?;
    found.extend(rows::deliveries(conn, stream, OTHERS, &[&seq_column])?);
    found.retain(|delivery| delivery.members.contains(seq));
    Ok(found)
}

fn matches(delivery: &Delivery, query: &HistoryQuery) -> bool {
    query.status.is_none_or(|status| delivery.status == status)
        && query.trigger.is_none_or(|trigger| delivery.trigger == trigger)
        && query.job.is_none_or(|job| delivery.job == Some(job))
        && query.from.is_none_or(|from| delivery.created_at >= from)
        && query.to.is_none_or(|to| delivery.created_at < to)
        && query.before.is_none_or(|before| delivery.id < before)
}

fn detail(conn: &Connection, org: OrgRef, id: DeliveryId) -> Outcome<DeliveryDetail> {
    let (stream, delivery) = of_org(conn, org, id)?;
    let mut events = Vec::new();
    for (first, count) in delivery.members.runs() {
        let last = Seq(first + u64::from(*count) - 1);
        events.extend(read::records(conn, org.num, Seq(*first), last, LISTED - events.len())?);
        if events.len() >= LISTED {
            break;
        }
    }
    let children = conn
        .prepare_cached("SELECT id FROM delivery WHERE parent = ?1 ORDER BY id")?
        .query_map([id.0.as_bytes()], |row| row.get(0))?
        .map(|id| id.map(|id| DeliveryId(uuid(id))))
        .collect::<rusqlite::Result<_>>()?;
    let attempts = rows::attempts(conn, stream.num, id)?;
    let test_event = test_delivery::event_of(conn, stream.num, &delivery)?;
    let recovered_by = rows::recovered_by(conn, stream.num, &delivery)?;
    Ok(DeliveryDetail { delivery, attempts, children, recovered_by, events, test_event })
}

/// A delivery with its stream, where it is the org's.
pub(super) fn of_org(conn: &Connection, org: OrgRef, id: DeliveryId) -> Outcome<(StreamRow, Delivery)> {
    find(conn, id)?.filter(|(stream, _)| stream.org_num == org.num).ok_or(Fault::Refused(StoreError::NotFound))
}

/// A delivery by its id alone: one look into each stream.
pub(super) fn any_delivery(conn: &Connection, id: DeliveryId) -> Outcome<Option<Delivery>> {
    Ok(find(conn, id)?.map(|(_, delivery)| delivery))
}

fn find(conn: &Connection, id: DeliveryId) -> Outcome<Option<(StreamRow, Delivery)>> {
    let num: Option<i64> = conn
        .prepare_cached(
            "SELECT num FROM stream s WHERE EXISTS (SELECT 1 FROM delivery d WHERE d.stream = s.num AND d.id = ?1)",
        )?
        .query_row([id.0.as_bytes()], |row| row.get(0))
        .optional()?;
    let Some(stream) = num.map(|num| streams::by_number(conn, num)).transpose()?.flatten() else { return Ok(None) };
    Ok(rows::one_delivery(conn, &stream, id)?.map(|delivery| (stream, delivery)))
}

fn page<T>(mut items: Vec<T>, limit: usize) -> Page<T> {
    let has_more = items.len() > limit;
    items.truncate(limit);
    Page { items, has_more }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::migrate::open_writer;

    fn plan(conn: &Connection, condition: &str) -> String {
        let sql = format!("EXPLAIN QUERY PLAN SELECT {} FROM delivery {condition}", rows::DELIVERY);
        let mut statement = conn.prepare(&sql).unwrap();
        let values = vec![1; statement.parameter_count()];
        let steps = statement.query_map(rusqlite::params_from_iter(values), |row| row.get::<_, String>(3)).unwrap();
        steps.collect::<rusqlite::Result<Vec<_>>>().unwrap().join("; ")
    }

    #[test]
    fn every_page_of_the_history_is_one_walk_along_an_index() {
        let dir = tempfile::tempdir().unwrap();
        let conn = open_writer(&dir.path().join("x.db")).unwrap();
        let query = |status, trigger| newest_condition(&HistoryQuery { status, trigger, ..HistoryQuery::default() });
        let job = Some(JobId(uuid::Uuid::nil()));
        let of_a_job = newest_condition(&HistoryQuery { job, status: Some(Status::Failed), ..HistoryQuery::default() });
        for (condition, index) in [
            (query(None, None), "PRIMARY KEY (stream=? AND id<?)"),
            (query(Some(Status::Failed), None), "delivery_exception (stream=? AND status=? AND id<?)"),
            (query(Some(Status::Pending), None), "delivery_exception (stream=? AND status=? AND id<?)"),
            (query(Some(Status::Delivered), None), "PRIMARY KEY (stream=? AND id<?)"),
            (query(None, Some(Trigger::Test)), "delivery_trigger (stream=? AND trigger=? AND id<?)"),
            (of_a_job, "delivery_job (stream=? AND job=? AND id<?)"),
            (rows::PENDING.to_owned(), "delivery_exception (stream=? AND status=?)"),
            (rows::ROOT.to_owned(), "delivery_root (stream=? AND first_seq<?)"),
            (OTHERS.to_owned(), "delivery_other (stream=? AND first_seq<?)"),
        ] {
            let plan = plan(&conn, &condition);
            assert!(plan.contains(index) && !plan.contains("TEMP B-TREE"), "{condition}: {plan}");
        }
    }
}
