//! Flipped bits in the write-ahead log after a kill: each is turned back, or what it cost is told. What a power cut leaves is neither.

use std::path::Path;
use std::sync::Arc;

use toktra_siem_core::ids::{OrgId, Seq};
use toktra_siem_store::conformance::world::START;
use toktra_siem_store::conformance::{Fixture, World};
use toktra_siem_store::{AtRest as _, EventLog as _, ReadLimit};
use toktra_siem_store_sqlite::{Directory, Sqlite, SqliteOptions};

const ALL: ReadLimit = ReadLimit { events: usize::MAX >> 1, bytes: usize::MAX };
const DATABASE: &str = "toktra.db";
const LOG: &str = "toktra.db-wal";
const HEADER: usize = 32;
const FRAME: usize = 24 + 8192;
/// Appends, each a transaction.
const APPENDS: u64 = 12;

/// The files as a kill leaves them, with so many events that were acknowledged.
struct Killed {
    dir: tempfile::TempDir,
    org: OrgId,
    log: Vec<u8>,
}

impl Killed {
    async fn new() -> Self {
        let live = tempfile::tempdir().expect("a directory");
        let path = live.path().to_path_buf();
        let world = World::new(|clock| {
            let options = SqliteOptions { clock, ..SqliteOptions::default() };
            Fixture { store: Sqlite::open(&path, options).expect("a new store"), damages: None, keep: Box::new(()) }
        })
        .await;
        for _ in 0..APPENDS {
            world.append(3).await;
        }
        let dir = tempfile::tempdir().expect("a directory");
        for name in [DATABASE, LOG] {
            std::fs::copy(live.path().join(name), dir.path().join(name)).expect("a copy");
        }
        let log = std::fs::read(dir.path().join(LOG)).expect("the log");
        assert!(log.len() > HEADER + 20 * FRAME, "{} frames", log.len() / FRAME);
        Self { dir, org: world.org, log }
    }

    /// Starts with this log in the place of the one that there is; how many events are there, and what the start says is lost.
    async fn start(&self, log: &[u8], what: &str) -> (usize, u64, tempfile::TempDir) {
        let dir = tempfile::tempdir().expect("a directory");
        std::fs::copy(self.dir.path().join(DATABASE), dir.path().join(DATABASE)).expect("a copy");
        std::fs::write(dir.path().join(LOG), log).expect("a log");
        let options = SqliteOptions::default();
        let store: Arc<Sqlite> = Sqlite::open(dir.path(), options).unwrap_or_else(|error| panic!("{what}: {error}"));
        let lost = store.vitals().log_lost;
        let read = store.read(self.org, Seq(0), ALL).await;
        store.close().await.expect("a clean end");
        (read.map_or(0, |read| read.len()), lost, dir)
    }
}

fn kept(dir: &Path) -> usize {
    let names = std::fs::read_dir(dir).expect("a directory").map(|entry| entry.expect("a file").file_name());
    names.filter(|name| name.to_string_lossy().contains("-wal.damaged-")).count()
}

#[tokio::test]
async fn no_flipped_bit_of_the_log_loses_what_was_acknowledged() {
    let killed = Killed::new().await;
    let (all, lost, dir) = killed.start(&killed.log, "whole").await;
    assert_eq!((all as u64, lost, kept(dir.path())), (3 * APPENDS, 0, 0));
    let frames = (killed.log.len() - HEADER) / FRAME;
    let frame = HEADER + frames / 2 * FRAME;
    let bits = (0..HEADER * 8)
        .step_by(3)
        .chain((frame * 8..(frame + 8) * 8).chain((frame + 8) * 8..(frame + 24) * 8).step_by(3))
        .chain(((frame + 24) * 8..(frame + FRAME) * 8).step_by(2_221))
        .chain(((frame + FRAME - 8) * 8..(frame + FRAME) * 8).step_by(7));
    for bit in bits {
        let mut log = killed.log.clone();
        log[bit / 8] ^= 1 << (bit % 8);
        let what = format!("bit {} of byte {}", bit % 8, bit / 8);
        let (all, lost, dir) = killed.start(&log, &what).await;
        assert_eq!((all as u64, lost, kept(dir.path())), (3 * APPENDS, 0, 1), "{what}");
    }
}

#[tokio::test]
async fn what_cannot_be_turned_back_is_told_and_kept() {
    let killed = Killed::new().await;
    let frames = (killed.log.len() - HEADER) / FRAME;
    for (frame, at) in [(frames / 2, 24), (frames / 2, 8), (frames / 2, 16), (0, 0)] {
        let mut log = killed.log.clone();
        let at = if frame == 0 { 16 } else { HEADER + frame * FRAME + at };
        log[at..at + 8].fill(0x5a);
        let what = format!("byte {at}");
        let (all, lost, dir) = killed.start(&log, &what).await;
        assert!((all as u64) < 3 * APPENDS, "{what}: SQLite reads no further");
        assert_eq!(lost, (frames - frame) as u64, "{what}");
        assert_eq!(kept(dir.path()), 1, "{what}");
        // The next start has nothing to say, nor has one after another kill.
        let store = Sqlite::open(dir.path(), SqliteOptions::default()).expect("a start");
        assert_eq!(store.vitals().log_lost, 0);
        store.close().await.expect("a clean end");
    }
    // A kill right after the start, before anything has come behind what was cut off.
    let mut log = killed.log.clone();
    log[HEADER + frames / 2 * FRAME + 24..][..8].fill(0x5a);
    let dir = tempfile::tempdir().expect("a directory");
    std::fs::copy(killed.dir.path().join(DATABASE), dir.path().join(DATABASE)).expect("a copy");
    std::fs::write(dir.path().join(LOG), &log).expect("a log");
    for expected in [(frames - frames / 2) as u64, 0, 0] {
        let store = Sqlite::open(dir.path(), SqliteOptions::default()).expect("a start");
        assert_eq!(store.vitals().log_lost, expected);
        let next = tempfile::tempdir().expect("a directory");
        for name in [DATABASE, LOG] {
            std::fs::copy(dir.path().join(name), next.path().join(name)).expect("a copy");
        }
        store.close().await.expect("a clean end");
        for name in [DATABASE, LOG] {
            let _ = std::fs::remove_file(dir.path().join(name));
            std::fs::copy(next.path().join(name), dir.path().join(name)).expect("a copy");
        }
    }
    assert_eq!(kept(dir.path()), 1);
}

/// Without its header SQLite reads nothing of the log.
#[tokio::test]
async fn a_header_that_cannot_be_read_is_told() {
    let killed = Killed::new().await;
    let frames = (killed.log.len() - HEADER) / FRAME;
    for (from, to, with) in
        [(0, HEADER, 0), (0, 512, 0), (0, 4_096, 0), (8, 12, 0xff), (3, 4, 0), (10, 11, 0x31), (16, 24, 0x5a)]
    {
        let mut log = killed.log.clone();
        log[from..to].fill(with);
        let what = format!("{from} to {to}");
        let (all, lost, dir) = killed.start(&log, &what).await;
        assert!((all as u64) < 3 * APPENDS, "{what}");
        assert_eq!((lost, kept(dir.path())), (frames as u64, 1), "{what}");
    }
}

/// Of the upper bits of a word, the sums say little.
#[tokio::test]
async fn an_upper_bit_of_any_word_loses_nothing() {
    let killed = Killed::new().await;
    let frames = (killed.log.len() - HEADER) / FRAME;
    let frame = HEADER + frames / 2 * FRAME + 24;
    for (n, at) in (0..FRAME - 24).step_by(4).step_by(37).enumerate() {
        for bit in [25 + n % 6, 30, 31] {
            let mut log = killed.log.clone();
            log[frame + at + bit / 8] ^= 1 << (bit % 8);
            let what = format!("bit {bit} of the word at {at}");
            let (all, lost, dir) = killed.start(&log, &what).await;
            assert_eq!((all as u64, lost, kept(dir.path())), (3 * APPENDS, 0, 1), "{what}");
        }
    }
}

/// Whatever of the last transaction is missing, nobody was told that it is there; and frames of an earlier log are none of this one.
#[tokio::test]
async fn what_a_power_cut_leaves_is_no_damage() {
    let killed = Killed::new().await;
    let frames = (killed.log.len() - HEADER) / FRAME;
    let start = |frame: usize| HEADER + frame * FRAME;
    let commits = |log: &[u8], frame: usize| log[start(frame) + 4..][..4] != [0; 4];
    let from = (0..frames - 1).rev().find(|frame| commits(&killed.log, *frame)).expect("another commit") + 1;
    for missing in from..frames {
        for page in [0, 4_096] {
            let mut log = killed.log.clone();
            log[start(missing) + 24 + page..][..4_096].fill(0);
            let (all, lost, dir) = killed.start(&log, "a hole in the last transaction").await;
            if log == killed.log {
                continue;
            }
            assert_eq!(
                (all as u64, lost, kept(dir.path())),
                (3 * (APPENDS - 1), 0, 0),
                "frame {missing} of {from}..{frames}"
            );
        }
        let (_, lost, dir) = killed.start(&killed.log[..start(missing) + 100], "cut off").await;
        assert_eq!((lost, kept(dir.path())), (0, 0));
    }
    // What is left of an earlier log bears other salts.
    let mut log = killed.log.clone();
    for frame in frames / 2..frames {
        log[start(frame) + 8..][..8].fill(7);
    }
    let (_, lost, dir) = killed.start(&log, "an earlier log").await;
    assert_eq!((lost, kept(dir.path())), (0, 0));
    // Frames of a transaction that was taken back go on from something else.
    let mut log = killed.log.clone();
    log[start(from) + 24..][..4_096].fill(0x11);
    let stray = log[start(2)..start(4)].to_vec();
    log.extend(stray);
    let (_, lost, dir) = killed.start(&log, "a transaction that was taken back").await;
    assert_eq!((lost, kept(dir.path())), (0, 0));
}

/// A repair looks at the log as a start does.
#[tokio::test]
async fn a_repair_turns_a_bit_of_the_log_back_too() {
    let killed = Killed::new().await;
    let mut log = killed.log.clone();
    log[HEADER + 5 * FRAME + 1_000] ^= 4;
    std::fs::write(killed.dir.path().join(LOG), &log).expect("a log");
    let repaired = Directory(killed.dir.path().to_path_buf()).repair(START).expect("a repair");
    assert!(repaired.damaged.is_none(), "{repaired:?}");
    assert_eq!(kept(killed.dir.path()), 1);
}
