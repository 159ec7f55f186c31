//! What was promised, and what became of it.

use std::collections::BTreeMap;

use toktra_siem_core::ids::StreamId;
use toktra_siem_store::{DeliveryStore as _, Insight as _, OrgStore as _, StreamFate};

use super::Tally;
use super::plan::{CONNECTORS, ORGS};
use super::world::{World, org_id};

/// Copies that an interruption may make: what was in flight, or answered and not recorded yet.
const COPIES: u64 = 2_000;
/// The most that is told of one kind.
const TOLD: usize = 5;

impl World {
    /// Everything is where it belongs, or what is not.
    pub(super) async fn judge(mut self) -> Result<Tally, Vec<String>> {
        let mut tally = Tally { promised: self.posted.len() as u64, nodes: self.ended, ..Tally::default() };
        let mut found = std::mem::take(&mut self.found);
        for connector in 0..CONNECTORS {
            self.judge_siem(connector, &mut tally, &mut found).await;
            self.judge_account(connector, &mut found).await;
        }
        if found.is_empty() { Ok(tally) } else { Err(found) }
    }

    async fn judge_siem(&self, connector: usize, tally: &mut Tally, found: &mut Vec<String>) {
        let siem = &self.shared.siems[connector].1;
        let (mut ids, violations) = siem.read(|log| (log.event_ids.clone(), log.violations.clone()));
        found.extend(
            violations.iter().take(TOLD).map(|v| format!("connector {connector} broke a rule of its SIEM: {}", v.rule)),
        );
        let (mut missing, mut unwanted) = (Vec::new(), 0);
        for posted in &self.posted {
            let came = ids.remove(&posted.id.0.hyphenated().to_string()).unwrap_or(0);
            tally.taken += came;
            tally.copies += came.saturating_sub(1);
            match (posted.to.contains(&connector), came) {
                (false, 1..) => unwanted += 1,
                (true, 0) => missing.push(posted),
                (true | false, _) => {}
            }
        }
        let mut told = 0;
        for posted in missing {
            match self.fate(connector, posted.org, posted.id).await {
                Some(StreamFate::Damaged) if posted.damaged => tally.damaged += 1,
                fate if told < TOLD => {
                    told += 1;
                    found.push(format!(
                        "connector {connector} did not get {:?} ({:?}): {fate:?}",
                        posted.seq, posted.id
                    ));
                }
                _ => told += 1,
            }
        }
        if told > TOLD {
            found.push(format!("connector {connector} did not get {told} events in all"));
        }
        if unwanted > 0 {
            found.push(format!("connector {connector} got {unwanted} events that its filter or its org keeps from it"));
        }
        if !ids.is_empty() {
            found.push(format!("connector {connector} got {} events that nobody posted", ids.len()));
        }
        let allowed = siem.unheard() + self.interruptions * COPIES;
        let copies: u64 = siem.read(|log| log.event_ids.values().map(|times| times - 1).sum());
        if copies > allowed {
            found.push(format!(
                "connector {connector} got {copies} copies; {} events were taken and not answered",
                siem.unheard()
            ));
        }
    }

    async fn fate(&self, connector: usize, org: usize, id: toktra_siem_core::ids::EventId) -> Option<StreamFate> {
        let (_, _, places) = self.store.whereabouts(org_id(org), id).await.ok()?;
        let own = self.shared.siems[connector].0;
        places.into_iter().find(|place| place.stream.connector == own).map(|place| place.fate)
    }

    /// The account of a connector adds up, and says what the SIEM says.
    async fn judge_account(&self, connector: usize, found: &mut Vec<String>) {
        let id = self.shared.siems[connector].0;
        let org = org_id(connector % ORGS);
        let streams = self.store.connector_streams(org, id).await.unwrap_or_default();
        let mut by: BTreeMap<StreamId, _> = BTreeMap::new();
        for record in streams {
            let account = record.accounting();
            if !account.adds_up() {
                found.push(format!("the account of connector {connector} does not add up: {account:?}"));
            }
            let counted = self.store.recount(record.id).await;
            if counted.as_ref().ok() != Some(&account.counts) {
                found.push(format!("connector {connector} counts {:?}, and there is {counted:?}", account.counts));
            }
            if account.undelivered() > 0 {
                found.push(format!(
                    "{} events wait for connector {connector}: {:?}",
                    account.undelivered(),
                    record.breaker
                ));
            }
            by.insert(record.id, account);
        }
        if by.is_empty() {
            found.push(format!("connector {connector} has no stream"));
        }
    }
}
