//! What is known of ids in memory: all of the open partition and of those that are not indexed yet (17 to 35 bytes each), and a filter of
//! each indexed partition that is not merged (10 bits each).

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use rusqlite::Connection;
use toktra_siem_core::ids::EventId;

use super::super::append::Pending;
use super::super::codec::key_org;
use super::super::engine::SharedIds;
use super::super::fault::Outcome;
use super::hash::Hash;
use super::{Known, is_its};

/// Hashes of ids with the key of the event that has it. Two ids with one hash are told apart by reading the record.
#[derive(Debug, Default)]
pub(in super::super) struct IdMap {
    keys: HashMap<u64, i64, BuildHasherDefault<Identity>>,
    /// Ids whose hash was taken by another already: practically always empty.
    clashes: Vec<(u64, i64)>,
}

impl IdMap {
    /// A map with room for `rows` ids.
    pub(in super::super) fn with_capacity(rows: usize) -> Self {
        Self { keys: HashMap::with_capacity_and_hasher(rows, BuildHasherDefault::default()), ..Self::default() }
    }

    /// Adds the id of the event with this key.
    pub(in super::super) fn insert(&mut self, hash: Hash, key: i64) {
        if let Some(older) = self.keys.insert(hash.0, key) {
            self.clashes.push((hash.0, older));
        }
    }

    /// Keys of events that may have this id: none for nearly every new id, and nearly never more than one.
    fn candidates(&self, hash: Hash) -> impl Iterator<Item = i64> + '_ {
        let clashes = self.clashes.iter().filter(move |(there, _)| *there == hash.0).map(|(_, key)| *key);
        self.keys.get(&hash.0).copied().into_iter().chain(clashes)
    }
}

/// Looks up an id in the map of one partition; the key of the event that has it. `pending` has the events that are not written yet,
/// and `known` what the writer knows of damage.
pub(in super::super) fn among(
    conn: &Connection,
    known: Option<&Known>,
    pending: Option<&Pending>,
    (number, ids): (i64, &SharedIds),
    org: i64,
    id: EventId,
    hash: Hash,
) -> Outcome<Option<i64>> {
    let candidates: Vec<i64> = ids.read().candidates(hash).collect();
    for key in candidates.into_iter().filter(|key| key_org(*key) == org) {
        let found = match pending.and_then(|pending| pending.get(key)) {
            Some(event) => event.event_id == id,
            None => is_its(conn, known, (number, key), id)?,
        };
        if found {
            return Ok(Some(key));
        }
    }
    Ok(None)
}

/// The keys of the map are hashes already.
#[derive(Debug, Default)]
struct Identity(u64);

impl Hasher for Identity {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = value;
    }
}

/// Bits for each id, and how many of them an id sets: one new id in a hundred costs a read of a row.
const BITS_PER_ID: u64 = 10;
const PROBES: u64 = 7;

/// A Bloom filter whose bits are stored: its arithmetic is part of the file format, which is why it is not a library's.
#[derive(Debug, Clone)]
pub(super) struct Filter(Vec<u64>);

impl Filter {
    /// An empty filter for `rows` ids.
    pub(super) fn new(rows: u64) -> Self {
        let words = (rows * BITS_PER_ID).div_ceil(64).max(1);
        Self(vec![0; usize::try_from(words).unwrap_or(1)])
    }

    /// As it was stored.
    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (words, rest) = bytes.as_chunks::<8>();
        (rest.is_empty() && !words.is_empty()).then(|| Self(words.iter().map(|w| u64::from_le_bytes(*w)).collect()))
    }

    /// As it is to be stored.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        self.0.iter().flat_map(|word| word.to_le_bytes()).collect()
    }

    /// Memory that it takes.
    pub(super) fn size(&self) -> usize {
        self.0.len() * 8
    }

    /// Adds an id.
    pub(super) fn insert(&mut self, hash: Hash) {
        for (word, bit) in self.probes(hash) {
            self.0[word] |= bit;
        }
    }

    /// Whether the id may be among those added.
    pub(super) fn may_contain(&self, hash: Hash) -> bool {
        self.probes(hash).all(|(word, bit)| self.0[word] & bit != 0)
    }

    fn probes(&self, hash: Hash) -> impl Iterator<Item = (usize, u64)> + use<> {
        let bits = self.0.len() as u64 * 64;
        let (start, step) = (hash.0, mix(hash.0) | 1);
        (0..PROBES).map(move |n| {
            let bit = start.wrapping_add(step.wrapping_mul(n)) % bits;
            (usize::try_from(bit / 64).unwrap_or(0), 1 << (bit % 64))
        })
    }
}

/// The finaliser of splitmix64: every bit of the input moves every bit of the output.
fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_knows_its_ids_and_few_others_and_survives_storage() {
        let hash = |n: u64| Hash(mix(n));
        let mut filter = Filter::new(10_000);
        (0..10_000).for_each(|n| filter.insert(hash(n)));
        let filter = Filter::from_bytes(&filter.to_bytes()).unwrap();
        assert!((0..10_000).all(|n| filter.may_contain(hash(n))));
        let wrong = (10_000..110_000).filter(|n| filter.may_contain(hash(*n))).count();
        assert!(wrong < 2_000, "{wrong} of 100,000 new ids would cost a read");
        assert!(Filter::from_bytes(&[]).is_none() && Filter::from_bytes(&[0; 9]).is_none());
    }

    #[test]
    fn ids_that_share_a_hash_are_both_candidates() {
        let mut map = IdMap::with_capacity(4);
        map.insert(Hash(5), 10);
        map.insert(Hash(5), 11);
        assert_eq!(map.candidates(Hash(5)).collect::<Vec<_>>(), [11, 10]);
        assert_eq!(map.candidates(Hash(6)).count(), 0);
    }
}
