//! Which event ids are known, without reading for new ones.
//!
//! The ids of the open partition are held in memory (16 bytes each); a sealed one has a sorted lookup table and a small Bloom filter in
//! memory, kept for as long as duplicates are looked for in it. So an insert touches no random page however many events are stored.

use std::collections::HashMap;
use std::hash::{BuildHasher, BuildHasherDefault, Hasher, RandomState};

use toktra_siem_core::ids::EventId;

/// Hashes of (org, id) with the key of the event that has it. Two ids with one hash are told apart by reading the record.
#[derive(Debug, Default)]
pub(super) struct IdMap {
    random: RandomState,
    keys: HashMap<u64, i64, BuildHasherDefault<Identity>>,
    /// Ids whose hash was taken by another already: practically always empty.
    clashes: Vec<(u64, i64)>,
}

impl IdMap {
    /// A map with room for `rows` ids.
    pub(super) fn with_capacity(rows: usize) -> Self {
        Self { keys: HashMap::with_capacity_and_hasher(rows, BuildHasherDefault::default()), ..Self::default() }
    }

    /// Adds the id of the event with this key.
    pub(super) fn insert(&mut self, org: i64, id: EventId, key: i64) {
        let hash = self.random.hash_one((org, id));
        if let Some(older) = self.keys.insert(hash, key) {
            self.clashes.push((hash, older));
        }
    }

    /// Keys of events that may have this id: none for nearly every new id, and nearly never more than one.
    pub(super) fn candidates(&self, org: i64, id: EventId) -> impl Iterator<Item = i64> + '_ {
        let hash = self.random.hash_one((org, id));
        let clashes = self.clashes.iter().filter(move |(h, _)| *h == hash).map(|(_, key)| *key);
        self.keys.get(&hash).copied().into_iter().chain(clashes)
    }
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

/// Bits for each id, and how many of them an id sets: one new id in a hundred costs a read of the lookup table.
const BITS_PER_ID: u64 = 10;
const PROBES: u64 = 7;

/// A Bloom filter whose bits are stored: its arithmetic is part of the file format, which is why it is not a library's.
#[derive(Debug)]
pub(super) struct IdFilter(Vec<u64>);

impl IdFilter {
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
    pub(super) fn insert(&mut self, id: &[u8; 16]) {
        for (word, bit) in self.probes(id) {
            self.0[word] |= bit;
        }
    }

    /// Whether the id may be among those added.
    pub(super) fn may_contain(&self, id: &[u8; 16]) -> bool {
        self.probes(id).all(|(word, bit)| self.0[word] & bit != 0)
    }

    fn probes(&self, id: &[u8; 16]) -> impl Iterator<Item = (usize, u64)> + use<> {
        let bits = self.0.len() as u64 * 64;
        let half = |at: usize| u64::from_le_bytes(std::array::from_fn(|i| id[at + i]));
        let (a, b) = (mix(half(0)), mix(half(8) ^ 0x9e37_79b9_7f4a_7c15));
        let (start, step) = (a.wrapping_add(b), (a ^ b.rotate_left(32)) | 1);
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
    use uuid::Uuid;

    use super::*;

    /// As a version 7 id: the first half a running time, the second one little different from its neighbour.
    fn id(n: u64) -> [u8; 16] {
        Uuid::from_u128((u128::from(n) << 80) | u128::from(n)).into_bytes()
    }

    #[test]
    fn a_filter_knows_its_ids_and_few_others_and_survives_storage() {
        let mut filter = IdFilter::new(10_000);
        (0..10_000).for_each(|n| filter.insert(&id(n)));
        let filter = IdFilter::from_bytes(&filter.to_bytes()).unwrap();
        assert!((0..10_000).all(|n| filter.may_contain(&id(n))));
        let wrong = (10_000..110_000).filter(|n| filter.may_contain(&id(*n))).count();
        assert!(wrong < 2_000, "{wrong} of 100,000 new ids would cost a read");
        assert!(IdFilter::from_bytes(&[]).is_none() && IdFilter::from_bytes(&[0; 9]).is_none());
    }

    #[test]
    fn ids_that_share_a_hash_are_both_candidates() {
        let mut map = IdMap::with_capacity(4);
        let id = EventId(Uuid::from_u128(5));
        map.insert(1, id, 10);
        map.insert(1, id, 11);
        assert_eq!(map.candidates(1, id).collect::<Vec<_>>(), [11, 10]);
        assert_eq!(map.candidates(2, id).count(), 0);
    }
}
