//! Serving the API on a socket: a bounded number of connections, none of which may dawdle, and an end that lets requests in flight
//! finish (threats.md, "slow peers inbound and outbound").

use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use axum::Router;
use axum::response::{IntoResponse as _, Response};
use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use toktra_siem_core::fault::shown;
use toktra_siem_telemetry::log;

use super::client::Peer;
use super::error::ApiError;
use super::patient::Patient;
use super::request_id;

/// Bounds of connections. The time that a body may take is in [`super::Limits`].
#[derive(Debug, Clone, Copy)]
pub struct ServeOptions {
    /// Connections at a time; more wait to be accepted.
    pub connections: usize,
    /// How long a connection may take to send the whole head of a request, and how long it is kept without one.
    pub header_read: Duration,
    /// How long a client may take nothing of an answer before the connection is closed.
    pub write_stall: Duration,
}

impl Default for ServeOptions {
    fn default() -> Self {
        Self { connections: 4096, header_read: Duration::from_secs(10), write_stall: Duration::from_secs(30) }
    }
}

/// Bytes of a request's head at most, and of what is read ahead of a body.
const BUFFER: usize = 64 * 1024;
/// The pause after an accept that failed, for want of file descriptors in practice.
const AFTER_FAILED_ACCEPT: Duration = Duration::from_millis(100);

/// Serves `router` until `shutdown`: then accepts nothing more, lets requests in flight finish, and returns. Dropping it closes every
/// connection, which is how a caller sets a deadline.
pub async fn serve(listener: TcpListener, router: Router, options: ServeOptions, shutdown: CancellationToken) {
    let room = Arc::new(Semaphore::new(options.connections));
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            () = shutdown.cancelled() => break,
            accepted = accept(&listener, &room) => accepted,
            Some(ended) = connections.join_next() => {
                log_end(ended);
                continue;
            }
        };
        match accepted {
            Ok((stream, place)) => {
                let serving = connection(stream, router.clone(), options, shutdown.clone());
                connections.spawn(async move {
                    serving.await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                sleep(AFTER_FAILED_ACCEPT).await;
            }
        }
    }
    drop(listener);
    while let Some(ended) = connections.join_next().await {
        log_end(ended);
    }
}

fn log_end(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "a connection ended abnormally");
    }
}

/// Waits for a place first: what cannot be served is better left in the kernel's queue.
async fn accept(listener: &TcpListener, room: &Arc<Semaphore>) -> io::Result<(TcpStream, OwnedSemaphorePermit)> {
    let place = Arc::clone(room).acquire_owned().await.map_err(io::Error::other)?;
    let (stream, _) = listener.accept().await?;
    stream.set_nodelay(true)?;
    Ok((stream, place))
}

async fn connection(stream: TcpStream, router: Router, options: ServeOptions, shutdown: CancellationToken) {
    let peer = stream.peer_addr().ok().map(|address| Peer(address.ip()));
    let io = TokioIo::new(Patient::new(stream, options.write_stall));
    let service = TowerToHyperService::new(router);
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(options.header_read)
        .max_buf_size(BUFFER)
        .serve_connection(io, service_fn(|request| answer(&service, request, peer)));
    let mut serving = pin!(serving);
    let ended = tokio::select! {
        ended = serving.as_mut() => ended,
        () = shutdown.cancelled() => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection was given up");
    }
}

/// Answers one request. A panic becomes an answer like every other failure, and says nothing of itself to the client.
fn answer(
    service: &TowerToHyperService<Router>,
    mut request: Request<Incoming>,
    peer: Option<Peer>,
) -> impl Future<Output = Result<Response, Infallible>> + use<> {
    if let Some(peer) = peer {
        request.extensions_mut().insert(peer);
    }
    let id = request_id::of(request.headers());
    let about = tracing::enabled!(tracing::Level::DEBUG).then(|| About::new(&request));
    let answering = service.call(request);
    let answering = async move {
        let mut answering = pin!(answering);
        poll_fn(move |cx| {
            catch_unwind(AssertUnwindSafe(|| answering.as_mut().poll(cx))).unwrap_or_else(|_| {
                tracing::error!("a handler panicked");
                Poll::Ready(Ok(ApiError::internal().into_response()))
            })
        })
        .await
    };
    async move {
        let mut response = log::of_request(id.clone(), async {
            let response = answering.await?;
            if let Some(about) = about {
                about.log(&response);
            }
            Ok::<_, Infallible>(response)
        })
        .await?;
        response.headers_mut().insert(request_id::HEADER, id);
        Ok(response)
    }
}

/// What the log says of a request, where it says so much.
struct About {
    method: String,
    path: String,
    began: Instant,
}

/// A path for the log: without the token of a one-time link, which is as good as a password.
fn discreet(path: &str) -> String {
    for link in ["/setup/", "/welcome/"] {
        if path.starts_with(link) {
            return format!("{link}…");
        }
    }
    shown(path)
}

impl About {
    fn new(request: &Request<Incoming>) -> Self {
        let path = discreet(request.uri().path());
        Self { method: shown(request.method().as_str()), path, began: Instant::now() }
    }

    fn log(&self, response: &Response) {
        let Self { method, path, began } = self;
        tracing::debug!(method, path, status = response.status().as_u16(), took = ?began.elapsed(), "answered");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_has_no_one_time_link() {
        assert_eq!(discreet("/setup/0123abcd"), "/setup/…");
        assert_eq!(discreet("/welcome/0123abcd?x"), "/welcome/…");
        assert_eq!(discreet("/v1/events"), "/v1/events");
    }
}
