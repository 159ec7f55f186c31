//! How a backend keeps a run of events: as two byte strings, whatever database holds them.
//!
//! A *head* has the compact records by column (ids, types, severities, times) and outlives the payloads. A *body* has the payloads, each
//! with its length and its checksum. Both speak of consecutive sequences of one org; where a run begins, and how long
//! it is, stands beside them in the backend's row. A head and a body need not begin at the same sequence.
//!
//! A payload that has gone (retention, or to make room) leaves its place in the body, so that its neighbours keep theirs. Every event has
//! a checksum of its own, over all that is delivered or decides where to: a flipped bit costs the event that it hits, and where the
//! compression carries it, its neighbours in the same body. Hence the bounds [`MAX_EVENTS`] and [`MAX_BYTES`], which also bound what is
//! inflated to find one event.
//!
//! A body is written as it is while events come in, and compressed when its partition is sealed: ADR 0045 has the figures.

use bytes::Bytes;
use toktra_siem_core::event::{EventType, Severity, StoredEvent};
use toktra_siem_core::ids::{EventId, Seq};
use toktra_siem_core::time::Timestamp;
use uuid::Uuid;

use crate::events::EventRecord;

/// Events of a head or a body at most.
pub const MAX_EVENTS: usize = 256;
/// Payload bytes of a body at most; a single event may have more.
pub const MAX_BYTES: usize = 256 << 10;

/// More than any body holds, so that a damaged length makes nobody allocate it.
const MAX_PAYLOADS: usize = 16 << 20;

/// The first byte of a head: how it is written.
const HEAD: u8 = 1;
/// The first byte of a body whose payloads follow as they are.
const PLAIN: u8 = 0;
/// The first byte of a body whose payloads follow as one frame of Zstandard.
const ZSTD: u8 = 1;
/// The level that Zstandard compresses with: the fastest one.
const LEVEL: i32 = 1;

/// The checksum (CRC-32) of an event. `place` is where the backend keeps it, so that what is read is what was accepted under that place.
pub fn checksum(place: i64, event: &StoredEvent) -> u32 {
    // In one piece: the hasher is slow at small ones.
    let mut before = [0; 56];
    before[..8].copy_from_slice(&place.to_le_bytes());
    before[8..24].copy_from_slice(event.event_id.0.as_bytes());
    before[24] = word(EventType::ALL, event.event_type);
    before[32] = word(Severity::ALL, event.severity);
    before[40..48].copy_from_slice(&event.event_time.0.to_le_bytes());
    before[48..].copy_from_slice(&event.accepted_at.0.to_le_bytes());
    let mut crc = crc32fast::Hasher::new();
    crc.update(&before);
    crc.update(&event.payload);
    crc.finalize()
}

/// The number of a word: its place in the list of its kind, to which new ones are appended.
fn word<T: PartialEq + Copy>(all: &[T], word: T) -> u8 {
    all.iter().position(|w| *w == word).and_then(|at| u8::try_from(at).ok()).unwrap_or(u8::MAX)
}

/// Writes the head of `records`, which have consecutive sequences. `place` is that of the first.
pub fn head(place: i64, records: &[EventRecord]) -> Vec<u8> {
    let mut out = Vec::with_capacity(8 + records.len() * 24);
    out.extend([HEAD, 0, 0, 0, 0]);
    varint(&mut out, records.len() as u64);
    for record in records {
        out.extend(record.event_id.0.as_bytes());
    }
    out.extend(records.iter().map(|r| word(EventType::ALL, r.event_type)));
    out.extend(records.iter().map(|r| word(Severity::ALL, r.severity)));
    let mut before = 0;
    for record in records {
        varint(&mut out, zigzag(record.accepted_at.0.wrapping_sub(before)));
        before = record.accepted_at.0;
    }
    for record in records {
        varint(&mut out, zigzag(record.event_time.0.wrapping_sub(record.accepted_at.0)));
    }
    let crc = head_crc(place, &out[5..]).to_le_bytes();
    out[1..5].copy_from_slice(&crc);
    out
}

fn head_crc(place: i64, rest: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(&place.to_le_bytes());
    crc.update(rest);
    crc.finalize()
}

/// Whether these bytes are the head that was written for `place`.
pub fn is_head(place: i64, bytes: &[u8]) -> bool {
    let Some((&[HEAD, c0, c1, c2, c3], rest)) = bytes.split_first_chunk::<5>() else { return false };
    head_crc(place, rest) == u32::from_le_bytes([c0, c1, c2, c3])
}

/// How many events a head says that it holds, whether or not it is whole.
pub fn head_len(bytes: &[u8]) -> Option<usize> {
    usize::try_from(take_varint(&mut bytes.get(5..)?)?).ok()
}

/// The same of a body.
pub fn body_len(bytes: &[u8]) -> Option<usize> {
    usize::try_from(take_varint(&mut bytes.get(1..)?)?).ok()
}

/// Reads a head whose first event has the sequence `first` and lies at `place`; `None` where it is damaged.
pub fn read_head(place: i64, first: Seq, bytes: &[u8]) -> Option<Vec<EventRecord>> {
    if !is_head(place, bytes) {
        return None;
    }
    let mut rest = bytes.get(5..)?;
    let count = usize::try_from(take_varint(&mut rest)?).ok()?;
    let (ids, rest) = rest.split_at_checked(count.checked_mul(16)?)?;
    let (types, rest) = rest.split_at_checked(count)?;
    let (severities, mut rest) = rest.split_at_checked(count)?;
    let mut records = Vec::with_capacity(count);
    let mut at = 0i64;
    for (n, id) in ids.as_chunks::<16>().0.iter().enumerate() {
        at = at.wrapping_add(unzigzag(take_varint(&mut rest)?));
        records.push(EventRecord {
            seq: Seq(first.0 + n as u64),
            event_id: EventId(Uuid::from_bytes(*id)),
            event_type: *EventType::ALL.get(usize::from(types[n]))?,
            severity: *Severity::ALL.get(usize::from(severities[n]))?,
            event_time: Timestamp(0),
            accepted_at: Timestamp(at),
        });
    }
    for record in &mut records {
        record.event_time = Timestamp(record.accepted_at.0.wrapping_add(unzigzag(take_varint(&mut rest)?)));
    }
    Some(records)
}

/// A payload with its event's checksum.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payload {
    /// Of the event: see [`checksum`].
    pub crc: u32,
    /// The stored form.
    pub bytes: Bytes,
}

/// Writes a body of payloads with consecutive sequences, as they are; `None` stands for one that is gone.
pub fn body<'a>(payloads: impl Iterator<Item = Option<(u32, &'a [u8])>> + Clone) -> Vec<u8> {
    let (count, length) = payloads.clone().fold((0usize, 0usize), |(count, length), payload| {
        (count + 1, length + payload.map_or(0, |(_, bytes)| bytes.len()))
    });
    let mut out = Vec::with_capacity(16 + count * 10 + length);
    out.push(PLAIN);
    varint(&mut out, count as u64);
    for payload in payloads.clone() {
        match payload {
            None => varint(&mut out, 0),
            Some((crc, bytes)) => {
                varint(&mut out, bytes.len() as u64 + 1);
                out.extend(crc.to_le_bytes());
            }
        }
    }
    for (_, bytes) in payloads.flatten() {
        out.extend_from_slice(bytes);
    }
    out
}

/// A body that takes less room: `plain` compressed, where that saves a tenth.
pub fn packed(plain: Vec<u8>) -> Vec<u8> {
    let Some((_, PLAIN, raw)) = sizes(&plain) else { return plain };
    let head = plain.len() - raw.len();
    match zstd::bulk::compress(raw, LEVEL) {
        Ok(packed) if packed.len() < raw.len() / 10 * 9 => {
            let mut out = plain;
            out.truncate(head);
            out[0] = ZSTD;
            out.extend(packed);
            out
        }
        _ => plain,
    }
}

/// Reads a body; `None` where nothing of it can be read: how many payloads there are and how long they are is under no checksum, but has to
/// come to exactly the bytes that follow. Whether a payload is what was accepted, its checksum tells.
pub fn read_body(bytes: &[u8]) -> Option<Vec<Option<Payload>>> {
    let (sizes, form, packed) = sizes(bytes)?;
    let length: usize = sizes.iter().flatten().try_fold(0usize, |sum, (_, length)| sum.checked_add(*length))?;
    let raw = match form {
        PLAIN => Bytes::copy_from_slice(packed),
        ZSTD if length <= MAX_PAYLOADS => zstd::bulk::decompress(packed, length).ok()?.into(),
        _ => return None,
    };
    if raw.len() != length {
        return None;
    }
    let mut from = 0;
    let mut payload = |(crc, length): (u32, usize)| {
        let start = from;
        from += length;
        Payload { crc, bytes: raw.slice(start..from) }
    };
    Some(sizes.into_iter().map(|size| size.map(&mut payload)).collect())
}

/// Which payloads of a body are there; `None` where that cannot be read. Inflates nothing.
pub fn present(bytes: &[u8]) -> Option<Vec<bool>> {
    Some(sizes(bytes)?.0.iter().map(Option::is_some).collect())
}

/// What the payloads of a body take before they are compressed; `None` where that cannot be read. Inflates nothing.
pub fn payload_bytes(bytes: &[u8]) -> Option<usize> {
    sizes(bytes)?.0.iter().flatten().try_fold(0usize, |sum, (_, length)| sum.checked_add(*length))
}

/// Whether a body's payloads lie in it as they are.
pub fn is_plain(bytes: &[u8]) -> bool {
    bytes.first() == Some(&PLAIN)
}

/// A body's payloads by checksum and length, how they are written, and their bytes so.
#[expect(clippy::type_complexity, reason = "three parts of one string, for two callers beside it")]
fn sizes(bytes: &[u8]) -> Option<(Vec<Option<(u32, usize)>>, u8, &[u8])> {
    let (&form, mut rest) = bytes.split_first()?;
    let count = usize::try_from(take_varint(&mut rest)?).ok().filter(|count| *count <= rest.len())?;
    let mut sizes = Vec::with_capacity(count);
    for _ in 0..count {
        sizes.push(match take_varint(&mut rest)? {
            0 => None,
            more => {
                let (crc, after) = rest.split_first_chunk::<4>()?;
                rest = after;
                Some((u32::from_le_bytes(*crc), usize::try_from(more - 1).ok()?))
            }
        });
    }
    Some((sizes, form, rest))
}

fn zigzag(value: i64) -> u64 {
    (value.cast_unsigned() << 1) ^ (value >> 63).cast_unsigned()
}

fn unzigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -(value & 1).cast_signed()
}

/// Appends a number in as few bytes as it needs.
pub fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push((value & 0x7f) as u8);
}

/// The way back; `None` where the bytes end too early.
pub fn take_varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use toktra_siem_core::ids::OrgId;

    use super::*;

    fn records() -> impl Strategy<Value = Vec<EventRecord>> {
        let one = (any::<u128>(), 0..EventType::ALL.len(), 0..Severity::ALL.len(), any::<i64>(), any::<i64>());
        prop::collection::vec(one, 0..40).prop_map(|all| {
            let record =
                |(n, (id, kind, severity, time, accepted)): (usize, (u128, usize, usize, i64, i64))| EventRecord {
                    seq: Seq(7 + n as u64),
                    event_id: EventId(Uuid::from_u128(id)),
                    event_type: EventType::ALL[kind],
                    severity: Severity::ALL[severity],
                    event_time: Timestamp(time),
                    accepted_at: Timestamp(accepted),
                };
            all.into_iter().enumerate().map(record).collect()
        })
    }

    fn payloads() -> impl Strategy<Value = Vec<Option<(u32, Vec<u8>)>>> {
        let text = prop_oneof!["[a-c]{0,300}".prop_map(String::into_bytes), prop::collection::vec(any::<u8>(), 0..50)];
        prop::collection::vec(prop::option::of((any::<u32>(), text)), 0..40)
    }

    fn write(payloads: &[Option<(u32, Vec<u8>)>], small: bool) -> Vec<u8> {
        let plain = body(payloads.iter().map(|p| p.as_ref().map(|(crc, bytes)| (*crc, &bytes[..]))));
        if small { packed(plain) } else { plain }
    }

    proptest! {
        #[test]
        fn a_head_comes_back_as_it_was_and_only_at_its_place(records in records(), place in any::<i64>()) {
            let bytes = head(place, &records);
            prop_assert_eq!(read_head(place, Seq(7), &bytes), Some(records));
            prop_assert_eq!(read_head(place.wrapping_add(1), Seq(7), &bytes), None);
        }

        #[test]
        fn a_flipped_bit_in_a_head_is_found(records in records(), at in any::<prop::sample::Index>(), bit in 0..8u8) {
            let mut bytes = head(3, &records);
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            prop_assert_eq!(read_head(3, Seq(7), &bytes), None);
        }

        #[test]
        fn a_body_comes_back_as_it_was(payloads in payloads(), small: bool) {
            let back: Vec<_> = read_body(&write(&payloads, small)).unwrap().into_iter()
                .map(|p| p.map(|p| (p.crc, p.bytes.to_vec()))).collect();
            prop_assert_eq!(back, payloads);
        }

        /// Whatever is read of a damaged body, no event passes for what it was not.
        #[test]
        fn a_damaged_body_never_reads_beyond_itself(payloads in payloads(), small: bool, flips in prop::collection::vec((any::<prop::sample::Index>(), 0..8u8), 1..4), cut in any::<prop::sample::Index>()) {
            let mut bytes = write(&payloads, small);
            for (at, bit) in flips {
                let at = at.index(bytes.len());
                bytes[at] ^= 1 << bit;
            }
            let _ = read_body(&bytes);
            bytes.truncate(cut.index(bytes.len()));
            let _ = read_body(&bytes);
        }

        /// A flipped bit is seen, or hits nothing but a payload's bytes and checksums: no payload that is there is passed over as gone.
        #[test]
        fn a_flipped_bit_in_a_body_hides_nothing(lengths in prop::collection::vec(1usize..200, 1..20), small: bool, at in any::<prop::sample::Index>(), bit in 0..8u8) {
            let payloads: Vec<_> = lengths.iter().map(|length| Some((0x2545_f491, vec![b'a'; *length]))).collect();
            let mut bytes = write(&payloads, small);
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            if let Some(back) = read_body(&bytes) {
                prop_assert_eq!(back.iter().map(|p| p.as_ref().map(|p| p.bytes.len())).collect::<Vec<_>>(),
                    lengths.into_iter().map(Some).collect::<Vec<_>>());
            }
        }

        #[test]
        fn an_event_with_any_bit_flipped_has_another_checksum(payload in prop::collection::vec(any::<u8>(), 1..200), at in any::<prop::sample::Index>(), bit in 0..8u8) {
            let event = |payload: Vec<u8>| StoredEvent {
                org: OrgId(Uuid::nil()), seq: Seq(1), event_id: EventId(Uuid::nil()), event_type: EventType::Anomaly,
                severity: Severity::Low, event_time: Timestamp(1), accepted_at: Timestamp(2), payload: payload.into(),
            };
            let mut flipped = payload.clone();
            let at = at.index(flipped.len());
            flipped[at] ^= 1 << bit;
            prop_assert_ne!(checksum(9, &event(payload.clone())), checksum(9, &event(flipped)));
            prop_assert_ne!(checksum(9, &event(payload.clone())), checksum(8, &event(payload)));
        }
    }

    #[test]
    fn what_repeats_is_compressed_and_what_does_not_is_kept_as_it_is() {
        let line = br#"{"event_type":"policy_violation","severity":"high","summary":"Spend crossed the threshold"}"#;
        let many = packed(body(std::iter::repeat_n(Some((1, &line[..])), 100)));
        assert!(many[0] == ZSTD && many.len() < 100 * line.len() / 5, "{}", many.len());
        let noise: Vec<u8> = (0..64u8).map(|n| n.wrapping_mul(167) ^ 0x5a).collect();
        assert_eq!(packed(body(std::iter::once(Some((1, &noise[..])))))[0], PLAIN);
    }
}
