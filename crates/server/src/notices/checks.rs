//! What people are told of before it hurts: events and credentials that expire soon, streams that stand still, a producer that went silent, a
//! disk that is nearly full. Looked at once a minute.

use std::time::Duration;

use toktra_siem_core::breaker::Breaker;
use toktra_siem_core::connector::Connector;
use toktra_siem_core::filter::Filter;
use toktra_siem_core::ids::{OrgId, StreamId};
use toktra_siem_core::notice::{Notice, Topic};
use toktra_siem_core::time::Timestamp;
use toktra_siem_dispatch::warnings::Warnings;
use toktra_siem_platform::pem;
use toktra_siem_store::{Standing, Store, StoreError};

use super::{Org, minute};

/// Events that expire within this are told of; within a quarter of the retention, if that is shorter.
const EXPIRY_NEAR: Duration = Duration::from_hours(24);
/// A certificate or key is told of so long before its end, and each time again.
const ENDS: [(u64, &str); 3] = [(0, "ended"), (3, "3d"), (14, "14d")];
/// A stream that has something to send and sent nothing for so long stands still.
const STILL: Duration = Duration::from_mins(15);
/// An org that had events within the longer time and has none within the shorter one is told of.
const SILENCE: [Duration; 2] = [Duration::from_hours(24), Duration::from_hours(8 * 24)];

/// What is due of one org.
pub(super) async fn due(
    store: &dyn Store,
    org: &Org<'_>,
    standings: &[Standing],
    retention: Duration,
    disk: bool,
    now: Timestamp,
) -> Result<Vec<Notice>, StoreError> {
    let mut due = Vec::new();
    for standing in standings {
        due.extend(expiring(standing, retention, now));
        if !org.is_known(standing.connector.id, now) {
            due.extend(still(standing, now));
        }
    }
    for connector in &org.connectors {
        due.extend(certificates(connector, now));
    }
    for key in store.keys(org.id).await? {
        let Some((until, mark)) = ending(key.expires_at, now) else { continue };
        due.push(Notice {
            subject: key.name.clone(),
            at: now,
            what: format!("{} {}", expires(until, now), minute(until)),
            what_of_many: "have to be renewed".to_owned(),
            cause: format!("Whoever uses this API key ({}…) is refused from then on.", key.prefix),
            advice: "Make a new API key, give it to whoever uses this one, and revoke this one.".to_owned(),
            path: "/api-keys".to_owned(),
            ..alone(org.id, Topic::Key, &format!("{}/{}", key.id, until.0), mark)
        });
    }
    due.extend((disk && org.is_default).then(|| full(org, now)));
    Ok(due)
}

/// The frame of a notice of something that is no outage: a thread for itself, of which `mark` is told now.
fn alone(org: OrgId, topic: Topic, what: &str, mark: &str) -> Notice {
    let thread = thread(org, topic, what);
    Notice {
        key: format!("{thread}/{mark}"),
        topic,
        thread,
        connector: None,
        subject: String::new(),
        at: Timestamp::default(),
        what: String::new(),
        what_of_many: String::new(),
        cause: String::new(),
        advice: String::new(),
        path: String::new(),
        ends: None,
    }
}

fn thread(org: OrgId, topic: Topic, what: &str) -> String {
    format!("toktra/{org}/{}/{what}", topic.as_str())
}

/// The thread of a stream that stands still.
pub(super) fn stalled(org: OrgId, stream: StreamId) -> String {
    thread(org, Topic::Stalled, &format!("{}/{}", stream.connector, stream.kind.as_str()))
}

/// Whether a notice is of the certificate that a receiver shows.
pub(super) fn is_receivers(notice: &Notice) -> bool {
    notice.topic == Topic::Certificate && notice.thread.contains("/receiver/")
}

/// The same of a connector, whose page shows it.
fn of_connector(connector: &Connector, topic: Topic, what: &str, mark: &str) -> Notice {
    Notice {
        connector: Some(connector.id),
        subject: connector.name.clone(),
        path: format!("/integrations/siem/{}", connector.id),
        ..alone(connector.org, topic, &format!("{}/{what}", connector.id), mark)
    }
}

fn day(now: Timestamp) -> String {
    now.0.div_euclid(24 * 60 * 60 * 1000).to_string()
}

fn expiring(standing: &Standing, retention: Duration, now: Timestamp) -> Option<Notice> {
    let failed = standing.oldest_failed.as_ref().map(|(event, _)| event);
    let oldest = standing.oldest_pending.iter().chain(failed).map(|event| event.accepted_at).min()?;
    let until = oldest.plus(retention);
    if until.since(now) > EXPIRY_NEAR.min(retention / 4) {
        return None;
    }
    Some(Notice {
        at: now,
        what: format!("has events that are deleted undelivered from {} on", minute(until)),
        what_of_many: "have events that are about to be deleted undelivered".to_owned(),
        cause: format!("{} undelivered; the oldest was accepted on {}.", counted(standing.stream.undelivered()), minute(oldest)),
        advice: "Bring the connector back, or set TOKTRA_SIEM_RETENTION to a longer time. What is deleted is counted and listed as expired."
            .to_owned(),
        ..of_connector(&standing.connector, Topic::Expiring, standing.stream.id.kind.as_str(), &day(now))
    })
}

fn counted(events: u64) -> String {
    if events == 1 { "1 event is".to_owned() } else { format!("{events} events are") }
}

/// It is on and its SIEM answers, as far as anybody knows; something waits, and nothing arrives.
fn still(standing: &Standing, now: Timestamp) -> Option<Notice> {
    let Standing { connector, stream, oldest_pending, .. } = standing;
    let waits = oldest_pending.as_ref().map(|event| event.accepted_at)?;
    let closed = matches!(stream.breaker, Breaker::Closed { .. });
    let since = stream.last_success.map_or(waits, |at| at.max(waits)).max(connector.updated_at);
    if !connector.active || !connector.settings.sends(stream.id.kind) || !closed || now.since(since) < STILL {
        return None;
    }
    Some(Notice {
        at: since,
        what: format!("has sent nothing since {} although events wait", minute(since)),
        what_of_many: "send nothing although events wait".to_owned(),
        cause: format!("{} undelivered, and no error of the SIEM is known.", counted(stream.undelivered())),
        advice: "Open the connector, and press Test delivery. If the test arrives, restart the service, and report this as a fault.".to_owned(),
        ..of_connector(connector, Topic::Stalled, stream.id.kind.as_str(), &since.0.to_string())
    })
}

/// The certificates of a connector that end soon: its own, and those that it trusts.
fn certificates(connector: &Connector, now: Timestamp) -> Vec<Notice> {
    let found = [("tls_client_cert", "uses a client certificate"), ("tls_ca", "trusts a certificate")];
    let mut due = Vec::new();
    for (setting, which) in found.iter().filter(|_| connector.active) {
        for says in connector.settings.text(setting).map(pem::said).unwrap_or_default() {
            let Some((until, mark)) = ending(says.not_after, now) else { continue };
            due.push(Notice {
                at: now,
                what: format!("{which} that {} {}", expires(until, now), minute(until)),
                what_of_many: "need new certificates".to_owned(),
                cause: format!(
                    "The certificate was issued to {}.",
                    if says.subject.is_empty() { "nobody by name" } else { &says.subject }
                ),
                advice: format!("Get a new certificate, and enter it as {setting} of the connector."),
                path: format!("/integrations/siem/{}/edit", connector.id),
                ..of_connector(connector, Topic::Certificate, &format!("{setting}/{}", says.fingerprint), mark)
            });
        }
    }
    due
}

/// The certificates of receivers that end soon, as far as they were seen.
pub(super) fn receivers(org: &Org<'_>, warnings: &Warnings, now: Timestamp) -> Vec<Notice> {
    let mut due = Vec::new();
    for stream in org.streams.iter().filter(|stream| stream.active) {
        let id = stream.record.id;
        let Some((until, mark)) = ending(warnings.certificate_until(id), now) else { continue };
        let Some(connector) = org.connector(id.connector) else { continue };
        due.push(Notice {
            at: now,
            what: format!("leads to a server whose certificate {} {}", expires(until, now), minute(until)),
            what_of_many: "lead to servers that need new certificates".to_owned(),
            cause: "Unless the connector trusts exactly this certificate, nothing is delivered from then on.".to_owned(),
            advice: "Tell whoever runs that server. If the connector has its own CA or fingerprint, enter the new one there.".to_owned(),
            ..of_connector(connector, Topic::Certificate, &format!("receiver/{}", until.0), mark)
        });
    }
    due
}

/// When something ends that ends soon, and which of the times to tell of it this is.
fn ending(until: Option<Timestamp>, now: Timestamp) -> Option<(Timestamp, &'static str)> {
    let until = until?;
    let days = |days: u64| now.plus(Duration::from_hours(days * 24));
    ENDS.iter().find(|(before, _)| until <= days(*before)).map(|(_, mark)| (until, *mark))
}

fn expires(until: Timestamp, now: Timestamp) -> &'static str {
    if until <= now { "expired on" } else { "expires on" }
}

/// Nothing came from a producer for a day, though something did in the week before and something is to be forwarded.
pub(super) async fn silence(store: &dyn Store, org: &Org<'_>, now: Timestamp) -> Result<Option<Notice>, StoreError> {
    if !org.connectors.iter().any(|connector| connector.active) {
        return Ok(None);
    }
    let [short, long] = SILENCE;
    if came(store, org, now.minus(short)).await? || !came(store, org, now.minus(long)).await? {
        return Ok(None);
    }
    Ok(Some(Notice {
        subject: org.name.to_owned(),
        at: now.minus(short),
        what: "has sent no event for 24 hours".to_owned(),
        what_of_many: "have sent no event for 24 hours".to_owned(),
        cause: "Events came in the week before.".to_owned(),
        advice: "If that is not usual, see whether the producer runs, whether its API key is valid, and what it is answered.".to_owned(),
        path: "/events".to_owned(),
        ..alone(org.id, Topic::Silence, "producer", &day(now))
    }))
}

/// Whether events came lately.
pub(super) async fn heard(store: &dyn Store, org: &Org<'_>, now: Timestamp) -> Result<bool, StoreError> {
    came(store, org, now.minus(SILENCE[0])).await
}

/// Whether a producer has sent anything since then. What the service says of itself does not count.
async fn came(store: &dyn Store, org: &Org<'_>, since: Timestamp) -> Result<bool, StoreError> {
    let preview = store.preview(org.id, since, Filter::default(), 0).await?;
    Ok(preview.tallied.iter().any(|tallied| !tallied.event_type.is_own() && tallied.events > 0))
}

fn full(org: &Org<'_>, now: Timestamp) -> Notice {
    Notice {
        subject: org.name.to_owned(),
        at: now,
        what: "is about to refuse events, because the disk budget is nearly used up, or the disk nearly full".to_owned(),
        what_of_many: "are about to refuse events".to_owned(),
        cause: "Nothing that was delivered is left to remove.".to_owned(),
        advice: "Bring connectors with a backlog back, set TOKTRA_SIEM_MAX_DISK to a larger size, or give the service a larger disk.".to_owned(),
        path: "/integrations/siem".to_owned(),
        ..alone(org.id, Topic::Disk, "disk", &day(now))
    }
}
