//! Whoever a test takes for the owner of streams: a node that takes over what it is asked for, also from itself.

use tokio::sync::Mutex;
use toktra_siem_core::ids::{NodeId, StreamId};
use uuid::Uuid;

use crate::cluster::{Claim, NodeRecord};
use crate::{Lease, Result, Store, StoreError, StreamRecord};

/// A node of a test. It joins at its first call, and anew once it has died of silence.
#[derive(Debug, Default)]
pub struct Owner {
    /// How often it has joined.
    joined: Mutex<u64>,
}

impl Owner {
    /// Takes the stream over, under a newer lease. `Fenced` where it is not wanted, or another node has it that lives.
    pub async fn take_over(&self, store: &dyn Store, stream: StreamId) -> Result<(Lease, StreamRecord)> {
        let node = self.node(store).await?;
        store.release(node, vec![stream]).await?;
        store.claim(node, Claim::Stream(stream), 1).await?;
        store.lease(node, stream).await
    }

    /// What it has of a stream that it took over before, once it has heard of a save.
    pub async fn newest(&self, store: &dyn Store, stream: StreamId) -> Result<(Lease, StreamRecord)> {
        store.lease(self.node(store).await?, stream).await
    }

    /// Its present id.
    pub async fn node(&self, store: &dyn Store) -> Result<NodeId> {
        let mut joined = self.joined.lock().await;
        let id = |n| NodeId(Uuid::from_u64_pair(9, n));
        match store.beat(id(*joined)).await {
            Ok(_) => Ok(id(*joined)),
            Err(StoreError::Fenced) => {
                *joined += 1;
                let (name, version) = ("owner".to_owned(), "test".to_owned());
                store.join(NodeRecord { id: id(*joined), name, version }).await?;
                Ok(id(*joined))
            }
            Err(error) => Err(error),
        }
    }
}
