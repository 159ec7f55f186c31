//! Putting a new database in the place of the one that is there: whoever is killed in the middle finds the old one or the new one, whole, and
//! the old one's files are kept aside.
//!
//! A database is more than one file: without its log the old one lacks what was written last, and the new one must not be taken together with
//! it. No step of a file system takes away one name and gives another at the same time. So one rename decides, to a name ([`READY`]) that says:
//! this is the database. Whatever is still to be done then is done by whoever holds the lock next ([`finish`]), as often as it takes.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use toktra_siem_core::time::Timestamp;
use toktra_siem_store::error::Result;

use super::{DATABASE, lock, place};

/// The new database, from the moment that it counts until it has its place.
const READY: &str = "toktra.db.next";

/// What the names of files that were kept aside begin with, behind that of the database.
#[derive(Debug, Clone, Copy)]
pub(super) enum Aside {
    /// For a backup.
    Replaced,
    /// For what a repair saved of it.
    Damaged,
}

impl Aside {
    const ALL: [Self; 2] = [Self::Replaced, Self::Damaged];

    fn prefix(self) -> String {
        let word = match self {
            Self::Replaced => "replaced",
            Self::Damaged => "damaged",
        };
        format!("{DATABASE}.{word}-")
    }
}

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

/// The name of the log that belongs to the database `path`.
fn log_of(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push("-wal");
    name.into()
}

/// Puts the file `unfinished` in the database's place, for whoever holds the lock. What was there is kept, its name ending in `now`; `None`
/// where nothing was there.
///
/// The old files get a second name before the first one goes, so that they are there at every moment.
pub(super) fn put_in_place(dir: &Path, unfinished: &str, word: Aside, now: Timestamp) -> io::Result<Option<PathBuf>> {
    let path = dir.join(DATABASE);
    File::open(dir.join(unfinished))?.sync_all()?;
    let aside = format!("{}{}", word.prefix(), now.to_string().replace(':', ""));
    let aside = path.is_file().then(|| dir.join(aside));
    if let Some(aside) = &aside {
        fs::hard_link(&path, aside)?;
        if log_of(&path).is_file() {
            fs::hard_link(log_of(&path), log_of(aside))?;
        }
        sync(dir)?;
    }
    fs::rename(dir.join(unfinished), dir.join(READY))?;
    sync(dir)?;
    finish(dir)?;
    remove_unfinished(dir, unfinished)?;
    Ok(aside)
}

/// Brings to its end what somebody was killed in, for whoever holds the lock: a database that counts gets its place, and one that did not come
/// so far leaves nothing.
pub(super) fn finish(dir: &Path) -> io::Result<()> {
    let (ready, path) = (dir.join(READY), dir.join(DATABASE));
    if !ready.try_exists()? {
        return take_back(&path, dir);
    }
    remove(&log_of(&path))?;
    remove(&dir.join(format!("{DATABASE}-shm")))?;
    fs::rename(ready, path)?;
    sync(dir)
}

/// The same for whoever only looks, and needs no lock otherwise. `Conflict` where somebody is at it.
pub(super) fn finished(dir: &Path) -> Result<()> {
    let ready = dir.join(READY);
    if ready.try_exists().map_err(|error| place::fault(&ready, &error))? {
        let _lock = lock(dir)?;
        finish(dir).map_err(|error| place::fault(&ready, &error))?;
    }
    Ok(())
}

/// Takes away the second names of files that are still the database's: nothing was kept aside.
fn take_back(path: &Path, dir: &Path) -> io::Result<()> {
    for file in [path.to_owned(), log_of(path)] {
        let Ok(found) = fs::metadata(&file) else { continue };
        if found.nlink() < 2 {
            continue;
        }
        for other in fs::read_dir(dir)? {
            let other = other?;
            let named = Aside::ALL.iter().any(|word| other.file_name().to_string_lossy().starts_with(&word.prefix()));
            if named && other.metadata()?.ino() == found.ino() {
                remove(&other.path())?;
            }
        }
    }
    Ok(())
}

/// Makes what was done to the names in a directory durable.
pub(super) fn sync(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}
