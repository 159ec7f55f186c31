//! A few read-only connections, used on the blocking pool. Each piece of reading sees one state of the database.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use rusqlite::Connection;
use tokio::sync::Semaphore;
use toktra_siem_store::error::{Result, StoreError};

use super::fault::{Fault, Outcome};
use super::migrate::open_reader;

/// Connections at most: SQLite's readers do not block each other, and each has a page cache of its own.
const CONNECTIONS: usize = 4;

/// The pool.
#[derive(Clone)]
pub(super) struct Readers {
    path: PathBuf,
    idle: Arc<Mutex<Vec<Connection>>>,
    permits: Arc<Semaphore>,
    /// For reads that may walk a good part of the log.
    long: Arc<Semaphore>,
}

impl Readers {
    /// A pool over the database at `path`; connections are opened as they are needed.
    pub(super) fn new(path: &Path) -> Self {
        let permits = Arc::new(Semaphore::new(CONNECTIONS));
        Self { path: path.to_path_buf(), idle: Arc::default(), permits, long: Arc::new(Semaphore::new(1)) }
    }

    /// Runs `work` in a read transaction of its own.
    pub(super) async fn run<T, F>(&self, context: &'static str, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Outcome<T> + Send + 'static,
    {
        let closed = |source: Box<dyn std::error::Error + Send + Sync>| StoreError::Unavailable { context, source };
        let permit = Arc::clone(&self.permits).acquire_owned().await.map_err(|e| closed(e.into()))?;
        let (idle, path) = (Arc::clone(&self.idle), self.path.clone());
        tokio::task::spawn_blocking(move || {
            let _permit = permit;
            let taken = idle.lock().pop();
            let conn = match taken {
                Some(conn) => conn,
                None => open_reader(&path)?,
            };
            let result = in_one_state(&conn, work);
            if !matches!(result, Err(Fault::Failed(_))) {
                idle.lock().push(conn);
            }
            result.map_err(|fault| fault.into_error(context))
        })
        .await
        .map_err(|e| closed(e.into()))?
    }

    /// The same for what may take seconds because a person asks about a good part of the log: one at a time, so that such questions never
    /// keep deliveries from their connections.
    pub(super) async fn run_long<T, F>(&self, context: &'static str, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Outcome<T> + Send + 'static,
    {
        let closed = |source: Box<dyn std::error::Error + Send + Sync>| StoreError::Unavailable { context, source };
        let one = Arc::clone(&self.long).acquire_owned().await.map_err(|e| closed(e.into()))?;
        // The work goes on where the caller has gone away, and so does its turn.
        self.run(context, move |conn| {
            let _one = one;
            work(conn)
        })
        .await
    }

    /// Refuses further reads, waits for those under way, and closes the connections.
    pub(super) async fn close(&self) {
        if let Ok(all) = self.permits.acquire_many(u32::try_from(CONNECTIONS).unwrap_or(u32::MAX)).await {
            self.permits.close();
            drop(all);
        }
        self.idle.lock().clear();
    }
}

fn in_one_state<T>(conn: &Connection, work: impl FnOnce(&Connection) -> Outcome<T>) -> Outcome<T> {
    let transaction = conn.unchecked_transaction()?;
    let result = work(&transaction);
    transaction.finish()?;
    result
}
