//! Who is told, in memory.

use std::collections::BTreeMap;

use async_trait::async_trait;
use toktra_siem_core::ids::{ChannelId, ConnectorId, OrgId};
use toktra_siem_core::notice::{Acknowledgement, Notice};
use toktra_siem_core::time::Timestamp;

use super::open::conflict;
use super::{Memory, State};
use crate::channels::{Channel, ChannelRecord, ChannelStore, MAX_CHANNELS, NoticeStore, Progress};
use crate::config::{AuditEntry, Change, SealedSecret};
use crate::error::{Result, StoreError};

/// A notice as it is stored: whose, with which number, and since when.
pub(super) type Noted = (OrgId, u64, Notice, Timestamp);

#[async_trait]
impl ChannelStore for Memory {
    async fn channels(&self, org: OrgId) -> Result<Vec<ChannelRecord>> {
        let state = self.lock();
        state.org(org)?;
        Ok(state.channels.iter().filter(|record| record.channel.org == org).cloned().collect())
    }

    async fn create_channel(&self, org: OrgId, change: Change<ChannelRecord>) -> Result<()> {
        let Change { value: record, audit } = change;
        let mut state = self.lock();
        state.org(org)?;
        let exists = state.channels.iter().any(|other| other.channel.id == record.channel.id);
        let number = state.channels.iter().filter(|other| other.channel.org == org).count();
        if exists || number >= MAX_CHANNELS {
            return Err(conflict("there is a channel with this id, or there are as many as there may be"));
        }
        state.is_free(org, &record.channel)?;
        let told_to = state.last_notice(org);
        let channel = Channel { org, ..record.channel };
        state.channels.push(ChannelRecord { channel, told_to, progress: Progress::default(), ..record });
        state.log(Some(org), audit);
        Ok(())
    }

    async fn save_channel(&self, org: OrgId, updated_before: Timestamp, change: Change<ChannelRecord>) -> Result<()> {
        let Change { value: record, audit } = change;
        let mut guard = self.lock();
        let state = &mut *guard;
        let at = state.channel_at(org, record.channel.id)?;
        state.is_free(org, &record.channel)?;
        let last = state.last_notice(org);
        let present = &mut state.channels[at];
        if present.channel.updated_at != updated_before {
            return Err(conflict("the channel was saved meanwhile"));
        }
        let told_to = if present.channel.active { present.told_to } else { last };
        let progress = Progress { failing: None, ..present.progress };
        let channel = Channel { org, created_at: present.channel.created_at, ..record.channel };
        *present = ChannelRecord { channel, secrets: record.secrets, told_to, progress };
        state.log(Some(org), audit);
        Ok(())
    }

    async fn delete_channel(&self, org: OrgId, id: ChannelId, audit: AuditEntry) -> Result<()> {
        let mut state = self.lock();
        let at = state.channel_at(org, id)?;
        state.channels.remove(at);
        state.log(Some(org), audit);
        Ok(())
    }

    async fn acknowledge(
        &self,
        org: OrgId,
        connector: ConnectorId,
        change: Change<Option<Acknowledgement>>,
    ) -> Result<()> {
        let mut state = self.lock();
        state.connector(org, connector)?;
        let before = state.acknowledged.remove(&connector);
        if before.is_some() || change.value.is_some() {
            state.acknowledged.extend(change.value.map(|known| (connector, known)));
            state.log(Some(org), change.audit);
        }
        Ok(())
    }

    async fn acknowledgements(&self, org: OrgId) -> Result<Vec<(ConnectorId, Acknowledgement)>> {
        let state = self.lock();
        state.org(org)?;
        let ours = |id: &ConnectorId| state.connector(org, *id).is_ok();
        Ok(state.acknowledged.iter().filter(|(id, _)| ours(id)).map(|(id, known)| (*id, known.clone())).collect())
    }
}

#[async_trait]
impl NoticeStore for Memory {
    async fn all_channels(&self) -> Result<Vec<ChannelRecord>> {
        Ok(self.lock().channels.clone())
    }

    async fn all_acknowledgements(&self) -> Result<Vec<(ConnectorId, Acknowledgement)>> {
        Ok(self.lock().acknowledged.iter().map(|(id, known)| (*id, known.clone())).collect())
    }

    async fn note(&self, org: OrgId, notices: Vec<Notice>) -> Result<usize> {
        let now = self.now();
        let mut state = self.lock();
        state.org(org)?;
        let mut new = 0;
        for notice in notices {
            if !state.notices.iter().any(|(of, _, known, _)| *of == org && known.key == notice.key) {
                let number = state.last_notice(org) + 1;
                state.notices.push((org, number, notice, now));
                new += 1;
            }
        }
        Ok(new)
    }

    async fn noted(&self, org: OrgId, after: u64, limit: usize) -> Result<Vec<(u64, Notice)>> {
        let state = self.lock();
        let later = state.notices.iter().filter(|(of, number, ..)| *of == org && *number > after);
        Ok(later.take(limit).map(|(_, number, notice, _)| (*number, notice.clone())).collect())
    }

    async fn known(&self, org: OrgId, keys: Vec<String>) -> Result<Vec<Option<Timestamp>>> {
        let state = self.lock();
        let noted = |key: &String| {
            let found = state.notices.iter().find(|(of, _, known, _)| *of == org && known.key == *key);
            found.map(|(_, _, _, at)| *at)
        };
        Ok(keys.iter().map(noted).collect())
    }

    async fn told(&self, id: ChannelId, as_of: Timestamp, told_to: u64, progress: Progress) -> Result<()> {
        let mut state = self.lock();
        let record = state.channels.iter_mut().find(|record| record.channel.id == id).ok_or(StoreError::NotFound)?;
        record.told_to = record.told_to.max(told_to);
        if record.channel.updated_at == as_of {
            record.progress = progress;
        }
        Ok(())
    }

    async fn reseal_channel(&self, id: ChannelId, secrets: Vec<SealedSecret>) -> Result<()> {
        let mut state = self.lock();
        let record = state.channels.iter_mut().find(|record| record.channel.id == id).ok_or(StoreError::NotFound)?;
        record.secrets = secrets;
        Ok(())
    }

    async fn expire_notices(&self, before: Timestamp) -> Result<u64> {
        let mut guard = self.lock();
        let State { notices, .. } = &mut *guard;
        let length = notices.len();
        // The last one of each org stays: the next number follows from it.
        let last: BTreeMap<OrgId, u64> = notices.iter().map(|(org, number, ..)| (*org, *number)).collect();
        notices.retain(|(org, number, _, at)| *at >= before || last.get(org) == Some(number));
        Ok((length - notices.len()) as u64)
    }
}

impl State {
    fn channel_at(&self, org: OrgId, id: ChannelId) -> Result<usize> {
        let ours = |record: &ChannelRecord| record.channel.id == id && record.channel.org == org;
        self.channels.iter().position(ours).ok_or(StoreError::NotFound)
    }

    /// Whether nobody else has the channel's name.
    fn is_free(&self, org: OrgId, channel: &Channel) -> Result<()> {
        let taken = |record: &ChannelRecord| {
            let other = &record.channel;
            other.org == org && other.id != channel.id && other.name == channel.name
        };
        if self.channels.iter().any(taken) { Err(conflict("the name is taken")) } else { Ok(()) }
    }

    /// The highest number that was given to a notice of the org.
    fn last_notice(&self, org: OrgId) -> u64 {
        self.notices.iter().rfind(|(of, ..)| *of == org).map_or(0, |(_, number, ..)| *number)
    }
}
