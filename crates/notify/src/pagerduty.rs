//! PagerDuty's Events API v2: a request for each notice, because each thread is an incident of its own (PagerDuty, "Send an alert event").

use bytes::Bytes;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};
use toktra_siem_core::destination::Reply;
use toktra_siem_core::ids::ChannelId;
use toktra_siem_core::notice::{Notice, Topic};
use toktra_siem_core::time::Timestamp;

use crate::reply::{Meaning, Receiver};
use crate::story::{Part, Story, cut, name};
use crate::{Delivered, Outcome, Place, digest};

/// The most characters of a summary, and of other texts.
const SUMMARY: usize = 1_024;
const TEXT: usize = 1_000;
/// The most characters of a `dedup_key`.
const KEY: usize = 255;

/// The event of a notice as JSON.
pub(crate) fn event(key: &SecretString, place: &Place, notice: &Notice) -> Value {
    let dedup_key = dedup_key(&notice.thread);
    if notice.topic == Topic::Recovered {
        return resolve(key, &dedup_key);
    }
    let story = Story::of(place, std::slice::from_ref(notice));
    let details = json!({
        "organization": name(&place.org),
        "subject": name(&notice.subject),
        "connector_id": notice.connector,
        "topic": notice.topic,
        "cause": cut(&notice.cause, TEXT),
        "what_to_do": cut(&notice.advice, TEXT),
    });
    trigger(
        key,
        &dedup_key,
        place,
        story.parts.first(),
        severity(notice.topic),
        (notice.at, notice.topic.as_str(), &notice.subject),
        &details,
    )
}

/// The events of a test: an incident, and its end.
pub(crate) fn test(key: &SecretString, place: &Place, id: ChannelId, channel: &str, now: Timestamp) -> [Value; 2] {
    let dedup_key = format!("toktra/test/{id}/{}", now.0);
    let story = Story::test(place, channel);
    let details = json!({ "organization": name(&place.org) });
    let about = (now, "test", channel);
    [trigger(key, &dedup_key, place, story.parts.first(), "info", about, &details), resolve(key, &dedup_key)]
}

fn trigger(
    key: &SecretString,
    dedup_key: &str,
    place: &Place,
    part: Option<&Part>,
    severity: &str,
    (at, class, component): (Timestamp, &str, &str),
    details: &Value,
) -> Value {
    let mut event = json!({
        "routing_key": key.expose_secret(),
        "event_action": "trigger",
        "dedup_key": dedup_key,
        "client": "Toktra SIEM",
        "payload": {
            "summary": cut(part.map_or("", |part| part.what.as_str()), SUMMARY),
            "source": format!("Toktra SIEM, {}", name(&place.org)),
            "severity": severity,
            "timestamp": at,
            "component": name(component),
            "class": class,
            "custom_details": details,
        },
    });
    if let Some(link) = part.and_then(|part| part.link.as_deref()) {
        event["client_url"] = link.into();
        event["links"] = json!([{ "href": link, "text": "Open in Toktra SIEM" }]);
    }
    event
}

fn resolve(key: &SecretString, dedup_key: &str) -> Value {
    json!({ "routing_key": key.expose_secret(), "event_action": "resolve", "dedup_key": dedup_key })
}

/// The thread itself, so that people recognise it; if that is too long, what stands for it.
pub(crate) fn dedup_key(thread: &str) -> String {
    if !thread.is_empty() && thread.chars().count() <= KEY {
        return thread.to_owned();
    }
    format!("sha256:{}", hex::encode(digest([thread])))
}

fn severity(topic: Topic) -> &'static str {
    match topic {
        Topic::Expiring | Topic::Disk => "critical",
        Topic::Down | Topic::Misconfigured | Topic::Stalled => "error",
        Topic::Certificate | Topic::Key | Topic::Silence | Topic::Recovered => "warning",
    }
}

/// What PagerDuty answered.
pub(crate) fn judge(receiver: &Receiver<'_>, reply: &Reply, now: Timestamp) -> Outcome {
    match reply.status {
        // Anything else did not come from the Events API.
        202 => Ok(Delivered { message: "PagerDuty took the event (202).".to_owned() }),
        status => {
            // Its message is the same for all that is wrong; the list says what is.
            let said: Option<Value> = serde_json::from_slice(&reply.body).ok();
            let wrong = said.as_ref().and_then(|said| said.pointer("/errors/0")?.as_str());
            let body = wrong.map_or_else(|| reply.body.clone(), |wrong| Bytes::from(wrong.to_owned()));
            Err(receiver.refused(&Reply { body, ..reply.clone() }, meaning(status), now))
        }
    }
}

fn meaning(status: u16) -> Option<Meaning> {
    Some(match status {
        400 => (
            "invalid_event",
            "it refuses the event. The integration key is probably wrong, that of another account region, or its service was deleted. Copy the \
             integration key of an Events API V2 integration, and enter it again.",
        ),
        429 => ("busy", "it accepts no more events from this integration for now. The event is sent again by itself."),
        _ => return None,
    })
}
