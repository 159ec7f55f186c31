//! Two ways in which a piece of work goes wrong: it is refused (an answer like any other), or the database failed (and with it
//! everything in the same transaction).

use rusqlite::ErrorCode;

use toktra_siem_store::error::StoreError;

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
            Self::Failed(error) => {
                let unread = matches!(
                    error,
                    rusqlite::Error::FromSqlConversionFailure(..)
                        | rusqlite::Error::InvalidColumnType(..)
                        | rusqlite::Error::IntegralValueOutOfRange(..)
                );
                unread || error.sqlite_error_code() == Some(ErrorCode::DatabaseCorrupt)
            }
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

/// Whether the disk itself answered with an error, so that nobody knows what it holds now.
pub(super) fn is_io(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code() == Some(ErrorCode::SystemIoFailure)
}
