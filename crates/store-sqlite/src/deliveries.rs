//! [`DeliveryStore`] of the embedded backend.

use async_trait::async_trait;
use toktra_siem_core::accounting::Counts;
use toktra_siem_core::breaker::Breaker;
use toktra_siem_core::delivery::{Delivery, ParkKind, Parked, Trigger};
use toktra_siem_core::ids::{DeliveryId, NodeId, OrgId, RangeId, Seq, StreamId};
use toktra_siem_core::outage;
use toktra_siem_core::time::Timestamp;
use toktra_siem_store::config::Change;
use toktra_siem_store::deliveries::{
    BacklogRange, DeliveryStore, Lease, Open, Settlement, StreamOverview, StreamRecord, TestOpen, TestSettlement,
};
use toktra_siem_store::error::Result;
use toktra_siem_store::insight::TrafficRow;
use toktra_siem_store::next::Offer;
use toktra_siem_store::rules;
use toktra_siem_store::rules::count;
use toktra_siem_store::rules::parked::{ParkState, leave};

use super::codec::json;
use super::engine::Engine;
use super::fault::{Fault, Outcome};
use super::lanes::Work;
use super::rows;
use super::streams::{self, StreamRow};
use super::{Sqlite, append, aside, damage, open, overview, recount, settle, test_delivery, traffic};

/// Buckets added to in one turn of the writer: about 1 ms.
const TRAFFIC_PIECE: usize = 64;

#[async_trait]
impl DeliveryStore for Sqlite {
    async fn lease(&self, node: NodeId, stream: StreamId) -> Result<(Lease, StreamRecord)> {
        let num =
            self.readers.run("reading a leased stream", move |conn| Ok(streams::present(conn, stream)?.num)).await?;
        self.alone.check_owner(node, num).await?;
        let due = self.alone.is_due(num).await;
        let found = self.writer.call_as(self.work_of(stream.connector), "reading a leased stream", move |engine| {
            let mut row = streams::present(&engine.conn, stream)?;
            let before = (row.counts, row.cursor);
            if due || row.counted_to() != Some(row.cursor) {
                let head = engine.org(row.org)?.head;
                aside::set_right(&engine.conn, &mut row, head, engine.now())?;
            }
            if (row.counts, row.cursor) != before {
                row.store(&engine.conn)?;
            }
            let lease = Lease { stream, epoch: row.epoch };
            Ok((row.num, row.org, lease, row.record(engine.org(row.org)?.head)))
        });
        let (num, org, lease, record) = found.await?;
        self.note_owner(stream.connector, org);
        self.alone.check_owner(node, num).await?;
        Ok((lease, record))
    }

    async fn open(&self, lease: &Lease, open: Open) -> Result<()> {
        let lease = *lease;
        self.writer
            .call_as(self.work_of(lease.stream.connector).opening(&open), "opening deliveries", move |engine| {
                open::open(engine, &lease, &open)
            })
            .await
    }

    fn offer(&self, offer: Offer) {
        // A cursor that is beyond the head has events that are not shown yet. Where the head moves from here on, the offer is found to come too
        // late, and so does its owner.
        if self.org_head(offer.org).is_ok_and(|org| *org.head.borrow() <= offer.from) {
            self.shared.offers.put(offer);
        }
    }

    fn withdraw(&self, org: OrgId, stream: StreamId) -> bool {
        self.shared.offers.withdraw(org, stream)
    }

    async fn settle(&self, lease: &Lease, settlement: Settlement) -> Result<()> {
        let lease = *lease;
        let kind = self.work_of(lease.stream.connector).settling(&settlement);
        let kind = Work { urgent: !settlement.may_be_late(), ..kind };
        let work = move |engine: &mut _| settle::settle(engine, &lease, &settlement);
        self.writer.call_as(kind, "settling a delivery", work).await
    }

    async fn set_breaker(&self, lease: &Lease, breaker: Breaker) -> Result<()> {
        let lease = *lease;
        self.writer
            .call_as(self.work_of(lease.stream.connector), "storing a breaker", move |engine| {
                let mut row = streams::leased(&engine.conn, &lease)?;
                row.switch(&engine.conn, &breaker, true, engine.now())?;
                row.store(&engine.conn)
            })
            .await
    }

    async fn recover(
        &self,
        lease: &Lease,
        range: RangeId,
        trigger: Trigger,
        breaker: Breaker,
        now: Timestamp,
    ) -> Result<Option<BacklogRange>> {
        let lease = *lease;
        self.writer
            .call_as(self.work_of(lease.stream.connector), "recovering a stream", move |engine| {
                let mut row = streams::leased(&engine.conn, &lease)?;
                if rows::range_exists(&engine.conn, range)? {
                    return Err(Fault::conflict(format!("there is a backlog range {range} already")));
                }
                row.switch(&engine.conn, &breaker, true, now)?;
                let made = set_apart(engine, &mut row, range, trigger, now)?;
                row.store(&engine.conn)?;
                Ok(made)
            })
            .await
    }

    async fn tell_outage(&self, stream: StreamId, since: Timestamp, told: usize) -> Result<()> {
        self.writer
            .call_as(self.work_of(stream.connector), "noting what was told of an outage", move |engine| {
                let mut row = streams::present(&engine.conn, stream)?;
                let mut outages = row.outages();
                outage::tell(&mut outages, since, told);
                row.outages = json(&outages)?;
                row.store(&engine.conn)
            })
            .await
    }

    async fn stream(&self, stream: StreamId) -> Result<StreamRecord> {
        self.readers
            .run("reading a stream", move |conn| {
                let row = streams::present(conn, stream)?;
                Ok(row.record(append::head(conn, row.org_num)?))
            })
            .await
    }

    async fn overview(&self) -> Result<Vec<StreamOverview>> {
        self.readers.run("reading all streams", overview::overview).await
    }

    async fn oldest_undelivered(&self, streams: Vec<StreamId>) -> Result<Vec<(StreamId, Timestamp)>> {
        self.readers.run("looking for the oldest events", move |conn| overview::oldest_undelivered(conn, streams)).await
    }

    async fn pending(&self, stream: StreamId) -> Result<Vec<Delivery>> {
        self.readers
            .run("reading pending deliveries", move |conn| rows::pending(conn, &streams::present(conn, stream)?))
            .await
    }

    async fn ranges(&self, stream: StreamId) -> Result<Vec<BacklogRange>> {
        self.readers
            .run("reading backlog ranges", move |conn| rows::ranges(conn, streams::present(conn, stream)?.num))
            .await
    }

    async fn parked(&self, stream: StreamId, kind: ParkKind, after: Seq, limit: usize) -> Result<Vec<Parked>> {
        self.readers
            .run("reading parked events", move |conn| {
                rows::waiting(conn, streams::present(conn, stream)?.num, kind, after, limit)
            })
            .await
    }

    async fn expire_parked(&self, lease: &Lease, seqs: Vec<Seq>, _now: Timestamp) -> Result<()> {
        let lease = *lease;
        self.writer
            .call_as(self.work_of(lease.stream.connector), "expiring parked events", move |engine| {
                let mut row = streams::leased(&engine.conn, &lease)?;
                for seq in &seqs {
                    expire_one(engine, &mut row, *seq)?;
                }
                row.store(&engine.conn)
            })
            .await
    }

    async fn delivery_record(&self, id: DeliveryId) -> Result<Option<Delivery>> {
        self.readers.run("reading a delivery", move |conn| super::history::any_delivery(conn, id)).await
    }

    async fn open_tests(&self, org: OrgId, change: Change<TestOpen>) -> Result<()> {
        self.writer
            .call("opening test deliveries", move |engine| {
                engine.all_or_nothing(|engine| test_delivery::open(engine, org, &change))
            })
            .await
    }

    async fn settle_test(&self, settlement: TestSettlement) -> Result<bool> {
        self.writer.call("settling a test delivery", move |engine| test_delivery::settle(engine, &settlement)).await
    }

    async fn interrupt_tests(&self) -> Result<u64> {
        let living = self.alone.living().await;
        self.writer
            .call("settling tests that were interrupted", move |engine| test_delivery::interrupt(engine, living))
            .await
    }

    async fn recount(&self, stream: StreamId) -> Result<Counts> {
        self.readers
            .run("counting outcomes", move |conn| recount::recount(conn, &streams::present(conn, stream)?))
            .await
    }

    async fn add_traffic(&self, rows: Vec<TrafficRow>) -> Result<()> {
        for piece in rows.chunks(TRAFFIC_PIECE) {
            let piece = piece.to_vec();
            self.writer.call("adding traffic", move |engine| traffic::add(engine, &piece)).await?;
        }
        Ok(())
    }
}

/// Turns what lies between the cursor and the head into a backlog range and moves the cursor to the head. The caller stores the row.
pub(super) fn set_apart(
    engine: &Engine,
    row: &mut StreamRow,
    id: RangeId,
    trigger: Trigger,
    now: Timestamp,
) -> Outcome<Option<BacklogRange>> {
    let head = engine.org(row.org)?.head;
    let Some(range) = rules::stream::set_apart(row.found(), head, id, trigger, now) else { return Ok(None) };
    rows::insert_range(&engine.conn, row.num, &range)?;
    row.cursor = head;
    row.counts.pending += count(range.cursor.until(range.to));
    Ok(Some(range))
}

/// Counts one parked event or window as expired, where it waits; or as damaged, where it is known to be so. The caller stores the row.
pub(super) fn expire_one(engine: &Engine, row: &mut StreamRow, seq: Seq) -> Outcome<u64> {
    let waiting = rows::parked_row(&engine.conn, row.num, seq)?.filter(|p| p.state == ParkState::Waiting);
    let Some(waiting) = waiting else { return Ok(0) };
    if damage::ends_parked(&engine.conn, row, seq)? {
        return Ok(waiting.parked.events);
    }
    leave(&mut row.counts, &waiting.parked);
    row.counts.expired += count(waiting.parked.events);
    rows::set_parked(&engine.conn, row.num, seq, ParkState::Expired, None)?;
    Ok(waiting.parked.events)
}
