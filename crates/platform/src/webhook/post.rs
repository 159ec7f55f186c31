//! The one stream of a webhook: which bytes a request has, and what a status means (Standard Webhooks, "Responding to webhooks").

use secrecy::SecretString;
use serde::Deserialize;
use toktra_siem_core::cause::Cause;
use toktra_siem_core::connector::Compression;
use toktra_siem_core::event::StoredEvent;
use toktra_siem_core::time::Timestamp;

use crate::destination::{
    Batch, BatchLimits, Destination, EncodeError, Encoded, EndpointState, Header, HeaderText, Judgement, Outcome,
    Reply, Verdict,
};
use crate::registry::{BuildError, Plan};
use crate::reply::{Endpoint, basic};
use crate::{body, headers};

/// One request with several events, uncompressed: under the 500 kB that the strictest collector is known to take, with room for headers.
const MAX_BYTES: usize = 450_000;
const ADDRESS: &str = "The URL is probably wrong, or the receiver was taken away. Correct it, then test again.";

/// What is read of a connector's settings.
#[derive(Debug, Clone, Deserialize)]
struct Config {
    url: Option<String>,
    username: Option<String>,
    format: Format,
    max_events: usize,
}

/// What a request carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Format {
    /// One event.
    Event,
    /// An array of events.
    Array,
    /// One event a line.
    Lines,
}

/// The stream.
pub(super) struct Post {
    url: String,
    secret_url: bool,
    headers: Vec<Header>,
    format: Format,
    max_events: usize,
    compression: Compression,
    endpoint: Endpoint,
}

impl Post {
    /// A connector's stream.
    pub(super) fn new(plan: &Plan<'_>) -> Result<Self, BuildError> {
        let Config { url, username, format, max_events } = plan.config()?;
        let secret_url = url.is_none();
        let url = match url {
            Some(url) => url,
            None => secrecy::ExposeSecret::expose_secret(plan.secret("secret_url")?).to_owned(),
        };
        let mut all: Vec<Header> = Vec::new();
        if let Some(given) = plan.credentials.get("headers") {
            let header = |(name, value): (&str, &str)| {
                (name.to_ascii_lowercase().into(), HeaderText::Secret(SecretString::from(value)))
            };
            all.extend(headers::pairs(given).map(header));
        }
        if !all.iter().any(|(name, _)| name == "authorization") {
            let authorization = match (plan.credentials.get("token"), username) {
                (Some(token), _) => Some(body::authorization("Bearer", token)),
                (None, Some(name)) => Some(body::authorization("Basic", &basic(Some(&name), plan.secret("password")?))),
                (None, None) => None,
            };
            all.extend(authorization.map(|value| ("authorization".into(), value)));
        }
        let kind = if format == Format::Lines { body::NDJSON } else { body::JSON };
        all.push(("content-type".into(), kind));
        let redactor = plan.redactor.clone();
        Ok(Self {
            url,
            secret_url,
            headers: all,
            format,
            max_events,
            compression: plan.settings.compression,
            endpoint: Endpoint { name: "The receiver", key: "webhook", address: ADDRESS.into(), redactor },
        })
    }

    fn cause(&self, what: &str, reply: &Reply, why: &str) -> Cause {
        self.endpoint.known_cause(what, reply, why)
    }
}

impl Destination for Post {
    fn limits(&self) -> BatchLimits {
        match self.format {
            Format::Event => BatchLimits { events: 1, bytes: MAX_BYTES, overhead: 0 },
            // `[`: the closing bracket stands where the last event's comma would.
            Format::Array => BatchLimits { events: self.max_events, bytes: MAX_BYTES, overhead: 1 },
            Format::Lines => BatchLimits { events: self.max_events, bytes: MAX_BYTES, overhead: 0 },
        }
    }

    fn cost(&self, event: &StoredEvent) -> usize {
        event.payload.len() + usize::from(self.format != Format::Event)
    }

    fn encode(&self, batch: Batch<'_>, _now: Timestamp) -> Result<Encoded, EncodeError> {
        let Batch::Events(events) = batch else { return Err(EncodeError::WrongBatch { expected: "events" }) };
        let mut bytes = Vec::with_capacity(1 + events.iter().map(|event| self.cost(event)).sum::<usize>());
        bytes.extend_from_slice(if self.format == Format::Array { b"[" } else { b"" });
        for event in events {
            bytes.extend_from_slice(&event.payload);
            bytes.extend_from_slice(match self.format {
                Format::Event => b"",
                Format::Array => b",",
                Format::Lines => b"\n",
            });
        }
        if self.format == Format::Array {
            bytes.pop();
            bytes.push(b']');
        }
        let mut request = body::request(&self.url, self.headers.clone(), bytes, self.compression)?;
        request.secret_url = self.secret_url;
        Ok(Encoded { request: Some(request), omitted: Vec::new() })
    }

    fn classify(&self, reply: &Reply, sent: usize, now: Timestamp) -> Verdict {
        match reply.status {
            // The status is all that is promised: what stands in the body is the receiver's own business.
            200..=299 => Verdict::delivered(sent, is_page(reply).then(|| self.cause("web_page", reply, WEB_PAGE))),
            300..=399 => Endpoint::held(sent, self.cause("redirect", reply, REDIRECT)),
            401 => Endpoint::held(sent, self.endpoint.cause("http_401", reply, REFUSED)),
            410 => {
                let cause = self.cause("gone", reply, GONE);
                Verdict {
                    judgement: Judgement::all(sent, Outcome::Held(cause.clone())),
                    endpoint: EndpointState::Gone(cause),
                    confirm: None,
                }
            }
            _ => self.endpoint.by_status(reply, sent, now),
        }
    }
}

/// Whether the body is a whole page for a browser. Its type alone says little: some servers call any answer HTML.
fn is_page(reply: &Reply) -> bool {
    let start = reply.body.trim_ascii_start();
    [&b"<!doctype html"[..], b"<html"]
        .iter()
        .any(|sign| start.get(..sign.len()).is_some_and(|start| start.eq_ignore_ascii_case(sign)))
}

const WEB_PAGE: &str = "the events count as delivered, but the answer is a web page: look whether the URL is that of the receiver, and not of \
                        a page for people.";
const REFUSED: &str = "it refuses the login or the signature. Compare token, password, headers and the signing secret with what it has, then test \
                       again.";
const REDIRECT: &str = "it redirects to another address, and redirects are never followed. Enter the address that takes events as the URL, \
                        then test again.";
const GONE: &str = "it wants no more events, so none is sent any more, and it is not tried again by itself. Events wait. Correct the URL or \
                    switch the connector off; saving it, or a test delivery that arrives, starts the flow again.";
