//! How an id becomes a place: a hash with a secret key, of which a part is stored.

use rusqlite::Connection;
use siphasher::sip::SipHasher13;
use toktra_siem_core::ids::EventId;

use super::super::fault::Outcome;

/// Bits of a hash that are stored. Among 200 million ids, one new id in a million has the print of another, and costs the read of a record.
pub(super) const PRINT_BITS: u32 = 48;

/// Hashes ids of an org. The key is made with the database and told to nobody, so that no producer can aim its ids at one place.
#[derive(Debug, Clone)]
pub(in super::super) struct Hasher(SipHasher13);

impl Hasher {
    /// With the database's key.
    pub(in super::super) fn load(conn: &Connection) -> Outcome<Self> {
        let key: [u8; 16] = conn.prepare_cached("SELECT key FROM ids_hash")?.query_row([], |row| row.get(0))?;
        Ok(Self::new(&key))
    }

    /// With this key.
    pub(super) fn new(key: &[u8; 16]) -> Self {
        Self(SipHasher13::new_with_key(key))
    }

    /// The hash of an id.
    pub(in super::super) fn hash(&self, org: i64, id: EventId) -> Hash {
        let mut bytes = [0; 24];
        bytes[..8].copy_from_slice(&org.to_le_bytes());
        bytes[8..].copy_from_slice(id.0.as_bytes());
        Hash(self.0.hash(&bytes))
    }
}

/// Of an org and an id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(in super::super) struct Hash(pub(super) u64);

impl Hash {
    /// What is stored of it.
    pub(super) fn print(self) -> Print {
        Print(self.0 >> (u64::BITS - PRINT_BITS))
    }
}

/// The first bits of a hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Print(pub(super) u64);

impl Print {
    /// Its bucket, where there are two to the power of `bits`.
    pub(super) fn bucket(self, bits: u32) -> i64 {
        // Less than 2^48, so that it is a positive number.
        (self.0 >> (PRINT_BITS - bits)).cast_signed()
    }
}

/// The time in a version 7 id, in milliseconds; `None` of any other id.
pub(super) fn time_of(id: &[u8; 16]) -> Option<i64> {
    let mut time = [0; 8];
    time[2..].copy_from_slice(&id[..6]);
    (id[6] >> 4 == 7).then(|| i64::from_be_bytes(time))
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_hash_is_of_the_key_the_org_and_the_id() {
        let id = EventId(Uuid::from_u128(5));
        let of = |key: u8, org| Hasher::new(&[key; 16]).hash(org, id);
        assert_eq!(of(1, 1), of(1, 1));
        assert!(of(1, 1) != of(2, 1) && of(1, 1) != of(1, 2));
        let print = of(1, 1).print();
        assert_eq!((print.bucket(0), print.bucket(PRINT_BITS)), (0, print.0.cast_signed()));
        assert_eq!(print.bucket(4), print.bucket(5) / 2);
    }

    #[test]
    fn only_ids_of_version_7_tell_a_time() {
        let timed = uuid::Builder::from_unix_timestamp_millis(1_736_937_000_123, &[0xff; 10]).into_uuid();
        assert_eq!(time_of(timed.as_bytes()), Some(1_736_937_000_123));
        let random = uuid::Builder::from_random_bytes([0xff; 16]).into_uuid();
        assert_eq!(time_of(random.as_bytes()), None);
    }
}
