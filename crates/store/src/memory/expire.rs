//! Retention in memory: what is undelivered becomes `expired` before its payload goes.

use std::collections::BTreeSet;
use std::time::Duration;

use toktra_siem_core::delivery::{Delivery, Status};
use toktra_siem_core::ids::{OrgId, Seq, StreamId};
use toktra_siem_core::time::Timestamp;

use super::State;
use super::stream::{one, passed_by};
use crate::deliveries::Lease;
use crate::error::Result;
use crate::events::{Expired, Retention};
use crate::in_flight::{give_up, is_in_flight};
use crate::org::StreamFate;

/// The longest that traffic is kept.
const TRAFFIC_KEPT: Duration = Duration::from_hours(24 * 30);

impl State {
    /// All of it at once: there is nothing here that a long piece of work could hold up.
    pub(super) fn expire(&mut self, retention: Retention, now: Timestamp) -> Result<Expired> {
        let mut expired = Expired::default();
        let orgs: Vec<OrgId> = self.orgs.keys().copied().collect();
        for org in orgs {
            self.expire_payloads(org, retention, now, &mut expired)?;
            self.expire_records(org, retention, &mut expired);
        }
        let before = self.deliveries.len();
        self.deliveries
            .retain(|_, row| row.delivery.settled_at.is_none_or(|settled| settled >= retention.history_before));
        let (tests, deliveries) = (&mut self.tests, &self.deliveries);
        tests.retain(|id, _| deliveries.contains_key(id));
        expired.deliveries = (before - self.deliveries.len()) as u64;
        self.jobs.retain(|_, job| job.finished_at.is_none_or(|finished| finished >= retention.history_before));
        self.audit.retain(|row| row.entry.at >= retention.history_before);
        let (before, kept_from) = (self.traffic.len(), retention.payloads_before.max(now.minus(TRAFFIC_KEPT)));
        self.traffic.retain(|(_, at), _| *at >= kept_from);
        expired.traffic = (before - self.traffic.len()) as u64;
        Ok(expired)
    }

    /// Everything that is old is accounted for but what is in flight; payloads go in the order of the log, up to the first of those.
    fn expire_payloads(
        &mut self,
        org: OrgId,
        retention: Retention,
        now: Timestamp,
        expired: &mut Expired,
    ) -> Result<()> {
        let streams: Vec<StreamId> = self.streams.values().filter(|s| s.org == org).map(|s| s.id).collect();
        let old: Vec<Seq> = self.orgs[&org]
            .events
            .values()
            .filter(|row| row.stored.is_some() && row.record.accepted_at < retention.payloads_before)
            .map(|row| row.record.seq)
            .collect();
        expired.undelivered += self.settle_still(org, &old, now)?;
        for seq in &old {
            for stream in &streams {
                expired.undelivered += self.outlive(*stream, *seq);
            }
        }
        let in_flight = self.in_flight(org);
        for seq in old.into_iter().take_while(|seq| !in_flight.contains(seq)) {
            if let Some(row) = self.orgs.get_mut(&org).and_then(|org| org.events.get_mut(&seq)) {
                row.stored = None;
                expired.payloads += 1;
            }
        }
        Ok(())
    }

    /// Gives up the pending deliveries of `old` events that lie still; how many outcomes became `expired`.
    fn settle_still(&mut self, org: OrgId, old: &[Seq], now: Timestamp) -> Result<u64> {
        let Some(last) = old.last() else { return Ok(0) };
        let still: Vec<Delivery> = self
            .pending(org)
            .filter(|delivery| !is_in_flight(delivery, now) && old.iter().any(|seq| delivery.members.contains(*seq)))
            .cloned()
            .collect();
        let mut expired = 0;
        for delivery in still {
            let settlement = give_up(&delivery, *last, now);
            expired += u64::try_from(settlement.counts.expired).unwrap_or(0);
            // A settlement is not fenced: any epoch will do.
            self.settle(&Lease { stream: delivery.stream, epoch: 0 }, settlement, now)?;
        }
        Ok(expired)
    }

    fn in_flight(&self, org: OrgId) -> BTreeSet<Seq> {
        self.pending(org).flat_map(|delivery| delivery.members.iter()).collect()
    }

    fn pending(&self, org: OrgId) -> impl Iterator<Item = &Delivery> {
        let all = self.deliveries.values().map(|row| &row.delivery);
        all.filter(move |delivery| delivery.org == org && delivery.status == Status::Pending)
    }

    /// Accounts for the oldest event whose payload is about to go; how many outcomes became `expired`.
    fn outlive(&mut self, stream: StreamId, seq: Seq) -> u64 {
        let org = self.streams.get(&stream).map(|stream| stream.org);
        let damaged = org.is_some_and(|org| self.is_noted(org, seq));
        let fate = passed_by(self.refuses(stream, seq), damaged);
        let Some(stream) = self.streams.get_mut(&stream).filter(|stream| stream.starts_after < seq) else { return 0 };
        let expired_before = stream.counts.expired;
        match stream.fates.get(&seq) {
            None => {
                stream.cursor = seq;
                stream.counts += one(&fate);
                stream.fates.insert(seq, fate);
            }
            Some(StreamFate::Pending { delivery: None }) => {
                if let Some(range) = stream.ranges.iter_mut().find(|range| range.cursor < seq && seq <= range.to) {
                    range.cursor = seq;
                }
                stream.ranges.retain(|range| range.cursor < range.to);
                stream.counts.pending -= 1;
                stream.counts += one(&fate);
                stream.fates.insert(seq, fate);
            }
            Some(StreamFate::Failed { .. } | StreamFate::Rejected { .. }) => {
                let row = stream.parked.values().find(|row| row.seqs.contains(&seq)).map(|row| row.parked.seq);
                if let Some(row) = row {
                    stream.expire_row(row, damaged);
                }
            }
            Some(_) => {}
        }
        u64::try_from(stream.counts.expired - expired_before).unwrap_or(0)
    }

    /// Compact records go once their payload is gone; the counts keep what became of them.
    fn expire_records(&mut self, org: OrgId, retention: Retention, expired: &mut Expired) {
        let Some(row) = self.orgs.get_mut(&org) else { return };
        let gone: Vec<Seq> = row
            .events
            .values()
            .filter(|row| row.stored.is_none() && row.record.accepted_at < retention.history_before)
            .map(|row| row.record.seq)
            .collect();
        for seq in gone {
            if let Some(event) = row.events.remove(&seq) {
                row.by_id.remove(&event.record.event_id);
                row.damage.remove(&seq);
                expired.records += 1;
            }
            for stream in self.streams.values_mut().filter(|stream| stream.org == org) {
                if let Some(fate) = stream.fates.remove(&seq) {
                    stream.forgotten += one(&fate);
                }
            }
        }
    }
}
