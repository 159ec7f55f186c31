//! A proxy on the way to a search node that can lose an answer: the node has done what it was asked to, and nobody hears of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::task::AbortOnDropHandle;

/// How a bulk request begins on the wire.
const BULK: &[u8] = b"POST /_bulk";

/// Forwards bytes both ways until it is dropped.
pub(crate) struct Proxy {
    base: String,
    lost: Arc<AtomicUsize>,
    _serving: AbortOnDropHandle<()>,
}

impl Proxy {
    /// A proxy of the node at `host:port` that loses the first `answers` answers to bulk requests.
    pub(crate) async fn start(node: String, answers: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let lost = Arc::new(AtomicUsize::new(0));
        let serving = tokio::spawn(serve(listener, node, Arc::new(AtomicUsize::new(answers)), Arc::clone(&lost)));
        Self { base, lost, _serving: AbortOnDropHandle::new(serving) }
    }

    /// What to give to a connector.
    pub(crate) fn base(&self) -> &str {
        &self.base
    }

    /// How many answers were lost so far.
    pub(crate) fn lost(&self) -> usize {
        self.lost.load(Ordering::SeqCst)
    }
}

async fn serve(listener: TcpListener, node: String, left: Arc<AtomicUsize>, lost: Arc<AtomicUsize>) {
    let mut connections = JoinSet::new();
    loop {
        let (client, _) = listener.accept().await.unwrap();
        let node = TcpStream::connect(&node).await.unwrap();
        let (from_client, to_client) = client.into_split();
        let (from_node, to_node) = node.into_split();
        let doomed = Arc::new(AtomicUsize::new(0));
        connections.spawn(forward(from_client, to_node, Arc::clone(&left), Arc::clone(&doomed)));
        connections.spawn(answer(from_node, to_client, doomed, Arc::clone(&lost)));
    }
}

/// Passes requests on, and notes where the answer to one is to be lost. A request begins at the start of a read, since its sender waits
/// for the answer before it sends the next.
async fn forward(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, left: Arc<AtomicUsize>, doomed: Arc<AtomicUsize>) {
    let mut bytes = vec![0; 64 * 1024];
    while let Ok(read @ 1..) = from.read(&mut bytes).await {
        let take = |left: usize| left.checked_sub(1);
        if bytes[..read].starts_with(BULK) && left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, take).is_ok() {
            doomed.store(1, Ordering::SeqCst);
        }
        if to.write_all(&bytes[..read]).await.is_err() {
            return;
        }
    }
}

/// Passes answers on; a doomed one ends the connection instead.
async fn answer(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, doomed: Arc<AtomicUsize>, lost: Arc<AtomicUsize>) {
    let mut bytes = vec![0; 64 * 1024];
    while let Ok(read @ 1..) = from.read(&mut bytes).await {
        if doomed.load(Ordering::SeqCst) > 0 {
            lost.fetch_add(1, Ordering::SeqCst);
            return;
        }
        if to.write_all(&bytes[..read]).await.is_err() {
            return;
        }
    }
}
