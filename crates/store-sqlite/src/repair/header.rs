//! The first hundred bytes of the database, which say what it is. What they say is nearly the same in each database of ours, so it can be told
//! what is wrong there, and put right. Without them SQLite opens nothing, however whole the rest is.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use rusqlite::Connection;
use toktra_siem_store::error::{Result, StoreError};

use super::super::fault::{Outcome, failure};
use super::super::{migrate, place};

/// Bytes of the header.
const LENGTH: usize = 100;
/// Parts that may be wrong in a file that is still believed to be ours.
const FEW: usize = 2;
/// Where the number of the layout is.
const LAYOUT: u64 = 60;
/// Where the number of pages is.
const PAGES: usize = 28;
const NUMBER: &str = "the number of its pages";

/// What is the same in each database of ours: where, and what it is called.
fn known() -> [(usize, Vec<u8>, &'static str); 10] {
    let number = |number: i64| u32::try_from(number).unwrap_or(0).to_be_bytes().to_vec();
    [
        (0, b"SQLite format 3\0".to_vec(), "the name of the format"),
        (16, u16::try_from(migrate::PAGE_SIZE).unwrap_or(0).to_be_bytes().to_vec(), "the size of its pages"),
        (18, vec![2, 2], "the way in which it is written and read"),
        (20, vec![0], "the bytes that each page leaves free"),
        (21, vec![64, 32, 32], "the fractions of a page"),
        (44, number(4), "the format of its list of tables"),
        (56, number(1), "the encoding of its text"),
        (64, number(1), "how room is given back"),
        (68, number(migrate::APPLICATION_ID), "whose database it is"),
        (72, vec![0; 20], "what is kept for later"),
    ]
}

/// The header as it was, and what was wrong with it.
pub(super) struct Header {
    before: [u8; LENGTH],
    restored: Vec<&'static str>,
}

impl Header {
    /// Restores what must be the same in each database. A file of which too much is something else is left alone.
    pub(super) fn restore(path: &Path) -> Result<Self> {
        let mut before = [0; LENGTH];
        match File::open(path).and_then(|file| file.read_exact_at(&mut before, 0)) {
            // Of a file that is as short as that, SQLite says what there is to say.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                return Ok(Self { before, restored: Vec::new() });
            }
            read => read.map_err(|error| place::fault(path, &error))?,
        }
        let mut after = before;
        let mut restored = Vec::new();
        for (at, bytes, what) in known() {
            let there = &mut after[at..at + bytes.len()];
            if there != bytes {
                there.copy_from_slice(&bytes);
                restored.push(what);
            }
        }
        // A bit of the number of pages hides the last ones, and a database without them is damaged.
        if let Some(pages) = pages(path)?
            && (pages ^ u32::from_be_bytes([after[PAGES], after[PAGES + 1], after[PAGES + 2], after[PAGES + 3]]))
                .is_power_of_two()
        {
            after[PAGES..PAGES + 4].copy_from_slice(&pages.to_be_bytes());
            restored.push(NUMBER);
        }
        if restored.len() > FEW {
            return Err(StoreError::Damaged(format!(
                "nothing can be saved: the file is not a database of this service, or too much of its header is damaged ({}). The file was left as it \
                 was. Bring back a backup",
                restored.join(", ")
            )));
        }
        if !restored.is_empty() {
            write(path, 0, &after)?;
        }
        Ok(Self { before, restored })
    }

    /// Whether anything was.
    pub(super) fn is_restored(&self) -> bool {
        !self.restored.is_empty()
    }

    /// What was restored.
    pub(super) fn told(&self) -> Vec<String> {
        self.restored.iter().map(|what| (*what).to_owned()).collect()
    }

    /// Puts back what was there.
    pub(super) fn give_up(&self, path: &Path) -> Result<()> {
        if self.restored.is_empty() { Ok(()) } else { write(path, 0, &self.before) }
    }

    /// Restores the layout number if the tables are those of the newest layout. Returns whether they are.
    pub(super) fn restore_layout(&mut self, path: &Path, source: &Connection) -> Result<bool> {
        let is_newest = is_newest(source).map_err(|fault| fault.into_error("reading the list of tables"))?;
        if is_newest {
            let newest = u32::try_from(migrate::newest()).unwrap_or(0);
            write(path, LAYOUT, &newest.to_be_bytes())?;
            self.restored.push("the number of its layout");
        }
        Ok(is_newest)
    }

    /// Restores the number of pages of a database that is whole, as far as they can be read. A log that is not in the database has its own.
    pub(super) fn restore_size(&mut self, path: &Path) -> Result<()> {
        let Some(pages) = pages(path)? else { return Ok(()) };
        let mut said = [0; 4];
        let read = File::open(path).and_then(|file| file.read_exact_at(&mut said, PAGES as u64));
        read.map_err(|error| place::fault(path, &error))?;
        if said != pages.to_be_bytes() {
            write(path, PAGES as u64, &pages.to_be_bytes())?;
            self.restored.push(NUMBER);
        }
        Ok(())
    }
}

/// How many pages the file has; `None` if there is a log that is not in the database, which has its own number.
fn pages(path: &Path) -> Result<Option<u32>> {
    if std::fs::metadata(path.with_extension("db-wal")).is_ok_and(|log| log.len() > 0) {
        return Ok(None);
    }
    let file = std::fs::metadata(path).map_err(|error| place::fault(path, &error))?;
    Ok(u32::try_from(file.len() / u64::from(migrate::PAGE_SIZE)).ok())
}

fn write(path: &Path, at: u64, bytes: &[u8]) -> Result<()> {
    let file = OpenOptions::new().write(true).open(path);
    let written = file.and_then(|file| file.write_all_at(bytes, at).and_then(|()| file.sync_all()));
    written.map_err(|error| place::fault(path, &error))
}

/// Whether all that the newest layout makes is there.
fn is_newest(source: &Connection) -> Outcome<bool> {
    let fresh = migrate::in_memory()?;
    let mut has = source.prepare("SELECT 1 FROM sqlite_master WHERE name = ?1 AND sql = ?2")?;
    let mut made = fresh.prepare("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL")?;
    let mut made = made.query([])?;
    while let Some(row) = made.next()? {
        let (name, sql): (String, String) = (row.get(0)?, row.get(1)?);
        if !has.exists([name, sql])? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Whether the tables are ours.
pub(super) fn is_ours(source: &Connection) -> Result<bool> {
    let sql = "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name IN ('org', 'partition', 'stream', 'delivery')";
    source
        .query_row(sql, [], |row| row.get::<_, i64>(0))
        .map(|found| found == 4)
        .map_err(|e| failure(&e, "reading the list of tables"))
}
