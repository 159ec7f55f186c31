//! A few read-only connections, used on the blocking pool. Each piece of reading sees one state of the database. An org never has all of them,
//! so that the catch-up of one keeps no other from its events.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use rusqlite::Connection;
use tokio::sync::Semaphore;
use toktra_siem_core::ids::OrgId;
use toktra_siem_store::error::{Result, StoreError};

use super::fault::{Fault, Outcome};
use super::migrate::open_reader;

/// Connections at most: SQLite's readers do not block each other, and each has a page cache of its own.
const CONNECTIONS: usize = 4;
/// Connections that read the events of one org at most.
const OF_ONE: usize = CONNECTIONS - 1;

/// The pool.
#[derive(Clone)]
pub(super) struct Readers {
    path: PathBuf,
    idle: Arc<Mutex<Vec<Connection>>>,
    permits: Arc<Semaphore>,
    /// Of each org that reads events.
    orgs: Arc<Mutex<HashMap<OrgId, Arc<Semaphore>>>>,
    /// For reads that may walk a good part of the log.
    long: Arc<Semaphore>,
}

impl Readers {
    /// A pool over the database at `path`; connections are opened as they are needed.
    pub(super) fn new(path: &Path) -> Self {
        let permits = Arc::new(Semaphore::new(CONNECTIONS));
        Self {
            path: path.to_path_buf(),
            idle: Arc::default(),
            permits,
            orgs: Arc::default(),
            long: Arc::new(Semaphore::new(1)),
        }
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

    /// The same for the events of an org, which are read without pause while it catches up: never on all connections at once.
    pub(super) async fn run_for<T, F>(&self, org: OrgId, context: &'static str, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Outcome<T> + Send + 'static,
    {
        let own = {
            let mut orgs = self.orgs.lock();
            // One is the map's: whoever reads, or waits, holds another.
            orgs.retain(|_, own| Arc::strong_count(own) > 1);
            Arc::clone(orgs.entry(org).or_insert_with(|| Arc::new(Semaphore::new(OF_ONE))))
        };
        let closed = |source: Box<dyn std::error::Error + Send + Sync>| StoreError::Unavailable { context, source };
        let one = own.acquire_owned().await.map_err(|e| closed(e.into()))?;
        self.run(context, move |conn| {
            let _one = one;
            work(conn)
        })
        .await
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

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use uuid::Uuid;

    use super::*;
    use crate::migrate::open_writer;

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn an_org_that_reads_without_pause_keeps_no_other_from_its_events() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.db");
        let _writer = open_writer(&path).unwrap();
        let readers = Readers::new(&path);
        let (catching_up, other) = (OrgId(Uuid::from_u128(1)), OrgId(Uuid::from_u128(2)));
        let (begun, mut held) = (Arc::new(Semaphore::new(0)), Vec::new());
        for _ in 0..20 {
            let (go_on, wait) = mpsc::channel::<()>();
            let (readers, begun) = (readers.clone(), Arc::clone(&begun));
            let read = tokio::spawn(async move {
                let read = move |_: &Connection| {
                    begun.add_permits(1);
                    // Ends when the test lets go of the other end.
                    let _ = wait.recv();
                    Ok(())
                };
                readers.run_for(catching_up, "reading", read).await
            });
            held.push((go_on, read));
        }
        begun.acquire_many(u32::try_from(OF_ONE).unwrap()).await.unwrap().forget();
        assert_eq!(readers.run_for(other, "reading", |_| Ok(7)).await.unwrap(), 7);
        for (go_on, read) in held {
            drop(go_on);
            read.await.unwrap().unwrap();
        }
        readers.run_for(other, "reading", |_| Ok(())).await.unwrap();
        assert_eq!(readers.orgs.lock().len(), 1, "who does not read is forgotten");
    }
}
