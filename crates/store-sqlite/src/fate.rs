//! Where one event stands with one stream, derived from what is stored for batches.
//!
//! A parked row is the last word, since it is written after the delivery that left the event behind and kept up to date from then on.
//! Without one, the delivery that took the event tells: the spans of those taken from the cursor or from backlog ranges are disjoint, so
//! one lookup finds it, and its children carry on. What is in none was passed by: skipped, filtered, or too old.

use rusqlite::{Connection, params};
use toktra_siem_core::delivery::{Delivery, ParkKind, Status};
use toktra_siem_core::event::{EventType, Severity};
use toktra_siem_core::filter::{Filter, FilterTimeline};
use toktra_siem_core::ids::{DeliveryId, Seq};
use toktra_siem_store::deliveries::BacklogRange;
use toktra_siem_store::events::EventRecord;
use toktra_siem_store::org::StreamFate;
use toktra_siem_store::rules::parked::{ParkState, ParkedRow};

use super::codec::{int, uint, uuid};
use super::connectors::{self, DELETED};
use super::damage;
use super::fault::Outcome;
use super::rows;
use super::streams::StreamRow;

/// Tells fates of one stream, as of one state of the database. Neighbouring events share what was looked up.
pub(super) struct Teller<'a> {
    conn: &'a Connection,
    stream: &'a StreamRow,
    timeline: FilterTimeline,
    ranges: Vec<BacklogRange>,
    root: Option<Delivery>,
    gap: Option<(Seq, Seq)>,
    /// Whether the stream counts any event as damaged: hardly ever.
    damaged: bool,
}

impl<'a> Teller<'a> {
    /// Loads what does not depend on the event.
    pub(super) fn new(conn: &'a Connection, stream: &'a StreamRow) -> Outcome<Self> {
        Ok(Self {
            conn,
            stream,
            timeline: connectors::timeline(conn, stream.id.connector)?,
            ranges: rows::ranges(conn, stream.num)?,
            root: None,
            gap: None,
            damaged: damage::counts_any(conn, stream.num)?,
        })
    }

    /// For a stream whose connector was deleted, and its filter with it.
    pub(super) fn of_removed(conn: &'a Connection, stream: &'a StreamRow) -> Outcome<Self> {
        let timeline = FilterTimeline::default();
        let damaged = damage::counts_any(conn, stream.num)?;
        Ok(Self { conn, stream, timeline, ranges: Vec::new(), root: None, gap: None, damaged })
    }

    /// The filter that was in force at a sequence.
    pub(super) fn filter_at(&self, seq: Seq) -> Option<Filter> {
        self.timeline.at(seq).map(|version| version.filter.clone())
    }

    /// What a stream whose connector was deleted had done with the event; `None` where it had not taken it into a delivery. A window is
    /// passed over: which of its events the filter had let into it is not known any more.
    pub(super) fn fate_of_removed(&mut self, event: &EventRecord) -> Outcome<Option<StreamFate>> {
        let seq = event.seq;
        let Some((id, status)) =
            self.root(seq)?.filter(|root| root.window.is_none()).map(|root| (root.id, root.status))
        else {
            return Ok(None);
        };
        let fate = self.fate(event)?;
        if fate != StreamFate::Expired {
            return Ok(Some(fate));
        }
        let (leaf, _) = self.leaf(id, status, seq)?;
        let last = rows::one_delivery(self.conn, self.stream, leaf)?;
        let given_up = last.and_then(|delivery| delivery.cause).is_some_and(|cause| cause.code == DELETED);
        Ok(Some(if given_up { StreamFate::Discarded } else { fate }))
    }

    /// Where the event stands.
    pub(super) fn fate(&mut self, event: &EventRecord) -> Outcome<StreamFate> {
        self.fate_of(event.seq, Some((event.event_type, event.severity)))
    }

    /// The same of an event of which perhaps nothing but its sequence is known.
    pub(super) fn fate_of(&mut self, seq: Seq, what: Option<(EventType, Severity)>) -> Outcome<StreamFate> {
        if seq <= self.stream.starts_after {
            return Ok(StreamFate::Before);
        }
        if self.damaged && damage::counts_it(self.conn, self.stream.num, seq)? {
            return Ok(StreamFate::Damaged);
        }
        if seq > self.stream.cursor || self.ranges.iter().any(|r| r.cursor < seq && seq <= r.to) {
            return Ok(StreamFate::Pending { delivery: None });
        }
        if self.in_gap(seq)? {
            return Ok(StreamFate::Skipped);
        }
        let Some(root) = self.root(seq)? else { return Ok(self.passed_by(seq, what)) };
        let (root_id, root_status, window) = (root.id, root.status, root.window.is_some());
        let parked_under = if window { root.members.first().unwrap_or(seq) } else { seq };
        if window && let by_filter @ StreamFate::Filtered { .. } = self.passed_by(seq, what) {
            return Ok(by_filter);
        }
        if let Some(row) = rows::parked_row(self.conn, self.stream.num, parked_under)? {
            return self.parked_fate(row, seq);
        }
        let (leaf, status) = self.leaf(root_id, root_status, seq)?;
        Ok(match status {
            Status::Pending => StreamFate::Pending { delivery: Some(leaf) },
            // A failed delivery parks its events; only one whose time was over leaves no row.
            Status::Failed => StreamFate::Expired,
            Status::Delivered | Status::Partial | Status::Split | Status::Rejected => {
                StreamFate::Delivered { delivery: leaf }
            }
        })
    }

    /// By which rule the stream passes such an event by.
    pub(super) fn refuses(
        &self,
        seq: Seq,
        event_type: EventType,
        severity: Severity,
    ) -> Option<toktra_siem_core::filter::FilterRule> {
        self.timeline.at(seq)?.refuses(self.stream.id.kind, event_type, severity)
    }

    fn passed_by(&self, seq: Seq, what: Option<(EventType, Severity)>) -> StreamFate {
        what.and_then(|(event_type, severity)| self.refuses(seq, event_type, severity))
            .map_or(StreamFate::Expired, |rule| StreamFate::Filtered { rule })
    }

    fn parked_fate(&self, row: ParkedRow, seq: Seq) -> Outcome<StreamFate> {
        let ParkedRow { parked, state, link } = row;
        let delivery = link.unwrap_or(parked.delivery);
        Ok(match (state, parked.kind) {
            (ParkState::Waiting, ParkKind::Failed) => {
                StreamFate::Failed { delivery: parked.delivery, cause: parked.cause }
            }
            (ParkState::Waiting, ParkKind::Rejected) => {
                StreamFate::Rejected { delivery: parked.delivery, cause: parked.cause }
            }
            (ParkState::OnItsWay, _) => {
                let (leaf, _) = self.leaf(delivery, Status::Pending, seq)?;
                StreamFate::Pending { delivery: Some(leaf) }
            }
            (ParkState::Arrived, _) => StreamFate::Delivered { delivery },
            (ParkState::Expired, _) => StreamFate::Expired,
            (ParkState::Discarded, _) => StreamFate::Discarded,
        })
    }

    /// The delivery that took the event off the log.
    fn root(&mut self, seq: Seq) -> Outcome<Option<&Delivery>> {
        if !self.root.as_ref().is_some_and(|root| spans(root, seq)) {
            self.root = rows::deliveries(self.conn, self.stream, rows::ROOT, &[&int(seq.0)])?.pop();
        }
        Ok(self.root.as_ref().filter(|root| root.members.contains(seq)))
    }

    /// The last delivery that carries on with the event, from `id` on.
    fn leaf(&self, mut id: DeliveryId, mut status: Status, seq: Seq) -> Outcome<(DeliveryId, Status)> {
        loop {
            let child = self.children(id)?.into_iter().find(|child| child.members.contains(seq));
            let Some(child) = child else { return Ok((id, status)) };
            (id, status) = (child.id, child.status);
        }
    }

    fn children(&self, id: DeliveryId) -> Outcome<Vec<Delivery>> {
        let ids: Vec<[u8; 16]> = self
            .conn
            .prepare_cached("SELECT id FROM delivery WHERE parent = ?1")?
            .query_map([id.0.as_bytes()], |row| row.get(0))?
            .collect::<rusqlite::Result<_>>()?;
        let mut children = Vec::with_capacity(ids.len());
        for id in ids {
            children.extend(rows::one_delivery(self.conn, self.stream, DeliveryId(uuid(id)))?);
        }
        Ok(children)
    }

    /// Whether the sequence was skipped when the connector was switched on.
    pub(super) fn in_gap(&mut self, seq: Seq) -> Outcome<bool> {
        if self.gap.is_none_or(|(from, to)| seq < from || to < seq) {
            let mut statement = self.conn.prepare_cached(
                "SELECT from_seq, to_seq FROM gap WHERE stream = ?1 AND from_seq <= ?2 ORDER BY from_seq DESC LIMIT 1",
            )?;
            let mut rows = statement.query(params![self.stream.num, int(seq.0)])?;
            self.gap = match rows.next()? {
                Some(row) => Some((Seq(uint(row.get(0)?)), Seq(uint(row.get(1)?)))),
                None => None,
            };
        }
        Ok(self.gap.is_some_and(|(from, to)| from <= seq && seq <= to))
    }
}

fn spans(delivery: &Delivery, seq: Seq) -> bool {
    delivery.members.first().is_some_and(|first| first <= seq)
        && delivery.members.last().is_some_and(|last| seq <= last)
}
