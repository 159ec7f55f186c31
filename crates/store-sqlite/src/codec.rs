//! How values of the core look in columns: numbers for words, JSON for what is only read as a whole, and runs of varints for the
//! members of a delivery.

use rusqlite::Row;
use serde::Serialize;
use serde::de::DeserializeOwned;
use toktra_siem_core::delivery::{ParkKind, Status, Trigger};
use toktra_siem_core::event::{EventType, Severity};
use toktra_siem_core::ids::{Seq, StreamKind};
use toktra_siem_core::members::Members;
use toktra_siem_store::batch::{take_varint, varint};
use uuid::Uuid;

use super::fault::{Fault, Outcome};

/// Bits of an event's key that hold its sequence: 2^40 events an org, and 2^23 orgs above them.
const SEQ_BITS: u32 = 40;
/// The highest sequence that a key can hold.
pub(super) const MAX_SEQ: u64 = (1 << SEQ_BITS) - 1;
/// The highest number of an org that a key can hold.
pub(super) const MAX_ORG: i64 = (1 << 23) - 1;

/// The primary key of an event: rows of an org lie together, in the order of their sequence.
pub(super) fn key(org: i64, seq: Seq) -> i64 {
    (org << SEQ_BITS) | int(seq.0.min(MAX_SEQ))
}

/// The first and the last key that an org's events can have.
pub(super) fn keys_of(org: i64) -> (i64, i64) {
    (key(org, Seq(0)), key(org, Seq(MAX_SEQ)))
}

/// The sequence in a key.
pub(super) fn key_seq(key: i64) -> Seq {
    Seq(uint(key) & MAX_SEQ)
}

/// The number of the org in a key.
pub(super) fn key_org(key: i64) -> i64 {
    key >> SEQ_BITS
}

/// SQLite's integers are signed; no count or sequence of ours comes near the limit.
pub(super) fn int(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// The way back.
pub(super) fn uint(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}

/// A count of things in memory.
pub(super) fn len(value: usize) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// A column of four bytes or less.
pub(super) fn small(value: i64) -> u32 {
    u32::try_from(value).unwrap_or(0)
}

/// A word that is stored as its place in the list of its kind.
pub(super) trait Word: Copy + PartialEq + 'static {
    /// All of them; new ones are appended.
    const WORDS: &'static [Self];

    /// The number that is stored.
    fn number(self) -> i64 {
        Self::WORDS.iter().position(|w| *w == self).map_or(-1, len)
    }

    /// The word with this number.
    fn from_number(number: i64) -> Outcome<Self> {
        usize::try_from(number)
            .ok()
            .and_then(|n| Self::WORDS.get(n))
            .copied()
            .ok_or_else(|| Fault::damaged(format!("{number} is not a number of {}", std::any::type_name::<Self>())))
    }
}

impl Word for EventType {
    const WORDS: &'static [Self] = Self::ALL;
}
impl Word for Severity {
    const WORDS: &'static [Self] = Self::ALL;
}
impl Word for Trigger {
    const WORDS: &'static [Self] = &Self::ALL;
}
impl Word for Status {
    const WORDS: &'static [Self] = &Self::ALL;
}
impl Word for StreamKind {
    const WORDS: &'static [Self] = &[Self::Events, Self::Logs, Self::Metrics];
}
impl Word for ParkKind {
    const WORDS: &'static [Self] = &[Self::Failed, Self::Rejected];
}

/// A value as JSON text. Only used for types whose serialisation cannot fail.
pub(super) fn json<T: Serialize>(value: &T) -> Outcome<String> {
    serde_json::to_string(value).map_err(|error| Fault::damaged(format!("cannot be written as JSON: {error}")))
}

/// The way back.
pub(super) fn from_json<T: DeserializeOwned>(text: &str) -> Outcome<T> {
    serde_json::from_str(text).map_err(|error| Fault::damaged(format!("a stored JSON value cannot be read: {error}")))
}

/// [`json`] of what may be absent.
pub(super) fn json_opt<T: Serialize>(value: Option<&T>) -> Outcome<Option<String>> {
    value.map(json).transpose()
}

/// A column of text, as it is read where a damaged byte of it must not matter.
pub(super) fn text(row: &Row<'_>, index: usize) -> rusqlite::Result<String> {
    Ok(String::from_utf8_lossy(row.get_ref(index)?.as_bytes()?).into_owned())
}

/// An id as it is stored.
pub(super) fn uuid(bytes: [u8; 16]) -> Uuid {
    Uuid::from_bytes(bytes)
}

/// The members of a delivery in its three columns: first, last, and the runs where there is more than one.
pub(super) fn members_columns(members: &Members) -> (Option<i64>, Option<i64>, Option<Vec<u8>>) {
    let runs = members.runs();
    let blob = (runs.len() > 1).then(|| {
        let mut blob = Vec::with_capacity(runs.len() * 3);
        let mut end = 0;
        for (first, count) in runs {
            varint(&mut blob, first - end);
            varint(&mut blob, u64::from(*count));
            end = first + u64::from(*count);
        }
        blob
    });
    (members.first().map(|s| int(s.0)), members.last().map(|s| int(s.0)), blob)
}

/// More than any delivery spans, so that a damaged end makes nobody walk through it.
const MOST: u32 = 1 << 28;

/// The way back. Where there are runs, they begin and end where the columns say.
pub(super) fn members(first: Option<i64>, last: Option<i64>, blob: Option<&[u8]>) -> Outcome<Members> {
    let (Some(first), Some(last)) = (first, last) else { return Ok(Members::default()) };
    let damaged = || Fault::damaged("the members of a delivery cannot be read");
    let count = last.checked_sub(first).and_then(|more| u32::try_from(more).ok()).filter(|more| *more < MOST);
    let count = count.filter(|_| first > 0).ok_or_else(damaged)? + 1;
    let Some(mut blob) = blob else { return Ok(Members::from_runs([(uint(first), count)])) };
    let (mut runs, mut end) = (Vec::new(), 0u64);
    while !blob.is_empty() {
        let gap = take_varint(&mut blob).ok_or_else(damaged)?;
        let count = take_varint(&mut blob).and_then(|n| u32::try_from(n).ok()).ok_or_else(damaged)?;
        let start = end.checked_add(gap).filter(|s| *s <= MAX_SEQ).ok_or_else(damaged)?;
        end = start + u64::from(count);
        runs.push((start, count));
    }
    if runs.first().is_none_or(|(start, _)| *start != uint(first)) || end != uint(last) + 1 {
        return Err(damaged());
    }
    Ok(Members::from_runs(runs))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn members_come_back_as_they_were(set in proptest::collection::btree_set(1u64..5_000, 0..200), base in 0u64..1 << 39) {
            let members = Members::from_ascending(set.iter().map(|s| Seq(base + s)));
            let (first, last, blob) = members_columns(&members);
            prop_assert_eq!(super::members(first, last, blob.as_deref()).ok(), Some(members));
        }

        #[test]
        fn keys_keep_org_and_sequence_apart(org in 0..=MAX_ORG, seq in 0..=MAX_SEQ) {
            let key = key(org, Seq(seq));
            prop_assert!(key >= 0);
            prop_assert_eq!((key_org(key), key_seq(key)), (org, Seq(seq)));
        }
    }

    #[test]
    fn a_torn_blob_is_damage_not_a_guess() {
        assert!(members(Some(1), Some(9), Some(&[0x81])).is_err());
        assert!(Trigger::from_number(99).is_err());
    }
}
