//! [`Insight`] in memory: what is asked is looked for in everything there is.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use toktra_siem_core::connector::Connector;
use toktra_siem_core::delivery::{Delivery, ParkKind, Status, Trigger};
use toktra_siem_core::filter::{Filter, FilterTimeline};
use toktra_siem_core::ids::{ConnectorId, EventId, OrgId, Seq, StreamId, StreamKind};
use toktra_siem_core::time::Timestamp;
use toktra_siem_core::traffic::{Traffic, step_of};

use super::stream::{ParkedRow, Stream};
use super::{Memory, State};
use crate::deliveries::StreamRecord;
use crate::error::{Result, StoreError};
use crate::events::EventRecord;
use crate::insight::{
    EventPage, EventQuery, Insight, Preview, Standing, StreamTraffic, Tallied, TrafficRow, Whereabouts,
};
use crate::org::StreamFate;

#[async_trait]
impl Insight for Memory {
    async fn standings(&self, org: OrgId, connector: Option<ConnectorId>, since: Timestamp) -> Result<Vec<Standing>> {
        let state = self.lock();
        let present = state.present(org, connector)?;
        Ok(present.into_iter().map(|(connector, stream)| state.standing(connector, stream, since)).collect())
    }

    async fn accounts(&self, org: OrgId) -> Result<Vec<(Connector, StreamRecord)>> {
        let state = self.lock();
        let present = state.present(org, None)?;
        Ok(present.into_iter().map(|(connector, stream)| (connector, state.record(stream))).collect())
    }

    async fn whereabouts(&self, org: OrgId, id: EventId) -> Result<(EventRecord, Option<Bytes>, Vec<Whereabouts>)> {
        let now = self.now();
        let mut state = self.lock();
        let seq = state.org(org)?.by_id.get(&id).copied();
        state.note(org, seq, now);
        let events = &state.org(org)?.events;
        let row = state.org(org)?.by_id.get(&id).and_then(|seq| events.get(seq)).ok_or(StoreError::NotFound)?;
        let seq = row.record.seq;
        let mut found: Vec<Whereabouts> = state
            .present(org, None)?
            .into_iter()
            .map(|(connector, stream)| state.where_now(connector, stream, seq))
            .collect();
        found.extend(state.removed.iter().filter(|stream| stream.org == org).filter_map(|s| state.where_once(s, seq)));
        Ok((row.record.clone(), row.payload(), found))
    }

    async fn preview(&self, org: OrgId, since: Timestamp, filter: Filter, sample: usize) -> Result<Preview> {
        let state = self.lock();
        let since = |row: &&super::EventRow| row.is_known() && row.record.accepted_at >= since;
        let mut preview = Preview::default();
        for row in state.org(org)?.events.values().rev().filter(since) {
            let EventRecord { event_type, severity, .. } = row.record;
            let of_kind = |t: &&mut Tallied| t.event_type == event_type && t.severity == severity;
            match preview.tallied.iter_mut().find(of_kind) {
                Some(tallied) => tallied.events += 1,
                None => preview.tallied.push(Tallied { event_type, severity, events: 1 }),
            }
            if preview.sample.len() < sample && filter.refuses(event_type, severity).is_none() {
                preview.sample.push((row.record.clone(), row.payload()));
            }
        }
        preview.tallied.sort_unstable();
        Ok(preview)
    }

    async fn recent_events(&self, org: OrgId, query: EventQuery) -> Result<EventPage> {
        let state = self.lock();
        let wanted = |row: &&super::EventRow| {
            let record = &row.record;
            row.is_known()
                && query.wants(record.event_type, record.severity)
                && query.from.is_none_or(|from| record.accepted_at >= from)
                && query.to.is_none_or(|to| record.accepted_at < to)
                && query.before.is_none_or(|before| record.seq < before)
        };
        let found = state.org(org)?.events.values().rev().filter(wanted);
        let found = found.take(query.limit + 1).map(|row| (row.record.clone(), row.payload()));
        let mut items: Vec<(EventRecord, Option<Bytes>)> = found.collect();
        let has_more = items.len() > query.limit;
        items.truncate(query.limit);
        let next = items.last().filter(|_| has_more).map(|(record, _)| record.seq);
        Ok(EventPage { items, next })
    }

    async fn traffic(
        &self,
        org: OrgId,
        connector: ConnectorId,
        from: Timestamp,
        to: Timestamp,
    ) -> Result<Vec<TrafficRow>> {
        let state = self.lock();
        let streams = state.present(org, Some(connector))?;
        Ok(streams.into_iter().flat_map(|(_, stream)| state.traffic_of(stream.id, from, to)).collect())
    }

    async fn traffic_of_all(
        &self,
        org: OrgId,
        from: Timestamp,
        to: Timestamp,
        step: Duration,
    ) -> Result<Vec<StreamTraffic>> {
        let state = self.lock();
        let stepped = |stream: &Stream| {
            let mut steps: BTreeMap<Timestamp, Traffic> = BTreeMap::new();
            for row in state.traffic_of(stream.id, from, to) {
                *steps.entry(step_of(row.at, step)).or_default() += &row.traffic;
            }
            StreamTraffic { stream: stream.id, steps: steps.into_iter().collect() }
        };
        Ok(state.present(org, None)?.into_iter().map(|(_, stream)| stepped(stream)).collect())
    }
}

/// The parked failed event with the lowest sequence that rests.
fn oldest_failed(stream: &Stream) -> Option<&ParkedRow> {
    stream.parked.values().find(|row| row.parked.kind == ParkKind::Failed && stream.rests(row))
}

impl State {
    /// The org's present streams with their connectors, in order.
    fn present(&self, org: OrgId, only: Option<ConnectorId>) -> Result<Vec<(Connector, &Stream)>> {
        self.org(org)?;
        let connectors: Vec<&Connector> = match only {
            Some(id) => vec![&self.connector(org, id)?.record.connector],
            None => self.connectors().into_iter().map(|row| &row.record.connector).filter(|c| c.org == org).collect(),
        };
        let streams = connectors.into_iter().flat_map(|connector| connector.streams().map(move |id| (connector, id)));
        Ok(streams.filter_map(|(connector, id)| Some((connector.clone(), self.streams.get(&id)?))).collect())
    }

    pub(super) fn record_at(&self, org: OrgId, seq: Seq) -> Option<EventRecord> {
        self.orgs.get(&org)?.events.range(seq..).find_map(|(_, row)| row.known().cloned())
    }

    fn standing(&self, connector: Connector, stream: &Stream, since: Timestamp) -> Standing {
        let oldest_failed = oldest_failed(stream)
            .and_then(|row| Some((self.record_at(stream.org, row.parked.seq)?, row.parked.clone())));
        Standing {
            connector,
            stream: self.record(stream),
            oldest_pending: self.oldest_pending(stream).and_then(|seq| self.record_at(stream.org, seq)),
            oldest_failed,
            last_failure: self.last_failure(stream.id),
            last_damage: self.last_damage(stream),
            traffic: self.traffic_of(stream.id, since, Timestamp(i64::MAX)).collect(),
        }
    }

    /// The lowest sequence that has not come to an end.
    pub(super) fn oldest_pending(&self, stream: &Stream) -> Option<Seq> {
        let behind = (stream.cursor < self.head(stream.org)).then(|| stream.cursor.next());
        let apart = stream.ranges.iter().map(|range| range.cursor.next());
        let sent = self.deliveries_of(stream.id).filter(|d| d.status == Status::Pending && d.accounted);
        behind.into_iter().chain(apart).chain(sent.filter_map(|delivery| delivery.members.first())).min()
    }

    /// The lowest sequence that waits: that one, or a parked failed event.
    pub(super) fn oldest_undelivered(&self, stream: &Stream) -> Option<Seq> {
        self.oldest_pending(stream).into_iter().chain(oldest_failed(stream).map(|row| row.parked.seq)).min()
    }

    fn last_failure(&self, stream: StreamId) -> Option<Delivery> {
        let newest = |status| {
            let settled = self.deliveries_of(stream).filter(|d| d.status == status && d.trigger != Trigger::Test);
            settled.max_by_key(|delivery| delivery.id).filter(|delivery| delivery.cause.is_some())
        };
        let all = [Status::Failed, Status::Rejected, Status::Partial].into_iter().filter_map(newest);
        all.max_by_key(|delivery| (delivery.settled_at, delivery.id)).cloned()
    }

    fn deliveries_of(&self, stream: StreamId) -> impl Iterator<Item = &Delivery> {
        self.deliveries.values().map(|row| &row.delivery).filter(move |delivery| delivery.stream == stream)
    }

    fn where_now(&self, connector: Connector, stream: &Stream, seq: Seq) -> Whereabouts {
        let fate = stream.fate(seq);
        let versions = self.connectors.get(&connector.id).map(|row| row.versions.clone()).unwrap_or_default();
        Whereabouts {
            stream: stream.id,
            delivery: fate.delivery().and_then(|id| Some(self.deliveries.get(&id)?.delivery.clone())),
            filter: FilterTimeline::new(versions).at(seq).map(|version| version.filter.clone()),
            present: Some((connector, self.record(stream))),
            fate,
        }
    }

    /// A window is passed over: which of its events the filter had let into it is not known any more.
    fn where_once(&self, stream: &Stream, seq: Seq) -> Option<Whereabouts> {
        let took = self.deliveries_of(stream.id).any(|delivery| delivery.accounted && delivery.members.contains(seq));
        if stream.id.kind == StreamKind::Metrics || !took {
            return None;
        }
        let fate = match stream.fate(seq) {
            StreamFate::Pending { .. } | StreamFate::Failed { .. } => StreamFate::Discarded,
            other => other,
        };
        let delivery = fate.delivery().and_then(|id| Some(self.deliveries.get(&id)?.delivery.clone()));
        Some(Whereabouts { stream: stream.id, present: None, fate, delivery, filter: None })
    }

    /// Adds to what flowed, where the stream is there.
    pub(super) fn add_traffic(&mut self, row: &TrafficRow) {
        if self.streams.contains_key(&row.stream) {
            *self.traffic.entry((row.stream, row.at)).or_default() += &row.traffic;
        }
    }

    fn traffic_of(&self, stream: StreamId, from: Timestamp, to: Timestamp) -> impl Iterator<Item = TrafficRow> {
        let between = self.traffic.range((stream, from)..(stream, to.max(from)));
        between.map(|((stream, at), traffic)| TrafficRow { stream: *stream, at: *at, traffic: traffic.clone() })
    }
}
