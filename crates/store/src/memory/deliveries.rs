//! Deliveries in memory: the calls; what they do is in [`super::open`], [`super::settle`] and [`super::stream`].

use async_trait::async_trait;
use toktra_siem_core::accounting::Counts;
use toktra_siem_core::breaker::Breaker;
use toktra_siem_core::delivery::{Delivery, ParkKind, Parked, Status, Trigger};
use toktra_siem_core::ids::{DeliveryId, NodeId, OrgId, RangeId, Seq, StreamId};
use toktra_siem_core::outage;
use toktra_siem_core::time::Timestamp;

use super::Memory;
use crate::config::Change;
use crate::deliveries::{
    BacklogRange, DeliveryStore, Lease, Open, Settlement, StreamOverview, StreamRecord, TestOpen, TestSettlement,
};
use crate::error::{Result, StoreError};
use crate::insight::TrafficRow;
use crate::next::Offer;

#[async_trait]
impl DeliveryStore for Memory {
    async fn lease(&self, node: NodeId, stream: StreamId) -> Result<(Lease, StreamRecord)> {
        let now = self.now();
        self.lock().lease(node, stream, now)
    }

    async fn open(&self, lease: &Lease, open: Open) -> Result<()> {
        let now = self.now();
        self.lock().open(lease, open, now)
    }

    fn offer(&self, offer: Offer) {
        // Nothing is accepted meanwhile.
        let state = self.lock();
        if state.head(offer.org) == offer.from {
            self.offers.put(offer);
        }
    }

    fn withdraw(&self, org: OrgId, stream: StreamId) -> bool {
        self.offers.withdraw(org, stream)
    }

    async fn settle(&self, lease: &Lease, settlement: Settlement) -> Result<()> {
        let now = self.now();
        let mut state = self.lock();
        if state.full {
            return Err(StoreError::Full);
        }
        state.settle(lease, settlement, now)
    }

    async fn set_breaker(&self, lease: &Lease, breaker: Breaker) -> Result<()> {
        let now = self.now();
        let mut state = self.lock();
        state.leased(lease)?;
        state.switch(lease.stream, breaker, true, now);
        Ok(())
    }

    async fn recover(
        &self,
        lease: &Lease,
        range: RangeId,
        trigger: Trigger,
        breaker: Breaker,
        now: Timestamp,
    ) -> Result<Option<BacklogRange>> {
        let mut state = self.lock();
        let org = state.leased(lease)?.org;
        let head = state.head(org);
        state.switch(lease.stream, breaker, true, now);
        let stream = state.leased(lease)?;
        Ok(stream.set_apart(range, trigger, head, now))
    }

    async fn tell_outage(&self, stream: StreamId, since: Timestamp, told: usize) -> Result<()> {
        let mut state = self.lock();
        let stream = state.streams.get_mut(&stream).ok_or(StoreError::NotFound)?;
        outage::tell(&mut stream.outages, since, told);
        Ok(())
    }

    async fn stream(&self, stream: StreamId) -> Result<StreamRecord> {
        let state = self.lock();
        Ok(state.record(state.stream(stream)?))
    }

    async fn overview(&self) -> Result<Vec<StreamOverview>> {
        let state = self.lock();
        let overview = |stream| {
            let record = state.record(stream);
            let connector = state.connectors.get(&record.id.connector)?;
            Some(StreamOverview::new(&connector.record.connector, record))
        };
        Ok(state.streams.values().filter_map(overview).collect())
    }

    async fn oldest_undelivered(&self, streams: Vec<StreamId>) -> Result<Vec<(StreamId, Timestamp)>> {
        let state = self.lock();
        let oldest = |id: StreamId| {
            let stream = state.streams.get(&id)?;
            Some((id, state.record_at(stream.org, state.oldest_undelivered(stream)?)?.accepted_at))
        };
        Ok(streams.into_iter().filter_map(oldest).collect())
    }

    async fn pending(&self, stream: StreamId) -> Result<Vec<Delivery>> {
        let state = self.lock();
        let rows = state.deliveries.values().map(|row| &row.delivery);
        let own = rows.filter(|d| d.stream == stream && d.status == Status::Pending && d.trigger != Trigger::Test);
        Ok(own.cloned().collect())
    }

    async fn ranges(&self, stream: StreamId) -> Result<Vec<BacklogRange>> {
        Ok(self.lock().stream(stream)?.ranges.clone())
    }

    async fn parked(&self, stream: StreamId, kind: ParkKind, after: Seq, limit: usize) -> Result<Vec<Parked>> {
        let state = self.lock();
        let stream = state.stream(stream)?;
        let rows = stream.parked.range(after.next()..).map(|(_, row)| row);
        let rows = rows.filter(|row| row.parked.kind == kind && stream.rests(row));
        Ok(rows.take(limit).map(|row| row.parked.clone()).collect())
    }

    async fn expire_parked(&self, lease: &Lease, seqs: Vec<Seq>, _now: Timestamp) -> Result<()> {
        let mut state = self.lock();
        let org = state.leased(lease)?.org;
        for seq in seqs {
            let damaged = state.is_noted(org, seq);
            let stream = state.leased(lease)?;
            if stream.resting(seq).is_some() {
                stream.expire_row(seq, damaged);
            }
        }
        Ok(())
    }

    async fn delivery_record(&self, id: DeliveryId) -> Result<Option<Delivery>> {
        Ok(self.lock().deliveries.get(&id).map(|row| row.delivery.clone()))
    }

    async fn open_tests(&self, org: OrgId, change: Change<TestOpen>) -> Result<()> {
        self.lock().open_tests(org, change)
    }

    async fn settle_test(&self, settlement: TestSettlement) -> Result<bool> {
        let now = self.now();
        self.lock().settle_test(settlement, now)
    }

    async fn interrupt_tests(&self) -> Result<u64> {
        let now = self.now();
        Ok(self.lock().interrupt_tests(now))
    }

    async fn recount(&self, stream: StreamId) -> Result<Counts> {
        Ok(self.lock().stream(stream)?.recount())
    }

    async fn add_traffic(&self, rows: Vec<TrafficRow>) -> Result<()> {
        let mut state = self.lock();
        for row in &rows {
            state.add_traffic(row);
        }
        Ok(())
    }
}
