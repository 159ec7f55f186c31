//! `GET /v1/events`: the org's events, the newest first, by type, severity, time, person, text and outcome.
//!
//! Nothing indexes what events say. A request looks at so many of them and no more; if it found fewer than it was asked for, its cursor goes
//! on from there.

use std::collections::HashSet;

use bytes::Bytes;
use serde::Deserialize;
use tokio::task::spawn_blocking;
use toktra_siem_core::ids::{ConnectorId, OrgId, Seq};
use toktra_siem_store::{EventPage, EventQuery, EventRecord, Scope, StoreError};
use toktra_siem_wire::{self as wire, Outcome};

use crate::{App, Caller, Query, Refusal, Result, deliveries, outcome, words};

/// Events that one request looks at.
const LOOKED_AT: usize = 5_000;
/// Outcomes in single streams that one request asks for; to find an event again counts as [`FINDING`] of them. What is listed beyond them
/// comes without its outcome.
const OUTCOMES: usize = 5_000;
/// See [`OUTCOMES`].
const FINDING: usize = 4;
/// What all of them may weigh: an event has up to 256 KiB, and to read a text costs time for each of its bytes.
const WEIGHT: usize = 16 * 1024 * 1024;
/// Events that are read at once while looking for some.
const STRIDE: usize = 25;

/// What the payload adds.
#[derive(Debug, Default, Deserialize)]
struct Payload {
    summary: Option<String>,
    user_email: Option<String>,
    user_id: Option<String>,
    policy_id: Option<String>,
    #[serde(default)]
    details: Details,
}

#[derive(Debug, Default, Deserialize)]
struct Details {
    /// Whatever is there; only a text is looked at.
    #[serde(default)]
    policy_name: serde_json::Value,
}

impl Payload {
    fn of(payload: Option<&[u8]>) -> Self {
        payload.and_then(|payload| serde_json::from_slice(payload).ok()).unwrap_or_default()
    }

    fn people(&self) -> [Option<&str>; 2] {
        [self.user_email.as_deref(), self.user_id.as_deref()]
    }
}

/// What is wanted of events beyond what the store knows of each.
#[derive(Debug, Default)]
struct Wanted {
    user: Option<String>,
    text: Option<String>,
    outcome: Option<Outcome>,
    connector: Option<ConnectorId>,
}

impl Wanted {
    fn read(query: &mut Query) -> Self {
        let text = |text: &str| (1..=200).contains(&text.chars().count()).then(|| text.to_lowercase());
        Self {
            user: query.take("user", "a text of 1 to 200 characters", text),
            text: query.take("q", "a text of 1 to 200 characters", text),
            outcome: query.take("outcome", "one of the outcomes of an event", words::read),
            connector: query.take("connector", "the id of a connector", |text| text.parse().ok()),
        }
    }

    /// Whether every event that is read is listed.
    fn is_everything(&self) -> bool {
        self.user.is_none() && self.text.is_none() && self.outcome.is_none()
    }

    fn says(&self, payload: &Payload) -> bool {
        let among = |texts: &[Option<&str>], wanted: &Option<String>| {
            let Some(wanted) = wanted else { return true };
            texts.iter().flatten().any(|text| text.to_lowercase().contains(wanted))
        };
        let [email, id] = payload.people();
        let policy = [payload.policy_id.as_deref(), payload.details.policy_name.as_str()];
        let texts = [payload.summary.as_deref(), email, id, policy[0], policy[1]];
        among(&[email, id], &self.user) && among(&texts, &self.text)
    }
}

/// What became of an event, in one word: what needs somebody first, then whether it arrived, then why it was never meant to.
fn overall(outcomes: impl Iterator<Item = Outcome>) -> Option<Outcome> {
    const ORDER: [Outcome; 10] = [
        Outcome::Rejected,
        Outcome::Failed,
        Outcome::Damaged,
        Outcome::Expired,
        Outcome::Pending,
        Outcome::Discarded,
        Outcome::Delivered,
        Outcome::Skipped,
        Outcome::Filtered,
        Outcome::Before,
    ];
    let there: HashSet<Outcome> = outcomes.collect();
    ORDER.into_iter().find(|outcome| there.contains(outcome))
}

/// A request, as far as it has looked.
struct Look<'a> {
    app: &'a App,
    org: OrgId,
    wanted: Wanted,
    outcomes: usize,
}

impl Look<'_> {
    /// What became of an event, of the connector that is named or of all; nothing if there is none, or no more are asked for.
    async fn outcome(&mut self, record: &EventRecord) -> Result<Option<Outcome>> {
        if self.outcomes >= OUTCOMES {
            return Ok(None);
        }
        let found = self.app.parts.store.whereabouts(self.org, record.event_id).await;
        let (record, _, there) = match found {
            Err(StoreError::NotFound) => return Ok(None),
            found => found.map_err(|error| Refusal::store("event", error))?,
        };
        self.outcomes += FINDING + there.len();
        let meant =
            there.into_iter().filter(|there| self.wanted.connector.is_none_or(|id| id == there.stream.connector));
        Ok(overall(meant.map(|there| outcome::of(&self.app.parts.registry, &record, there).outcome)))
    }

    /// The event as it is listed, if it is wanted.
    async fn listed(&mut self, record: &EventRecord, payload: Payload) -> Result<Option<wire::ListedEvent>> {
        if !self.wanted.says(&payload) {
            return Ok(None);
        }
        let outcome = self.outcome(record).await?;
        let wanted = self.wanted.outcome.is_none_or(|wanted| outcome == Some(wanted));
        let Payload { summary, user_email, .. } = payload;
        Ok(wanted.then(|| wire::ListedEvent { event: deliveries::summary(record), summary, user_email, outcome }))
    }
}

/// What the payloads say, read on a thread where that may take its time.
async fn payloads(read: Vec<(EventRecord, Option<Bytes>)>) -> Result<Vec<(EventRecord, Payload)>> {
    let reading = spawn_blocking(move || {
        let said = |(record, payload): (EventRecord, Option<Bytes>)| (record, Payload::of(payload.as_deref()));
        read.into_iter().map(said).collect()
    });
    reading.await.map_err(|error| {
        tracing::error!(%error, "reading events ended abnormally");
        Refusal::internal()
    })
}

/// A page of the org's events.
pub async fn list(app: &App, caller: &Caller, mut query: Query) -> Result<wire::List<wire::ListedEvent>> {
    let org = caller.org(Scope::SiemRead)?;
    let (from, to) = query.range();
    let wanted = Wanted::read(&mut query);
    let limit = query.limit();
    let mut asked = EventQuery {
        event_type: query.take("event_type", "one of the event types", words::read),
        severity: query.take("severity", "low, medium, high or critical", words::read),
        from,
        to,
        before: query.take("cursor", "the `next_cursor` of a page of this list", |text| text.parse().ok().map(Seq)),
        limit: if wanted.is_everything() { limit } else { STRIDE },
    };
    query.finish()?;
    if let Some(connector) = wanted.connector {
        app.parts.store.connector(org, connector).await.map_err(|error| Refusal::store("connector", error))?;
    }
    let _turn = app.searches.turn(org).await?;
    let mut look = Look { app, org, wanted, outcomes: 0 };
    let (mut items, mut looked_at, mut weight) = (Vec::new(), 0, 0);
    let next = 'all: loop {
        let page = app.parts.store.recent_events(org, asked.clone()).await;
        let EventPage { items: read, next } = page.map_err(|error| Refusal::store("org", error))?;
        looked_at += read.len();
        weight += read.iter().filter_map(|(_, payload)| payload.as_ref()).map(Bytes::len).sum::<usize>();
        // The store walks so far and no further to fill a page: that was its share of this request.
        let walked = next.is_some() && read.len() < asked.limit;
        for (record, payload) in payloads(read).await? {
            let unjudged = look.wanted.outcome.is_some() && look.outcomes >= OUTCOMES;
            if items.len() == limit || unjudged {
                break 'all Some(Seq(record.seq.0 + 1));
            }
            items.extend(look.listed(&record, payload).await?);
        }
        let spent = walked || looked_at >= LOOKED_AT || weight >= WEIGHT;
        if next.is_none() || items.len() == limit || spent || look.wanted.is_everything() {
            break next;
        }
        asked.before = next;
    };
    let (next_cursor, has_more) = (next.map(|seq| seq.0.to_string()), next.is_some());
    Ok(wire::List { items, next_cursor, has_more, total_count: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_needs_somebody_goes_before_what_arrived() {
        use Outcome::{Delivered, Failed, Filtered, Pending, Rejected};
        assert_eq!(overall([Delivered, Rejected, Failed].into_iter()), Some(Rejected));
        assert_eq!(overall([Delivered, Pending].into_iter()), Some(Pending));
        assert_eq!(overall([Filtered, Delivered].into_iter()), Some(Delivered));
        assert_eq!(overall(std::iter::empty()), None);
    }

    #[test]
    fn a_person_and_a_text_are_found_wherever_they_stand() {
        let payload =
            br#"{"summary":"Max tokens exceeded","user_email":"Eve@Company.example","user_id":"u-7","policy_id":"p-1",
                           "details":{"policy_name":"max-tokens","n":1}}"#;
        let read = Payload::of(Some(payload));
        let says = |user: Option<&str>, text: Option<&str>| {
            Wanted { user: user.map(str::to_owned), text: text.map(str::to_owned), ..Wanted::default() }.says(&read)
        };
        for user in ["eve@", "u-7", "company"] {
            assert!(says(Some(user), None), "{user}");
        }
        for text in ["exceeded", "max-tokens", "p-1", "eve"] {
            assert!(says(None, Some(text)), "{text}");
        }
        assert!(!says(Some("max"), None) && !says(Some("eve"), Some("other")));
        assert!(!Wanted { user: Some("eve".into()), ..Wanted::default() }.says(&Payload::of(None)), "its text is gone");
        assert!(Payload::of(Some(br#"{"details":{"policy_name":7},"summary":"x"}"#)).summary.is_some());
    }
}
