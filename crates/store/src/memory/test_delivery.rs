//! Test deliveries in memory: beside the streams, with an event of their own.

use toktra_siem_core::breaker::Breaker;
use toktra_siem_core::delivery::{Status, Trigger};
use toktra_siem_core::ids::OrgId;
use toktra_siem_core::time::Timestamp;

use super::open::{conflict, unaccounted};
use super::settle::update;
use super::{DeliveryRow, State};
use crate::config::Change;
use crate::deliveries::{TestOpen, TestSettlement};
use crate::error::{Result, StoreError};
use crate::test_delivery;

impl State {
    pub(super) fn open_tests(&mut self, org: OrgId, change: Change<TestOpen>) -> Result<()> {
        let Change { value: TestOpen { event, deliveries, node }, audit } = change;
        self.org(org)?;
        for delivery in &deliveries {
            if self.stream(delivery.stream)?.org != org {
                return Err(StoreError::NotFound);
            }
        }
        if !deliveries.iter().all(|delivery| test_delivery::is_new(delivery, org)) {
            return Err(unaccounted("a test delivery is pending, without members, and moves no count"));
        }
        if deliveries.iter().any(|delivery| self.deliveries.contains_key(&delivery.id)) {
            return Err(conflict("there is a delivery with this id"));
        }
        for delivery in deliveries {
            self.tests.insert(delivery.id, (event.clone(), node));
            self.deliveries.insert(delivery.id, DeliveryRow { delivery, attempts: Vec::new() });
        }
        self.log(Some(org), audit);
        Ok(())
    }

    pub(super) fn settle_test(&mut self, settlement: TestSettlement, now: Timestamp) -> Result<bool> {
        let TestSettlement { delivery, attempt, range } = settlement;
        let row = self.deliveries.get_mut(&delivery.id).filter(|row| row.delivery.trigger == Trigger::Test);
        let row = row.filter(|row| row.delivery.stream == delivery.stream).ok_or(StoreError::NotFound)?;
        if row.delivery.status != Status::Pending {
            return Err(conflict("the test was settled in the meantime"));
        }
        test_delivery::check_end(&delivery, attempt.as_ref())?;
        let (stream, delivered, settled_at) = (delivery.stream, delivery.delivered, delivery.settled_at);
        row.attempts.extend(attempt);
        update(&mut row.delivery, delivery);
        if delivered == 0 {
            return Ok(false);
        }
        let connector = self.connectors.get(&stream.connector).map(|row| &row.record.connector);
        let active = connector.is_some_and(|connector| connector.active);
        let sends = connector.is_some_and(|connector| active && connector.settings.sends(stream.kind));
        let head = self.streams.get(&stream).map(|stream| self.head(stream.org)).unwrap_or_default();
        let Some(stream) = self.streams.get_mut(&stream) else { return Ok(false) };
        stream.last_success = stream.last_success.max(settled_at);
        let (id, was_open) = (stream.id, !stream.breaker.is_closed());
        if was_open {
            self.switch(id, Breaker::default(), sends, now);
        }
        if let Some(stream) = self.streams.get_mut(&id).filter(|_| was_open && active) {
            stream.set_apart(range, Trigger::Recovery, head, now);
        }
        Ok(was_open)
    }

    pub(super) fn interrupt_tests(&mut self, now: Timestamp) -> u64 {
        let Self { deliveries, tests, nodes, .. } = self;
        let left = deliveries.values_mut().map(|row| &mut row.delivery);
        let left = left.filter(|delivery| delivery.trigger == Trigger::Test && delivery.status == Status::Pending);
        let mut interrupted = 0;
        for delivery in left {
            if tests.get(&delivery.id).is_some_and(|(_, node)| nodes.lives(*node, now)) {
                continue;
            }
            delivery.status = Status::Failed;
            delivery.settled_at = Some(now);
            (delivery.due_at, delivery.awaiting) = (None, None);
            delivery.cause = Some(test_delivery::interrupted());
            interrupted += 1;
        }
        interrupted
    }
}
