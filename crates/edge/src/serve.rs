//! Serving connections on a socket, and an end that lets requests in flight finish.

use std::convert::Infallible;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use http::header::{CONNECTION, EXPECT, HeaderName, HeaderValue};
use http::{Request, Response};
use http_body::Body as _;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::arriving::{Answering, Arriving};
use crate::client::Arrival;
use crate::connections::{Connection, Place};
use crate::limits::{Limits, TELLING, TOLD};
use crate::refusal::Refusal;
use crate::stream::Stream;
use crate::{BoxError, Edge, address, request_id};

/// What is served behind the edge.
pub trait Face: Send + Sync + 'static {
    /// The body of its answers.
    type Body: http_body::Body<Data: Send, Error: Into<BoxError>> + Send + Unpin + 'static;

    /// Answers a request. `id` is that of the request.
    fn answer(
        &self,
        request: Request<Arriving>,
        id: HeaderValue,
    ) -> impl Future<Output = Response<Self::Body>> + Send + use<Self>;

    /// The answer to a request that goes no further.
    fn refuse(&self, refusal: Refusal) -> Response<Self::Body>;
}

/// Bytes that are read ahead of what is asked for, at most.
const BUFFER: usize = 64 * 1024;
/// Has nginx and its like pass an answer on as it comes.
const BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");
/// The pause after an accept that failed, for want of file descriptors in practice.
const AFTER_FAILED_ACCEPT: Duration = Duration::from_millis(100);

/// Serves `face` until `shutdown`: then accepts nothing more, lets requests in flight finish for [`Limits::farewell`], and returns.
pub async fn serve<F: Face>(listener: TcpListener, face: F, edge: Edge, shutdown: CancellationToken) {
    let served = Served { face: Arc::new(face), edge, shutdown };
    let told = Arc::new(Semaphore::new(TOLD));
    let mut connections = JoinSet::new();
    let mut fails = false;
    loop {
        let accepted = tokio::select! {
            () = served.shutdown.cancelled() => break,
            accepted = listener.accept() => accepted,
            Some(ended) = connections.join_next() => {
                log_end(ended);
                continue;
            }
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                served.edge.connections.failed();
                // Once, not for each.
                if !std::mem::replace(&mut fails, true) {
                    tracing::warn!(%error, "connections cannot be accepted");
                }
                sleep(AFTER_FAILED_ACCEPT).await;
                continue;
            }
        };
        fails = false;
        tokio::select! {
            () = served.shutdown.cancelled() => break,
            () = served.edge.connections.room() => {}
        }
        let limits = served.edge.limits;
        match served.edge.connections.enter(peer.ip()) {
            Ok(place) => {
                connections.spawn(served.clone().connection(stream, place, limits));
            }
            Err(place) => {
                let Ok(turn) = Arc::clone(&told).try_acquire_owned() else { continue };
                place.connection.refuse(1, Refusal::Connections);
                let limits = Limits { head: limits.head.min(TELLING), ..limits };
                let telling = served.clone().connection(stream, place, limits);
                connections.spawn(async move {
                    telling.await;
                    drop(turn);
                });
            }
        }
    }
    drop(listener);
    served.farewell(connections).await;
}

fn log_end(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "a connection ended abnormally");
    }
}

/// What every connection shares.
struct Served<F> {
    face: Arc<F>,
    edge: Edge,
    shutdown: CancellationToken,
}

impl<F> Clone for Served<F> {
    fn clone(&self) -> Self {
        Self { face: Arc::clone(&self.face), edge: self.edge.clone(), shutdown: self.shutdown.clone() }
    }
}

impl<F: Face> Served<F> {
    /// Waits for requests in flight. Bodies that still arrive are given up when half of the time is over, so that their clients are told.
    async fn farewell(&self, mut connections: JoinSet<()>) {
        let (now, farewell) = (Instant::now(), self.edge.limits.farewell);
        for until in [now + farewell / 2, now + farewell] {
            while let Ok(Some(ended)) = timeout_at(until, connections.join_next()).await {
                log_end(ended);
            }
            self.edge.ending.cancel();
        }
        let unanswered = self.edge.connections.unanswered();
        if unanswered > 0 {
            tracing::warn!(unanswered, "requests that did not end in time were cut off");
        }
    }

    async fn connection(self, stream: TcpStream, place: Place, limits: Limits) {
        // Without it an answer may wait for the next one; it works all the same.
        let _ = stream.set_nodelay(true);
        let connection = &place.connection;
        let io = TokioIo::new(Stream::new(stream, Arc::clone(connection), &limits));
        let mut serving = http1::Builder::new()
            .timer(TokioTimer::new())
            // The stream keeps the time.
            .header_read_timeout(None)
            .max_buf_size(BUFFER)
            .serve_connection(io, service_fn(|request| self.answer(request, connection)));
        let to_end = async {
            tokio::select! {
                () = self.shutdown.cancelled() => {}
                () = connection.told() => {}
            }
        };
        let ended = tokio::select! {
            ended = &mut serving => Some(ended),
            () = to_end => None,
        };
        let ended = if let Some(ended) = ended {
            ended
        } else {
            Pin::new(&mut serving).graceful_shutdown();
            (&mut serving).await
        };
        match ended {
            // hyper leaves the stream open after a request that asked for another protocol.
            Ok(()) => drop(serving.into_parts().io.into_inner().shutdown().await),
            Err(error) => tracing::debug!(%error, "a connection was given up"),
        }
    }

    /// Answers one request. A panic becomes an answer like every other failure, and says nothing of itself to the client.
    async fn answer(
        &self,
        request: Request<Incoming>,
        connection: &Arc<Connection>,
    ) -> Result<Response<Answering<F::Body>>, Infallible> {
        let refused = connection.begin();
        let id = request_id::of(request.headers());
        let refusal = refused.or_else(|| (!address::can_be_decoded(request.uri())).then_some(Refusal::Address));
        let waits = request.headers().contains_key(EXPECT);
        let mut request = request.map(|body| Arriving::new(body, Arc::clone(connection), waits));
        let mut response = if let Some(refusal) = refusal {
            drop(request);
            self.face.refuse(refusal)
        } else {
            let arrival = Arrival::new(&self.edge, connection, request.headers());
            request.extensions_mut().insert(arrival);
            let mut answering = pin!(self.face.answer(request, id.clone()));
            let answered = poll_fn(|cx| {
                catch_unwind(AssertUnwindSafe(|| answering.as_mut().poll(cx).map(Some))).unwrap_or(Poll::Ready(None))
            });
            answered.await.unwrap_or_else(|| {
                tracing::error!("a handler panicked");
                self.face.refuse(Refusal::Panicked)
            })
        };
        if refused.is_some() || connection.is_cut() {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        // What has no length yet is made while it is sent, and somebody may be waiting for its beginning.
        if response.body().size_hint().exact().is_none() {
            response.headers_mut().insert(BUFFERING, HeaderValue::from_static("no"));
        }
        response.headers_mut().insert(request_id::HEADER, id);
        Ok(response.map(|body| Answering::new(body, Arc::clone(connection))))
    }
}
