//! A bucket as a row: the prints of its ids in order, and beside them the keys of the events. Both levels of the index are made of these.

use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension, params};

use super::super::fault::Outcome;
use super::hash::{PRINT_BITS, Print};

/// Bits of a place that hold the bucket; above them is the number of the partition, or of the generation.
pub(super) const BUCKET_BITS: u32 = 24;
/// Bytes of a print.
const PRINT: usize = PRINT_BITS as usize / 8;
/// Bytes of a key.
const KEY: usize = 8;

/// The print of an id, and the key of the event that has it.
pub(super) type Entry = (Print, i64);

/// Which of the two tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Level {
    /// Each partition by itself.
    Parts,
    /// Those of the last two days, merged.
    Recent,
}

/// The statements of a level.
impl Level {
    fn select(self) -> &'static str {
        match self {
            Self::Parts => "SELECT prints, keys FROM ids_part WHERE place = ?1",
            Self::Recent => "SELECT prints, keys FROM ids_recent WHERE place = ?1",
        }
    }

    fn select_between(self) -> &'static str {
        match self {
            Self::Parts => "SELECT prints, keys FROM ids_part WHERE place BETWEEN ?1 AND ?2 ORDER BY place",
            Self::Recent => "SELECT prints, keys FROM ids_recent WHERE place BETWEEN ?1 AND ?2 ORDER BY place",
        }
    }

    fn insert(self) -> &'static str {
        match self {
            Self::Parts => "INSERT OR REPLACE INTO ids_part (place, prints, keys) VALUES (?1, ?2, ?3)",
            Self::Recent => "INSERT OR REPLACE INTO ids_recent (place, prints, keys) VALUES (?1, ?2, ?3)",
        }
    }
}

/// Two to the power of how many buckets hold `ids` ids, with at most `size` in each on average.
pub(super) fn bits_for(ids: u64, size: u64) -> u32 {
    ids.div_ceil(size.max(1)).next_power_of_two().ilog2().min(BUCKET_BITS)
}

/// Where the row of a bucket is.
pub(super) fn place(number: i64, bucket: i64) -> i64 {
    (number << BUCKET_BITS) + bucket
}

/// A row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Row {
    place: i64,
    prints: Vec<u8>,
    keys: Vec<u8>,
}

impl Row {
    /// Rows of `entries`, which are in order: one for each bucket that is not empty.
    pub(super) fn of(number: i64, bits: u32, entries: &[Entry]) -> Vec<Self> {
        entries
            .chunk_by(|a, b| a.0.bucket(bits) == b.0.bucket(bits))
            .map(|bucket| Self {
                place: place(number, bucket[0].0.bucket(bits)),
                prints: bucket.iter().flat_map(|(print, _)| print_bytes(*print)).collect(),
                keys: bucket.iter().flat_map(|(_, key)| key.to_be_bytes()).collect(),
            })
            .collect()
    }

    /// Writes it.
    pub(super) fn write(&self, conn: &Connection, level: Level) -> Outcome<()> {
        conn.prepare_cached(level.insert())?.execute(params![self.place, self.prints, self.keys])?;
        Ok(())
    }
}

fn print_bytes(print: Print) -> [u8; PRINT] {
    let [_, _, bytes @ ..] = print.0.to_be_bytes();
    bytes
}

/// The keys of the events whose id has this print: none for nearly every new id.
pub(super) fn candidates(conn: &Connection, level: Level, place: i64, print: Print) -> Outcome<Vec<i64>> {
    let mut statement = conn.prepare_cached(level.select())?;
    let found = statement.query_row([place], |row| {
        let (prints, keys) = columns(row)?;
        Ok(among(prints, keys, print))
    });
    Ok(found.optional()?.unwrap_or_default())
}

/// The prints and keys of a row, which are as many.
fn columns<'a>(row: &'a rusqlite::Row<'_>) -> rusqlite::Result<(&'a [u8], &'a [u8])> {
    let (prints, keys) = (row.get_ref(0)?.as_blob()?, row.get_ref(1)?.as_blob()?);
    let whole = prints.len().is_multiple_of(PRINT) && prints.len() / PRINT * KEY == keys.len();
    if whole { Ok((prints, keys)) } else { Err(rusqlite::Error::InvalidColumnType(1, "keys".to_owned(), Type::Blob)) }
}

fn among(prints: &[u8], keys: &[u8], print: Print) -> Vec<i64> {
    let (prints, keys) = (prints.as_chunks::<PRINT>().0, keys.as_chunks::<KEY>().0);
    let wanted = print_bytes(print);
    let first = prints.partition_point(|there| *there < wanted);
    let same = prints[first..].iter().take_while(|there| **there == wanted);
    same.zip(keys.iter().skip(first)).map(|(_, key)| i64::from_be_bytes(*key)).collect()
}

/// Adds the entries of some neighbouring buckets, given by their places, that `wanted` picks.
pub(super) fn collect(
    conn: &Connection,
    level: Level,
    places: (i64, i64),
    wanted: impl Fn(&Entry) -> bool,
    entries: &mut Vec<Entry>,
) -> Outcome<()> {
    let mut statement = conn.prepare_cached(level.select_between())?;
    let mut rows = statement.query(params![places.0, places.1])?;
    while let Some(row) = rows.next()? {
        let (prints, keys) = columns(row)?;
        let (prints, keys) = (prints.as_chunks::<PRINT>().0.iter(), keys.as_chunks::<KEY>().0.iter());
        let all = prints.zip(keys).map(|(print, key)| {
            let mut bytes = [0; 8];
            bytes[8 - PRINT..].copy_from_slice(print);
            (Print(u64::from_be_bytes(bytes)), i64::from_be_bytes(*key))
        });
        entries.extend(all.filter(&wanted));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// However many buckets there are, an entry is found in the row of its bucket, and others are not.
        #[test]
        fn what_is_in_a_row_is_found(set in prop::collection::vec((0u64..400, any::<u32>()), 1..60), bits in 0u32..6) {
            let spread = |n: u64| Print(n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 16);
            let mut entries: Vec<Entry> = set.iter().map(|(n, key)| (spread(*n), i64::from(*key))).collect();
            entries.sort_unstable();
            let rows = Row::of(7, bits, &entries);
            prop_assert!(rows.is_sorted_by(|a, b| a.place < b.place));
            for n in 0..400 {
                let print = spread(n);
                let row = rows.iter().find(|row| row.place == place(7, print.bucket(bits)));
                let found = row.map_or_else(Vec::new, |row| among(&row.prints, &row.keys, print));
                let expected: Vec<i64> = entries.iter().filter(|(p, _)| *p == print).map(|(_, key)| *key).collect();
                prop_assert_eq!(found, expected);
            }
        }
    }

    #[test]
    fn a_bucket_holds_half_to_all_of_its_size() {
        assert_eq!([0, 1, 256, 257, 750_000, 172_800_000].map(|ids| bits_for(ids, 256)), [0, 0, 0, 1, 12, 20]);
    }
}
