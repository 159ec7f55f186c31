//! Two ways in which a piece of work goes wrong: it is refused (an answer like any other), or the database failed (and with it
//! everything in the same transaction).

use std::io;
use std::path::Path;

use rusqlite::{ErrorCode, ffi};
use rustix::io::Errno;
use toktra_siem_store::error::StoreError;

use super::space;

/// Why a piece of work did not come to its end.
#[derive(Debug)]
pub(super) enum Fault {
    /// It was refused before it wrote anything.
    Refused(StoreError),
    /// The database failed.
    Failed(rusqlite::Error),
}

/// What a piece of work on the database comes to.
pub(super) type Outcome<T> = Result<T, Fault>;

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        Self::Failed(error)
    }
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        Self::Refused(error)
    }
}

impl Fault {
    /// A compare-and-set that lost.
    pub(super) fn conflict(what: impl Into<String>) -> Self {
        Self::Refused(StoreError::Conflict(what.into()))
    }

    /// A caller that lost count.
    pub(super) fn unaccounted(what: impl Into<String>) -> Self {
        Self::Refused(StoreError::Unaccounted(what.into()))
    }

    /// A stored value that cannot be read.
    pub(super) fn damaged(what: impl Into<String>) -> Self {
        Self::Refused(StoreError::Damaged(what.into()))
    }

    /// Whether what is stored cannot be read: a page, or a value of another kind than was written.
    pub(super) fn is_damage(&self) -> bool {
        match self {
            Self::Refused(error) => matches!(error, StoreError::Damaged(_)),
            Self::Failed(error) => is_damage(error),
        }
    }

    /// Whether a page cannot be read: after that, SQLite lets nothing more be written in the same transaction.
    pub(super) fn is_of_a_page(&self) -> bool {
        matches!(self, Self::Failed(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseCorrupt))
    }

    /// As the caller of the store sees it.
    pub(super) fn into_error(self, context: &'static str) -> StoreError {
        match self {
            Self::Refused(error) => error,
            Self::Failed(error) => failure(&error, context),
        }
    }
}

/// The same of an error.
pub(super) fn is_damage(error: &rusqlite::Error) -> bool {
    let unread = matches!(
        error,
        rusqlite::Error::FromSqlConversionFailure(..)
            | rusqlite::Error::InvalidColumnType(..)
            | rusqlite::Error::IntegralValueOutOfRange(..)
    );
    unread || error.sqlite_error_code() == Some(ErrorCode::DatabaseCorrupt)
}

/// What a failure of the database means to the caller.
pub(super) fn failure(error: &rusqlite::Error, context: &'static str) -> StoreError {
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => StoreError::Full,
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            StoreError::Damaged(format!("{context}: {error}; stop the server and run `toktra-siem repair`"))
        }
        _ => StoreError::Unavailable { context, source: error.to_string().into() },
    }
}

/// What a failure of the database says of the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nothing: what was asked was taken back, and may be tried again.
    Passing,
    /// Nothing more fits on it: what was asked was taken back, and can be written once there is room.
    Full,
    /// It failed, and nobody knows what it holds now.
    Broken,
}

/// Failures in a row that nothing explains, before the disk is held to be broken.
const UNEXPLAINED: u32 = 3;

/// Judges failures of the database by what the disk answers.
#[derive(Debug, Default)]
pub(super) struct Judge {
    /// Failures in a row that nothing explains.
    unexplained: u32,
}

impl Judge {
    /// Something was written.
    pub(super) fn written(&mut self) {
        self.unexplained = 0;
    }

    /// What `error` says of the disk below the database at `path`.
    ///
    /// SQLite calls a disk full for one of the system's errors alone. A quota that is used up and a file that may not grow have the same name
    /// there as a disk that is broken, so a scratch file is written, which tells them apart. Where syncing failed there is nothing to try: the
    /// system may have dropped what it could not write, and would not say so a second time.
    pub(super) fn verdict(&mut self, error: &rusqlite::Error, path: &Path) -> Verdict {
        let Some(failed) = error.sqlite_error() else { return Verdict::Passing };
        match (failed.code, failed.extended_code) {
            (ErrorCode::DiskFull, _) => Verdict::Full,
            (ErrorCode::CannotOpen, _) if space::probe(path).is_err_and(|error| space::is_short(&error)) => {
                Verdict::Full
            }
            (
                ErrorCode::SystemIoFailure,
                ffi::SQLITE_IOERR_WRITE
                | ffi::SQLITE_IOERR_SHMOPEN
                | ffi::SQLITE_IOERR_SHMSIZE
                | ffi::SQLITE_IOERR_SHMMAP,
            ) => self.unwritten(space::probe(path)),
            (ErrorCode::SystemIoFailure, _) => Verdict::Broken,
            _ => Verdict::Passing,
        }
    }

    /// The same, with what came of writing a scratch file.
    fn unwritten(&mut self, probe: io::Result<()>) -> Verdict {
        match probe {
            Err(error) if space::is_short(&error) => return Verdict::Full,
            // That process has too many files open says nothing of the disk.
            Err(error)
                if ![Errno::MFILE, Errno::NFILE].iter().any(|e| error.raw_os_error() == Some(e.raw_os_error())) =>
            {
                return Verdict::Broken;
            }
            Ok(()) | Err(_) => {}
        }
        self.unexplained += 1;
        if self.unexplained < UNEXPLAINED { Verdict::Passing } else { Verdict::Broken }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(code: i32) -> rusqlite::Error {
        rusqlite::Error::SqliteFailure(ffi::Error::new(code), None)
    }

    #[test]
    fn what_could_not_be_synced_or_read_is_a_broken_disk_at_once() {
        let dir = tempfile::tempdir().unwrap();
        for code in [
            ffi::SQLITE_IOERR_FSYNC,
            ffi::SQLITE_IOERR_DIR_FSYNC,
            ffi::SQLITE_IOERR_TRUNCATE,
            ffi::SQLITE_IOERR_CLOSE,
            ffi::SQLITE_IOERR_READ,
        ] {
            assert_eq!(Judge::default().verdict(&failed(code), &dir.path().join("x.db")), Verdict::Broken, "{code}");
        }
    }

    #[test]
    fn what_could_not_be_written_once_passes_and_in_a_row_it_is_a_broken_disk() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.db");
        std::fs::write(&path, [0; 9]).unwrap();
        let mut judge = Judge::default();
        let verdict = |judge: &mut Judge| judge.verdict(&failed(ffi::SQLITE_IOERR_WRITE), &path);
        assert_eq!([(); 2].map(|()| verdict(&mut judge)), [Verdict::Passing; 2]);
        judge.written();
        assert_eq!([(); 2].map(|()| verdict(&mut judge)), [Verdict::Passing; 2]);
        assert_eq!(verdict(&mut judge), Verdict::Broken);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "the scratch file is gone");
    }

    #[test]
    fn a_scratch_file_tells_a_full_disk_from_a_broken_one() {
        let probed = |errno: Errno| Judge::default().unwritten(Err(errno.into()));
        for short in [Errno::NOSPC, Errno::DQUOT, Errno::FBIG] {
            assert_eq!(probed(short), Verdict::Full, "{short}");
        }
        assert_eq!([Errno::IO, Errno::ROFS].map(probed), [Verdict::Broken; 2]);
        assert_eq!([Errno::MFILE, Errno::NFILE].map(probed), [Verdict::Passing; 2]);
    }
}
