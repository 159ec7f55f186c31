//! The probes of an outage in memory: those that fail are attempts of the first that did.

use toktra_siem_core::breaker::Breaker;
use toktra_siem_core::delivery::Parked;
use toktra_siem_core::ids::{DeliveryId, StreamId};
use toktra_siem_core::outage::{self, Lasts};
use toktra_siem_core::time::Timestamp;

use super::State;
use crate::org::StreamFate;

impl State {
    /// A breaker says something else from now on, and what has to be told of it follows. `active`: whether the stream sends.
    pub(super) fn switch(&mut self, stream: StreamId, breaker: Breaker, active: bool, now: Timestamp) {
        let Some(stream) = self.streams.get_mut(&stream) else { return };
        if let (true, Some(id), Some(last)) =
            (breaker.is_closed(), outage::probes(&stream.outages), stream.outages.last())
            && let Some(row) = self.deliveries.get_mut(&id)
        {
            row.delivery.outage = Some(Lasts { since: last.since, until: Some(now) });
        }
        outage::follow(&mut stream.outages, &stream.breaker, &breaker, active, now);
        stream.breaker = breaker;
    }

    /// Takes a failed probe into the outage: the first one becomes its delivery, later ones become attempts of that. `was` is what it had
    /// taken up.
    pub(super) fn add_probe(&mut self, probe: DeliveryId, was: &Parked) {
        let Some(stream) = self.deliveries.get(&probe).map(|row| row.delivery.stream) else { return };
        let Some(stream) = self.streams.get_mut(&stream) else { return };
        let Some(outage) = stream.outages.last_mut().filter(|outage| outage.until.is_none()) else { return };
        let Some(first) = outage.probes.filter(|id| self.deliveries.contains_key(id)) else {
            outage.probes = Some(probe);
            if let Some(row) = self.deliveries.get_mut(&probe) {
                row.delivery.outage = Some(Lasts { since: outage.since, until: None });
            }
            return;
        };
        let Some(failed) = self.deliveries.remove(&probe) else { return };
        if let Some(row) = self.deliveries.get_mut(&first) {
            row.delivery.attempts += 1;
            (row.delivery.settled_at, row.delivery.cause) = (failed.delivery.settled_at, failed.delivery.cause);
            let number = row.delivery.attempts;
            row.attempts.extend(failed.attempts.into_iter().map(|mut attempt| {
                attempt.number = number;
                attempt
            }));
            row.attempts.retain(|attempt| Some(attempt.number) != outage::forgotten(number));
        }
        if let Some(row) = stream.parked.get_mut(&was.seq) {
            (row.parked.delivery, row.parked.since) = (was.delivery, was.since);
            let fate = StreamFate::Failed { delivery: was.delivery, cause: row.parked.cause.clone() };
            for seq in row.seqs.clone() {
                stream.fates.insert(seq, fate.clone());
            }
        }
    }
}
