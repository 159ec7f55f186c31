//! The end of what was told of an org that is removed: afterwards nothing knows of the incidents that it opened.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use toktra_siem_core::ids::OrgId;
use toktra_siem_core::notice::{Notice, Topic};
use toktra_siem_notify::Place;
use toktra_siem_store::{ChannelRecord, StoreError};

use crate::{App, channels};

/// A removal waits for so long at most: a receiver that does not answer keeps nobody longer.
const WAITS: Duration = Duration::from_secs(5);
/// Notices that are read at once.
const AT_ONCE: usize = 500;

/// What there is left to tell of an org, and through which channels.
pub(crate) struct Farewell {
    place: Place,
    channels: Vec<ChannelRecord>,
    ends: Vec<Notice>,
}

impl Farewell {
    /// Of an org that is about to be removed.
    pub(crate) async fn of(app: &App, org: OrgId) -> Result<Self, StoreError> {
        let mut last: HashMap<String, Notice> = HashMap::new();
        let mut read_to = 0;
        loop {
            let noted = app.parts.store.noted(org, read_to, AT_ONCE).await?;
            let Some((to, _)) = noted.last() else { break };
            read_to = *to;
            last.extend(noted.into_iter().map(|(_, notice)| (notice.thread.clone(), notice)));
        }
        let now = app.parts.clock.now();
        let open = last.into_values().filter(|notice| notice.topic != Topic::Recovered);
        let end = |open: Notice| Notice {
            key: format!("{}/over", open.key),
            topic: Topic::Recovered,
            at: now,
            what: "was deleted with its organization".to_owned(),
            what_of_many: "were deleted with their organization".to_owned(),
            cause: "What you were told of it is over.".to_owned(),
            advice: String::new(),
            path: "/".to_owned(),
            ends: Some(open.topic),
            ..open
        };
        let mut ends: Vec<Notice> = open.map(end).collect();
        ends.sort_by(|one, other| one.key.cmp(&other.key));
        let channels = app.parts.store.channels(org).await?;
        Ok(Self { place: channels::place(app, org).await?, channels, ends })
    }

    /// Tells it, as far as receivers answer soon.
    pub(crate) async fn tell(self, app: &App) {
        let (place, mut telling) = (Arc::new(self.place), JoinSet::new());
        for record in self.channels.into_iter().filter(|record| record.channel.active) {
            let channel = &record.channel;
            let ends = self.ends.iter().filter(|end| end.is_for(channel.kind, &channel.events));
            let ends: Vec<Notice> = ends.cloned().collect();
            let (Ok(settings), false) = (channels::open(&app.parts.vault, &record), ends.is_empty()) else { continue };
            let (courier, place, now) = (app.parts.courier.clone(), Arc::clone(&place), app.parts.clock.now());
            telling.spawn(async move {
                courier.tell(record.channel.id, record.channel.kind, &settings, &place, &ends, now).await
            });
        }
        let all = async { while telling.join_next().await.is_some() {} };
        if tokio::time::timeout(WAITS, all).await.is_err() {
            tracing::warn!("not every notification channel of a removed org could be told that it is gone");
        }
    }
}
