//! What people are told of an outage: that it is, that it goes on for another day, and that it is over.

use std::time::Duration;

use toktra_siem_core::connector::Connector;
use toktra_siem_core::ids::ConnectorId;
use toktra_siem_core::notice::{Notice, Topic};
use toktra_siem_core::outage::{Alert, Outage, Went};
use toktra_siem_core::time::Timestamp;
use toktra_siem_store::StreamRecord;

use super::threads::Thread;
use super::{minute, parts};
use crate::own_events::ended_by_a_save;

/// Somebody who was told and did nothing is told again after this.
const AGAIN_AFTER: Duration = Duration::from_hours(24);

/// One outage of a stream.
pub(super) struct About<'a> {
    pub(super) connector: &'a Connector,
    pub(super) stream: &'a StreamRecord,
    pub(super) outage: &'a Outage,
    /// What was told of the stream so far.
    pub(super) told: Option<&'a Thread>,
}

impl About<'_> {
    /// What is the same for all that is told of the stream.
    fn thread(&self) -> String {
        thread(self.connector.id, self.stream)
    }

    fn key(&self, topic: Topic) -> String {
        let base = format!("{}/{}", self.thread(), self.outage.since.0);
        let base = self.told.map_or_else(|| base.clone(), |told| told.anew(base.clone()));
        let key = format!("{base}/{}", topic.as_str());
        let begun = self.told.and_then(|told| told.begun(topic));
        // As long as its end was not told, an outage that comes back is the same one, unless a save was meant to end it.
        let same = begun.filter(|begun| begun.key == key || self.connector.updated_at <= begun.at);
        same.map_or(key, |begun| begun.key.clone())
    }

    /// The keys by which this outage was told of: that it does not answer, and that it needs a person.
    pub(super) fn keys(&self) -> [String; 2] {
        [self.key(Topic::Down), self.key(Topic::Misconfigured)]
    }

    /// Whether people were told, and not yet that it is over; and whether its recovery has to hold before they are.
    fn is_open(&self) -> bool {
        self.told.is_some_and(|told| told.open.is_some())
    }

    fn returned(&self) -> bool {
        self.told.is_some_and(Thread::returned)
    }
}

/// Names a stream over all that is told of it. It is PagerDuty's key of an incident, which orgs may share a service for.
pub(super) fn thread(connector: ConnectorId, stream: &StreamRecord) -> String {
    format!("toktra/{}/{connector}/{}", stream.org, stream.id.kind.as_str())
}

/// What is due of an outage: of its stops the last one, and its end if its beginning was told. Nothing of a connector that somebody knows
/// about, but for that end.
pub(super) fn due(about: &About<'_>, is_known: bool, told: [Option<Timestamp>; 2], now: Timestamp) -> Vec<Notice> {
    let alerts = about.outage.alerts(now);
    match alerts.last() {
        Some(end) if end.went == Went::Back => {
            let delivers = !ended_by_a_save(about.connector, about.stream, about.outage);
            if about.is_open() && delivers && !about.returned() { vec![over(about, end)] } else { Vec::new() }
        }
        // Of a connector that is paused nothing is tried, and somebody paused it.
        Some(stop) if !is_known && about.connector.active => stopped(about, stop, told, now),
        _ => Vec::new(),
    }
}

fn stopped(about: &About<'_>, stop: &Alert, told: [Option<Timestamp>; 2], now: Timestamp) -> Vec<Notice> {
    let (topic, verb, plural) = match stop.went {
        Went::Misconfigured => (Topic::Misconfigured, "refuses its events", "refuse their events"),
        Went::Down | Went::Back => (Topic::Down, "does not answer", "do not answer"),
    };
    let since = if topic == Topic::Down { about.outage.since } else { stop.at };
    let (cause, advice) = parts(&stop.cause.message);
    let undelivered = about.stream.undelivered();
    let waiting = match undelivered {
        0 => String::new(),
        1 => " 1 event waits and is delivered later.".to_owned(),
        many => format!(" {many} events wait and are delivered later."),
    };
    let first = Notice {
        key: about.key(topic),
        topic,
        thread: about.thread(),
        connector: Some(about.connector.id),
        subject: about.connector.name.clone(),
        at: since,
        what: format!("{verb} since {}", minute(since)),
        what_of_many: plural.to_owned(),
        cause: sentence(cause),
        advice: format!("{}{waiting}", if advice.is_empty() { nothing_known(topic) } else { advice }),
        path: format!("/integrations/siem/{}", about.connector.id),
        ends: None,
    };
    let noted = told[usize::from(topic == Topic::Misconfigured)];
    let days = noted.map_or(0, |noted| now.since(noted).as_secs() / AGAIN_AFTER.as_secs());
    if days == 0 {
        return vec![first];
    }
    let key = format!("{}/day-{days}", first.key);
    vec![Notice { key, what: format!("still {}", first.what), what_of_many: format!("still {plural}"), ..first }]
}

fn nothing_known(topic: Topic) -> &'static str {
    match topic {
        Topic::Misconfigured => "Open the connector, and press Test delivery: it says what to change.",
        _ => "See whether the SIEM is up and can be reached. The connector tries again by itself.",
    }
}

fn over(about: &About<'_>, end: &Alert) -> Notice {
    let lasted = end.at.since(about.outage.since);
    let minutes = lasted.as_secs() / 60;
    let lasted = match (minutes / 60, minutes % 60) {
        (0, minutes) => format!("{minutes} min"),
        (hours, minutes) => format!("{hours} h {minutes} min"),
    };
    Notice {
        key: format!("{}/{}/recovered", about.thread(), about.outage.since.0),
        topic: Topic::Recovered,
        thread: about.thread(),
        connector: Some(about.connector.id),
        subject: about.connector.name.clone(),
        at: end.at,
        what: format!("accepts events again since {}, after {lasted}", minute(end.at)),
        what_of_many: "accept events again".to_owned(),
        cause: String::new(),
        advice: "Nothing. What waited is being delivered.".to_owned(),
        path: format!("/integrations/siem/{}", about.connector.id),
        ends: Some(Topic::Down),
    }
}

/// With a full stop at its end.
pub(super) fn sentence(text: &str) -> String {
    let text = text.trim();
    if text.is_empty() || text.ends_with(['.', '!', '?']) { text.to_owned() } else { format!("{text}.") }
}
