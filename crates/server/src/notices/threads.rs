//! What people were told of and is not over: each thread as its notices left it, read from what is stored. A thread that is open, and whose
//! trouble is gone or holds no more, gets its end told, whatever it was about.

use std::collections::HashMap;
use std::time::Duration;

use toktra_siem_core::connector::Connector;
use toktra_siem_core::ids::OrgId;
use toktra_siem_core::notice::{Notice, Topic};
use toktra_siem_core::time::Timestamp;
use toktra_siem_dispatch::warnings::Warnings;
use toktra_siem_store::{Standing, Store, StoreError, StreamOverview};

use super::{Org, checks, minute, outages};

/// A stream that stops again within this after its recovery was told goes up and down.
const AGAIN_WITHIN: Duration = Duration::from_hours(1);
/// The next recovery of such a stream is told once it has held for so long.
const HOLDS: Duration = Duration::from_mins(15);
/// Notices that are read at once.
const AT_ONCE: usize = 500;

/// The threads of an org.
#[derive(Default)]
pub(super) struct Threads {
    /// The number of the last notice that was read.
    read_to: u64,
    all: HashMap<String, Thread>,
}

/// One of them.
#[derive(Default)]
pub(super) struct Thread {
    /// What was told last; `None` if that was the end.
    pub(super) open: Option<Notice>,
    /// Since the last end, the notice by which each topic was first told.
    begun: Vec<Notice>,
    /// The last end, with its number.
    ended: Option<(u64, Notice)>,
    /// Since when nothing is wrong with the stream, as this process saw it.
    quiet: Option<Timestamp>,
}

impl Threads {
    /// Reads what was noted since the last time.
    pub(super) async fn read(&mut self, store: &dyn Store, org: OrgId) -> Result<(), StoreError> {
        loop {
            let noted = store.noted(org, self.read_to, AT_ONCE).await?;
            let Some((last, _)) = noted.last() else { return Ok(()) };
            self.read_to = *last;
            for (number, notice) in noted {
                self.all.entry(notice.thread.clone()).or_default().take(number, notice);
            }
        }
    }

    /// The thread of this name.
    pub(super) fn get(&self, name: &str) -> Option<&Thread> {
        self.all.get(name)
    }

    /// Something is wrong with the stream of this thread.
    pub(super) fn disturb(&mut self, name: &str) {
        if let Some(thread) = self.all.get_mut(name) {
            thread.quiet = None;
        }
    }

    /// What was told last in the threads that are open.
    fn open(&mut self) -> impl Iterator<Item = (Notice, &mut Thread)> {
        self.all.values_mut().filter_map(|thread| Some((thread.open.clone()?, thread)))
    }

    /// Whether something was told of a connector that is deleted or paused by now.
    pub(super) fn have_lost_one(&self, connectors: &[&Connector]) -> bool {
        let is_there = |open: &Notice, id| {
            let found = connectors.iter().find(|connector| connector.id == id);
            found.is_some_and(|connector| connector.active || open.topic == Topic::Expiring)
        };
        let open = self.all.values().filter_map(|thread| thread.open.as_ref());
        open.filter_map(|open| Some((open, open.connector?))).any(|(open, id)| !is_there(open, id))
    }

    /// Whether people were told that no events come, and not yet that some do.
    pub(super) fn is_silent(&self) -> bool {
        self.all.values().any(|thread| thread.open.as_ref().is_some_and(|open| open.topic == Topic::Silence))
    }
}

impl Thread {
    fn take(&mut self, number: u64, notice: Notice) {
        if notice.topic == Topic::Recovered {
            *self = Self { ended: Some((number, notice)), ..Self::default() };
            return;
        }
        match self.begun.iter_mut().find(|begun| begun.topic == notice.topic) {
            None => self.begun.push(notice.clone()),
            // A reminder's key begins with that of what it reminds of.
            Some(begun) if !notice.key.starts_with(&begun.key) => *begun = notice.clone(),
            Some(_) => {}
        }
        self.open = Some(notice);
    }

    /// By which notice this topic was told since the last end.
    pub(super) fn begun(&self, topic: Topic) -> Option<&Notice> {
        self.begun.iter().find(|begun| begun.topic == topic)
    }

    /// `key`, and if an end of what it names was told already (somebody paused the connector), another one that is as stable.
    pub(super) fn anew(&self, key: String) -> String {
        match &self.ended {
            Some((number, end)) if end.key.starts_with(&format!("{key}/")) => format!("{key}/{number}"),
            _ => key,
        }
    }

    /// Whether it began again soon after its recovery was told. An end that has a cause is none: somebody paused the connector.
    pub(super) fn returned(&self) -> bool {
        let soon = |began: &Notice, end: &Notice| end.cause.is_empty() && began.at.since(end.at) < AGAIN_WITHIN;
        self.begun.first().zip(self.ended.as_ref()).is_some_and(|(began, (_, end))| soon(began, end))
    }

    /// Whether nothing has been wrong for long enough to say so.
    fn is_over(&mut self, now: Timestamp) -> bool {
        let since = *self.quiet.get_or_insert(now);
        !self.returned() || now.since(since) >= HOLDS
    }
}

/// Why something is over.
struct Over {
    what: String,
    of_many: String,
    cause: &'static str,
}

impl Over {
    fn new(what: impl Into<String>, of_many: impl Into<String>, cause: &'static str) -> Self {
        Self { what: what.into(), of_many: of_many.into(), cause }
    }
}

/// What is seen when there is a look at what is open.
pub(super) struct Seen<'a> {
    pub(super) org: &'a Org<'a>,
    /// What there is to tell now.
    pub(super) due: &'a [Notice],
    pub(super) standings: &'a [Standing],
    pub(super) warnings: &'a Warnings,
    /// Whether events came lately.
    pub(super) heard: bool,
    /// Whether the disk may still be nearly full.
    pub(super) crowded: bool,
    pub(super) now: Timestamp,
}

/// The end of each open thread whose trouble is over.
pub(super) fn over(threads: &mut Threads, seen: &Seen<'_>) -> Vec<Notice> {
    let mut due = Vec::new();
    for (open, thread) in threads.open() {
        let connector = open.connector.map(|id| seen.org.connector(id));
        let over = match connector {
            Some(None) => Some(Over::new(
                "was deleted",
                "were deleted",
                "Nothing is sent to it, and what you were told of it is over.",
            )),
            Some(Some(connector)) => seen.of_connector(connector, &open, thread),
            None => seen.of_org(&open),
        };
        due.extend(over.map(|over| {
            let named = connector.flatten();
            Notice {
                key: format!("{}/over", open.key),
                topic: Topic::Recovered,
                subject: named.map_or_else(|| open.subject.clone(), |connector| connector.name.clone()),
                at: seen.now,
                what: over.what,
                what_of_many: over.of_many,
                cause: over.cause.to_owned(),
                advice: String::new(),
                path: if connector == Some(None) { "/integrations/siem".to_owned() } else { open.path.clone() },
                ends: Some(open.topic),
                ..open
            }
        }));
    }
    due.sort_by(|one, other| one.key.cmp(&other.key));
    due
}

impl Seen<'_> {
    fn of_connector(&self, connector: &Connector, open: &Notice, thread: &mut Thread) -> Option<Over> {
        let holds = self.due.iter().any(|due| due.thread == open.thread);
        if open.topic != Topic::Expiring && !connector.active {
            let cause = "Nothing is sent to it until somebody resumes it.";
            return Some(Over::new("was paused", "were paused", cause));
        }
        let stream = |name: fn(&StreamOverview) -> String| {
            self.org.streams.iter().copied().find(|stream| name(stream) == open.thread)
        };
        match open.topic {
            Topic::Down | Topic::Misconfigured => {
                let stream = stream(|stream| outages::thread(stream.record.id.connector, &stream.record));
                let Some(stream) = stream.filter(|stream| stream.active) else { return Some(not_sent()) };
                if !stream.record.outages.is_empty() {
                    thread.quiet = None;
                    return None;
                }
                let is_over = thread.is_over(self.now);
                let since = minute(thread.quiet.unwrap_or(self.now));
                is_over.then(|| Over::new(format!("accepts events again since {since}"), "accept events again", ""))
            }
            Topic::Stalled => {
                let stream = stream(|stream| checks::stalled(stream.record.org, stream.record.id));
                let Some(stream) = stream.filter(|stream| stream.active) else { return Some(not_sent()) };
                let standing = self.standings.iter().find(|standing| standing.stream.id == stream.record.id)?;
                let moves = stream.record.last_success.is_some_and(|at| at > open.at);
                let is_over = moves || standing.oldest_pending.is_none();
                is_over.then(|| {
                    Over::new(
                        "makes progress again",
                        "make progress again",
                        "Its events are sent again, or none waits any more.",
                    )
                })
            }
            Topic::Expiring => (!holds).then(|| {
                let what = "no events any more that are about to be deleted undelivered";
                let cause =
                    "They were delivered, or have been deleted by now: the page of the connector has both numbers.";
                Over::new(format!("has {what}"), format!("have {what}"), cause)
            }),
            _ => (!holds && !self.unseen(open)).then(|| {
                let what = "no more affected by a certificate that expires soon";
                Over::new(format!("is {what}"), format!("are {what}"), "It was replaced, or is not used any more.")
            }),
        }
    }

    /// Whether the certificate of the connector's receiver has not been seen since the start, so that it may be the same one.
    fn unseen(&self, open: &Notice) -> bool {
        let of = |stream: &&&StreamOverview| stream.active && Some(stream.record.id.connector) == open.connector;
        let mut streams = self.org.streams.iter().filter(of);
        checks::is_receivers(open) && streams.all(|stream| self.warnings.certificate_until(stream.record.id).is_none())
    }

    fn of_org(&self, open: &Notice) -> Option<Over> {
        let holds = self.due.iter().any(|due| due.thread == open.thread);
        match open.topic {
            Topic::Silence if !self.org.connectors.iter().any(|connector| connector.active) => {
                let cause = "Nothing would be forwarded, so it does not matter whether events come.";
                Some(Over::new("has no active connector any more", "have no active connector any more", cause))
            }
            Topic::Silence => self.heard.then(|| Over::new("sends events again", "send events again", "")),
            Topic::Disk => {
                let what = "room on the disk again";
                (!self.crowded).then(|| Over::new(format!("has {what}"), format!("have {what}"), ""))
            }
            _ => (!holds).then(|| {
                let cause = "The API key was revoked, or expires later.";
                Over::new("does not have to be renewed any more", "do not have to be renewed any more", cause)
            }),
        }
    }
}

fn not_sent() -> Over {
    let cause = "The connector does not send what you were told of any more.";
    Over::new("was changed", "were changed", cause)
}
