//! A span, and the ids that follow from what it speaks of.

use http::HeaderMap;
use sha2::{Digest as _, Sha256};
use toktra_siem_core::ids::{DeliveryId, EventId};
use toktra_siem_core::time::Timestamp;

/// A finished span.
#[derive(Debug, Clone)]
pub(super) struct Span {
    pub(super) ids: Ids,
    pub(super) parent: Option<[u8; 8]>,
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    /// Nanoseconds since 1970.
    pub(super) start: u64,
    pub(super) end: u64,
    pub(super) attributes: Vec<(&'static str, Value)>,
    pub(super) links: Vec<Link>,
    /// Why it did not go well.
    pub(super) error: Option<String>,
}

/// Which trace, and which span in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ids {
    pub(super) trace: [u8; 16],
    pub(super) span: [u8; 8],
}

/// A span of another trace that this one has to do with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Link(pub(super) Ids);

/// The span of a producer, as its `traceparent` names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parent(pub(super) Ids);

/// On which side of a call a span stands (numbers of OTLP's `SpanKind`).
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    Internal = 1,
    Server = 2,
    Client = 3,
}

/// The value of an attribute.
#[derive(Debug, Clone)]
pub(super) enum Value {
    Word(&'static str),
    Text(String),
    Number(i64),
}

impl Value {
    pub(super) fn number(number: u64) -> Self {
        Self::Number(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

impl Ids {
    pub(super) fn ingest(event: EventId) -> Self {
        let event = *event.0.as_bytes();
        Self { trace: event, span: span_id(&[b"ingest", &event]) }
    }

    pub(super) fn deliver(event: EventId, delivery: DeliveryId) -> Self {
        let event = *event.0.as_bytes();
        Self { trace: event, span: span_id(&[b"deliver", &event, delivery.0.as_bytes()]) }
    }

    pub(super) fn delivery(delivery: DeliveryId) -> Self {
        let delivery = *delivery.0.as_bytes();
        Self { trace: delivery, span: span_id(&[b"delivery", &delivery]) }
    }

    pub(super) fn attempt(delivery: DeliveryId, number: u32) -> Self {
        let delivery = *delivery.0.as_bytes();
        Self { trace: delivery, span: span_id(&[b"attempt", &delivery, &number.to_be_bytes()]) }
    }
}

/// The same parts give the same id in every process. Not zero, which would be no id; a hash is zero once in 2^64 times.
fn span_id(parts: &[&[u8]]) -> [u8; 8] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part);
    }
    let mut id = [0; 8];
    id.copy_from_slice(&hash.finalize()[..8]);
    id
}

impl Parent {
    /// The `traceparent` of a request (W3C Trace Context), where it is one; a wrong one is passed over, as the recommendation says.
    pub fn of(headers: &HeaderMap) -> Option<Self> {
        let mut values = headers.get_all("traceparent").iter();
        let (Some(value), None) = (values.next(), values.next()) else { return None };
        Self::parse(value.to_str().ok()?)
    }

    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('-');
        let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let hex = |text: &str| text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        let wrong_version = version.len() != 2 || version == "ff" || (version == "00" && parts.next().is_some());
        if wrong_version || flags.len() != 2 || ![version, trace, span, flags].into_iter().all(hex) {
            return None;
        }
        let mut ids = Ids { trace: [0; 16], span: [0; 8] };
        hex::decode_to_slice(trace, &mut ids.trace).ok()?;
        hex::decode_to_slice(span, &mut ids.span).ok()?;
        (ids.trace != [0; 16] && ids.span != [0; 8]).then_some(Self(ids))
    }
}

/// Wall-clock time as OTLP has it.
pub(super) fn nanos(at: Timestamp) -> u64 {
    u64::try_from(at.0).unwrap_or(0).saturating_mul(1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_traceparent_is_read_as_the_recommendation_says() {
        let good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let Parent(ids) = Parent::parse(good).unwrap();
        assert_eq!((hex::encode(ids.trace), hex::encode(ids.span)), (good[3..35].to_owned(), good[36..52].to_owned()));
        assert!(Parent::parse(&good.replacen("00", "cc", 1)).is_some(), "a later version begins in the same way");
        for bad in [
            "",
            "00",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-what",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e473-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-1",
        ] {
            assert_eq!(Parent::parse(bad), None, "{bad}");
        }
        let mut headers = HeaderMap::new();
        headers.append("traceparent", good.parse().unwrap());
        assert!(Parent::of(&headers).is_some());
        headers.append("traceparent", good.parse().unwrap());
        assert_eq!(Parent::of(&headers), None, "two of them name nobody");
    }

    #[test]
    fn ids_follow_from_what_they_speak_of() {
        let (event, delivery) = (EventId(uuid::Uuid::from_u128(7)), DeliveryId(uuid::Uuid::from_u128(8)));
        let all = [
            Ids::ingest(event),
            Ids::deliver(event, delivery),
            Ids::delivery(delivery),
            Ids::attempt(delivery, 1),
            Ids::attempt(delivery, 2),
        ];
        for (at, ids) in all.iter().enumerate() {
            assert!(all[..at].iter().all(|other| other.span != ids.span));
        }
        assert_eq!(Ids::ingest(event), all[0]);
        assert_eq!(all[1].trace, *event.0.as_bytes());
    }
}
