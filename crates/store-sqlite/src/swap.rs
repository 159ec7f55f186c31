//! Putting a new database in the place of the one that is there, in one step: whoever is killed in the middle finds the old one or the
//! new one, whole, and the old one's file is kept aside.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use toktra_siem_core::time::Timestamp;

use super::DATABASE;

/// Removes what an interrupted attempt left of the file `unfinished`.
pub(super) fn remove_unfinished(dir: &Path, unfinished: &str) -> io::Result<()> {
    for name in [unfinished.to_owned(), format!("{unfinished}-wal"), format!("{unfinished}-shm")] {
        remove(&dir.join(name))?;
    }
    Ok(())
}

pub(super) fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Puts the file `unfinished` in the database's place. What was there is kept, its name ending in `word` and `now`; `None` where nothing
/// was there.
///
/// The old files get a second name before the first one goes, so that they are there at every moment. The log must be gone before the new
/// file takes its place: it would be taken for the new one's.
pub(super) fn put_in_place(dir: &Path, unfinished: &str, word: &str, now: Timestamp) -> io::Result<Option<PathBuf>> {
    let path = dir.join(DATABASE);
    let (log, index) = (dir.join(format!("{DATABASE}-wal")), dir.join(format!("{DATABASE}-shm")));
    File::open(dir.join(unfinished))?.sync_all()?;
    let time = now.to_string().replace(':', "");
    let aside = path.is_file().then(|| dir.join(format!("{DATABASE}.{word}-{time}")));
    if let Some(aside) = &aside {
        fs::hard_link(&path, aside)?;
        if log.is_file() {
            fs::hard_link(&log, dir.join(format!("{DATABASE}.{word}-{time}-wal")))?;
        }
        sync(dir)?;
    }
    remove(&log)?;
    remove(&index)?;
    fs::rename(dir.join(unfinished), &path)?;
    remove_unfinished(dir, unfinished)?;
    sync(dir)?;
    Ok(aside)
}

/// Makes what was done to the names in a directory durable.
pub(super) fn sync(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}
