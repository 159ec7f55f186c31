//! Answers that are too long to be held: read piece by piece. Exports are; deliveries never are.

use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use http::header::{CONTENT_TYPE, HeaderName, RETRY_AFTER};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tokio::time::timeout;
use toktra_siem_core::signing::SignedRequest;

use super::failure::from_hyper;
use super::pool::Connection;
use super::trace::Trace;
use super::{Answered, Endpoint, Failure, FailureKind};
use toktra_siem_core::delivery::StageName;

/// An answer whose body is still to be read. Its connection is not used again.
pub struct Opened {
    /// The HTTP status.
    pub status: u16,
    headers: HeaderMap,
    body: Incoming,
    tls: bool,
    /// The body ends early without it.
    connection: Connection,
}

impl Endpoint {
    /// Sends `request` once and awaits the head of its answer, for at most `patience`.
    pub async fn open(&self, request: SignedRequest, patience: Duration) -> Result<Opened, Failure> {
        let endpoint = self.clone();
        let work = Box::pin(async move { endpoint.open_here(request, patience).await });
        self.shared.threads.run(patience, work).await.unwrap_or_else(|kind| Err(Failure::early(kind)))
    }

    async fn open_here(&self, request: SignedRequest, patience: Duration) -> Result<Opened, Failure> {
        let mut trace = Trace::start();
        let answered = match timeout(patience, self.answer(request, false, &mut trace)).await {
            Ok(answered) => answered,
            Err(_) => Err(FailureKind::Timeout(trace.current().unwrap_or(StageName::Http))),
        };
        let target = trace.target.clone();
        let (stages, duration) = trace.finish();
        let Answered { response, connection, tls, .. } =
            answered.map_err(|kind| Failure { kind, target, stages, duration })?;
        let (head, body) = response.into_parts();
        Ok(Opened { status: head.status.as_u16(), headers: head.headers, body, tls, connection })
    }
}

impl Opened {
    /// The `Retry-After` header, as sent.
    pub fn retry_after(&self) -> Option<&str> {
        self.header(&RETRY_AFTER)
    }

    /// The `Content-Type` header, as sent.
    pub fn content_type(&self) -> Option<&str> {
        self.header(&CONTENT_TYPE)
    }

    fn header(&self, name: &HeaderName) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The next piece of the body, which has to come within `patience`; `None` at its end.
    pub async fn piece(&mut self, patience: Duration) -> Result<Option<Bytes>, Failure> {
        loop {
            let frame = timeout(patience, self.body.frame()).await;
            match frame.map_err(|_| Failure::early(FailureKind::Timeout(StageName::Http)))? {
                None => return Ok(None),
                Some(Err(error)) => return Err(Failure::early(from_hyper(&error, self.tls))),
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        self.connection.piece(data.len());
                        return Ok(Some(data));
                    }
                }
            }
        }
    }
}
