//! How long the disk takes to make one small write durable: the figure beside which every throughput must be read.

use std::{fs::File, io::Write as _, path::Path};

use anyhow::Result;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::histogram::Histogram;

/// Bytes of one write: about one event.
const WRITE: usize = 800;

/// How many writes are timed.
const WRITES: usize = 2_000;

/// Sync latency in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct SyncLatency {
    /// The median.
    pub(super) p50: u64,
    /// What one in a hundred exceeds.
    pub(super) p99: u64,
}

/// Appends 800 bytes and calls `fdatasync`, two thousand times, in a file in `directory`.
pub(super) fn sync_latency(directory: &Path) -> Result<SyncLatency> {
    let path = directory.join("sync-latency");
    let mut file = File::create(&path)?;
    let mut histogram = Histogram::new();
    for _ in 0..WRITES {
        let started = Instant::now();
        file.write_all(&[b'x'; WRITE])?;
        file.sync_data()?;
        histogram.record(u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX));
    }
    std::fs::remove_file(path)?;
    Ok(SyncLatency { p50: histogram.percentile(50), p99: histogram.percentile(99) })
}
