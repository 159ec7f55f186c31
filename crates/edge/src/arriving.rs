//! The two bodies of an exchange, as far as the connection is concerned: what is left of a request when it has been answered, and when its
//! answer has been given to the last byte.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tokio::runtime::Handle;
use tokio::time::timeout;

use crate::connections::Connection;
use crate::limits::{DISCARDED, DISCARDING};

/// The body of a request. Where it is dropped before its end, a small rest is read and thrown away, so that the client reads the answer,
/// and the next request can come over the same connection. Where the rest is large, the connection ends with the answer.
pub struct Arriving {
    body: Option<Incoming>,
    connection: Arc<Connection>,
    read: u64,
    /// The client sends the body only once it is told to.
    waits: bool,
}

impl Arriving {
    pub(crate) fn new(body: Incoming, connection: Arc<Connection>, waits: bool) -> Self {
        Self { body: Some(body), connection, read: 0, waits }
    }
}

impl Body for Arriving {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        let polled = Pin::new(body).poll_frame(cx);
        self.waits = false;
        match &polled {
            Poll::Ready(Some(Ok(frame))) => self.read += frame.data_ref().map_or(0, |data| data.len() as u64),
            Poll::Ready(None | Some(Err(_))) => self.body = None,
            Poll::Pending => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}

impl Drop for Arriving {
    fn drop(&mut self) {
        let Some(body) = self.body.take().filter(|body| !body.is_end_stream()) else { return };
        // Of a body in chunks nobody knows how much is to come: it is taken for small as long as it has been.
        let fits = body.size_hint().upper().unwrap_or(self.read) <= DISCARDED;
        match Handle::try_current() {
            Ok(runtime) if fits && !self.waits => drop(runtime.spawn(timeout(DISCARDING, discard(body)))),
            _ => self.connection.cut(),
        }
    }
}

async fn discard(mut body: Incoming) {
    let mut left = DISCARDED;
    while let Some(Ok(frame)) = body.frame().await {
        let here = frame.data_ref().map_or(0, |data| data.len() as u64);
        let Some(still) = left.checked_sub(here) else { return };
        left = still;
    }
}

/// The body of an answer. When it is gone, hyper has all of it, and once that is written the connection waits for the next request.
pub struct Answering<B> {
    body: B,
    connection: Arc<Connection>,
}

impl<B> Answering<B> {
    pub(crate) fn new(body: B, connection: Arc<Connection>) -> Self {
        Self { body, connection }
    }
}

impl<B: Body + Unpin> Body for Answering<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl<B> Drop for Answering<B> {
    fn drop(&mut self) {
        self.connection.gave_all();
    }
}
