//! Whether there is room on the file system, whoever fills it.

use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::Path;

/// Written beside the database to learn what the disk answers.
const PROBE: &str = "toktra.probe";
/// Its size: more than SQLite writes at a time.
const PROBE_BYTES: usize = 64 << 10;

/// Whether the error says that nothing more fits, and nothing of the disk itself.
pub(super) fn is_short(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge)
}

/// Writes a scratch file beside the database at `path`, first at its beginning and then where the longest file of the database ends, which
/// is where those grow; syncs and removes it.
pub(super) fn probe(path: &Path) -> io::Result<()> {
    let lengths =
        [path.to_owned(), path.with_extension("db-wal")].map(|file| fs::metadata(file).map_or(0, |m| m.len()));
    let probe = path.with_file_name(PROBE);
    let written =
        OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(&probe).and_then(|file| {
            let bytes = vec![b'.'; PROBE_BYTES];
            file.write_all_at(&bytes, 0)?;
            file.sync_all()?;
            file.write_all_at(&bytes, lengths.into_iter().max().unwrap_or(0))?;
            file.sync_all()
        });
    // What stays of it is written over by the next one.
    let _ = fs::remove_file(&probe);
    written
}
