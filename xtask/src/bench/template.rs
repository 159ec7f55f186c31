//! Requests that are built once: only the ids in them change. Ids look like UUID v7 (time first), because that is what the server's indexes
//! will see in real life, and no two runs share one.

use std::process;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result};
use memchr::memmem;
use tokio::time::Instant;

use super::event::{event, scatter};

/// Stands where an id will be; no other part of an event holds it.
const NO_ID: &str = "00000000-0000-0000-0000-000000000000";
/// Stands where an org will be.
const NO_ORG: &str = "00000000-0000-0000-0000-000000000001";
/// Length of an id.
const ID: usize = NO_ID.len();
/// What stands in front of an event's id, wherever it goes.
const BEFORE_ID: &[u8] = b"\"event_id\":\"";
/// Requests that a connection sends in turn, each with texts of its own.
const VARIANTS: u64 = 8;

/// A whole request, and where in it the ids are.
pub(super) struct Template {
    /// The bytes to send.
    pub(super) request: Vec<u8>,
    ids: Vec<usize>,
    orgs: Vec<usize>,
}

impl Template {
    /// The requests that connection `number` sends in turn.
    pub(super) fn all(host: &str, key: &str, batch: u64, bytes: usize, orgs: u64, number: u16) -> Result<Vec<Self>> {
        let first = |variant| (u64::from(number) * VARIANTS + variant) * batch;
        (0..VARIANTS)
            .map(|variant| Self::new(host, key, first(variant)..first(variant) + batch, bytes, orgs > 0))
            .collect()
    }

    fn new(host: &str, key: &str, seeds: std::ops::Range<u64>, bytes: usize, orgs: bool) -> Result<Self> {
        let alone = seeds.end - seeds.start == 1;
        let one =
            |seed| event(seed, bytes, NO_ID, orgs.then_some(NO_ORG)).context("an event does not fit into so few bytes");
        let events = seeds.map(one).collect::<Result<Vec<_>>>()?.join(",");
        let body = if alone { events } else { format!("[{events}]") };
        let request = format!(
            "POST /v1/events HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {key}\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        let places = |what: &str| memmem::find_iter(request.as_bytes(), what).collect();
        Ok(Self { ids: places(NO_ID), orgs: places(NO_ORG), request: request.into_bytes() })
    }

    /// Gives every event a new id, and an org in turn.
    pub(super) fn renew(&mut self, ids: &mut Ids) {
        for offset in &self.ids {
            self.request[*offset..*offset + ID].copy_from_slice(&ids.next());
        }
        for offset in &self.orgs {
            self.request[*offset..*offset + ID].copy_from_slice(org(ids.next_org()).as_bytes());
        }
    }

    /// What tells its events from all others.
    pub(super) fn keys(&self) -> impl Iterator<Item = u64> + '_ {
        self.ids.iter().filter_map(|offset| key(&self.request[*offset..*offset + ID]))
    }
}

/// What tells the events of a body from all others, in their order: there is one for each event, in every platform's form.
pub(super) fn keys(body: &[u8]) -> impl Iterator<Item = u64> + '_ {
    let id = |at| body.get(at + BEFORE_ID.len()..at + BEFORE_ID.len() + ID);
    memmem::find_iter(body, BEFORE_ID).map(move |at| id(at).and_then(key).unwrap_or(u64::MAX))
}

/// The half of an id that holds connection and count.
fn key(id: &[u8]) -> Option<u64> {
    let mut digits = id.get(19..23)?.iter().chain(id.get(24..36)?);
    digits.try_fold(0, |key, digit| Some(key << 4 | u64::from(char::from(*digit).to_digit(16)?)))
}

/// Keys added up so that one that is missing and one that came twice do not make up for each other.
pub(super) fn sum(keys: impl Iterator<Item = u64>) -> u64 {
    keys.map(scatter).fold(0, u64::wrapping_add)
}

/// The id of the org with this number.
pub(super) fn org(number: u64) -> String {
    format!("0190d3a5-0000-7000-8000-{number:012x}")
}

/// A connection's source of ids.
pub(super) struct Ids {
    epoch_millis: u64,
    started: Instant,
    connection: u16,
    orgs: u64,
    count: u64,
    asked: u64,
}

impl Ids {
    /// Those of connection `connection`, for so many orgs.
    pub(super) fn new(started: Instant, connection: u16, orgs: u64) -> Self {
        Self { epoch_millis: epoch_millis(), started, connection, orgs, count: 0, asked: 0 }
    }

    fn next(&mut self) -> [u8; ID] {
        self.count += 1;
        let millis = self.epoch_millis + u64::try_from(self.started.elapsed().as_millis()).unwrap_or(0);
        id(millis, process::id(), self.connection, self.count)
    }

    /// Neighbouring connections begin far from each other, so that a group of requests is one of many orgs.
    fn next_org(&mut self) -> u64 {
        self.asked += 1;
        (u64::from(self.connection) * 17 + self.asked) % self.orgs.max(1)
    }
}

/// A UUID v7's text: milliseconds, then what keeps processes, connections and requests apart.
fn id(millis: u64, process: u32, connection: u16, count: u64) -> [u8; ID] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut value = u128::from(millis & 0xffff_ffff_ffff) << 80;
    value |= 0x7 << 76 | u128::from(process & 0xfff) << 64;
    value |= 0b10 << 62 | u128::from(connection & 0x3fff) << 48 | u128::from(count & 0xffff_ffff_ffff);
    let mut text = [b'-'; ID];
    let mut digit = 32;
    for (position, place) in text.iter_mut().enumerate() {
        if !matches!(position, 8 | 13 | 18 | 23) {
            digit -= 1;
            *place = DIGITS[(value >> (4 * digit) & 0xf) as usize];
        }
    }
    text
}

/// The time, in milliseconds since 1970.
#[expect(
    clippy::disallowed_methods,
    reason = "only makes the ids of this run differ from those of any other, and events old"
)]
pub(super) fn epoch_millis() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::bench::event::{SEVERITIES, TYPES};
    use crate::bench::wire;

    #[test]
    fn an_event_is_json_of_exactly_the_size_asked_for() {
        let all: Vec<String> = (0..16).map(|seed| event(seed, 800, NO_ID, Some(NO_ORG)).unwrap()).collect();
        let mut kinds = BTreeSet::new();
        for event in &all {
            assert_eq!(event.len(), 800);
            let event: serde_json::Value = serde_json::from_str(event).unwrap();
            assert_eq!(event["org_id"], NO_ORG);
            kinds.insert((event["event_type"].to_string(), event["severity"].to_string()));
        }
        assert_eq!(kinds.len(), TYPES.len() * SEVERITIES.len());
        assert!(event(0, 10, NO_ID, None).is_none());
    }

    #[test]
    fn ids_are_version_7_and_differ_by_connection_and_count() {
        let text =
            |connection, count| String::from_utf8(id(0x0190_0000_0001, 0x1abc, connection, count).into()).unwrap();
        assert_eq!(text(1, 2), "01900000-0001-7abc-8001-000000000002");
        assert_ne!(text(1, 2), text(2, 2));
        assert_ne!(text(1, 2), text(1, 3));
        assert_eq!(key(text(1, 2).as_bytes()), Some(0x8001_0000_0000_0002));
    }

    #[test]
    fn a_batch_is_one_array_whose_ids_are_all_renewed() {
        let mut template = Template::new("h", "k", 0..3, 500, true).unwrap();
        template.renew(&mut Ids::new(Instant::now(), 0, 2));
        let message = wire::message(&template.request).unwrap().unwrap();
        assert_eq!(message.total, template.request.len());
        let body = &template.request[message.head..];
        let events: Vec<serde_json::Value> = serde_json::from_slice(body).unwrap();
        let ids: BTreeSet<_> = events.iter().map(|event| event["event_id"].to_string()).collect();
        assert_eq!((events.len(), ids.len()), (3, 3));
        assert!(!ids.iter().any(|id| id.contains(NO_ID)));
        let orgs: Vec<_> = events.iter().map(|event| event["org_id"].as_str().unwrap().to_owned()).collect();
        assert_eq!(orgs, [org(1), org(0), org(1)]);
        assert!(template.keys().eq(keys(body)), "both ends see the same keys");
    }

    #[test]
    fn a_lost_event_and_one_that_came_twice_do_not_make_up_for_each_other() {
        assert_ne!(sum([1, 2, 3].into_iter()), sum([1, 2, 2].into_iter()));
        assert_eq!(sum([1, 2, 3].into_iter()), sum([3, 1, 2].into_iter()));
    }
}
