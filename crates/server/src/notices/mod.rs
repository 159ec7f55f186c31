//! Somebody is told: what there is to tell is derived from what is stored, as everywhere, noted once
//! by its key, and sent through each of the org's channels, which have a cursor of their own over what is noted.
//!
//! [`outages`] and [`checks`] say what is due, [`threads`] what is over, [`Notices`] notes it, [`send`] brings it. A crash costs nothing that is stored: what was noted and
//! not sent is sent after the next start; what was sent and not kept as sent is sent again.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use toktra_siem_core::connector::Connector;
use toktra_siem_core::ids::{ConnectorId, OrgId};
use toktra_siem_core::notice::{Acknowledgement, Notice, Topic};
use toktra_siem_core::outage::Outage;
use toktra_siem_core::time::Timestamp;
use toktra_siem_dispatch::warnings::Warnings;
use toktra_siem_store::{ChannelRecord, Store, StoreError, StreamOverview};

use self::threads::{Seen, Threads};

mod checks;
mod outages;
pub(crate) mod send;
#[cfg(test)]
mod tests;
mod threads;

/// How often there is a look at what changes slowly: ages, expiries, the disk; and whether events come at all.
const SLOWLY: Duration = Duration::from_mins(1);
const SELDOM: Duration = Duration::from_hours(1);

/// Notes what there is to tell.
pub struct Notices {
    store: Arc<dyn Store>,
    /// What is known of streams, their certificates among it.
    warnings: Arc<Warnings>,
    /// How long events are kept.
    retention: Duration,
    /// The last look at what changes slowly.
    looked: Option<Timestamp>,
    /// The last look whether events come.
    listened: Option<Timestamp>,
    /// Whether the disk was crowded then.
    crowded: bool,
    /// What people were told of, as far as it was read.
    threads: HashMap<OrgId, Threads>,
}

/// What two looks in a row say of the disk.
struct Disk {
    full: bool,
    may_be_full: bool,
}

/// What is looked at for one org.
struct Org<'a> {
    id: OrgId,
    is_default: bool,
    name: &'a str,
    connectors: Vec<&'a Connector>,
    streams: Vec<&'a StreamOverview>,
    known: HashMap<ConnectorId, Acknowledgement>,
}

impl Org<'_> {
    /// Whether somebody knows of the connector, so that nobody is told of it.
    fn is_known(&self, connector: ConnectorId, now: Timestamp) -> bool {
        let streams = self.streams.iter().filter(|stream| stream.record.id.connector == connector);
        let going_on = streams.filter_map(|stream| stream.record.outages.last()).filter(|last| last.until.is_none());
        let mut outages = going_on.map(|outage| outage.since);
        self.known.get(&connector).is_some_and(|known| known.holds_during(&mut outages, now))
    }

    /// Whether somebody knows of this outage. What they said of an earlier one does not count.
    fn is_known_outage(&self, connector: ConnectorId, outage: &Outage, now: Timestamp) -> bool {
        self.known.get(&connector).is_some_and(|known| known.holds(now) && known.is_of(outage.since))
    }

    fn connector(&self, id: ConnectorId) -> Option<&Connector> {
        self.connectors.iter().copied().find(|connector| connector.id == id)
    }
}

impl Notices {
    /// Nothing was noted yet.
    pub fn new(store: Arc<dyn Store>, warnings: Arc<Warnings>, retention: Duration) -> Self {
        Self { store, warnings, retention, looked: None, listened: None, crowded: false, threads: HashMap::new() }
    }

    /// Notes what is due now for the orgs that have one of these channels, as the connectors and their streams stand.
    pub(crate) async fn look(
        &mut self,
        channels: &[ChannelRecord],
        connectors: &[Connector],
        overview: &[StreamOverview],
        now: Timestamp,
    ) -> Result<(), StoreError> {
        if channels.is_empty() {
            return Ok(());
        }
        let is_due = |last: Option<Timestamp>, every| last.is_none_or(|at| now < at || now.since(at) >= every);
        let (slowly, seldom) = (is_due(self.looked, SLOWLY), is_due(self.listened, SELDOM));
        let crowded = slowly && self.store.crowded().await?;
        let disk = Disk {
            full: crowded && self.crowded,
            // Two looks have to agree, and after a start there was none yet.
            may_be_full: !slowly || crowded || self.crowded || self.looked.is_none(),
        };
        let mut before = std::mem::take(&mut self.threads);
        for (id, name, is_default) in self.orgs(channels).await? {
            let mut threads = before.remove(&id).unwrap_or_default();
            let connectors: Vec<_> = connectors.iter().filter(|connector| connector.org == id).collect();
            let streams: Vec<_> = overview.iter().filter(|stream| stream.record.org == id).collect();
            let looks = slowly || threads.have_lost_one(&connectors);
            if looks || streams.iter().any(|stream| !stream.record.outages.is_empty()) {
                let known = match self.store.acknowledgements(id).await {
                    Err(StoreError::NotFound) => continue,
                    known => known?.into_iter().collect(),
                };
                let org = Org { id, is_default, name: &name, connectors, streams, known };
                threads.read(&*self.store, id).await?;
                self.outages(&org, &mut threads, now).await?;
                if looks {
                    self.slowly(&org, &mut threads, &disk, slowly && seldom, now).await?;
                }
            }
            self.threads.insert(id, threads);
        }
        if slowly && seldom {
            self.listened = Some(now);
        }
        if slowly {
            (self.looked, self.crowded) = (Some(now), crowded);
        }
        Ok(())
    }

    /// The orgs that have a channel, with their names.
    async fn orgs(&self, channels: &[ChannelRecord]) -> Result<Vec<(OrgId, String, bool)>, StoreError> {
        let mut all = self.store.orgs().await?;
        all.retain(|org| channels.iter().any(|record| record.channel.org == org.id));
        Ok(all.into_iter().map(|org| (org.id, org.name, org.is_default)).collect())
    }

    async fn outages(&self, org: &Org<'_>, threads: &mut Threads, now: Timestamp) -> Result<(), StoreError> {
        for stream in org.streams.iter().filter(|stream| !stream.record.outages.is_empty()) {
            let Some(connector) = org.connector(stream.record.id.connector) else { continue };
            let thread = outages::thread(connector.id, &stream.record);
            threads.disturb(&thread);
            for outage in &stream.record.outages {
                let about = outages::About { connector, stream: &stream.record, outage, told: threads.get(&thread) };
                let told = self.store.known(org.id, about.keys().to_vec()).await?;
                let told = [told.first().copied().flatten(), told.get(1).copied().flatten()];
                let due = outages::due(&about, org.is_known_outage(connector.id, outage, now), told, now);
                self.note(org.id, due, threads).await?;
            }
        }
        Ok(())
    }

    /// What changes slowly, and what is over of all that was told.
    async fn slowly(
        &self,
        org: &Org<'_>,
        threads: &mut Threads,
        disk: &Disk,
        seldom: bool,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let standings = self.store.standings(org.id, None, now).await?;
        let mut due = checks::due(&*self.store, org, &standings, self.retention, disk.full, now).await?;
        due.extend(checks::receivers(org, &self.warnings, now));
        for notice in due.iter_mut().filter(|notice| notice.topic == Topic::Certificate) {
            let key = std::mem::take(&mut notice.key);
            notice.key = threads.get(&notice.thread).map_or_else(|| key.clone(), |thread| thread.anew(key.clone()));
        }
        if seldom {
            due.extend(checks::silence(&*self.store, org, now).await?);
        }
        let heard = threads.is_silent() && checks::heard(&*self.store, org, now).await?;
        let crowded = disk.may_be_full;
        let (warnings, standings) = (&*self.warnings, &*standings);
        let over = threads::over(threads, &Seen { org, due: &due, standings, warnings, heard, crowded, now });
        due.extend(over);
        self.note(org.id, due, threads).await
    }

    /// An org that was removed meanwhile is no failure.
    async fn note(&self, org: OrgId, notices: Vec<Notice>, threads: &mut Threads) -> Result<(), StoreError> {
        if notices.is_empty() {
            return Ok(());
        }
        match self.store.note(org, notices).await {
            Ok(_) => threads.read(&*self.store, org).await,
            Err(StoreError::NotFound) => Ok(()),
            Err(failure) => Err(failure),
        }
    }
}

/// A cause in two parts: what happened, and what follows from it and is to be done. It is written in this order everywhere.
fn parts(message: &str) -> (&str, &str) {
    message.split_once(". ").unwrap_or((message, ""))
}

/// A time for people: to the minute, with its zone.
fn minute(at: Timestamp) -> String {
    let text = at.to_string();
    let day_and_minute = text.get(..16).map(|text| text.replace('T', " "));
    day_and_minute.map_or(text, |short| format!("{short} UTC"))
}
