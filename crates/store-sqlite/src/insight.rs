//! [`Insight`] of the embedded backend: everything from one state of the database, and nothing from its writer.

use std::collections::HashMap;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use rusqlite::Connection;
use toktra_siem_core::connector::Connector;
use toktra_siem_core::delivery::{Delivery, ParkKind, Status, Trigger};
use toktra_siem_core::filter::Filter;
use toktra_siem_core::ids::{ConnectorId, EventId, OrgId, Seq, StreamId};
use toktra_siem_core::time::Timestamp;
use toktra_siem_store::deliveries::StreamRecord;
use toktra_siem_store::error::{Result, StoreError};
use toktra_siem_store::events::EventRecord;
use toktra_siem_store::insight::{
    EventPage, EventQuery, Insight, Preview, Standing, StreamTraffic, TrafficRow, Whereabouts,
};
use toktra_siem_store::org::StreamFate;

use super::codec::{Word, uint};
use super::fate::Teller;
use super::fault::{Fault, Outcome};
use super::read;
use super::rows;
use super::streams::{self, StreamRow};
use super::tally::{self, Uncounted};
use super::{Sqlite, append, connectors, damage, recent, traffic};

/// A pending delivery that counts, with the lowest sequence.
const FIRST_PENDING: &str = "SELECT min(first_seq) FROM delivery INDEXED BY delivery_exception
     WHERE stream = ?1 AND status <> 1 AND status = 0 AND accounted = 1";

#[async_trait]
impl Insight for Sqlite {
    async fn standings(&self, org: OrgId, connector: Option<ConnectorId>, since: Timestamp) -> Result<Vec<Standing>> {
        let org = self.org_ref(org)?;
        self.readers
            .run("reading how streams stand", move |conn| {
                let head = append::head(conn, org.num)?;
                let present = present(conn, org.num, connector)?;
                present.into_iter().map(|(connector, row)| standing(conn, connector, &row, head, since)).collect()
            })
            .await
    }

    async fn accounts(&self, org: OrgId) -> Result<Vec<(Connector, StreamRecord)>> {
        let org = self.org_ref(org)?;
        self.readers
            .run("reading accounts", move |conn| {
                let head = append::head(conn, org.num)?;
                let present = present(conn, org.num, None)?;
                present.into_iter().map(|(connector, row)| Ok((connector, row.record(head)))).collect()
            })
            .await
    }

    async fn whereabouts(&self, org: OrgId, id: EventId) -> Result<(EventRecord, Option<Bytes>, Vec<Whereabouts>)> {
        let org = self.org_ref(org)?;
        let maps = self.shared.maps.read().clone();
        self.show_noting("reading where an event is", org, move |conn, damaged| {
            let record = read::by_id(conn, org, id, &maps)?.ok_or(Fault::Refused(StoreError::NotFound))?;
            let payload = read::payload(conn, org, record.seq, damaged)?;
            let head = append::head(conn, org.num)?;
            let mut found = Vec::new();
            for (connector, row) in present(conn, org.num, None)? {
                found.push(where_now(conn, connector, &row, &record, head)?);
            }
            for row in streams::of_org(conn, org.num)?.iter().filter(|row| row.removed) {
                found.extend(where_once(conn, row, &record)?);
            }
            Ok((record, payload, found))
        })
        .await
    }

    async fn preview(&self, org: OrgId, since: Timestamp, filter: Filter, sample: usize) -> Result<Preview> {
        let org = self.org_ref(org)?;
        let (preview, uncounted, damaged) = self
            .readers
            .run_long("trying a filter", move |conn| tally::preview(conn, org, since, &filter, sample))
            .await?;
        self.note_shown(org, &damaged).await;
        for Uncounted { partition, rows } in uncounted {
            self.keep_tally(partition, rows).await;
        }
        Ok(preview)
    }

    async fn recent_events(&self, org: OrgId, query: EventQuery) -> Result<EventPage> {
        let org = self.org_ref(org)?;
        self.show_noting("listing events", org, move |conn, damaged| recent::page(conn, org, &query, damaged)).await
    }

    async fn traffic(
        &self,
        org: OrgId,
        connector: ConnectorId,
        from: Timestamp,
        to: Timestamp,
    ) -> Result<Vec<TrafficRow>> {
        let org = self.org_ref(org)?;
        self.readers
            .run("reading traffic", move |conn| {
                let mut found = Vec::new();
                for (_, row) in present(conn, org.num, Some(connector))? {
                    found.extend(traffic::of_stream(conn, &row, from, to)?);
                }
                Ok(found)
            })
            .await
    }

    async fn traffic_of_all(
        &self,
        org: OrgId,
        from: Timestamp,
        to: Timestamp,
        step: Duration,
    ) -> Result<Vec<StreamTraffic>> {
        let org = self.org_ref(org)?;
        self.readers
            .run("reading the traffic of all connectors", move |conn| {
                let mut flowed = traffic::of_org(conn, org.num, from, to, step)?;
                let present = present(conn, org.num, None)?.into_iter();
                let of = |row: StreamRow| StreamTraffic {
                    stream: row.id,
                    steps: flowed.remove(&row.num).unwrap_or_default(),
                };
                Ok(present.map(|(_, row)| row).map(of).collect())
            })
            .await
    }
}

impl Sqlite {
    /// Keeps what was counted, so that it need not be counted again. It was told already: a failure costs the next one some time.
    async fn keep_tally(&self, partition: i64, rows: Vec<tally::Row>) {
        let pieces = rows.chunks(tally::PIECE).map(<[_]>::to_vec).collect::<Vec<_>>();
        let count = pieces.len();
        for (at, piece) in pieces.into_iter().enumerate() {
            let kept =
                self.writer.call("keeping a tally", move |engine| engine.add_tally(partition, &piece, at + 1 == count));
            if let Err(error) = kept.await {
                tracing::debug!(%error, partition, "the tally of a partition could not be kept");
                return;
            }
        }
    }
}

/// The org's present streams with their connectors, in order; `NotFound` where one connector is asked for and not there.
fn present(conn: &Connection, org: i64, only: Option<ConnectorId>) -> Outcome<Vec<(Connector, StreamRow)>> {
    let mut rows: HashMap<StreamId, StreamRow> = match only {
        Some(id) => streams::of_connector(conn, id)?,
        None => streams::of_org(conn, org)?.into_iter().filter(|row| !row.removed).collect(),
    }
    .into_iter()
    .map(|row| (row.id, row))
    .collect();
    let connectors = match only {
        Some(id) => vec![connectors::record(conn, org, id)?.connector],
        None => connectors::plain(conn, org)?,
    };
    let streams = connectors.into_iter().flat_map(|connector| {
        let ids: Vec<StreamId> = connector.streams().collect();
        ids.into_iter().map(move |id| (connector.clone(), id))
    });
    Ok(streams.filter_map(|(connector, id)| Some((connector, rows.remove(&id)?))).collect())
}

fn standing(
    conn: &Connection,
    connector: Connector,
    row: &StreamRow,
    head: Seq,
    since: Timestamp,
) -> Outcome<Standing> {
    let event =
        |seq: Seq| -> Outcome<Option<EventRecord>> { Ok(read::records(conn, row.org_num, seq, head, 1)?.pop()) };
    let oldest_pending = oldest_pending(conn, row, head)?.map(event).transpose()?.flatten();
    let failed = rows::waiting(conn, row.num, ParkKind::Failed, Seq(0), 1)?.pop();
    let oldest_failed = match failed {
        Some(parked) => event(parked.seq)?.map(|record| (record, parked)),
        None => None,
    };
    Ok(Standing {
        stream: row.record(head),
        oldest_pending,
        oldest_failed,
        last_failure: last_failure(conn, row)?,
        last_damage: damage::last(conn, row)?,
        traffic: traffic::of_stream(conn, row, since, Timestamp(i64::MAX))?,
        connector,
    })
}

/// The lowest sequence that has not come to an end.
pub(super) fn oldest_pending(conn: &Connection, row: &StreamRow, head: Seq) -> Outcome<Option<Seq>> {
    let behind = (row.cursor < head).then(|| row.cursor.next());
    let apart = rows::ranges(conn, row.num)?.iter().map(|range| range.cursor.next()).min();
    let sent: Option<i64> = conn.prepare_cached(FIRST_PENDING)?.query_row([row.num], |found| found.get(0))?;
    Ok([behind, apart, sent.map(|seq| Seq(uint(seq)))].into_iter().flatten().min())
}

/// The newest delivery that did not go as it should. One look for each status, along its index.
fn last_failure(conn: &Connection, row: &StreamRow) -> Outcome<Option<Delivery>> {
    let mut newest: Option<Delivery> = None;
    for status in [Status::Failed, Status::Rejected, Status::Partial] {
        let newest_of = format!(
            "INDEXED BY delivery_exception WHERE stream = ?1 AND status <> 1 AND status = {} AND trigger <> {}
             ORDER BY id DESC LIMIT 1",
            status.number(),
            Trigger::Test.number()
        );
        let found = rows::deliveries(conn, row, &newest_of, &[])?.pop().filter(|delivery| delivery.cause.is_some());
        newest = newest.into_iter().chain(found).max_by_key(|delivery| (delivery.settled_at, delivery.id));
    }
    Ok(newest)
}

fn where_now(
    conn: &Connection,
    connector: Connector,
    row: &StreamRow,
    event: &EventRecord,
    head: Seq,
) -> Outcome<Whereabouts> {
    let mut teller = Teller::new(conn, row)?;
    let fate = teller.fate(event)?;
    Ok(Whereabouts {
        stream: row.id,
        present: Some((connector, row.record(head))),
        delivery: delivery_of(conn, row, &fate)?,
        filter: teller.filter_at(event.seq),
        fate,
    })
}

/// What a stream did with the event before its connector was deleted, where that is still known.
fn where_once(conn: &Connection, row: &StreamRow, event: &EventRecord) -> Outcome<Option<Whereabouts>> {
    let Some(fate) = Teller::of_removed(conn, row)?.fate_of_removed(event)? else { return Ok(None) };
    let delivery = delivery_of(conn, row, &fate)?;
    Ok(Some(Whereabouts { stream: row.id, present: None, fate, delivery, filter: None }))
}

fn delivery_of(conn: &Connection, row: &StreamRow, fate: &StreamFate) -> Outcome<Option<Delivery>> {
    let Some(id) = fate.delivery() else { return Ok(None) };
    rows::one_delivery(conn, row, id)
}
