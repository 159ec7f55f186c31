//! The way of spans to the operator's collector: OTLP over HTTP, a batch at a time, in a task of its own. Where the collector takes nothing
//! the spans are given up in the end; delivery never waits for it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout_at};
use tokio_util::sync::CancellationToken;
use toktra_siem_core::destination::{HeaderText, Method};
use toktra_siem_core::signing::SignedRequest;
use toktra_siem_egress::{Endpoint, EndpointOptions, Failure, SendOptions, Transport, Trust};

use super::span::Span;
use super::{Counts, Tracer, otlp};

/// Spans of a request.
const BATCH: usize = 512;
/// How long a span waits for others.
const LINGER: Duration = Duration::from_secs(1);
/// How long a request may take.
const DEADLINE: Duration = Duration::from_secs(10);
/// The pauses before a batch that was not taken is sent again.
const PAUSES: [Duration; 3] = [Duration::from_secs(1), Duration::from_secs(3), Duration::from_secs(9)];

/// Where spans go, and which.
#[derive(Debug, Clone, PartialEq)]
pub struct TraceOptions {
    /// The base URL of the collector; `/v1/traces` is appended.
    pub endpoint: String,
    /// The share of events that are followed, from 0 to 1.
    pub sample: f64,
}

/// Sends what a [`Tracer`] makes.
pub struct Exporter {
    spans: mpsc::Receiver<Span>,
    counts: Arc<Counts>,
    endpoint: Endpoint,
    url: String,
    /// The collector took nothing lately, and that was said.
    failing: bool,
}

/// A tracer, and the task that sends its spans. The collector is the operator's own: it may be in a private network, and without TLS.
pub fn start(options: &TraceOptions, transport: &Transport) -> Result<(Tracer, Exporter), Failure> {
    let (tracer, spans, counts) = Tracer::new(options.sample);
    let endpoint =
        transport.endpoint(EndpointOptions { trust: Trust { operator_owned: true }, ..EndpointOptions::default() })?;
    let url = format!("{}/v1/traces", options.endpoint);
    Ok((tracer, Exporter { spans, counts, endpoint, url, failing: false }))
}

impl Exporter {
    /// Sends batches until `stop`; then what is queued, once.
    pub async fn run(mut self, stop: CancellationToken) -> anyhow::Result<()> {
        while let Some(batch) = self.gather(&stop).await {
            self.deliver(batch, &stop).await;
        }
        Ok(())
    }

    /// The next batch; `None` at the end.
    async fn gather(&mut self, stop: &CancellationToken) -> Option<Vec<Span>> {
        let mut batch = Vec::new();
        if !stop.is_cancelled() {
            tokio::select! {
                first = self.spans.recv() => batch.extend(first),
                () = stop.cancelled() => {}
            }
            let until = Instant::now() + LINGER;
            while !batch.is_empty() && batch.len() < BATCH && !stop.is_cancelled() {
                tokio::select! {
                    next = timeout_at(until, self.spans.recv()) => match next {
                        Ok(Some(span)) => batch.push(span),
                        Ok(None) | Err(_) => break,
                    },
                    () = stop.cancelled() => {}
                }
            }
        }
        while batch.len() < BATCH
            && let Ok(span) = self.spans.try_recv()
        {
            batch.push(span);
        }
        (!batch.is_empty()).then_some(batch)
    }

    async fn deliver(&mut self, batch: Vec<Span>, stop: &CancellationToken) {
        let count = batch.len() as u64;
        let body = Bytes::from(otlp::request(&batch));
        let mut pauses = PAUSES.into_iter();
        let why = loop {
            let why = match self.send(body.clone()).await {
                Ok(()) => {
                    self.counts.exported.fetch_add(count, Ordering::Relaxed);
                    if std::mem::take(&mut self.failing) {
                        tracing::info!(url = %self.url, "the collector takes traces again");
                    }
                    return;
                }
                Err(NotTaken { why, again: false }) => break why,
                Err(NotTaken { why, again: true }) => why,
            };
            let Some(pause) = pauses.next() else { break why };
            tokio::select! {
                () = sleep(pause) => {}
                () = stop.cancelled() => break why,
            }
        };
        self.counts.failed.fetch_add(count, Ordering::Relaxed);
        if !std::mem::replace(&mut self.failing, true) {
            tracing::warn!(url = %self.url, why, "the collector does not take traces: they are given up until it does. Events are delivered all the same");
        }
    }

    async fn send(&self, body: Bytes) -> Result<(), NotTaken> {
        let headers = vec![("content-type".into(), HeaderText::Plain("application/x-protobuf".into()))];
        // Nothing is signed: the collector is no receiver of events.
        let request = SignedRequest { method: Method::Post, url: self.url.clone(), secret_url: false, headers, body };
        let options = SendOptions { deadline: DEADLINE, ..SendOptions::default() };
        match self.endpoint.send(request, options).await {
            Ok(exchange) if (200..300).contains(&exchange.reply.status) => Ok(()),
            // OTLP/HTTP, "Retryable response codes".
            Ok(exchange) => Err(NotTaken {
                why: format!("it answered {}", exchange.reply.status),
                again: matches!(exchange.reply.status, 429 | 502 | 503 | 504),
            }),
            Err(failure) => Err(NotTaken { why: failure.cause().message, again: !failure.misconfigured() }),
        }
    }
}

struct NotTaken {
    why: String,
    again: bool,
}
