//! Makes a sealed partition's lookup table, in order and in small pieces, so that no append waits for it; then counts its events and
//! packs them.
//!
//! Rows with random ids, inserted as they come, would touch a random page each; sorted once, they are written one page after the other.
//! A start that finds the table incomplete begins again: what is there already is passed over.

use std::ops::ControlFlow;
use std::path::Path;

use toktra_siem_store::error::Result;

use super::batch::{self, Order};
use super::codec::key;
use super::dedupe::IdFilter;
use super::fault::Outcome;
use super::migrate::open_reader;
use super::writer::Writer;
use super::{pack, tally};

/// Rows written in one piece: about 2 ms of the writer's time.
const PIECE: usize = 2048;

/// Starts a thread that makes the table of partition `number` and then ends; where the store is closed first, it just ends.
pub(super) fn start(number: i64, path: &Path, writer: &Writer) {
    let (path, writer) = (path.to_path_buf(), writer.clone());
    let spawned = std::thread::Builder::new().name("toktra-index".into()).spawn(move || {
        if let Err(error) = build(number, &path, &writer) {
            tracing::debug!(%error, number, "a lookup table was not completed; the next start goes on with it");
        }
    });
    if let Err(error) = spawned {
        tracing::warn!(%error, number, "no thread for making a lookup table; the next start makes it");
    }
}

fn build(number: i64, path: &Path, writer: &Writer) -> Result<()> {
    if !is_indexed(number, path).map_err(|fault| fault.into_error("looking for a lookup table"))? {
        index(number, path, writer)?;
    }
    pack::run(number, path, writer)
}

fn is_indexed(number: i64, path: &Path) -> Outcome<bool> {
    let conn = open_reader(path).map_err(super::fault::Fault::Refused)?;
    Ok(conn.prepare("SELECT 1 FROM partition WHERE number = ?1 AND indexed = 1")?.exists([number])?)
}

fn index(number: i64, path: &Path, writer: &Writer) -> Result<()> {
    let context = "making a lookup table";
    let pairs = read_sorted(number, path).map_err(|fault| fault.into_error(context))?;
    let mut filter = IdFilter::new(pairs.len() as u64);
    for piece in pairs.chunks(PIECE) {
        for (id, _) in piece {
            filter.insert(id);
        }
        let piece = piece.to_vec();
        writer.call_blocking(context, move |engine| engine.add_lookups(number, &piece))?;
    }
    writer.call_blocking(context, move |engine| engine.lookups_complete(number, filter))?;
    count(number, path, writer)
}

/// Keeps how many events of each kind there are, while the partition is at hand.
fn count(number: i64, path: &Path, writer: &Writer) -> Result<()> {
    let context = "counting a partition";
    let rows = tally::count(&open_reader(path)?, number).map_err(|fault| fault.into_error(context))?;
    let pieces: Vec<&[tally::Row]> = rows.chunks(tally::PIECE).collect();
    for (at, piece) in pieces.iter().enumerate() {
        let (piece, last) = (piece.to_vec(), at + 1 == pieces.len());
        writer.call_blocking(context, move |engine| engine.add_tally(number, &piece, last))?;
    }
    Ok(())
}

/// The ids of the partition in their order. At its largest a partition has some 750,000 of 24 bytes.
fn read_sorted(number: i64, path: &Path) -> Outcome<Vec<([u8; 16], i64)>> {
    let conn = open_reader(path).map_err(super::fault::Fault::Refused)?;
    let mut pairs = Vec::new();
    batch::walk(&conn, number, (i64::MIN, i64::MAX), Order::Up, |org, record| {
        pairs.push((record.event_id.0.into_bytes(), key(org, record.seq)));
        Ok(ControlFlow::Continue(()))
    })?;
    pairs.sort_unstable();
    Ok(pairs)
}
