//! Bringing what is noted to the channels: each at its own pace, so that one which does not answer holds up none of the others.

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use toktra_siem_app::channels;
use toktra_siem_base::clock::Clock;
use toktra_siem_base::vault::Vault;
use toktra_siem_core::cause::Cause;
use toktra_siem_core::ids::{ChannelId, OrgId};
use toktra_siem_core::notice::Notice;
use toktra_siem_core::time::Timestamp;
use toktra_siem_dispatch::node::Node;
use toktra_siem_notify::{Courier, NotTold, Place};
use toktra_siem_store::{Channel, ChannelRecord, Failing, Progress, Role, Store, StoreError};

/// How often there is a look for something to send.
const EVERY: Duration = Duration::from_secs(2);
/// What happens within so long is told together.
const GATHERED: Duration = Duration::from_secs(10);
/// Told at once, at most.
const AT_ONCE: usize = 500;
/// Channels that are told at a time: of one org, and in all. One that does not answer takes its place for as long as the deadline.
const OF_AN_ORG: usize = 16;
const IN_ALL: usize = 128;
/// The first pause after a failure; it doubles.
const FIRST_PAUSE: Duration = Duration::from_secs(30);
/// The longest, and the pause if a person has to change something.
const LONGEST_PAUSE: Duration = Duration::from_hours(1);

/// Brings what is noted.
#[derive(Clone)]
pub(crate) struct Teller {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) vault: Arc<Vault>,
    pub(crate) courier: Arc<Courier>,
    pub(crate) public_url: Option<String>,
    /// When this process began to tell.
    pub(crate) started: Timestamp,
}

impl Teller {
    /// Tells what there is to tell until `stop`, where this node has the role: people hear everything once.
    pub(crate) async fn run(self, node: Arc<Node>, stop: CancellationToken) -> anyhow::Result<()> {
        // Since when something waits for a channel, as this process saw it.
        let mut waits: HashMap<ChannelId, Instant> = HashMap::new();
        let mut under_way = UnderWay::default();
        while stop.run_until_cancelled(node.until_it_has(Role::OwnEvents)).await.is_some() {
            if let Err(failure) = self.look(&mut waits, &mut under_way).await {
                tracing::warn!(error = %failure, "notification channels could not be looked at; trying again");
            }
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                () = tokio::time::sleep(EVERY) => {}
            }
        }
        Ok(())
    }

    /// Begins to tell each channel that is due what waits for it.
    async fn look(&self, waits: &mut HashMap<ChannelId, Instant>, under_way: &mut UnderWay) -> Result<(), StoreError> {
        under_way.reap();
        let mut all = self.store.all_channels().await?;
        // Those that work go first, then those that were tried longest ago.
        all.sort_by_key(|record| record.progress.failing.as_ref().map(|failing| failing.at));
        waits.retain(|id, _| all.iter().any(|record| record.channel.id == *id));
        let now = self.clock.now();
        for record in all.into_iter().filter(|record| is_due(record, self.started, now)) {
            let (id, org) = (record.channel.id, record.channel.org);
            if !under_way.has_room(id, org) {
                continue;
            }
            let noted = match self.store.noted(org, record.told_to, AT_ONCE).await {
                Err(StoreError::NotFound) => continue,
                noted => noted?,
            };
            let Some((last, _)) = noted.last() else {
                waits.remove(&id);
                continue;
            };
            let wanted = !wanted(&record.channel, &noted).is_empty();
            let first = *waits.entry(id).or_insert_with(Instant::now);
            if wanted && first.elapsed() < GATHERED {
                continue;
            }
            waits.remove(&id);
            if !wanted {
                Self::kept(self.store.told(id, record.channel.updated_at, *last, record.progress).await)?;
                continue;
            }
            let teller = self.clone();
            under_way.begin(id, org, async move {
                if let Err(failure) = teller.tell(record, noted).await {
                    tracing::warn!(channel = %id, error = %failure, "what was told could not be kept; it may be told again");
                }
            });
        }
        Ok(())
    }

    /// Tells one channel, and keeps how far it is.
    async fn tell(&self, record: ChannelRecord, noted: Vec<(u64, Notice)>) -> Result<(), StoreError> {
        let ChannelRecord { channel, told_to, progress, .. } = &record;
        let wanted = wanted(channel, &noted);
        let notices: Vec<Notice> = wanted.iter().map(|(_, notice)| notice.clone()).collect();
        let now = self.clock.now();
        let told = match channels::open(&self.vault, &record) {
            Ok(settings) => {
                let place = Place { org: self.store.org(channel.org).await?.name, public_url: self.public_url.clone() };
                self.courier.tell(channel.id, channel.kind, &settings, &place, &notices, now).await
            }
            Err(error) => toktra_siem_notify::Told { number: 0, failure: Some(sealed(&error)) },
        };
        let far = match (wanted.get(told.number), noted.last()) {
            // Up to the first that did not arrive; what is not wanted lies between.
            (Some((next, _)), _) => (next - 1).max(*told_to),
            (None, Some((last, _))) => *last,
            (None, None) => *told_to,
        };
        let at = self.clock.now();
        let last_told = if told.number > 0 { Some(at) } else { progress.last_told };
        let mut failing = told.failure.map(|why| failing(progress.failing.as_ref(), why, at));
        if let Some(failing) = failing.as_mut().filter(|_| told.number == notices.len()) {
            // All of it arrived, though not everywhere: what comes next does not wait.
            failing.next = failing.at;
        }
        match &failing {
            None if told.number > 0 => {
                tracing::info!(channel = %channel.name, kind = channel.kind.as_str(), notices = told.number, "people were told");
            }
            None => {}
            Some(failing) => tracing::warn!(
                channel = %channel.name, kind = channel.kind.as_str(), attempts = failing.attempts, cause = %failing.cause.code,
                why = %failing.cause.message, "people could not be told; it is tried again"
            ),
        }
        Self::kept(self.store.told(channel.id, channel.updated_at, far, Progress { last_told, failing }).await)
    }

    /// A channel that was removed meanwhile is no failure.
    fn kept(kept: Result<(), StoreError>) -> Result<(), StoreError> {
        if matches!(kept, Err(StoreError::NotFound)) { Ok(()) } else { kept }
    }
}

/// The channels that are being told.
#[derive(Default)]
struct UnderWay {
    tasks: JoinSet<ChannelId>,
    busy: HashMap<ChannelId, OrgId>,
}

impl UnderWay {
    /// Forgets those that are done. A task that panicked is forgotten when nothing is under way any more.
    fn reap(&mut self) {
        while let Some(done) = self.tasks.try_join_next() {
            if let Ok(id) = done {
                self.busy.remove(&id);
            }
        }
        if self.tasks.is_empty() {
            self.busy.clear();
        }
    }

    /// Whether the channel may be told now.
    fn has_room(&self, id: ChannelId, org: OrgId) -> bool {
        let of_org = self.busy.values().filter(|other| **other == org).count();
        !self.busy.contains_key(&id) && of_org < OF_AN_ORG && self.busy.len() < IN_ALL
    }

    fn begin(&mut self, id: ChannelId, org: OrgId, telling: impl Future<Output = ()> + Send + 'static) {
        self.busy.insert(id, org);
        self.tasks.spawn(async move {
            telling.await;
            id
        });
    }
}

/// What a channel tells of what is noted: of each thing the newest only, and that if it is for this channel. What was overtaken before the channel
/// told it is not told.
pub(super) fn wanted(channel: &Channel, noted: &[(u64, Notice)]) -> Vec<(u64, Notice)> {
    let newest: HashMap<&str, u64> = noted.iter().map(|(number, notice)| (&*notice.thread, *number)).collect();
    let is_newest = |number: u64, notice: &Notice| newest.get(&*notice.thread) == Some(&number);
    let wanted =
        |(number, notice): &&(u64, Notice)| is_newest(*number, notice) && notice.is_for(channel.kind, &channel.events);
    noted.iter().filter(wanted).cloned().collect()
}

pub(super) fn is_due(record: &ChannelRecord, started: Timestamp, now: Timestamp) -> bool {
    let waits = record.progress.failing.as_ref().is_some_and(|failing| {
        // After a start each is tried: the operator may have changed something. A clock that was set back keeps nobody waiting for longer than
        // the longest pause.
        failing.at >= started && now < failing.next && failing.next.since(now) <= LONGEST_PAUSE
    });
    record.channel.active && !waits
}

fn sealed(error: &impl ToString) -> NotTold {
    let message = format!(
        "The channel's secrets cannot be opened ({}). The encryption key is another one: enter them again.",
        error.to_string()
    );
    NotTold { cause: Cause::new("secret_unusable", message), needs_a_person: true, pause: None }
}

/// What is kept of a failure: when it began, how often it was tried, and when it is tried again.
pub(super) fn failing(before: Option<&Failing>, why: NotTold, now: Timestamp) -> Failing {
    let attempts = before.map_or(0, |before| before.attempts).saturating_add(1);
    let doubled = FIRST_PAUSE.saturating_mul(1 << attempts.saturating_sub(1).min(16)).min(LONGEST_PAUSE);
    let pause = if why.needs_a_person { LONGEST_PAUSE } else { doubled.max(why.pause.unwrap_or_default()) };
    Failing {
        since: before.map_or(now, |before| before.since),
        at: now,
        attempts,
        next: now.plus(pause.min(LONGEST_PAUSE)),
        cause: why.cause,
    }
}
