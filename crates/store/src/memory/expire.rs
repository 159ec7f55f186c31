//! Retention in memory: what is undelivered becomes `expired` before its payload goes.

use std::collections::BTreeSet;

use toktra_siem_core::delivery::Status;
use toktra_siem_core::ids::{OrgId, Seq, StreamId};

use super::State;
use super::stream::{one, passed_by};
use crate::events::{Expired, Retention};
use crate::org::StreamFate;

impl State {
    /// All of it at once: there is nothing here that a long piece of work could hold up.
    pub(super) fn expire(&mut self, retention: Retention) -> Expired {
        let mut expired = Expired::default();
        let orgs: Vec<OrgId> = self.orgs.keys().copied().collect();
        for org in orgs {
            self.expire_payloads(org, retention, &mut expired);
            self.expire_records(org, retention, &mut expired);
        }
        let before = self.deliveries.len();
        self.deliveries
            .retain(|_, row| row.delivery.settled_at.is_none_or(|settled| settled >= retention.history_before));
        expired.deliveries = (before - self.deliveries.len()) as u64;
        expired
    }

    /// In the order of the log, up to the first event that is in flight.
    fn expire_payloads(&mut self, org: OrgId, retention: Retention, expired: &mut Expired) {
        let in_flight = self.in_flight(org);
        let streams: Vec<StreamId> = self.streams.values().filter(|s| s.org == org).map(|s| s.id).collect();
        let old: Vec<Seq> = self.orgs[&org]
            .events
            .values()
            .filter(|row| row.stored.is_some() && row.record.accepted_at < retention.payloads_before)
            .map(|row| row.record.seq)
            .take_while(|seq| !in_flight.contains(seq))
            .collect();
        for seq in old {
            for stream in &streams {
                expired.undelivered += self.outlive(*stream, seq);
            }
            if let Some(row) = self.orgs.get_mut(&org).and_then(|org| org.events.get_mut(&seq)) {
                row.stored = None;
                expired.payloads += 1;
            }
        }
    }

    fn in_flight(&self, org: OrgId) -> BTreeSet<Seq> {
        self.deliveries
            .values()
            .map(|row| &row.delivery)
            .filter(|delivery| delivery.org == org && delivery.status == Status::Pending)
            .flat_map(|delivery| delivery.members.iter())
            .collect()
    }

    /// Accounts for the oldest event whose payload is about to go; how many outcomes became `expired`.
    fn outlive(&mut self, stream: StreamId, seq: Seq) -> u64 {
        let fate = passed_by(self.refuses(stream, seq));
        let Some(stream) = self.streams.get_mut(&stream).filter(|stream| stream.starts_after < seq) else { return 0 };
        let expired_before = stream.counts.expired;
        match stream.fates.get(&seq) {
            None => {
                stream.cursor = seq;
                stream.counts += one(&fate);
                stream.fates.insert(seq, fate);
            }
            Some(StreamFate::Pending { .. }) => {
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
                    stream.expire_row(row);
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
