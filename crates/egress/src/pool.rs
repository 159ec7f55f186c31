//! Connections, and keeping them for the next request.
//!
//! A pool belongs to one endpoint: connectors differ in what they trust and in whom they belong to, so that a connection is never
//! lent to another. Everything a connection needs ends with it: its driver task is aborted when the connection is dropped, and a
//! connection that nobody used for [`IDLE`] closes itself. One whose receiver did anything but answer ([`Turns`]), or answered that it
//! cannot serve at the moment, is never used again: behind a balancer the next connection may lead to one that can. Nor is one that is
//! [`OLD`].

use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::task::AbortOnDropHandle;

use super::egress::{Target, TargetHost};
use super::failure::{FailureKind, OutOfTurn, from_hyper};
use super::meter::{HEAD, Meter};
use super::turns::{Attentive, Turns};

/// How long an unused connection is kept. Shorter than what servers and load balancers commonly allow (60 s and more), so that we are
/// nearly always the ones to close: a request that meets a connection which the server is just closing fails.
pub(super) const IDLE: Duration = Duration::from_secs(30);
/// How long a connection is used. A name may lead elsewhere by then, and a balancer may have better places: a new connection asks both.
const OLD: Duration = Duration::from_mins(1);
/// The most unused connections of an endpoint.
const MAX_IDLE: usize = 32;
/// How long taking a kept connection may wait for it to settle. It is ready at once, unless its server answered before it had read the
/// request; such a connection is not worth waiting for.
const SETTLE: Duration = Duration::from_millis(100);

/// A byte stream, encrypted or not.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Why a request got no answer.
pub(super) enum SendError {
    /// Nothing of it was written: it may go out on another connection.
    Unsent(Box<Request<Full<Bytes>>>),
    /// It may have reached the server.
    Failed(FailureKind),
}

/// One HTTP/1.1 connection.
pub(super) struct Connection {
    sender: http1::SendRequest<Full<Bytes>>,
    /// When the driver is to close; `None` while a request is under way.
    close_at: watch::Sender<Option<Instant>>,
    meter: Meter,
    turns: Turns,
    old_at: Instant,
    _driver: AbortOnDropHandle<()>,
}

impl Connection {
    /// Speaks HTTP over `stream`, whose bytes `meter` counts.
    pub(super) async fn new(stream: Box<dyn Stream>, meter: Meter) -> Result<Self, FailureKind> {
        meter.head();
        let turns = Turns::default();
        let (sender, connection) = http1::Builder::new()
            // As the names are documented (`X-Toktra-Signature`), for receivers that compare them literally.
            .title_case_headers(true)
            .max_header_size(HEAD)
            // As much is read, and looked through, at a time.
            .max_buf_size(HEAD)
            .handshake(TokioIo::new(Attentive::new(stream, turns.clone())))
            .await
            .map_err(|e| from_hyper(&e, false))?;
        let (close_at, closing) = watch::channel(None);
        let driver = AbortOnDropHandle::new(tokio::spawn(drive(connection, closing)));
        Ok(Self { sender, close_at, meter, turns, old_at: Instant::now() + OLD, _driver: driver })
    }

    /// Sends `request` and awaits the head of the answer.
    ///
    /// A request is only handed back as unsent where hyper says that not a byte of it was written. One that died half-way, or whose
    /// answer did not come, may have been taken in: sending it again is the delivery's decision, not ours.
    pub(super) async fn send(
        &mut self,
        mut request: Request<Full<Bytes>>,
        tls: bool,
    ) -> Result<Response<Incoming>, SendError> {
        let turns = self.turns.clone();
        hyper::ext::on_informational(&mut request, move |_| turns.interim());
        self.turns.ours();
        let response = self.sender.try_send_request(request).await.map_err(|mut e| match e.take_message() {
            // What came before anything was said to it is the beginning of another conversation.
            Some(_) if self.turns.early() => SendError::Failed(FailureKind::NotHttp { tls }),
            Some(request) => SendError::Unsent(Box::new(request)),
            None => SendError::Failed(from_hyper(e.error(), tls)),
        })?;
        self.meter.body();
        match response.status() {
            StatusCode::SWITCHING_PROTOCOLS => Err(OutOfTurn::Switched),
            status if status.is_success() && self.turns.early() => Err(OutOfTurn::Early),
            _ => Ok(response),
        }
        .map_err(|said| SendError::Failed(FailureKind::OutOfTurn(said)))
    }

    /// A piece of the answer's body was read.
    pub(super) fn piece(&self, len: usize) {
        self.meter.piece(len);
    }

    /// It may take another request.
    fn usable(&self) -> bool {
        self.turns.kept() && !self.sender.is_closed() && Instant::now() < self.old_at
    }
}

/// Moves the bytes of a connection until it ends or has been unused for too long.
async fn drive(
    connection: http1::Connection<TokioIo<Attentive<Box<dyn Stream>>>, Full<Bytes>>,
    mut closing: watch::Receiver<Option<Instant>>,
) {
    let mut connection = pin!(connection);
    loop {
        let close_at = *closing.borrow_and_update();
        let unused = async {
            match close_at {
                Some(at) => sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            // In this order: a connection that was just taken out of the pool must not be closed under its request.
            biased;
            changed = closing.changed() => if changed.is_err() { return },
            // Its error, if any, has reached whoever waits for the answer.
            _ = &mut connection => return,
            () = unused => return,
        }
    }
}

/// Where a connection leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Origin {
    tls: bool,
    host: TargetHost,
    port: u16,
}

impl From<&Target> for Origin {
    fn from(target: &Target) -> Self {
        Self { tls: target.tls, host: target.host.clone(), port: target.port }
    }
}

/// The unused connections of one endpoint.
#[derive(Default)]
pub(super) struct Pool(Mutex<Vec<(Origin, Connection)>>);

impl Pool {
    /// A connection to `origin` that still seems alive, the most recently used first.
    pub(super) async fn take(&self, origin: &Origin) -> Option<Connection> {
        while let Some(mut connection) = self.pop(origin) {
            if let Ok(Ok(())) = timeout(SETTLE, connection.sender.ready()).await
                && connection.usable()
            {
                return Some(connection);
            }
        }
        None
    }

    /// Keeps a connection whose last answer was read to its end.
    pub(super) fn put(&self, origin: Origin, connection: Connection) {
        let mut kept = self.0.lock();
        kept.retain(|(_, connection)| connection.usable());
        if kept.len() < MAX_IDLE && connection.usable() {
            connection.meter.head();
            connection.close_at.send_replace(Some(connection.old_at.min(Instant::now() + IDLE)));
            kept.push((origin, connection));
        }
    }

    /// How many kept connections are still open.
    #[cfg(test)]
    pub(super) fn open(&self) -> usize {
        self.0.lock().iter().filter(|(_, connection)| connection.usable()).count()
    }

    fn pop(&self, origin: &Origin) -> Option<Connection> {
        let mut kept = self.0.lock();
        let at = kept.iter().rposition(|(to, connection)| to == origin && connection.usable())?;
        let (_, connection) = kept.remove(at);
        connection.close_at.send_replace(None);
        Some(connection)
    }
}
