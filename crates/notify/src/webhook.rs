//! Any HTTPS address: JSON by Standard Webhooks (`type`, `timestamp`, `data`), signed as deliveries are.

use serde_json::{Value, json};
use toktra_siem_core::destination::Reply;
use toktra_siem_core::ids::ChannelId;
use toktra_siem_core::notice::Notice;
use toktra_siem_core::time::Timestamp;

use crate::pagerduty::dedup_key;
use crate::reply::{Meaning, Receiver, is_page};
use crate::story::{Story, cut, link, name};
use crate::{Delivered, Outcome, Place};

/// The most notices in a request, and about how many bytes: under the 500 kB that collectors take.
const NOTICES: usize = 100;
const BYTES: usize = 400_000;
/// The most characters of a text.
const TEXT: usize = 1_000;

/// The message as JSON. It is the same, but for its time, when it is sent again.
pub(crate) fn message(place: &Place, notices: &[Notice], now: Timestamp) -> Value {
    let one = |notice: &Notice| {
        json!({
            "key": notice.key,
            "topic": notice.topic,
            "thread": dedup_key(&notice.thread),
            "subject": name(&notice.subject),
            "connector_id": notice.connector,
            "at": notice.at,
            "what": cut(&notice.what, TEXT),
            "cause": cut(&notice.cause, TEXT),
            "advice": cut(&notice.advice, TEXT),
            "url": link(place, &notice.path),
        })
    };
    let notices: Vec<Value> = notices.iter().map(one).collect();
    json!({ "type": "notification", "timestamp": now, "data": { "org": name(&place.org), "notices": notices } })
}

/// How many of `notices`, from the first on, go into one request; at least one.
pub(crate) fn fits(notices: &[Notice]) -> usize {
    let mut bytes = 0;
    let fit = notices.iter().take(NOTICES).take_while(|notice| {
        let texts = [&notice.subject, &notice.what, &notice.cause, &notice.advice];
        bytes += 1_000 + notice.key.len() + texts.iter().map(|text| text.len().min(4 * TEXT)).sum::<usize>();
        bytes <= BYTES
    });
    fit.count().max(1)
}

/// A message by which somebody tries a channel.
pub(crate) fn test(place: &Place, id: ChannelId, channel: &str, now: Timestamp) -> Value {
    let message = Story::test(place, channel).parts.first().map_or_else(String::new, |part| part.what.clone());
    let channel = json!({ "id": id, "name": name(channel) });
    let data = json!({ "org": name(&place.org), "channel": channel, "message": message });
    json!({ "type": "notification.test", "timestamp": now, "data": data })
}

/// What the receiver answered: the status is all that is promised.
pub(crate) fn judge(receiver: &Receiver<'_>, reply: &Reply, now: Timestamp) -> Outcome {
    match reply.status {
        200..=299 if !is_page(reply) => {
            Ok(Delivered { message: format!("{} answered {}.", receiver.name(), reply.status) })
        }
        status => Err(receiver.refused(reply, meaning(status), now)),
    }
}

fn meaning(status: u16) -> Option<Meaning> {
    Some(match status {
        401 | 403 => (
            "http_403",
            "it refuses the signature or the key in the URL. Compare the signing secret and the URL with what it has, then test again.",
        ),
        _ => return None,
    })
}
